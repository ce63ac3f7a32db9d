//! What seeing a block pooled would change in the output: the loss of every pair of blocks at every level.
//!
//! Of each query block a few queries are sampled and their exact softmax weights p computed. Replacing the tokens of a group g
//! of level ℓ by their mean changes a query's output by Σ_{t∈g} (p_t − p̄_g)·(v_t − v̄_g); with the values' deviations taken as
//! independent of each other and of the weights, the expected square of that is
//!
//! loss_g = Σ_{t∈g} (p_t − p̄_g)² · (1/n) Σ_{t∈g} ‖v_t − v̄_g‖²
//!
//! and loss(i, j, ℓ) is its sum over the block's groups, mean over the sampled queries. So a pair may be coarse where its
//! weights are small, where its keys are alike to the queries, or where its values are alike. The weights' sums of squares
//! are merged from level to level, so that all levels cost one pass. On a GPU (feature `cuda`) eight queries of blocks of 128 and
//! 64 tokens have kernels; there the result stays, elsewhere it is on the host. Source: ours (`tessera`).

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::{chunk, operands, sampled::gathered};
use crate::{
    blocks::Blocks,
    check,
    cpu::{host, level},
    mix::{SplitMix, mixed},
    ran::{self, Via},
};

#[cfg(feature = "cuda")]
mod cuda;
mod row;
mod spread;

use row::{Found, Rows, Scratch};
use spread::Spreads;

/// The losses of one call.
#[derive(Debug, Clone)]
pub struct PoolingLoss {
    /// Expected squared error of a query's output, `[B, H, rows, columns, deepest level]` F32: at index ℓ − 1 that of level ℓ;
    /// 0 at level 1.
    pub loss: Tensor,
    /// Softmax mass of the block, mean over the sampled queries, `[B, H, rows, columns]` F32.
    pub mass: Tensor,
}

/// The losses of every pair of blocks at every level, from `queries` sampled tokens of each query block.
///
/// q `[B, H, Sq, D]`, k and v `[B, H, Sk, D]`. The positions come from the seed, another set in every block: all tokens of a
/// block when `queries` is its length. Work: 2·B·H·rows·queries·Sk·D FLOP and one read of v.
pub fn pooling_loss(
    [q, k, v]: [&Tensor; 3],
    blocks: Blocks,
    scale: f32,
    queries: usize,
    seed: u64,
) -> Result<PoolingLoss> {
    operands("pooling_loss", q, k, blocks)?;
    let (batch, heads, _, _) = q.dims4()?;
    let (keys, width) = (blocks.keys, v.dim(3)?);
    check::dtype("pooling_loss", "v", v, q.dtype())?;
    check::shape("pooling_loss", "v", v, &[batch, heads, keys, width])?;
    if !(1..=blocks.query_block).contains(&queries) {
        bail!(
            "pooling_loss: expected 1 to {} sampled queries of a block, got {queries}",
            blocks.query_block
        );
    }
    #[cfg(feature = "cuda")]
    if let Some(found) = cuda::pooling_loss([q, k, v], blocks, scale, queries, seed)? {
        return Ok(found);
    }
    ran::note(q.device(), "pooling_loss", Via::Host);
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let levels = usize::from(blocks.deepest_level());
    let values = host::floats(v)?;
    let spreads: Vec<Spreads> =
        values.par_chunks(keys * width).map(|v| Spreads::new(v, width, blocks)).collect();

    let sampled = gathered(q, positions(batch * heads, blocks, queries, seed))?;
    // Scaled here, where there are few of them, and not as logits.
    let q = (sampled.to_dtype(DType::F32)? * f64::from(scale))?;
    let k = k.to_dtype(DType::F32)?.contiguous()?;
    let cells = rows * columns;
    let mut loss = vec![0.0; batch * heads * cells * levels];
    let mut mass = vec![0.0; batch * heads * cells];
    let step = chunk(&q, queries * keys)?;
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let q = q.narrow(2, first * queries, count * queries)?;
        let scores = k.matmul(&q.transpose(2, 3)?.contiguous()?)?.to_device(&Device::Cpu)?;
        let (scores, layout) = scores.storage_and_layout();
        let scores = host::slice::<f32>(&scores, layout)?;
        let (stride, level) = (count * queries, level());
        let of_row = |scratch: &mut Scratch, task: usize| {
            let (head, row) = (task / count, task % count);
            let scores = &scores[head * keys * stride..][..keys * stride];
            let queries = (stride, row * queries, queries);
            Rows { scores, queries, blocks, spreads: &spreads[head], scratch }.run(level)
        };
        let tasks = (0..batch * heads * count).into_par_iter();
        let found: Vec<Found> = tasks.map_init(|| Scratch::new(keys), of_row).collect();
        for (task, found) in found.iter().enumerate() {
            let at = (task / count * rows + first + task % count) * columns;
            loss[at * levels..][..columns * levels].copy_from_slice(&found.loss);
            mass[at..][..columns].copy_from_slice(&found.mass);
        }
    }
    let tensor = |values, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu);
    Ok(PoolingLoss {
        loss: tensor(loss, &[batch, heads, rows, columns, levels])?,
        mass: tensor(mass, &[batch, heads, rows, columns])?,
    })
}

/// The sampled tokens of all heads as places in `[B·H·Sq]`; a ragged block's are stretched over what it has.
fn positions(heads: usize, blocks: Blocks, queries: usize, seed: u64) -> Vec<u32> {
    let mut tokens = Vec::with_capacity(heads * blocks.rows() * queries);
    for head in 0..heads {
        let mut random = SplitMix::new(seed ^ mixed(head as u64 + 1));
        for row in 0..blocks.rows() {
            let range = blocks.query_range(row);
            let start = head * blocks.queries + range.start;
            let chosen = random.choose(queries, blocks.query_block).into_iter();
            tokens.extend(chosen.map(|at| (start + at * range.len() / blocks.query_block) as u32));
        }
    }
    tokens
}
