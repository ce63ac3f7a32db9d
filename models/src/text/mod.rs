//! From a prompt to the rows that the transformer reads: clean it, cut it into tokens, encode them (wan.md §3).
//!
//! ```no_run
//! # use candle_core::{DType, Device};
//! # use tessera_models::{folder::ModelFolder, text, watch::Unwatched};
//! # fn main() -> tessera_models::Result<()> {
//! let folder = ModelFolder::open(std::path::Path::new("checkpoint"))?;
//! let tokens = text::Tokenizer::load(&folder)?.encode(&text::clean("a red ball &amp; a blue cube"))?;
//! let rows = text::encode_prompts(&folder, &[tokens.ids], DType::F32, &Device::Cpu, &mut Unwatched)?;
//! # Ok(()) }
//! ```

pub mod buckets;
mod html;
mod prompt;
mod tokenizer;
mod umt5;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use prompt::clean;
pub use tokenizer::{Tokenizer, Tokens, Word};
pub use umt5::{IGNORED, encode_prompts, expected, peak_bytes};
pub(crate) use vocabulary::largest_id;

use candle_core::Tensor;

/// Tokens that the transformer sees of a prompt, real ones and padding, the end token included.
pub const MAX_TOKENS: usize = 512;

/// The tokenizer in a checkpoint folder.
pub const TOKENIZER_FILE: &str = "tokenizer/tokenizer.json";

/// What to do when it is missing.
pub(crate) const TOKENIZER_ADVICE: &str = "a spiece.model alone is not read: take tokenizer.json from the model's repository, or have \
     transformers write it with T5TokenizerFast.save_pretrained";

/// A prompt as the transformer takes it.
#[derive(Debug, Clone)]
pub struct TextRows {
    /// The text encoder's rows for the real tokens, the end token included: [n, text_dim], F32.
    pub rows: Tensor,
    /// Rows n to this are zeros before the transformer's text layers: 512.
    pub padded_to: usize,
}
