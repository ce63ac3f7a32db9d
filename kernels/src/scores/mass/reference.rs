//! Block masses in plain candle operations, on any device, a few query blocks at a time.

use candle_core::{D, DType, Result, Tensor};

use super::Mass;
use crate::{
    blocks::Blocks,
    ran::{self, Via},
    scores::{chunk, logits},
};

pub(super) fn block_mass(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    lse: Option<&Tensor>,
) -> Result<Mass> {
    ran::note(q.device(), "block_mass", Via::Candle);
    let (batch, heads, queries, _) = q.dims4()?;
    let all = batch * heads;
    let (columns, key_block) = (blocks.columns(), blocks.key_block);
    let k = k.to_dtype(DType::F32)?;
    let step = chunk(q, blocks.query_block * blocks.keys)? * blocks.query_block;
    let (mut masses, mut lses) = (Vec::new(), Vec::new());
    let mut first = 0;
    while first < queries {
        // Whole blocks together, the ragged one alone.
        let whole = (queries - first) / blocks.query_block * blocks.query_block;
        let count = if whole > 0 { step.min(whole) } else { queries - first };
        let rows = count.div_ceil(blocks.query_block);
        let scores = logits(&q.narrow(2, first, count)?, &k, scale)?;
        let lse = if let Some(lse) = lse {
            lse.narrow(2, first, count)?.unsqueeze(3)?
        } else {
            let highest = scores.max_keepdim(D::Minus1)?.maximum(f32::MIN)?;
            let sums = scores.broadcast_sub(&highest)?.exp()?.sum_keepdim(D::Minus1)?;
            (sums.log()? + highest)?
        };
        let weights = scores.broadcast_sub(&lse)?.exp()?;
        let weights = weights.pad_with_zeros(3, 0, columns * key_block - blocks.keys)?;
        let mass = weights.reshape((all, count, columns, key_block))?.sum(3)?;
        masses.push(
            mass.reshape((all, rows, count / rows, columns))?
                .mean(2)?
                .reshape((batch, heads, rows, columns))?,
        );
        lses.push(lse.squeeze(3)?);
        first += count;
    }
    Ok(Mass { mass: Tensor::cat(&masses, 2)?, lse: Tensor::cat(&lses, 2)? })
}
