//! What lies between the q/k/v projections and attention: norm across all heads, split into heads, rotary positions.
//!
//! For a row x of width H·D: r = x/√(mean(x²) + eps)·weight over the whole width; then, in each head, the adjacent
//! pair (a, b) = (r₂ⱼ, r₂ⱼ₊₁) turns into (a·cos − b·sin, a·sin + b·cos) with the token's table row. All F32 inside,
//! rounded once. Traffic: the row in, the row out, the token's cosines and sines.

use candle_core::{DType, Result, Tensor, bail};

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

/// The cosines and sines of every token's angles, each `[S, D/2]` F32.
#[derive(Clone, Debug)]
pub struct RopeTables {
    /// cos of the angle of pair j of token s, `[S, D/2]` F32.
    pub cos: Tensor,
    /// sin of the same angle, `[S, D/2]` F32.
    pub sin: Tensor,
}

/// RMS norm over the whole width (when `norm` gives weight `[H·D]` and eps), split into heads, rotation of adjacent
/// pairs (when `rope` is given): x `[B, S, H·D]`, F32 or BF16 → `[B, H, S, D]` in the same dtype.
pub fn norm_rope_heads(
    x: &Tensor,
    norm: Option<(&Tensor, f64)>,
    heads: usize,
    rope: Option<&RopeTables>,
) -> Result<Tensor> {
    const OP: &str = "norm_rope_heads";
    let (_, tokens, width) = x.dims3()?;
    check::compute_dtype(OP, x.dtype())?;
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
        bail!("{OP}: the width {width} of `x` does not split into {heads} heads");
    }
    let head = width / heads;
    if let Some((weight, _)) = norm {
        check::shape(OP, "norm weight", weight, &[width])?;
    }
    if let Some(RopeTables { cos, sin }) = rope {
        if !head.is_multiple_of(2) {
            bail!("{OP}: rotation needs an even head width, got {head}");
        }
        for (name, table) in [("cos", cos), ("sin", sin)] {
            check::dtype(OP, name, table, DType::F32)?;
            check::shape(OP, name, table, &[tokens, head / 2])?;
        }
    }
    let weight = norm.map(|(weight, _)| weight.to_dtype(DType::F32)).transpose()?;
    let norm = weight.as_ref().zip(norm).map(|(weight, (_, eps))| (weight, eps));
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        return cuda::norm_rope_heads(&gpu, x, norm, heads, rope);
    }
    match level() {
        level if x.device().is_cpu() && level > Level::Reference => {
            cpu::norm_rope_heads(level, x, norm, heads, rope)
        }
        _ => reference::norm_rope_heads(x, norm, heads, rope),
    }
}

/// Puts the heads side by side again: x `[B, H, S, D]`, F32 or BF16 → `[B, S, H·D]` in the same dtype.
pub fn merge_heads(x: &Tensor) -> Result<Tensor> {
    x.dims4()?;
    check::compute_dtype("merge_heads", x.dtype())?;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = crate::cuda::Gpu::of(x) {
        return cuda::merge_heads(&gpu, x);
    }
    if x.device().is_cpu() && level() > Level::Reference {
        cpu::merge_heads(x)
    } else {
        reference::merge_heads(x)
    }
}
