//! How alike the tokens of a block are, and so how well their mean stands for them.
//!
//! Both read x once: O(B·H·S·D).

use candle_core::{DType, Result, Tensor, bail};
use half::bf16;

use crate::{
    check,
    cpu::{Level, level},
};

mod cpu;
mod reference;

/// The pools that [`group_cosine`] is about.
const POOLS: [usize; 3] = [2, 4, 8];

/// The mean over all pairs of a block's tokens (a token with itself included) of their cosine, `[B, H, ⌈S/block⌉]` F32.
///
/// x `[B, H, S, D]`. The mean of the Gram matrix is the squared length of the mean of the normalised tokens, so no pair
/// is ever formed. A token of zeros is unlike every token. Source: methods.md §2.5 (SpargeAttn).
pub fn self_similarity(x: &Tensor, block: usize) -> Result<Tensor> {
    check::compute_dtype("self_similarity", x.dtype())?;
    if block == 0 || x.elem_count() == 0 {
        bail!("self_similarity: `block` must be at least 1, got {block} for {:?}", x.dims());
    }
    #[cfg(feature = "cuda")]
    if let Some(similarity) = super::cuda::self_similarity(x, block)? {
        return Ok(similarity);
    }
    match level() {
        level if x.device().is_cpu() && level > Level::Reference => match x.dtype() {
            DType::F32 => cpu::self_similarity::<f32>(level, x, block),
            _ => cpu::self_similarity::<bf16>(level, x, block),
        },
        _ => reference::self_similarity(x, block),
    }
}

/// For pools of 2, 4 and 8 tokens, the mean over a key block's groups of the cosine of a group's first and last token,
/// `[B, H, columns, 3]` F32.
///
/// k `[B, H, Sk, D]`. A ragged group ends at its last true token; one of a single token is its own mean and counts 1.
/// Groups do not leave their block: where it is shorter than the pool, the group is the block. A token of zeros is
/// unlike every token. Source: methods.md §2.1.
pub fn group_cosine(k: &Tensor, key_block: usize) -> Result<Tensor> {
    check::compute_dtype("group_cosine", k.dtype())?;
    if !key_block.is_power_of_two() || k.elem_count() == 0 {
        bail!(
            "group_cosine: `key_block` must be a power of two, got {key_block} for {:?}",
            k.dims()
        );
    }
    #[cfg(feature = "cuda")]
    if let Some(cosines) = super::cuda::group_cosine(k, key_block)? {
        return Ok(cosines);
    }
    match level() {
        level if k.device().is_cpu() && level > Level::Reference => match k.dtype() {
            DType::F32 => cpu::group_cosine::<f32>(level, k, key_block),
            _ => cpu::group_cosine::<bf16>(level, k, key_block),
        },
        _ => reference::group_cosine(k, key_block),
    }
}
