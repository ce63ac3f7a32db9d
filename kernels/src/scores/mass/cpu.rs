//! Block masses on the CPU, in one pass: a query's sums over key blocks are kept until its denominator is known.
#![expect(unsafe_code, reason = "tasks write disjoint queries' denominators")]

use std::f32::consts::LN_2;

use candle_core::{Device, Result, Tensor};

use super::Mass;
use crate::{
    blocks::Blocks,
    cpu::{
        Level,
        host::{self, Element, Output, Shared},
    },
    scores::cells::{self, Fold, Operands, Part, Reduce, Reduced},
};

pub(super) fn block_mass<T: Element>(
    level: Level,
    [q, k]: [&Tensor; 2],
    blocks: Blocks,
    scale: f32,
    lse: Option<&Tensor>,
) -> Result<Mass> {
    let (batch, heads, queries, width) = q.dims4()?;
    let (q, k) = (q.contiguous()?, k.contiguous()?);
    let ((q, ql), (k, kl)) = (q.storage_and_layout(), k.storage_and_layout());
    let given = lse.map(host::floats).transpose()?;
    let operands = Operands {
        q: host::slice::<T>(&q, ql)?,
        k: host::slice::<T>(&k, kl)?,
        heads: batch * heads,
        width,
        queries: (queries, blocks.query_block),
        keys: (blocks.keys, blocks.key_block),
        scale,
        bias: &[],
        reduce: given.as_ref().map_or(Reduce::Sum, |lse| Reduce::SumWith(lse)),
    };
    let shape = (batch, heads, blocks.rows(), blocks.columns());
    let tensor = |scores| Tensor::from_vec(scores, shape, &Device::Cpu);
    if let Some(lse) = lse {
        return Ok(Mass {
            mass: tensor(cells::reduce(level, &operands, &Means { lse: None }))?,
            lse: lse.clone(),
        });
    }
    let mut lse = Output::<f32>::new(batch * heads * queries);
    let fold = Means { lse: Some((lse.shared(), queries)) };
    let mass = tensor(cells::reduce(level, &operands, &fold))?;
    // SAFETY: every query of every head was folded.
    Ok(Mass { mass, lse: unsafe { lse.finish((batch, heads, queries))? } })
}

/// The mean over a block's queries of each one's share.
struct Means {
    /// Where the denominators go, and the queries of a head; without it they were known and are divided by already.
    lse: Option<(Shared<f32>, usize)>,
}

impl Fold for Means {
    const START: f32 = 0.0;

    fn add(&self, row: &mut [f32], group: &Reduced<'_>, part: &Part) {
        let mut weights = vec![1.0; part.of.len()];
        if let Some((lse, queries)) = self.lse {
            for (i, weight) in weights.iter_mut().enumerate() {
                let (highest, total) =
                    (group.highest[part.of.start + i], group.totals[part.of.start + i]);
                *weight = 1.0 / total;
                let to = lse.at(part.head * queries + part.query + i);
                // SAFETY: each query is folded once, into its block's row.
                unsafe { to.write((highest + total.log2()) * LN_2) };
            }
        }
        for (column, sums) in group.cells(part.of.clone()) {
            row[column] += cells::dot(sums, &weights);
        }
    }

    fn finish(&self, row: &mut [f32], queries: usize) {
        for score in row {
            *score /= queries as f32;
        }
    }
}
