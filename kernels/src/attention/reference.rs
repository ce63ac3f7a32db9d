//! Attention in plain candle operations, on any device, in F32, a block of queries at a time.

use candle_core::{D, DType, Result, Tensor};

use crate::ran::{self, Via};

/// Scores held at once, over all heads; 64 MiB of F32.
const SCORES: usize = 1 << 24;

pub(super) fn attention_with_lse(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    ran::note(q.device(), "attention", Via::Candle);
    let (batch, heads, queries, _) = q.dims4()?;
    let keys = k.dim(2)?;
    let block = (SCORES / (batch * heads * keys)).clamp(1, queries);
    let transposed = k.to_dtype(DType::F32)?.transpose(2, 3)?.contiguous()?;
    let values = v.to_dtype(DType::F32)?.contiguous()?;
    let (mut outputs, mut lses) = (Vec::new(), Vec::new());
    for start in (0..queries).step_by(block) {
        let rows =
            q.narrow(2, start, block.min(queries - start))?.to_dtype(DType::F32)?.contiguous()?;
        let mut scores = (rows.matmul(&transposed)? * f64::from(scale))?;
        if let Some(bias) = key_bias {
            scores = scores.broadcast_add(bias)?;
        }
        // The floor keeps −∞ − −∞ out of the exponent when every key is hidden.
        let highest = scores.max_keepdim(D::Minus1)?.maximum(f32::MIN)?;
        let weights = scores.broadcast_sub(&highest)?.exp()?;
        let sums = weights.sum_keepdim(D::Minus1)?;
        let divisors = sums.maximum(f32::MIN_POSITIVE)?;
        outputs.push(weights.matmul(&values)?.broadcast_div(&divisors)?.to_dtype(q.dtype())?);
        lses.push((sums.log()? + highest)?.squeeze(D::Minus1)?);
    }
    Ok((Tensor::cat(&outputs, 2)?, Tensor::cat(&lses, 2)?))
}
