//! HiP at block level: a tree search for the best blocks that looks at few of them.
//!
//! Key blocks form chunks of 16, each of 4 chunks of 4. A chunk's score is found by descent: of its two halves, the one
//! whose middle block scores higher is gone into, down to one block, whose score it is. A row keeps the k best chunks of
//! 16, of what they hold the k best chunks of 4, and of what those hold the k best blocks. The first 4 blocks and the row's
//! own surroundings are always kept. Block scores are mean logits. The knob stretches k/n. Source: HiP (paper's idea, own
//! code); methods.md §2.15.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::{FULL, LevelMap, SKIPPED};
use tessera_kernels::scores::{Estimator, mean_pool};

use super::knob::{Kept, by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "hip",
    summary: "A tree search for each row's best blocks: chunks of 16, then of 4, then single blocks.",
    source: "HiP attention; methods.md §2.15",
    differs: "The paper's search ends at single tokens, chunk by chunk of 256, 32 and 8; here it ends at blocks of 64, and the causal window of 512 tokens is four blocks to either side.",
    presets: &[
        Preset {
            name: "k-2048",
            source: "official defaults: 2048 tokens (32 blocks) a row, sink 256, window 512",
            defaults: DEFAULTS,
            build: || Box::new(Hip { kept: Kept::Blocks(32) }),
        },
        Preset {
            name: "share",
            source: "the same share as 2048 of the 32768 tokens of the last chunks",
            defaults: DEFAULTS,
            build: || Box::new(Hip { kept: Kept::Share(1.0 / 16.0) }),
        },
    ],
};

const DEFAULTS: Defaults = Defaults { keep_self: true, radius: 4, ..Defaults::PLAIN };
/// Blocks of a chunk, stage by stage.
const STAGES: [usize; 3] = [16, 4, 1];
/// Tokens at the start that everybody sees.
const SINK: usize = 256;

#[derive(Debug)]
struct Hip {
    kept: Kept,
}

impl Policy for Hip {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        let columns = outline.cells.blocks.columns();
        let sink = sink(outline.cells.blocks) as f64 / columns as f64;
        Some(1.0 - (1.0 - sink) * (1.0 - shared(self.kept.share(columns), columns)))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::MeanPool.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let columns = blocks.columns();
        let share = self.kept.share(columns);
        let scores = mean_pool(view.q, view.k, blocks, view.scale)?;
        Ok(by_scores(scores, move |scores, knob| {
            searched(scores, blocks, count(stretched(share, knob), columns))
        }))
    }
}

/// Key blocks at the start that everybody sees.
fn sink(blocks: Blocks) -> usize {
    SINK.div_ceil(blocks.key_block).min(blocks.columns())
}

/// Every row's `k` blocks and the sink.
fn searched(scores: &Tensor, blocks: Blocks, k: usize) -> Result<LevelMap> {
    let (batch, heads, _, columns) = scores.dims4()?;
    let scores = scores.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let mut levels = vec![SKIPPED; scores.len()];
    levels.par_chunks_mut(columns).zip(scores.par_chunks(columns)).for_each(|(levels, scores)| {
        for block in search(scores, k) {
            levels[block] = FULL;
        }
        levels[..sink(blocks)].fill(FULL);
    });
    Ok(LevelMap::from_vec(levels, (batch, heads), blocks)?)
}

/// The `k` blocks that the search ends at, or all when there are no more.
fn search(scores: &[f32], k: usize) -> Vec<usize> {
    let mut found = vec![0];
    let mut length = scores.len();
    for chunk in STAGES {
        let parts = found
            .iter()
            .flat_map(|&start| (start..(start + length).min(scores.len())).step_by(chunk));
        let mut parts: Vec<(f32, usize)> = parts
            .map(|start| (descend(scores, start, (start + chunk).min(scores.len())), start))
            .collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        parts.truncate(k);
        found = parts.into_iter().map(|(_, start)| start).collect();
        length = chunk;
    }
    found
}

/// The score of the block that a descent into blocks `start..end` reaches.
fn descend(scores: &[f32], mut start: usize, mut end: usize) -> f32 {
    while end - start > 1 {
        let middle = usize::midpoint(start, end);
        let representative = |from: usize, to: usize| scores[usize::midpoint(from, to)];
        if representative(start, middle) >= representative(middle, end) {
            end = middle;
        } else {
            start = middle;
        }
    }
    scores[start]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks 0 to 7 with scores 1 5 2 0 3 9 4 8. Halves 0..4 and 4..8 are represented by blocks 2 (2) and 6 (4): right.
    /// Then 4..6 and 6..8 by 5 (9) and 7 (8): left; then 4 (3) against 5 (9): 9.
    #[test]
    fn a_descent_follows_the_better_half() {
        assert_eq!(descend(&[1.0, 5.0, 2.0, 0.0, 3.0, 9.0, 4.0, 8.0], 0, 8), 9.0);
        // A peak beside the path is missed: that is what a tree search costs.
        assert_eq!(descend(&[9.0, 1.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0], 0, 8), 2.0);
    }

    #[test]
    fn the_search_keeps_as_many_as_it_is_asked_for() {
        let scores: Vec<f32> = (0..70).map(|block| ((block * 37) % 70) as f32).collect();
        for k in [1, 3, 32, 69, 70] {
            let mut found = search(&scores, k);
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), k, "{k}");
        }
    }
}
