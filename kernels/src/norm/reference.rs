//! The norms and the gated residual in plain candle operations, on any device.

use candle_core::{D, DType, Result, Tensor};

use crate::ran::{self, Via};

/// (x − mean)/√(var + eps) over the last dimension, F32.
fn normalised(x: &Tensor, eps: f64) -> Result<Tensor> {
    let x = x.to_dtype(DType::F32)?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)
}

pub(super) fn layer_norm_modulate(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    eps: f64,
    out: DType,
) -> Result<Tensor> {
    ran::note(x.device(), "layer_norm_modulate", Via::Candle);
    let (scale, shift) = (scale.unsqueeze(1)?, shift.unsqueeze(1)?);
    normalised(x, eps)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(&shift)?.to_dtype(out)
}

pub(super) fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    out: DType,
) -> Result<Tensor> {
    ran::note(x.device(), "layer_norm", Via::Candle);
    normalised(x, eps)?.broadcast_mul(weight)?.broadcast_add(bias)?.to_dtype(out)
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, out: DType) -> Result<Tensor> {
    ran::note(x.device(), "rms_norm", Via::Candle);
    let x = x.to_dtype(DType::F32)?;
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + eps)?.sqrt()?)?.broadcast_mul(weight)?.to_dtype(out)
}

pub(super) fn gated_add(x: &Tensor, y: &Tensor, gate: Option<&Tensor>) -> Result<Tensor> {
    ran::note(x.device(), "gated_add", Via::Candle);
    let y = y.to_dtype(DType::F32)?;
    match gate {
        Some(gate) => x + y.broadcast_mul(&gate.unsqueeze(1)?)?,
        None => x + y,
    }
}

pub(super) fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    ran::note(x.device(), "add", Via::Candle);
    (x.to_dtype(DType::F32)? + y.to_dtype(DType::F32)?)?.to_dtype(x.dtype())
}
