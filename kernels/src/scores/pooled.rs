//! Scores from block means: scale·q̄ᵢ·k̄ⱼ, which is the mean logit of the block.

use candle_core::{DType, Result, Tensor};

use super::{logits, operands};
use crate::blocks::Blocks;

/// The mean logit of every pair of blocks, `[B, H, rows, columns]` F32.
///
/// A ragged block's mean is over its true tokens. Work: 2·B·H·rows·columns·D FLOP and one read of q and k.
pub fn mean_pool(q: &Tensor, k: &Tensor, blocks: Blocks, scale: f32) -> Result<Tensor> {
    operands("mean_pool", q, k, blocks)?;
    logits(&means(q, blocks.query_block)?, &means(k, blocks.key_block)?, scale)
}

/// Means over runs of `run` tokens of `[B, H, S, D]`, the last run shorter: `[B, H, ⌈S/run⌉, D]` F32.
pub(super) fn means(x: &Tensor, run: usize) -> Result<Tensor> {
    let (batch, heads, tokens, width) = x.dims4()?;
    let x = x.to_dtype(DType::F32)?;
    let whole = tokens / run;
    let mut parts = Vec::with_capacity(2);
    if whole > 0 {
        let rows = x.narrow(2, 0, whole * run)?.contiguous()?;
        parts.push(rows.reshape((batch * heads, whole, run, width))?.mean(2)?);
    }
    if !tokens.is_multiple_of(run) {
        let rows = x.narrow(2, whole * run, tokens % run)?.contiguous()?;
        let rows = rows.reshape((batch * heads, 1, tokens % run, width))?;
        parts.push(rows.mean(2)?);
    }
    Tensor::cat(&parts, 1)?.reshape((batch, heads, tokens.div_ceil(run), width))
}
