//! PISA of order zero: the best blocks of each row in full, every other one as a single mean.
//!
//! Score: the mean logit of the block, scale·q̄ᵢ·k̄ⱼ; each row keeps a fixed share of its blocks; the others get the floor,
//! 7, whose ln n and mean value are PISA's n·e^(q·k̄) and e^(q·k̄)·ΣV. The knob stretches the share. Source: arXiv
//! 2602.01077; methods.md §2.16.

use tessera_kernels::scores::{Estimator, mean_pool};
use tessera_kernels::select::top_k_rows;

use super::knob::{by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "pisa",
    summary: "The best blocks of each row are seen in full, all others as one mean each.",
    source: "arXiv 2602.01077; methods.md §2.16",
    differs: "The zeroth order alone: the paper's hybrid adds one first-order term to the numerator, which is no key and so no level. Query blocks are 128 tokens (64 in the paper).",
    presets: &[
        Preset {
            name: "wan2.1-14b",
            source: "the paper's table: 87.5 % sparsity, 10 of 50 steps and layer 0 dense",
            defaults: DEFAULTS,
            build: || Box::new(Pisa { share: 0.125 }),
        },
        Preset {
            name: "wan2.1-1.3b",
            source: "the paper's table: 87.5 % sparsity, 15 of 50 steps and layer 0 dense",
            defaults: Defaults { warmup: Span::Share(0.3), ..DEFAULTS },
            build: || Box::new(Pisa { share: 0.125 }),
        },
        Preset {
            name: "no-warm-up",
            source: "the paper's ablation on Wan2.1-14B",
            defaults: Defaults { warmup: Span::Steps(0), dense_layers: &[], ..DEFAULTS },
            build: || Box::new(Pisa { share: 0.125 }),
        },
    ],
};

const DEFAULTS: Defaults =
    Defaults { floor: 7, warmup: Span::Share(0.2), dense_layers: &[0], ..Defaults::PLAIN };

#[derive(Debug)]
struct Pisa {
    /// Share of a row's blocks that is seen in full.
    share: f64,
}

impl Policy for Pisa {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(shared(self.share, outline.cells.blocks.columns()))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::MeanPool.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let scores = mean_pool(view.q, view.k, blocks, view.scale)?;
        Ok(by_scores(scores, move |scores, knob| {
            let k = count(stretched(self.share, knob), blocks.columns());
            Ok(top_k_rows(scores, blocks, &[k])?)
        }))
    }
}

#[cfg(test)]
mod tests {
    use tessera_kernels::blocks::Blocks;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::{Case, column};

    /// Keys 3, −1, 2, 0, 1, … in blocks of one, a query of 1: of eight blocks an eighth is the one with the highest logit;
    /// at three eighths 3, 2 and 1.5 are kept.
    #[test]
    fn the_highest_mean_logits_are_full() {
        let blocks = Blocks::new(1, 8, 1, 1).unwrap();
        let keys = column(&[3.0, -1.0, 2.0, 0.0, 1.0, 1.5, -2.0, 0.5]);
        let case = Case::of(column(&[1.0]), keys, blocks);
        let view = case.view();
        let levels = |share| {
            let pisa = Pisa { share };
            let prepared = pisa.prepare(&view).unwrap();
            (prepared.select)(Knob::Preset).unwrap().to_vec().unwrap()
        };
        assert_eq!(levels(0.125), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(levels(0.375), [1, 0, 1, 0, 0, 1, 0, 0]);
    }
}
