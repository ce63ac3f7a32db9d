//! VMoBA, for query blocks: blocks are gated by the mean logit, in an order that changes with the layer.
//!
//! Gate(i, j) = q̄ᵢ·k̄ⱼ. Layer mod 3 = 0: frames one after the other (temporal slabs); 1: all frames of a pixel together
//! (spatial columns); 2: cubes of 4×4×4. Training-free: the best share of each row. Global: the gates of a head are scaled
//! to 0..1, a row's own blocks come first, and pairs are added in descending order until they hold τ of the sum. The knob
//! stretches the share or τ. Source: arXiv 2506.23858; methods.md §2.13.

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::LevelMap;
use tessera_kernels::order::AxisOrder;
use tessera_kernels::scores::{Estimator, mean_pool};
use tessera_kernels::select::{top_k_head, top_k_rows};

use super::knob::{by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Knob, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "vmoba",
    summary: "Mixture of blocks: the best key blocks by mean logit, in slabs, columns or cubes by layer.",
    source: "arXiv 2506.23858; methods.md §2.13",
    differs: "Query blocks choose, where the paper lets every query token choose, and partitions are cut into key blocks of 64 tokens; so k of n partitions is the same share of a row's blocks.",
    presets: &[
        Preset {
            name: "training-free",
            source: "the paper's training-free rows: top 2 of 8 slabs, 6 of 48 columns, 18 of 72 cubes",
            defaults: DEFAULTS,
            build: || Box::new(VMoba { rule: Rule::Local([2.0 / 8.0, 6.0 / 48.0, 18.0 / 72.0]) }),
        },
        Preset {
            name: "global",
            source: "the paper's default for training: τ .25 over a whole head",
            defaults: Defaults { measured_density: Some(0.14), ..DEFAULTS },
            build: || Box::new(VMoba { rule: Rule::Global(0.25) }),
        },
    ],
};

const DEFAULTS: Defaults = Defaults { keep_self: true, ..Defaults::PLAIN };

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Share of a row's blocks, for each of the three partitions.
    Local([f64; 3]),
    /// Share of a head's scaled gates.
    Global(f64),
}

#[derive(Debug)]
struct VMoba {
    rule: Rule,
}

impl Policy for VMoba {
    fn arrangement(&self, layer: usize) -> Arrangement {
        match layer % 3 {
            0 => Arrangement::RASTER,
            1 => Arrangement::Axis(AxisOrder::Hwf),
            _ => Arrangement::Tiles([4, 4, 4]),
        }
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        match self.rule {
            Rule::Local(shares) => {
                Some(shared(shares[outline.layer % 3], outline.cells.blocks.columns()))
            }
            Rule::Global(_) => None,
        }
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::MeanPool.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let gates = mean_pool(view.q, view.k, blocks, view.scale)?;
        let partition = view.site.layer % 3;
        match self.rule {
            Rule::Local(shares) => Ok(by_scores(gates, move |gates, knob| {
                let k = count(stretched(shares[partition], knob), blocks.columns());
                Ok(top_k_rows(gates, blocks, &[k])?)
            })),
            Rule::Global(share) => {
                let gates = scaled(&gates, blocks)?;
                Ok(by_scores(gates, move |gates, knob| global(gates, blocks, share, knob)))
            }
        }
    }
}

/// Each head's gates moved to 0..=1, and a row's own blocks to 2, before all others.
fn scaled(gates: &Tensor, blocks: Blocks) -> Result<Tensor> {
    let shape = gates.dims().to_vec();
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let mut gates = gates.flatten_all()?.to_vec1::<f32>()?;
    for head in gates.chunks_mut(rows * columns) {
        let least = head.iter().copied().fold(f32::INFINITY, f32::min);
        let most = head.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = (most - least).max(f32::MIN_POSITIVE);
        for (row, gates) in head.chunks_mut(columns).enumerate() {
            for (column, gate) in gates.iter_mut().enumerate() {
                let is_own = blocks.own_columns(row).contains(&column);
                *gate = if is_own { 2.0 } else { (*gate - least) / range };
            }
        }
    }
    Ok(Tensor::from_vec(gates, shape, &candle_core::Device::Cpu)?)
}

/// The own blocks, and then the best pairs of each head until they hold the knob's share of all scaled gates.
fn global(gates: &Tensor, blocks: Blocks, share: f64, knob: Knob) -> Result<LevelMap> {
    let share = stretched(share, knob);
    let values = gates.flatten_all()?.to_vec1::<f32>()?;
    let total = |head: &[f32]| {
        let mut others: Vec<f32> = head.iter().copied().filter(|gate| *gate <= 1.0).collect();
        others.sort_unstable_by(|a, b| b.total_cmp(a));
        let own = head.len() - others.len();
        // An own block weighs 1, the most that a gate can be.
        let whole = own as f64 + others.iter().map(|&gate| f64::from(gate)).sum::<f64>();
        let mut sum = own as f64;
        let added = others.iter().take_while(|&&gate| {
            let is_short = sum < share * whole;
            sum += f64::from(gate);
            is_short
        });
        if share < 1.0 { own + added.count() } else { head.len() }
    };
    let totals: Vec<usize> = values.chunks(blocks.rows() * blocks.columns()).map(total).collect();
    Ok(top_k_head(gates, blocks, &totals)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn layers_take_turns() {
        let policy = (METHOD.presets[0].build)();
        let names: Vec<String> =
            (0..4).map(|layer| policy.arrangement(layer).to_string()).collect();
        assert_eq!(names, ["fhw", "hwf", "tiles:4x4x4", "fhw"]);
    }

    /// One row over four key blocks, the first its own; gates 0, 2, 6, 10 scaled with −10 as least to .5 .6 .8 1 and the own
    /// one as 2, which weighs 1. Sum 1 + .6 + .8 + 1 = 3.4: with .25 the own block (1 ≥ .85) is enough; with .5 (1.7) the
    /// best other comes too (2 ≥ 1.7); with .6 (2.04) another.
    #[test]
    fn the_global_rule_fills_up_to_its_share() {
        let blocks = Blocks::new(4, 16, 4, 4).unwrap();
        let gates = Tensor::new(&[-10.0f32, 2.0, 6.0, 10.0], &Device::Cpu).unwrap();
        let gates = scaled(&gates.reshape((1, 1, 1, 4)).unwrap(), blocks).unwrap();
        let values = gates.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values, [2.0, 0.6, 0.8, 1.0]);
        let levels = |share| global(&gates, blocks, share, Knob::Preset).unwrap().to_vec().unwrap();
        assert_eq!(levels(0.25), [1, 0, 0, 0]);
        assert_eq!(levels(0.5), [1, 0, 0, 1]);
        assert_eq!(levels(0.6), [1, 0, 1, 1]);
    }
}
