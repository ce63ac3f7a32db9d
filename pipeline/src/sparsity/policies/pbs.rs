//! PBS-Attn, permuted block sparse attention: keys are sorted inside segments, so that heavy ones lie together.
//!
//! Each segment of 256 tokens has its keys and values sorted by the mean softmax weight that the last block of queries gives
//! them, heaviest first; queries stay where they are. Then blocks of the sorted keys are chosen by mean logit, softmaxed:
//! each row's best ones until they hold p. A row sees its own segment and the first block in full. The knob stretches p.
//! Source: PBS-Attn's code; methods.md §2.15.

use tessera_kernels::blocks::{Blocks, QUERY_BLOCK};
use tessera_kernels::keep::{self, Keeps};
use tessera_kernels::levels::{FULL, LevelMap};
use tessera_kernels::order::{Order, permute};
use tessera_kernels::scores::{Estimator, block_mass, mean_pool, row_softmax};
use tessera_kernels::select::top_p;

use super::knob::{by_scores, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "pbs",
    summary: "Keys are sorted inside segments by what the last queries look at; then blocks for 90 % are kept.",
    source: "PBS-Attn (xinghaow99/pbs-attn); methods.md §2.15",
    differs: "Made for causal attention, where the last queries are what comes next; here they are the clip's last tokens, and segments behind a query's own are seen too. Key blocks are 64 tokens (128 there). Text is not sorted.",
    presets: &[Preset {
        name: "segment-256",
        source: "official code: segments of 256, p .9",
        defaults: Defaults { measured_density: Some(0.43), ..Defaults::PLAIN },
        build: || Box::new(Pbs { segment: 256, p: 0.9 }),
    }],
};

#[derive(Debug)]
struct Pbs {
    /// Tokens whose keys are sorted among themselves.
    segment: usize,
    /// Share of the estimate that a row keeps.
    p: f64,
}

impl Policy for Pbs {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    /// Means, and the exact rows of one block of queries: half of their dense attention.
    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::MeanPool.cost(tokens) + 0.5 * QUERY_BLOCK as f64 / tokens.max(1) as f64
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let key_order = self.sorted(view)?;
        let keys = permute(view.k, &key_order)?;
        let scores = row_softmax(&mean_pool(view.q, &keys, blocks, view.scale)?)?;
        let prepared = by_scores(scores, move |scores, knob| {
            let p = stretched(self.p, knob);
            let columns = blocks.columns();
            // What rounds to nothing is left out by any share below 1.
            let least = if p < 1.0 { 1 } else { columns };
            let map = top_p(scores, blocks, p, true, (least, columns))?;
            let first = Keeps { sink: 0..blocks.key_block.min(blocks.keys), ..Keeps::default() };
            Ok(keep::apply(&first, &self.with_own(&map)?, None)?)
        });
        Ok(Prepared { key_order: Some(key_order), ..prepared })
    }
}

impl Pbs {
    /// The order of each head's keys.
    fn sorted(&self, view: &View<'_>) -> Result<Vec<Order>> {
        let (batch, heads, queries, _) = view.q.dims4()?;
        let last = view.blocks.query_block.min(queries);
        let weights = block_mass(
            &view.q.narrow(2, queries - last, last)?.contiguous()?,
            view.k,
            Blocks::new(last, view.blocks.keys, last, 1)?,
            view.scale,
            None,
        )?;
        let weights = weights.mass.reshape((batch, heads, ()))?.mean(0)?.to_vec2::<f32>()?;
        let video = view.grid.tokens();
        let of_head = |weights: &Vec<f32>| {
            let mut tokens: Vec<u32> = (0..weights.len() as u32).collect();
            for segment in tokens[..video].chunks_mut(self.segment) {
                let weight = |token: &u32| weights[*token as usize];
                segment.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then(a.cmp(b)));
            }
            Order::new(tokens)
        };
        Ok(weights.iter().map(of_head).collect::<candle_core::Result<_>>()?)
    }

    /// The map with each row's own segment, or segments, in full.
    fn with_own(&self, map: &LevelMap) -> Result<LevelMap> {
        let blocks = map.blocks();
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let mut levels = map.to_vec()?;
        for (index, levels) in levels.chunks_mut(columns).enumerate() {
            let queries = blocks.query_range(index % rows);
            let first = queries.start / self.segment * self.segment;
            let end = queries.end.next_multiple_of(self.segment).min(blocks.keys);
            let own = first / blocks.key_block..end.div_ceil(blocks.key_block);
            levels[own].fill(FULL);
        }
        Ok(LevelMap::from_vec(levels, map.heads(), blocks)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::{Case, column};

    /// Segments of four, blocks of two, queries of 1: keys 0 3 1 2 | 5 4 7 6 become 3 2 1 0 | 7 6 5 4.
    #[test]
    fn keys_are_sorted_inside_their_segments() {
        let blocks = Blocks::new(8, 8, 2, 2).unwrap();
        let keys = column(&[0.0, 3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0]);
        let case = Case::of(column(&[1.0; 8]), keys, blocks);
        let view = case.view();
        let pbs = Pbs { segment: 4, p: 0.5 };
        let prepared = pbs.prepare(&view).unwrap();
        let order = prepared.key_order.as_ref().unwrap();
        assert_eq!(order[0].tokens(), [1, 3, 2, 0, 6, 7, 4, 5]);
        // Block means 2.5, .5, 6.5 and 4.5: the third holds more than half. The first is forced, and so is a row's own
        // segment: blocks 0 and 1 of rows 0 and 1, blocks 2 and 3 of the others.
        let levels = (prepared.select)(Knob::Preset).unwrap().to_vec().unwrap();
        assert_eq!(levels, [[1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 1, 1], [1, 0, 1, 1]].concat());
    }

    #[test]
    fn text_keeps_its_place() {
        let case = Case::new([3, 9, 14], 40);
        let view = case.view();
        let pbs = Pbs { segment: 256, p: 0.9 };
        for order in pbs.sorted(&view).unwrap() {
            let video = view.grid.tokens() as u32;
            let tokens = order.tokens();
            assert!(tokens[video as usize..].iter().copied().eq(video..video + 40));
            assert!(!order.is_identity());
        }
    }
}
