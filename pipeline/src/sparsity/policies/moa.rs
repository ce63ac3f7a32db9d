//! MoA, mixture of attention spans: every head sees a window around the query, of a width that calibration found for it.
//!
//! Choices of a head: windows of d key blocks on either side of its own, with the mass outside them as loss. The layer's heads
//! share a budget, the mean density, and spend it where it saves most mass. The first key block is seen by all (the paper's
//! sink of 64 tokens). Source: arXiv 2406.14909.

use tessera_kernels::blocks::Blocks;

use super::frontier::{Choice, Frontier};
use super::knob::stretched;
use super::planned;
use crate::Result;
use crate::sparsity::geometry::{distance, level};
use crate::sparsity::policy::Needs;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Refresh;
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "moa",
    summary: "Mixture of attention spans: a window of its own width for each head, found by calibration.",
    source: "arXiv 2406.14909 (language models)",
    differs: "The paper's windows are causal; here they are on both sides in the model's order, in which a span is a number of frames. Its cost of a span is the loss's gradient times the change of attention, and one program chooses for all layers; here it is the softmax mass outside the span, layer by layer. Spans do not grow with the clip: a plan is for one size.",
    presets: &[Preset {
        name: "density-0.5",
        source: "paper: mean density 50 %",
        defaults: Defaults { refresh: Refresh::Never, ..Defaults::PLAIN },
        build: || Box::new(Moa { budget: 0.5 }),
    }],
};

/// A budget.
#[derive(Debug)]
struct Moa {
    /// Mean density of a layer's heads.
    budget: f64,
}

impl Policy for Moa {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn needs(&self) -> Needs {
        Needs { plan: true, ..Needs::default() }
    }

    fn density(&self, _outline: &Outline<'_>) -> Option<f64> {
        Some(self.budget)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let heads = planned::heads(view)?;
        let blocks = view.blocks;
        let densities = densities(blocks);
        let choices: Vec<Vec<Choice>> = heads
            .iter()
            .map(|head| {
                let loss = head.spans.iter().map(|mass| 1.0 - f64::from(*mass));
                let last = densities.len() - 1;
                let some = densities.iter().copied().zip(loss).take(last);
                some.chain([(1.0, 0.0)]).collect()
            })
            .collect();
        let frontier = Frontier::new(choices);
        Ok(Prepared {
            scores: None,
            lse: None,
            key_order: None,
            select: Box::new(move |knob| {
                let spans = frontier.at_budget(stretched(self.budget, knob));
                planned::map(view, |head, row, column| {
                    let near = distance(blocks, row, column) <= spans[head];
                    level(near || column == 0)
                })
            }),
        })
    }
}

/// The density of a window of d key blocks on either side, for each d up to the whole clip.
fn densities(blocks: Blocks) -> Vec<f64> {
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let mut counts = vec![0; columns];
    for place in 0..rows * columns {
        counts[distance(blocks, place / columns, place % columns)] += 1;
    }
    let mut sum = 0;
    let mut density = |count: &usize| {
        sum += count;
        sum as f64 / (rows * columns) as f64
    };
    counts.iter().map(&mut density).collect()
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::planned::tests::plan;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    #[test]
    fn promises() {
        for grid in [Grid { frames: 9, rows: 16, cols: 16 }, Grid { frames: 5, rows: 9, cols: 13 }]
        {
            let mut call = Call::new(grid, 2, Arrangement::RASTER);
            call.plan = Some(plan(&call, 1));
            keeps_its_promises(&Moa { budget: 0.5 }, &call);
        }
    }

    #[test]
    fn the_wide_head_gets_the_wide_window() {
        let mut call = Call::new(Grid { frames: 4, rows: 16, cols: 16 }, 2, Arrangement::RASTER);
        let mut plan = plan(&call, 1);
        // 16 key blocks. Head 0 has everything within 2 blocks, head 1 grows evenly.
        plan.heads[0].spans = (0..16).map(|d| if d >= 2 { 1.0 } else { 0.2 }).collect();
        plan.heads[1].spans = (0..16).map(|d| (d + 1) as f32 / 16.0).collect();
        call.plan = Some(plan);
        let levels = call.levels(&Moa { budget: 0.5 }, Knob::Preset);
        let row = |head: usize| -> usize { levels[head * 8 + 4].iter().map(|l| *l as usize).sum() };
        assert_eq!(row(0), 2 + 4 + 1, "own, two on each side, the sink");
        assert!(row(1) > 10, "{}", row(1));
        let density = call.density(&Moa { budget: 0.5 }, Knob::Preset);
        assert!((0.4..0.6).contains(&density), "{density}");
    }

    #[test]
    fn densities_by_hand() {
        // Two query blocks of two key blocks each, the last one short.
        assert_eq!(densities(Blocks::of(200)), [0.5, 0.75, 1.0, 1.0]);
    }
}
