//! Likeness in plain candle operations, on any device.

use candle_core::{D, DType, Result, Tensor};

use super::POOLS;
use crate::ran::{self, Via};
use crate::scores::pooled::means;

pub(super) fn self_similarity(x: &Tensor, block: usize) -> Result<Tensor> {
    ran::note(x.device(), "self_similarity", Via::Candle);
    means(&directions(x)?, block)?.sqr()?.sum(D::Minus1)
}

pub(super) fn group_cosine(k: &Tensor, key_block: usize) -> Result<Tensor> {
    ran::note(k.device(), "group_cosine", Via::Candle);
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
