//! Channel norm of the video autoencoder: x / max(‖x‖₂, 1e−12) · √C · gamma over the last dimension, then SiLU when
//! asked. F32 inside, rounded once. Traffic: the tensor in and out once.

use candle_core::{DType, Result, Tensor};

use crate::{
    check,
    cpu::{Level, level},
};

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod reference;
#[cfg(test)]
mod tests;

/// The least length that a row is divided by.
const SMALLEST_LENGTH: f32 = 1e-12;

/// x `[.., C]`, F32 or BF16, channels last; gamma `[C]` of any float dtype; returns x's shape and dtype.
pub fn channel_norm(x: &Tensor, gamma: &Tensor, silu: bool) -> Result<Tensor> {
    const OP: &str = "channel_norm";
    let (_, channels) = check::rows(OP, "x", x)?;
    check::compute_dtype(OP, x.dtype())?;
    check::shape(OP, "gamma", gamma, &[channels])?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        return cuda::channel_norm(&gpu, x, gamma, silu);
    }
    match level() {
        level if x.device().is_cpu() && level > Level::Reference => {
            cpu::channel_norm(level, x, gamma, silu)
        }
        _ => reference::channel_norm(x, &gamma.to_dtype(DType::F32)?, silu),
    }
}
