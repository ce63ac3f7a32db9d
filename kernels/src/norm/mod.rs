//! Row norms and the gated residual, each one pass over memory.
//!
//! * [`layer_norm_modulate`]: (x − mean)/√(var + eps) · (1 + scale) + shift
//! * [`layer_norm`]: (x − mean)/√(var + eps) · weight + bias
//! * [`rms_norm`]: x/√(mean(x²) + eps) · weight
//! * [`gated_add`]: x + gate·y
//! * [`add`]: x + y
//!
//! Means are over the last dimension, var is the biased variance about the mean. All arithmetic is F32; the result is
//! rounded once to the dtype asked for. Traffic: each operand and the result once.

use candle_core::{DType, Result, Tensor, bail};

use crate::{
    check,
    cpu::{Level, host, level},
};

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod reference;
#[cfg(test)]
mod tests;

/// LayerNorm without weights, then ·(1 + scale) + shift.
///
/// x `[B, S, C]` F32; scale and shift `[C]`, `[1, C]` or `[B, C]` F32; returns `[B, S, C]` in dtype `out`.
pub fn layer_norm_modulate(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    eps: f64,
    out: DType,
) -> Result<Tensor> {
    const OP: &str = "layer_norm_modulate";
    let (batch, _, width) = x.dims3()?;
    check::rows(OP, "x", x)?;
    check::dtype(OP, "x", x, DType::F32)?;
    check::compute_dtype(OP, out)?;
    let scale = per_batch(OP, "scale", scale, batch, width)?;
    let shift = per_batch(OP, "shift", shift, batch, width)?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        let (gains, offsets) = (&scale, Some(&shift));
        let norm = cuda::Norm { centred: true, eps, gains, above_one: true, offsets };
        return cuda::norm(&gpu, x, &norm, out);
    }
    let Some(level) = fast(x) else {
        return reference::layer_norm_modulate(x, &scale, &shift, eps, out);
    };
    // One vector for all samples beside one for each: give each its own.
    let samples = scale.dim(0)?.max(shift.dim(0)?);
    let gains = host::floats(&(scale.broadcast_as((samples, width))? + 1.0)?)?;
    let offsets = host::floats(&shift.broadcast_as((samples, width))?)?;
    cpu::norm(level, x, &cpu::Norm { centred: true, eps, gains, offsets }, out)
}

/// LayerNorm over the last dimension with weight and bias `[C]` (any float dtype).
///
/// x `[.., C]`, F32 or BF16; returns the same shape in dtype `out`.
pub fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    out: DType,
) -> Result<Tensor> {
    const OP: &str = "layer_norm";
    let (_, width) = check::rows(OP, "x", x)?;
    check::compute_dtype(OP, x.dtype())?;
    check::compute_dtype(OP, out)?;
    check::shape(OP, "weight", weight, &[width])?;
    check::shape(OP, "bias", bias, &[width])?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        let (gains, offsets) = (&weight.to_dtype(DType::F32)?, &bias.to_dtype(DType::F32)?);
        let offsets = Some(offsets);
        let norm = cuda::Norm { centred: true, eps, gains, above_one: false, offsets };
        return cuda::norm(&gpu, x, &norm, out);
    }
    let Some(level) = fast(x) else {
        return reference::layer_norm(
            x,
            &weight.to_dtype(DType::F32)?,
            &bias.to_dtype(DType::F32)?,
            eps,
            out,
        );
    };
    let norm = cpu::Norm {
        centred: true,
        eps,
        gains: host::floats(weight)?,
        offsets: host::floats(bias)?,
    };
    cpu::norm(level, x, &norm, out)
}

/// Root-mean-square norm over the last dimension with weight `[C]` (any float dtype).
///
/// x `[.., C]`, F32 or BF16; returns the same shape in dtype `out`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, out: DType) -> Result<Tensor> {
    const OP: &str = "rms_norm";
    let (_, width) = check::rows(OP, "x", x)?;
    check::compute_dtype(OP, x.dtype())?;
    check::compute_dtype(OP, out)?;
    check::shape(OP, "weight", weight, &[width])?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        let gains = &weight.to_dtype(DType::F32)?;
        let norm = cuda::Norm { centred: false, eps, gains, above_one: false, offsets: None };
        return cuda::norm(&gpu, x, &norm, out);
    }
    let Some(level) = fast(x) else {
        return reference::rms_norm(x, &weight.to_dtype(DType::F32)?, eps, out);
    };
    let norm =
        cpu::Norm { centred: false, eps, gains: host::floats(weight)?, offsets: vec![0.0; width] };
    cpu::norm(level, x, &norm, out)
}

/// The residual x + gate·y, or x + y without a gate.
///
/// x `[B, S, C]` F32; y the same shape, F32 or BF16; gate `[C]`, `[1, C]` or `[B, C]` F32; returns F32.
#[expect(clippy::needless_pass_by_value, reason = "says that the old residual is done with")]
pub fn gated_add(x: Tensor, y: &Tensor, gate: Option<&Tensor>) -> Result<Tensor> {
    const OP: &str = "gated_add";
    let (batch, _, width) = x.dims3()?;
    check::dtype(OP, "x", &x, DType::F32)?;
    check::compute_dtype(OP, y.dtype())?;
    check::shape(OP, "y", y, x.dims())?;
    let gate = gate.map(|gate| per_batch(OP, "gate", gate, batch, width)).transpose()?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(&x) {
        return cuda::gated_add(&gpu, &x, y, gate.as_ref());
    }
    match fast(&x) {
        Some(level) => cpu::gated_add(level, &x, y, gate.as_ref()),
        None => reference::gated_add(&x, y, gate.as_ref()),
    }
}

/// x + y in F32, rounded to their common dtype; both F32 or BF16, of one shape.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    const OP: &str = "add";
    check::compute_dtype(OP, x.dtype())?;
    check::dtype(OP, "y", y, x.dtype())?;
    check::shape(OP, "y", y, x.dims())?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        return cuda::gated_add(&gpu, x, y, None);
    }
    match fast(x) {
        Some(level) => cpu::add(level, x, y),
        None => reference::add(x, y),
    }
}

/// A vector a sample, `[1, C]` or `[B, C]`, from `[C]`, `[1, C]` or `[B, C]` F32.
fn per_batch(op: &str, name: &str, vector: &Tensor, batch: usize, width: usize) -> Result<Tensor> {
    check::dtype(op, name, vector, DType::F32)?;
    match *vector.dims() {
        [c] if c == width => vector.reshape((1, width)),
        [b, c] if c == width && (b == batch || b == 1) => Ok(vector.clone()),
        _ => bail!(
            "{op}: `{name}` must have shape [{width}] or [{batch}, {width}], got {:?}",
            vector.dims()
        ),
    }
}

/// The level of the CPU path that takes `x`, if one does.
fn fast(x: &Tensor) -> Option<Level> {
    Some(level()).filter(|&level| x.device().is_cpu() && level > Level::Reference)
}
