//! Tensor operations that candle lacks, each with a plain reference, a CPU path and a CUDA path; knows tensors and devices, never models, files or windows.
//!
//! A kernel is a folder: `mod.rs` holds the formula, the shapes, the cost and the dispatch; `reference.rs` the same
//! function in plain candle operations on any device; `cpu.rs` the fast path; `tests.rs` compares the two.
//!
//! Numbers: a tensor is F32 or BF16 (the *compute dtype*). Every product accumulates in F32, and norms, gates,
//! activations and softmax are F32 inside; a BF16 result is rounded once, at the end.
#![expect(
    clippy::inline_always,
    reason = "vector methods must be inlined into the function that switches their instructions on"
)]

pub mod attention;
pub mod blocks;
pub mod channel_norm;
pub mod conv;
pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, not(feature = "cuda")))]
#[path = "cuda/plan.rs"]
#[expect(dead_code, reason = "tested without a GPU; only launches use the rest")]
mod cuda_plan;
pub mod gpu;
pub mod keep;
pub mod levels;
pub mod linear;
pub mod norm;
pub mod order;
pub mod pool;
pub mod pyramid;
pub mod ran;
pub mod rope;
pub mod scores;
pub mod select;

mod activation;
mod check;
mod mix;
#[cfg(test)]
mod testing;

pub use activation::Activation;
