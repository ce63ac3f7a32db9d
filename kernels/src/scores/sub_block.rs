//! Scores from the means of runs: an estimate of a block's mass that sees more than one mean.
//!
//! score(i, j) = ln Σₐ Σᵦ nₐ·mᵦ·e^(scale·q̄ₐ·k̄ᵦ) over the runs a of query block i and b of key block j, with nₐ and mᵦ
//! their true lengths. By Jensen it is at most ln Σ e^(scale·q·k) over the block's pairs, and equal to it when the
//! tokens of a run are equal. Source: methods.md §2.16 (SubBlock).

use std::f32::consts::LN_2;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::{
    cells::{self, Fold, Operands, Part, Reduce, Reduced},
    chunk, logits, operands,
    pooled::means,
};
use crate::{
    blocks::Blocks,
    cpu::{Level, host, level},
    ran::{self, Via},
};

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
    #[cfg(feature = "cuda")]
    if let Some(scores) = super::cuda::sub_block(q, k, blocks, scale, run)? {
        return Ok(scores);
    }
    let (q, k) = (means(q, run)?, means(k, run)?);
    match level() {
        level if q.device().is_cpu() && level > Level::Reference => {
            fast(level, &q, &k, blocks, scale, run)
        }
        _ => reference(&q, &k, blocks, scale, run),
    }
}

fn reference(q: &Tensor, k: &Tensor, blocks: Blocks, scale: f32, run: usize) -> Result<Tensor> {
    ran::note(q.device(), "sub_block", Via::Candle);
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

/// The length of run `index`.
fn count(tokens: usize, run: usize, index: usize) -> f32 {
    tokens.saturating_sub(index * run).min(run) as f32
}

/// ln of the lengths of `runs` runs over `tokens`: −∞ for those beyond the end.
fn log_counts(tokens: usize, run: usize, runs: usize, device: &Device) -> Result<Tensor> {
    Tensor::from_iter((0..runs).map(|index| count(tokens, run, index).ln()), device)
}

/// ln Σ eˣ over `dim`.
fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let highest = x.max_keepdim(dim)?.maximum(f32::MIN)?;
    let sums = x.broadcast_sub(&highest)?.exp()?.sum(dim)?;
    (sums.log()? + highest.squeeze(dim)?)?.to_dtype(DType::F32)
}

/// On the CPU, from the means.
fn fast(
    level: Level,
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    run: usize,
) -> Result<Tensor> {
    let (batch, heads, queries, width) = q.dims4()?;
    let keys = k.dim(2)?;
    let ((q, ql), (k, kl)) = (q.storage_and_layout(), k.storage_and_layout());
    let bias: Vec<f32> = (0..keys).map(|index| count(blocks.keys, run, index).log2()).collect();
    let operands = Operands {
        q: host::slice::<f32>(&q, ql)?,
        k: host::slice::<f32>(&k, kl)?,
        heads: batch * heads,
        width,
        queries: (queries, blocks.query_block / run),
        keys: (keys, blocks.key_block / run),
        scale,
        bias: &bias,
        reduce: Reduce::LogSum,
    };
    let scores = cells::reduce(level, &operands, &Logs { queries: blocks.queries, run });
    Tensor::from_vec(scores, (batch, heads, blocks.rows(), blocks.columns()), &Device::Cpu)
}

/// The log of a block's sum over its runs of queries, each counted as many times as it is long.
struct Logs {
    queries: usize,
    run: usize,
}

impl Fold for Logs {
    const START: f32 = f32::NEG_INFINITY;

    fn add(&self, row: &mut [f32], group: &Reduced<'_>, part: &Part) {
        let lengths = (0..part.of.len()).map(|i| count(self.queries, self.run, part.query + i));
        let lengths: Vec<f32> = lengths.collect();
        for (column, [highest, sums]) in group.pairs(part.of.clone()) {
            let score = &mut row[column];
            let unit = highest.iter().copied().fold(*score, f32::max);
            let terms = highest.iter().zip(sums).zip(&lengths);
            let sum: f32 = terms.map(|((m, sum), length)| length * sum * (m - unit).exp2()).sum();
            *score = ((*score - unit).exp2() + sum).log2() + unit;
        }
    }

    fn finish(&self, row: &mut [f32], _: usize) {
        for score in row {
            *score *= LN_2;
        }
    }
}
