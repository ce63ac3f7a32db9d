//! Means over runs in plain candle operations, on any device.

use candle_core::{D, DType, Result, Tensor};

use crate::ran::{self, Via};

/// As [`super::mean_pool`] (and F64 in F64), over the tokens t with `valid[t]` ≠ 0 (`[S]` U8; all of them without it).
/// The mean of a run without such tokens is 0; what the others hold, be it NaN, counts nothing.
pub(crate) fn means(x: &Tensor, run: usize, valid: Option<&Tensor>) -> Result<Tensor> {
    ran::note(x.device(), "mean_pool", Via::Candle);
    let (batch, heads, tokens, width) = x.dims4()?;
    let wide = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let mut kept = x.to_dtype(wide)?;
    if let Some(valid) = valid {
        let hidden = valid.eq(0_u8)?.reshape((1, 1, tokens, 1))?.broadcast_as(kept.shape())?;
        kept = hidden.where_cond(&kept.zeros_like()?, &kept)?;
    }
    let runs = tokens.div_ceil(run);
    let sums = kept
        .pad_with_zeros(2, 0, runs * run - tokens)?
        .reshape((batch, heads, runs, run, width))?
        .sum(3)?;
    let counts = groups(tokens, run, valid, x)?.maximum(1.0)?.to_dtype(wide)?;
    sums.broadcast_div(&counts.reshape((1, 1, runs, 1))?)?.to_dtype(x.dtype())
}

/// How many valid tokens each run has, `[⌈S/run⌉]` F64 on the device of `like`.
pub(crate) fn groups(
    tokens: usize,
    run: usize,
    valid: Option<&Tensor>,
    like: &Tensor,
) -> Result<Tensor> {
    let ones = match valid {
        Some(valid) => valid.ne(0_u8)?.to_dtype(DType::F64)?,
        None => Tensor::ones(tokens, DType::F64, like.device())?,
    };
    let runs = tokens.div_ceil(run);
    ones.pad_with_zeros(0, 0, runs * run - tokens)?.reshape((runs, run))?.sum(D::Minus1)
}
