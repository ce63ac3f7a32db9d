//! How alike the tokens of a block are, and so how well their mean stands for them.
//!
//! Both read x once: O(B·H·S·D).

use candle_core::{D, DType, Result, Tensor, bail};

use super::pooled::means;
use crate::check;

/// The pools that [`group_cosine`] is about.
const POOLS: [usize; 3] = [2, 4, 8];

/// The mean over all pairs of a block's tokens (a token with itself included) of their cosine, `[B, H, ⌈S/block⌉]` F32.
///
/// x `[B, H, S, D]`. The mean of the Gram matrix is the squared length of the mean of the normalised tokens, so no pair
/// is ever formed. A token of zeros is unlike every token. Source: methods.md §2.5 (SpargeAttn).
pub fn self_similarity(x: &Tensor, block: usize) -> Result<Tensor> {
    check::compute_dtype("self_similarity", x.dtype())?;
    if block == 0 {
        bail!("self_similarity: `block` must be at least 1, got 0");
    }
    means(&directions(x)?, block)?.sqr()?.sum(D::Minus1)
}

/// For pools of 2, 4 and 8 tokens, the mean over a key block's groups of the cosine of a group's first and last token,
/// `[B, H, columns, 3]` F32.
///
/// k `[B, H, Sk, D]`. A ragged group ends at its last true token; one of a single token is its own mean and counts 1.
/// Groups do not leave their block: where it is shorter than the pool, the group is the block. Source: methods.md §2.1.
pub fn group_cosine(k: &Tensor, key_block: usize) -> Result<Tensor> {
    check::compute_dtype("group_cosine", k.dtype())?;
    if !key_block.is_power_of_two() {
        bail!("group_cosine: `key_block` must be a power of two, got {key_block}");
    }
    let keys = k.dim(2)?;
    let k = directions(k)?;
    let of_pool = |pool: usize| {
        let pool = pool.min(key_block);
        let token = |index: usize| index.min(keys - 1) as u32;
        let groups = 0..keys.div_ceil(pool);
        let first = groups.clone().map(|group| token(group * pool));
        let last = groups.map(|group| token(group * pool + pool - 1));
        let first = k.index_select(&Tensor::from_iter(first, k.device())?, 2)?;
        let last = k.index_select(&Tensor::from_iter(last, k.device())?, 2)?;
        means(&(first * last)?.sum_keepdim(D::Minus1)?, key_block / pool)
    };
    Tensor::cat(&POOLS.map(of_pool).into_iter().collect::<Result<Vec<_>>>()?, D::Minus1)
}

/// x with tokens of length 1, F32.
fn directions(x: &Tensor) -> Result<Tensor> {
    let x = x.to_dtype(DType::F32)?.contiguous()?;
    let lengths = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    x.broadcast_div(&lengths.maximum(f32::MIN_POSITIVE)?)
}
