//! Dense attention: softmax(scale·q·kᵀ + key_bias)·v for every query, the scores never held as a whole.
//!
//! q `[B, H, Sq, D]`, k and v `[B, H, Sk, D]`, key_bias `[Sk]` F32 added to the scores of its key in natural-log units
//! (ln p makes one key stand for p equal ones; −∞ hides it). Work: 4·B·H·Sq·Sk·D FLOP; traffic: q and the output
//! once, k and v once per block of queries. Scores, softmax and sums are F32.
//!
//! Measured as in [`crate::linear`], S = 2304: F32 92 (D = 64) and 97 (D = 128) GFLOP/s, BF16 155 and 172.

use candle_core::{Result, Tensor, bail};

use crate::{check, cpu::Level};

mod cpu;
mod reference;
#[cfg(test)]
mod tests;

/// The widest head that the kernels take: the single head of a video autoencoder's middle block.
pub const MAX_HEAD_WIDTH: usize = 1024;

/// softmax(scale·q·kᵀ + key_bias)·v: `[B, H, Sq, D]` in q's dtype.
///
/// Sq and Sk are any lengths of at least 1, D at most [`MAX_HEAD_WIDTH`]; q, k and v share dtype and device.
/// A query whose every score is −∞ gets zeros.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<Tensor> {
    Ok(attention_with_lse(q, k, v, scale, key_bias)?.0)
}

/// As [`attention`], and the natural log of each query's softmax denominator, `[B, H, Sq]` F32: Σ exp(score) = e^LSE.
pub fn attention_with_lse(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let (batch, heads, queries, width) = q.dims4()?;
    let keys = k.dim(2)?;
    check::shape("attention", "k", k, &[batch, heads, keys, width])?;
    check::shape("attention", "v", v, &[batch, heads, keys, width])?;
    check::compute_dtype("attention", q.dtype())?;
    check::dtype("attention", "k", k, q.dtype())?;
    check::dtype("attention", "v", v, q.dtype())?;
    if let Some(bias) = key_bias {
        check::dtype("attention", "key_bias", bias, candle_core::DType::F32)?;
        check::shape("attention", "key_bias", bias, &[keys])?;
    }
    if queries == 0 || keys == 0 || width == 0 || width > MAX_HEAD_WIDTH {
        bail!(
            "attention: needs Sq, Sk ≥ 1 and 1 ≤ D ≤ {MAX_HEAD_WIDTH}, got q {:?}, k {:?}",
            q.dims(),
            k.dims()
        );
    }
    #[cfg(feature = "cuda")]
    if let Some(limits) = crate::cuda::limits(q.device())?
        && let Some(attended) = crate::pyramid::cuda::dense(limits, q, k, v, scale, key_bias)?
    {
        return Ok((attended.out, attended.lse));
    }
    match crate::cpu::level() {
        level if q.device().is_cpu() && level > Level::Reference => {
            cpu::dispatch_dtype(level, [q, k, v], scale, key_bias)
        }
        _ => reference::attention_with_lse(q, k, v, scale, key_bias),
    }
}
