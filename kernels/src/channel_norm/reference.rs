//! The channel norm in plain candle operations, on any device.

use candle_core::{D, DType, Result, Tensor};

use super::SMALLEST_LENGTH;
use crate::ran::{self, Via};

pub(super) fn channel_norm(x: &Tensor, gamma: &Tensor, silu: bool) -> Result<Tensor> {
    ran::note(x.device(), "channel_norm", Via::Candle);
    let channels = x.dim(D::Minus1)?;
    let wide = x.to_dtype(DType::F32)?;
    let lengths = wide.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(SMALLEST_LENGTH)?;
    let gains = (gamma * (channels as f64).sqrt())?;
    let normed = wide.broadcast_div(&lengths)?.broadcast_mul(&gains)?;
    if silu { normed.silu()? } else { normed }.to_dtype(x.dtype())
}
