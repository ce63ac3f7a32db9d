//! Norm, head split and rotation in plain candle operations, on any device.

use candle_core::{D, DType, Result, Tensor};

use super::RopeTables;
use crate::ran::{self, Via};

pub(super) fn norm_rope_heads(
    x: &Tensor,
    norm: Option<(&Tensor, f64)>,
    heads: usize,
    rope: Option<&RopeTables>,
) -> Result<Tensor> {
    ran::note(x.device(), "norm_rope_heads", Via::Candle);
    let (batch, tokens, width) = x.dims3()?;
    let head = width / heads;
    let mut rows = x.to_dtype(DType::F32)?;
    if let Some((weight, eps)) = norm {
        let mean = rows.sqr()?.mean_keepdim(D::Minus1)?;
        rows = rows.broadcast_div(&(mean + eps)?.sqrt()?)?.broadcast_mul(weight)?;
    }
    if let Some(RopeTables { cos, sin }) = rope {
        let pairs = rows.reshape((batch, tokens, heads, head / 2, 2))?;
        let (a, b) = (pairs.narrow(4, 0, 1)?, pairs.narrow(4, 1, 1)?);
        let (cos, sin) =
            (cos.reshape((1, tokens, 1, head / 2, 1))?, sin.reshape((1, tokens, 1, head / 2, 1))?);
        let turned_a = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let turned_b = (a.broadcast_mul(&sin)? + b.broadcast_mul(&cos)?)?;
        rows = Tensor::cat(&[turned_a, turned_b], 4)?;
    }
    rows.reshape((batch, tokens, heads, head))?.transpose(1, 2)?.to_dtype(x.dtype())?.contiguous()
}

pub(super) fn merge_heads(x: &Tensor) -> Result<Tensor> {
    ran::note(x.device(), "merge_heads", Via::Candle);
    let (batch, heads, tokens, head) = x.dims4()?;
    x.transpose(1, 2)?.contiguous()?.reshape((batch, tokens, heads * head))
}
