//! BiFormer's region routing: each region of queries sees the few regions of keys that its mean agrees with most.
//!
//! Regions are cubes of 4×4×4 tokens, a key block each; affinity q̄ᵢ·k̄ⱼ; the k best regions of a row, or a share of them.
//! The knob stretches that share. Source: BiFormer's code; methods.md §2.15.

use tessera_kernels::scores::{Estimator, mean_pool};
use tessera_kernels::select::top_k_rows;

use super::knob::{Kept, by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "biformer",
    summary: "Each region of the clip sees the few regions that agree with it most.",
    source: "rayleizhu/BiFormer; methods.md §2.15",
    differs: "Regions are cubes of the clip instead of squares of an image, a query block is two of them, and the model was not trained with the routing.",
    presets: &[
        Preset {
            name: "share",
            source: "the same share as 4 of the paper's 49 regions",
            defaults: Defaults::PLAIN,
            build: || Box::new(BiFormer { kept: Kept::Share(4.0 / 49.0) }),
        },
        Preset {
            name: "top-4",
            source: "official code: 4 regions",
            defaults: Defaults::PLAIN,
            build: || Box::new(BiFormer { kept: Kept::Blocks(4) }),
        },
    ],
};

#[derive(Debug)]
struct BiFormer {
    kept: Kept,
}

impl Policy for BiFormer {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Tiles([4, 4, 4])
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
    use tessera_kernels::blocks::Blocks;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::{Case, column};

    /// Affinities 1 −3 2 5 0 4: the four best regions are 5, 4, 2 and 1.
    #[test]
    fn the_regions_that_agree_most_are_seen() {
        let blocks = Blocks::new(1, 6, 1, 1).unwrap();
        let case = Case::of(column(&[1.0]), column(&[1.0, -3.0, 2.0, 5.0, 0.0, 4.0]), blocks);
        let view = case.view();
        let policy = BiFormer { kept: Kept::Blocks(4) };
        let prepared = policy.prepare(&view).unwrap();
        let levels = (prepared.select)(Knob::Preset).unwrap().to_vec().unwrap();
        assert_eq!(levels, [1, 0, 1, 1, 0, 1]);
    }
}
