//! What this processor can do, and the parts that the CPU paths share.
//!
//! The level is found once. `TESSERA_KERNELS=reference|portable|avx2|avx512|avx512bf16` may lower it for a whole
//! run, [`with_level`] for one closure.

mod level;

pub(crate) mod epilogue;
pub(crate) mod host;
pub(crate) mod keys;
pub(crate) mod math;
pub(crate) mod online;
pub(crate) mod pack;
pub(crate) mod rows;
pub(crate) mod simd;
pub(crate) mod tile;

pub use level::{Level, level, with_level};
