//! What a run will cost, from configs and sizes alone: work in FLOP (2 a multiply-add) and memory in bytes.
//!
//! These are this crate's own counts, with the savings that it makes; a plan divides them by measured rates and holds
//! them against the machine.

mod memory;
mod work;

pub use memory::{
    decode_bytes, decoder_weight_bytes, denoise_bytes, step_bytes, text_context_bytes,
    transformer_weight_bytes,
};
pub use work::{ForwardWork, VaeWork, decode_work, forward_work, prompt_work};
