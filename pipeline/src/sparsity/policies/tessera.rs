//! Tessera: every block as coarse as its own error allows. Nothing is dropped.
//!
//! Of a few queries of each block the exact softmax weights are computed, and from them what the output would lose by each
//! block at each level ([`pooling_loss`]). All blocks of all heads of a layer then share one budget: each step to a finer
//! level is taken in the order of loss saved for work spent ([`Ladder`]), so that heads and rows that need much get much.
//! What is left at the end keeps its pooled mass: the floor, 7. Maps are used for a few steps and for both
//! guidance branches, whose difference is what guidance multiplies: errors that both share cancel there. And with a calibration plan
//! each head works in the order in which it is expected to lose least. The knob stretches the budget. Source: ours; what it combines is DESIGN §1.

use candle_core::Tensor;
use tessera_kernels::blocks::{Blocks, KEY_BLOCK};
use tessera_kernels::order::AxisOrder;
use tessera_kernels::scores::{Estimator, PoolingLoss, pooling_loss};
use tessera_kernels::select::Ladder;

use super::knob::stretched;
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "tessera",
    summary: "Every block as coarse as its own error allows, all heads on one budget; nothing is dropped.",
    source: "ours; docs/policies.md",
    differs: "",
    presets: &[
        Preset {
            name: "balanced",
            source: "a quarter of the dense work in sparse steps; the first fifth of the steps dense",
            defaults: DEFAULTS,
            build: || Box::new(Tessera { density: 0.25 }),
        },
        Preset {
            name: "careful",
            source: "half of the dense work, maps made anew every other step",
            defaults: Defaults { refresh: Refresh::Every(2), ..DEFAULTS },
            build: || Box::new(Tessera { density: 0.5 }),
        },
        Preset {
            name: "fast",
            source: "an eighth of the dense work",
            defaults: DEFAULTS,
            build: || Box::new(Tessera { density: 0.12 }),
        },
    ],
};

const DEFAULTS: Defaults = Defaults {
    floor: 7,
    warmup: Span::Share(0.2),
    refresh: Refresh::Every(4),
    order_of_plan: true,
    share_branches: true,
    ..Defaults::PLAIN
};
/// Queries of each block whose weights are computed. With 4 the output's error was a quarter larger, with 16 no smaller
/// (bundled model, densities .5, .25 and .12).
const QUERIES: usize = 8;

#[derive(Debug)]
struct Tessera {
    /// Share of the dense work.
    density: f64,
}

impl Policy for Tessera {
    /// Of the fixed orders the one with the least error on the bundled model, before raster and tiles of 3×4×16.
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Axis(AxisOrder::Hfw)
    }

    fn density(&self, _outline: &Outline<'_>) -> Option<f64> {
        // What is not selected costs its floor, which is counted on top.
        let floor = 1.0 / KEY_BLOCK as f64;
        Some(((self.density - floor) / (1.0 - floor)).max(0.0))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::PoolingLoss.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let operands = [view.q, view.k, view.v];
        let (ladder, mass) = climb(operands, blocks, view.scale, view.seed)?;
        let select = move |knob| Ok(ladder.map(stretched(self.density, knob))?);
        Ok(Prepared { scores: Some(mass), lse: None, key_order: None, select: Box::new(select) })
    }
}

/// The ladder of one call, in parts of its dense work, and the sampled masses of its blocks.
fn climb(
    operands: [&Tensor; 3],
    blocks: Blocks,
    scale: f32,
    seed: u64,
) -> candle_core::Result<(Ladder, Tensor)> {
    let queries = QUERIES.min(blocks.query_block);
    let PoolingLoss { loss, mass } = pooling_loss(operands, blocks, scale, queries, seed)?;
    Ok((Ladder::new(&loss, blocks)?, mass))
}

/// The expected squared error of a query's output at a density, sum over its heads and mean over blocks of queries: by it
/// calibration compares orders. q, k and v `[1, H, S, D]` in the order that is judged.
pub(in crate::sparsity) fn expected_loss(
    operands: [&Tensor; 3],
    blocks: Blocks,
    scale: f32,
    density: f64,
) -> candle_core::Result<f32> {
    let (ladder, _) = climb(operands, blocks, scale, 0)?;
    Ok(ladder.loss(density)? / blocks.rows() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::Case;

    /// The budget is met, in exact density, within the one step that did not fit.
    #[test]
    fn the_budget_is_the_density() {
        for case in [Case::new([4, 8, 16], 0), Case::new([3, 9, 14], 40)] {
            let view = case.view();
            for density in [0.1, 0.25, 0.6] {
                let policy = Tessera { density };
                let prepared = policy.prepare(&view).unwrap();
                let map = (prepared.select)(Knob::Preset).unwrap();
                let got = map.density().unwrap().exact;
                assert!((density - 0.03..=density + 1e-6).contains(&got), "{got} for {density}");
                let deepest = view.blocks.deepest_level();
                assert!(map.to_vec().unwrap().iter().all(|level| (1..=deepest).contains(level)));
            }
        }
    }

    /// A head whose values are all alike loses nothing however coarse it is, and leaves its share to the others.
    #[test]
    fn heads_share_one_budget() {
        let case = Case::new([4, 8, 16], 0);
        let mut view = case.view();
        let (batch, heads, tokens, width) = view.v.dims4().unwrap();
        let alike =
            Tensor::ones((batch, 1, tokens, width), view.v.dtype(), view.v.device()).unwrap();
        let v = Tensor::cat(&[&alike, &view.v.narrow(1, 1, heads - 1).unwrap()], 1).unwrap();
        view.v = &v;
        let policy = Tessera { density: 0.25 };
        let map = (policy.prepare(&view).unwrap().select)(Knob::Preset).unwrap();
        let densities: Vec<f64> = map.densities().unwrap().iter().map(|d| d.exact).collect();
        assert!(densities[0] < 0.02, "{densities:?}");
        assert!(densities[1..].iter().all(|density| *density > 0.1), "{densities:?}");
    }
}
