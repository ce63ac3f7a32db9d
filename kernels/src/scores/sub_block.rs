//! Scores from the means of runs: an estimate of a block's mass that sees more than one mean.
//!
//! score(i, j) = ln Σₐ Σᵦ nₐ·mᵦ·e^(scale·q̄ₐ·k̄ᵦ) over the runs a of query block i and b of key block j, with nₐ and mᵦ
//! their true lengths. By Jensen it is at most ln Σ e^(scale·q·k) over the block's pairs, and equal to it when the
//! tokens of a run are equal. Source: methods.md §2.16 (SubBlock).

use candle_core::{DType, Device, Result, Tensor, bail};

use super::{chunk, logits, operands, pooled::means};
use crate::blocks::Blocks;

/// The natural log of every block's estimated mass Σ e^s, `[B, H, rows, columns]` F32, from runs of `run` tokens.
///
/// `run` must divide both blocks. Work: 2·B·H·Sq·Sk·D/run² FLOP and one read of q and k.
pub fn sub_block(q: &Tensor, k: &Tensor, blocks: Blocks, scale: f32, run: usize) -> Result<Tensor> {
    operands("sub_block", q, k, blocks)?;
    let Blocks { query_block, key_block, .. } = blocks;
    if run == 0 || !query_block.is_multiple_of(run) || !key_block.is_multiple_of(run) {
        bail!(
            "sub_block: `run` must divide the blocks of {query_block} queries and {key_block} keys, got {run}"
        );
    }
    reference(&means(q, run)?, &means(k, run)?, blocks, scale, run)
}

fn reference(q: &Tensor, k: &Tensor, blocks: Blocks, scale: f32, run: usize) -> Result<Tensor> {
    let (batch, heads, _, _) = q.dims4()?;
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let (per_row, per_column) = (blocks.query_block / run, blocks.key_block / run);
    // Runs that are not there fill the last blocks up and weigh nothing.
    let q = q.pad_with_zeros(2, 0, rows * per_row - q.dim(2)?)?;
    let k = k.pad_with_zeros(2, 0, columns * per_column - k.dim(2)?)?;
    let q_weights = log_counts(blocks.queries, run, rows * per_row, q.device())?;
    let k_weights = log_counts(blocks.keys, run, columns * per_column, k.device())?;
    let step = chunk(&q, per_row * columns * per_column)?;
    let mut parts = Vec::new();
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let (start, runs) = (first * per_row, count * per_row);
        let scores = logits(&q.narrow(2, start, runs)?, &k, scale)?.broadcast_add(&k_weights)?;
        let scores = scores.reshape((batch * heads, runs, columns, per_column))?;
        let scores = log_sum_exp(&scores, 3)?
            .broadcast_add(&q_weights.narrow(0, start, runs)?.unsqueeze(1)?)?
            .reshape((batch * heads, count, per_row, columns))?;
        parts.push(log_sum_exp(&scores, 2)?.reshape((batch, heads, count, columns))?);
    }
    Tensor::cat(&parts, 2)
}

/// ln of the lengths of `runs` runs over `tokens`: −∞ for those beyond the end.
fn log_counts(tokens: usize, run: usize, runs: usize, device: &Device) -> Result<Tensor> {
    let count = |index: usize| tokens.saturating_sub(index * run).min(run) as f32;
    Tensor::from_iter((0..runs).map(|index| count(index).ln()), device)
}

/// ln Σ eˣ over `dim`.
fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let highest = x.max_keepdim(dim)?.maximum(f32::MIN)?;
    let sums = x.broadcast_sub(&highest)?.exp()?.sum(dim)?;
    (sums.log()? + highest.squeeze(dim)?)?.to_dtype(DType::F32)
}
