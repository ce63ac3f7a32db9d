//! SubBlock: each block's mass from the means of runs of 16 tokens; the heaviest blocks of a row are kept.
//!
//! Score ln Σ n·m·e^(scale·q̄·k̄) over the pairs of runs. A row keeps (1 − sparsity)·n blocks, rounded to a multiple of 8
//! in the preset and to whole blocks under the knob, which stretches 1 − sparsity. Source: sglang#34148, #34680 (MiniMax
//! H3); methods.md §2.16.

use tessera_kernels::scores::{Estimator, sub_block};
use tessera_kernels::select::top_k_rows;

use super::knob::{by_scores, count, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Knob, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "subblock",
    summary: "The heaviest blocks of each row, their masses estimated from means of 16 tokens.",
    source: "sglang#34148 and #34680; methods.md §2.16",
    differs: "Query blocks are 128 tokens (64 there), and clips below 4096 tokens are sparse too.",
    presets: &[
        Preset {
            name: "h3-75",
            source: "sglang, MiniMax H3: sparsity .75, 10 of 49 steps dense",
            defaults: DEFAULTS,
            build: || Box::new(SubBlock { sparsity: 0.75 }),
        },
        Preset {
            name: "h3-80",
            source: "sglang, MiniMax H3: sparsity .80, 10 of 49 steps dense",
            defaults: DEFAULTS,
            build: || Box::new(SubBlock { sparsity: 0.8 }),
        },
    ],
};

const DEFAULTS: Defaults = Defaults { warmup: Span::Share(0.2), ..Defaults::PLAIN };
/// Tokens of a run.
pub(super) const RUN: usize = 16;
/// What the preset's number of blocks is a multiple of.
const MULTIPLE: f64 = 8.0;

#[derive(Debug)]
struct SubBlock {
    sparsity: f64,
}

impl Policy for SubBlock {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        let columns = outline.cells.blocks.columns();
        Some(self.kept(columns, Knob::Preset) as f64 / columns as f64)
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::SubBlock.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let scores = sub_block(view.q, view.k, blocks, view.scale, RUN)?;
        Ok(by_scores(scores, move |scores, knob| {
            Ok(top_k_rows(scores, blocks, &[self.kept(blocks.columns(), knob)])?)
        }))
    }
}

impl SubBlock {
    /// Blocks of a row.
    fn kept(&self, columns: usize, knob: Knob) -> usize {
        let share = 1.0 - self.sparsity;
        match knob {
            Knob::Preset => {
                let multiples = (share * columns as f64 / MULTIPLE).round();
                (multiples.max(1.0) * MULTIPLE).min(columns as f64) as usize
            }
            Knob::Keep(_) => count(stretched(share, knob), columns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter of 36 is 9 and becomes 8, of 1182 it is 295.5 and becomes 296; of 5 there are only 5.
    #[test]
    fn the_preset_keeps_multiples_of_eight() {
        let policy = SubBlock { sparsity: 0.75 };
        let kept = |columns| policy.kept(columns, Knob::Preset);
        assert_eq!([kept(36), kept(1182), kept(5)], [8, 296, 5]);
        assert_eq!(policy.kept(36, Knob::Keep(0.5)), 9);
    }
}
