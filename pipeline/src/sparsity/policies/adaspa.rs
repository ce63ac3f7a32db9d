//! AdaSpa: exact block masses, found at a few search steps and used until the next, with budgets by how sparse a head is.
//!
//! A search gives M(i, j), the softmax mass of block j in the rows of block i; later searches divide by the LSE of the one
//! before. Each row keeps the k heaviest blocks, k the same in a head's rows. At sparsity s a head's recall is the mass
//! that this keeps; with n the heads whose recall exceeds .8, the n heads of best recall get (1 + s)/2 instead, the n
//! worst (3s − 1)/2, so that the total stays (both n at most half of the heads, both shifts at most s). The knob stretches 1 − s.
//! Source: arXiv 2502.21079; methods.md §2.3.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::scores::{Estimator, Mass, block_mass};
use tessera_kernels::select::top_k_rows;

use super::knob::{by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::policy::Needs;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "adaspa",
    summary: "Exact search at a few steps; heads whose mass is concentrated give blocks to the others.",
    source: "arXiv 2502.21079; methods.md §2.3 (read through a third party, there is no official code)",
    differs: "Query blocks are 128 tokens (64 in the paper); the shift of a head's budget is rounded to whole blocks.",
    presets: &[
        Preset {
            name: "paper",
            source: "50 steps, 10 of them dense, searches at steps 10 and 30, sparsity .8",
            defaults: SCHEDULE,
            build: || Box::new(AdaSpa { sparsity: 0.8, is_head_adaptive: true }),
        },
        Preset {
            name: "equal-heads",
            source: "the paper's ablation: the same sparsity in every head",
            defaults: SCHEDULE,
            build: || Box::new(AdaSpa { sparsity: 0.8, is_head_adaptive: false }),
        },
    ],
};

/// The paper's searches, as shares of its 50 steps.
const SCHEDULE: Defaults = Defaults {
    warmup: Span::Share(0.2),
    refresh: Refresh::AtShares(Cow::Borrowed(&[0.2, 0.6])),
    ..Defaults::PLAIN
};
/// A head whose recall is above this gives blocks away.
const GOOD_RECALL: f64 = 0.8;

#[derive(Debug)]
struct AdaSpa {
    sparsity: f64,
    is_head_adaptive: bool,
}

impl Policy for AdaSpa {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn needs(&self) -> Needs {
        Needs { lse: true, ..Needs::default() }
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(shared(1.0 - self.sparsity, outline.cells.blocks.columns()))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::BlockMass.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let Mass { mass, lse } = block_mass(view.q, view.k, blocks, view.scale, view.lse)?;
        // Budgets are found on the host, and so are the maps.
        let mass = mass.to_device(&Device::Cpu)?;
        let retained = Retained::of(&mass, blocks)?;
        let prepared = by_scores(mass, move |mass, knob| {
            let density = stretched(1.0 - self.sparsity, knob);
            let even = count(density, blocks.columns());
            let budgets = if self.is_head_adaptive {
                budgets(&retained.at(even), even, density, blocks.columns())
            } else {
                vec![even]
            };
            Ok(top_k_rows(mass, blocks, &budgets)?)
        });
        Ok(Prepared { lse: Some(lse), ..prepared })
    }
}

/// Of each head, the mean over rows of the mass in the k heaviest blocks, for every k: `[B·H][columns]`.
#[derive(Debug)]
struct Retained(Vec<Vec<f64>>);

impl Retained {
    fn of(mass: &Tensor, blocks: Blocks) -> Result<Self> {
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let mass = mass.flatten_all()?.to_vec1::<f32>()?;
        let head = |mass: &[f32]| {
            let mut kept = vec![0.0; columns];
            for row in mass.chunks(columns) {
                let mut row = row.to_vec();
                row.sort_unstable_by(|a, b| b.total_cmp(a));
                let whole: f64 = row.iter().map(|&mass| f64::from(mass)).sum();
                let mut sum = 0.0;
                for (kept, mass) in kept.iter_mut().zip(row) {
                    sum += f64::from(mass);
                    *kept += sum / whole / rows as f64;
                }
            }
            kept
        };
        Ok(Self(mass.chunks(rows * columns).map(head).collect()))
    }

    /// Every head's recall with `k` blocks a row.
    fn at(&self, k: usize) -> Vec<f64> {
        self.0.iter().map(|kept| kept[k - 1]).collect()
    }
}

/// Blocks a row for each head: `even` for most, fewer for the n of best recall and as many more for the n worst, where n
/// is the number of heads above [`GOOD_RECALL`]. The sum over heads is always `even` a head.
fn budgets(recalls: &[f64], even: usize, density: f64, columns: usize) -> Vec<usize> {
    let mut heads: Vec<usize> = (0..recalls.len()).collect();
    heads.sort_by(|&a, &b| recalls[b].total_cmp(&recalls[a]));
    let good = recalls.iter().filter(|recall| **recall > GOOD_RECALL).count().min(heads.len() / 2);
    let shift = count(density / 2.0, columns).min(even - 1).min(columns - even);
    let mut budgets = vec![even; heads.len()];
    for (&best, &worst) in heads.iter().zip(heads.iter().rev()).take(good) {
        budgets[best] -= shift;
        budgets[worst] += shift;
    }
    budgets
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::Case;

    /// s = .8 of 40 blocks: 8 a row, the best heads .1 (4) and the worst .3 (12). Two of five heads are above .8.
    #[test]
    fn sparse_heads_give_to_dense_ones() {
        let recalls = [0.95, 0.30, 0.70, 0.85, 0.40];
        assert_eq!(budgets(&recalls, 8, 0.2, 40), [4, 12, 8, 4, 12]);
        assert_eq!(budgets(&[0.9; 5], 8, 0.2, 40).iter().sum::<usize>(), 40);
        assert_eq!(budgets(&[0.9, 0.1], 40, 1.0, 40), [40, 40]);
        assert_eq!(budgets(&[0.9, 0.1], 1, 0.0, 40), [1, 1]);
    }

    /// Row .5 .3 .2 and row .2 .2 .6: the two heaviest hold .8 and .8, the heaviest .5 and .6.
    #[test]
    fn recall_is_the_mass_that_is_kept() {
        let mass = Tensor::new(&[0.5f32, 0.3, 0.2, 0.2, 0.2, 0.6], &Device::Cpu).unwrap();
        let mass = mass.reshape((1, 1, 2, 3)).unwrap();
        let kept = Retained::of(&mass, Blocks::new(8, 12, 4, 4).unwrap()).unwrap();
        for (k, expected) in [(1, 0.55), (2, 0.8), (3, 1.0)] {
            assert!((kept.at(k)[0] - expected).abs() < 1e-6, "{k}");
        }
    }

    #[test]
    fn the_last_search_serves_the_next() {
        let case = Case::new([3, 8, 16], 0);
        let policy = (METHOD.presets[0].build)();
        let first = case.view();
        let first = policy.prepare(&first).unwrap();
        let lse = first.lse.clone().unwrap();
        let mut view = case.view();
        view.lse = Some(&lse);
        let again = policy.prepare(&view).unwrap();
        let levels =
            |prepared: &Prepared<'_>| (prepared.select)(Knob::Preset).unwrap().to_vec().unwrap();
        assert_eq!(levels(&first), levels(&again));
    }
}
