//! Scores from sampled tokens (PSA, ASA): the largest weight that any sampled query gives to any sampled key.
//!
//! score(i, j) = max over the sampled queries a of block i of e^(M(a, j) − maxⱼ M(a, j)), where M(a, j) is the largest
//! logit of a among the sampled keys of block j. So a query's best block scores 1, and a row's scores are shares of that:
//! the softmax's denominator is left out, as PSA's code does. Unlike there, the positions come from a seed, ragged blocks
//! are not padded, and maxima stay F32. Source: methods.md §2.1.

use candle_core::{DType, Device, Result, Tensor, bail};
use half::bf16;

use super::{
    cells::{self, Fold, Operands, Part, Reduce, Reduced},
    chunk, logits, operands,
};
use crate::{
    blocks::Blocks,
    cpu::{
        Level,
        host::{self, Element},
        level,
    },
    mix::{SplitMix, mixed},
    ran::{self, Via},
};

/// Which tokens stand for their blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// Queries of each query block.
    pub queries: usize,
    /// Keys of each key block.
    pub keys: usize,
    /// From it, the sample and the head come the positions: the same ones in every block of a head.
    pub seed: u64,
}

impl Sampling {
    /// PSA's: a quarter of each block.
    pub fn quarter(blocks: Blocks, seed: u64) -> Self {
        Self { queries: blocks.query_block.div_ceil(4), keys: blocks.key_block.div_ceil(4), seed }
    }
}

/// The largest sampled weight of every pair of blocks, in (0, 1], `[B, H, rows, columns]` F32.
///
/// `sampling` takes from 1 to all tokens of a block. Work: 2·B·H·D·rows·queries·columns·keys FLOP.
pub fn sampled_max(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    sampling: &Sampling,
) -> Result<Tensor> {
    operands("sampled_max", q, k, blocks)?;
    let Sampling { queries, keys, .. } = *sampling;
    if !(1..=blocks.query_block).contains(&queries) || !(1..=blocks.key_block).contains(&keys) {
        bail!(
            "sampled_max: expected 1 to {} queries and 1 to {} keys of a block, got {queries} and {keys}",
            blocks.query_block,
            blocks.key_block
        );
    }
    #[cfg(feature = "cuda")]
    if let Some(scores) = super::cuda::sampled_max(q, k, blocks, scale, sampling)? {
        return Ok(scores);
    }
    let (batch, heads, _, _) = q.dims4()?;
    let (mut q_tokens, mut k_tokens) = (Vec::new(), Vec::new());
    for head in 0..batch * heads {
        let (of_queries, of_keys) = positions(sampling, blocks, head);
        let place = |block: usize, length: usize, position: usize, whole: usize| {
            block * whole + position * length / whole
        };
        for row in 0..blocks.rows() {
            let length = blocks.query_range(row).len();
            q_tokens.extend(of_queries.iter().map(|&position| {
                (head * blocks.queries + place(row, length, position, blocks.query_block)) as u32
            }));
        }
        for column in 0..blocks.columns() {
            let length = blocks.key_range(column).len();
            k_tokens.extend(of_keys.iter().map(|&position| {
                (head * blocks.keys + place(column, length, position, blocks.key_block)) as u32
            }));
        }
    }
    let (q, k) = (gathered(q, q_tokens)?, gathered(k, k_tokens)?);
    match level() {
        level if q.device().is_cpu() && level > Level::Reference => match q.dtype() {
            DType::F32 => fast::<f32>(level, &q, &k, blocks, scale, sampling),
            _ => fast::<bf16>(level, &q, &k, blocks, scale, sampling),
        },
        _ => reference(&q, &k, blocks, scale, sampling),
    }
}

/// The positions of sampled queries and of sampled keys in a whole block, ascending, for one (sample, head).
pub(super) fn positions(
    sampling: &Sampling,
    blocks: Blocks,
    head: usize,
) -> (Vec<usize>, Vec<usize>) {
    let mut random = SplitMix::new(sampling.seed ^ mixed(head as u64 + 1));
    let queries = random.choose(sampling.queries, blocks.query_block);
    (queries, random.choose(sampling.keys, blocks.key_block))
}

/// The rows of x `[B, H, S, D]` with the given places in `[B·H·S, D]`, as many from each head.
pub(super) fn gathered(x: &Tensor, tokens: Vec<u32>) -> Result<Tensor> {
    let (batch, heads, length, width) = x.dims4()?;
    let each = tokens.len() / (batch * heads);
    let index = Tensor::new(tokens, x.device())?;
    let rows = x.contiguous()?.reshape((batch * heads * length, width))?;
    rows.index_select(&index, 0)?.reshape((batch, heads, each, width))
}

fn reference(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    sampling: &Sampling,
) -> Result<Tensor> {
    ran::note(q.device(), "sampled_max", Via::Candle);
    let (batch, heads, _, _) = q.dims4()?;
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let step = chunk(q, sampling.queries * columns * sampling.keys)?;
    let mut parts = Vec::new();
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let queries = count * sampling.queries;
        let scores = logits(&q.narrow(2, first * sampling.queries, queries)?, k, scale)?;
        let maxima = scores.reshape((batch * heads, queries, columns, sampling.keys))?.max(3)?;
        let shares = maxima.broadcast_sub(&maxima.max_keepdim(2)?)?;
        let shares = shares.reshape((batch * heads, count, sampling.queries, columns))?.max(2)?;
        parts.push(shares.exp()?.reshape((batch, heads, count, columns))?);
    }
    Tensor::cat(&parts, 2)
}

/// On the CPU, of the sampled tokens alone.
fn fast<T: Element>(
    level: Level,
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    sampling: &Sampling,
) -> Result<Tensor> {
    let (batch, heads, queries, width) = q.dims4()?;
    let ((q, ql), (k, kl)) = (q.storage_and_layout(), k.storage_and_layout());
    let operands = Operands {
        q: host::slice::<T>(&q, ql)?,
        k: host::slice::<T>(&k, kl)?,
        heads: batch * heads,
        width,
        queries: (queries, sampling.queries),
        keys: (blocks.columns() * sampling.keys, sampling.keys),
        scale,
        bias: &[],
        reduce: Reduce::Max,
    };
    let scores = cells::reduce(level, &operands, &Largest);
    Tensor::from_vec(scores, (batch, heads, blocks.rows(), blocks.columns()), &Device::Cpu)
}

/// The largest logit of any query, below that query's largest one.
struct Largest;

impl Fold for Largest {
    const START: f32 = f32::MIN;

    fn add(&self, row: &mut [f32], group: &Reduced<'_>, part: &Part) {
        let highest = &group.highest[part.of.clone()];
        for (column, logits) in group.cells(part.of.clone()) {
            let score = &mut row[column];
            *score = cells::larger(cells::largest_difference(logits, highest), *score);
        }
    }

    fn finish(&self, row: &mut [f32], _: usize) {
        for score in row {
            *score = score.exp2();
        }
    }
}
