//! Means over runs of tokens: what a level map's coarser levels, and block scores, see in place of the tokens.
//!
//! `y[g] = (1/n) Σ x[t]` over the n tokens t of run g, g·run ≤ t < min((g + 1)·run, S); the last run may have fewer, and
//! is divided by what it has. Sums are F32 and rounded once. A run of 2^(ℓ−1) divides every key block and blocks start
//! at its multiples, so that runs never cross blocks. Traffic: x once, the means once. Source: methods.md §6.3, §6.4.

use candle_core::{DType, Result, Tensor, bail};

use crate::{check, cpu::Level};

mod cpu;
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use cpu::Means;
pub(crate) use reference::{groups, means};

/// The mean of each run of `run` ≥ 1 tokens: x `[B, H, S, D]`, F32 or BF16, to `[B, H, ⌈S/run⌉, D]` in the same dtype.
pub fn mean_pool(x: &Tensor, run: usize) -> Result<Tensor> {
    let (_, _, tokens, width) = x.dims4()?;
    check::compute_dtype("mean_pool", x.dtype())?;
    if run == 0 || tokens == 0 || width == 0 {
        bail!("mean_pool: needs tokens and a run of at least 1, got {:?} and {run}", x.dims());
    }
    if run == 1 {
        return Ok(x.clone());
    }
    match (crate::cpu::level(), x.dtype()) {
        (level, _) if !x.device().is_cpu() || level == Level::Reference => means(x, run, None),
        (level, DType::F32) => cpu::mean_pool::<f32>(level, x, run),
        (level, _) => cpu::mean_pool::<half::bf16>(level, x, run),
    }
}
