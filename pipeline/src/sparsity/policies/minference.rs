//! MInference, its block-sparse heads: the hundred best blocks of each row by mean logit.
//!
//! Score scale·q̄ᵢ·k̄ⱼ; each row keeps min(k, n) blocks, or a share of them. The knob stretches that share of the row.
//! Source: MInference's code; methods.md §2.15.

use tessera_kernels::scores::{Estimator, mean_pool};
use tessera_kernels::select::top_k_rows;

use super::knob::{Kept, by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "minference",
    summary: "The best blocks of each row by mean logit, a hundred of them.",
    source: "microsoft/MInference; methods.md §2.15",
    differs: "Block-sparse heads alone: vertical-slash and A-shape heads choose single tokens for causal attention. Query blocks are 128 tokens (64 there).",
    presets: &[
        Preset {
            name: "top-100",
            source: "official code: 100 blocks of 64; everything in clips of up to 6400 tokens",
            defaults: Defaults::PLAIN,
            build: || Box::new(MInference { kept: Kept::Blocks(100) }),
        },
        Preset {
            name: "share",
            source: "the same share as 100 of the 2048 blocks of a context of 131072 tokens",
            defaults: Defaults::PLAIN,
            build: || Box::new(MInference { kept: Kept::Share(100.0 / 2048.0) }),
        },
    ],
};

#[derive(Debug)]
struct MInference {
    kept: Kept,
}

impl Policy for MInference {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        let columns = outline.cells.blocks.columns();
        Some(shared(self.kept.share(columns), columns))
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
            Ok(top_k_rows(scores, blocks, &[count(stretched(share, knob), columns)])?)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::Case;

    #[test]
    fn a_hundred_blocks_or_all_there_are() {
        let case = Case::new([3, 8, 16], 0);
        let view = case.view();
        let density = |kept| {
            let policy = MInference { kept };
            let prepared = policy.prepare(&view).unwrap();
            (prepared.select)(Knob::Preset).unwrap().density().unwrap().nominal
        };
        assert_eq!(density(Kept::Blocks(100)), 1.0);
        assert_eq!(density(Kept::Blocks(2)), 2.0 / 6.0);
        assert_eq!(density(Kept::Share(0.05)), 1.0 / 6.0);
    }
}
