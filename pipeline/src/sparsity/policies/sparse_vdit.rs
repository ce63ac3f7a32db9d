//! Sparse-vDiT: each head gets the static pattern that calibration found to suit it, down to none at all.
//!
//! Choices of a head: full, skipped, and the diagonal, the multi-diagonal, the window and the stripes at several densities.
//! It gets the one with the smallest error + λ · density, where the error is ‖O' − O‖² / ‖O‖² over calibration; the knob is
//! λ, ∞ at 0 and 0 at 1. A skipped head's output is 0, but for blocks that are kept by force. Source: arXiv 2506.03065;
//! methods.md §2.14.

use super::frontier::{Choice, Frontier};
use super::planned;
use crate::Result;
use crate::sparsity::calibration::{HeadPlan, PatternFacts};
use crate::sparsity::geometry::{Entries, Known, keep, level};
use crate::sparsity::patterns::{Pattern, stripes};
use crate::sparsity::policy::Needs;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "sparse-vdit",
    summary: "Sparse-vDiT: a static pattern for each head, chosen by calibration; some heads are skipped.",
    source: "arXiv 2506.03065; methods.md §2.14",
    differs: "Errors are relative to the head's output, so λ is not the paper's; no bound ε is needed, since the full pattern is always a choice. Patterns are blocks in the model's own order, so a multi-diagonal is a stripe in every frame instead of a band after reordering. STA's window is a pattern too.",
    presets: &[
        Preset {
            name: "wan2.1",
            source: "paper, λ = 0.5; 10 of 50 steps and 2 layers dense",
            defaults: Defaults {
                warmup: Span::Share(0.2),
                dense_layers: &[0, 1],
                refresh: Refresh::Never,
                measured_density: Some(0.14),
                ..Defaults::PLAIN
            },
            build: || Box::new(SparseVDiT::new(0.5)),
        },
        Preset {
            name: "cogvideox1.5",
            source: "paper, λ = 0.5; nothing dense",
            defaults: Defaults {
                refresh: Refresh::Never,
                measured_density: Some(0.17),
                ..Defaults::PLAIN
            },
            build: || Box::new(SparseVDiT::new(0.5)),
        },
    ],
};

/// A price of density.
#[derive(Debug)]
struct SparseVDiT {
    price: f64,
    known: [Known; Pattern::ALL.len()],
}

impl SparseVDiT {
    fn new(price: f64) -> Self {
        Self { price, known: std::array::from_fn(|_| Known::default()) }
    }

    /// The entries of one head's pattern.
    fn entries(
        &self,
        outline: &Outline<'_>,
        head: &HeadPlan,
        pattern: Pattern,
        order: usize,
    ) -> Entries {
        if pattern == Pattern::Stripes {
            return stripes(&head.stripes, outline.cells.blocks.rows());
        }
        let mut all = self.known[pattern as usize]
            .entries(outline, |order| pattern.entries(outline.cells, order).unwrap_or_default());
        all.swap_remove(order)
    }
}

impl Policy for SparseVDiT {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn needs(&self) -> Needs {
        Needs { plan: true, ..Needs::default() }
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let heads = planned::heads(view)?;
        let is_full = |facts: &PatternFacts| facts.pattern == Pattern::Full.name();
        let choice = |facts: &PatternFacts| {
            if is_full(facts) {
                (1.0, 0.0)
            } else {
                (f64::from(facts.density), f64::from(facts.error))
            }
        };
        if !heads.iter().all(|head| head.patterns.iter().any(is_full)) {
            return Err(planned::wrong("patterns, the full one among them", "none"));
        }
        let choices: Vec<Vec<Choice>> =
            heads.iter().map(|head| head.patterns.iter().map(choice).collect()).collect();
        let frontier = Frontier::new(choices);
        let (columns, outline) = (view.blocks.columns(), view.outline()?);
        Ok(Prepared {
            scores: None,
            lse: None,
            key_order: None,
            select: Box::new(move |knob| {
                let keep = f64::from(keep(knob));
                let chosen = frontier.at_price(self.price * (1.0 - keep) / keep);
                let mut maps = Vec::with_capacity(heads.len());
                for (index, (head, chosen)) in heads.iter().zip(chosen).enumerate() {
                    let facts = &head.patterns[chosen];
                    let pattern = facts.pattern.parse().map_err(|expected: String| {
                        planned::wrong(&format!("patterns of this program: {expected}"), "another")
                    })?;
                    let order = index % view.orders.len();
                    maps.push((self.entries(&outline, head, pattern, order), facts.keep));
                }
                planned::map(view, |head, row, column| {
                    let (entries, keep) = &maps[head];
                    level(entries[row * columns + column] <= *keep)
                })
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::planned::tests::plan;
    use crate::sparsity::policies::promises::Call;

    const GRID: Grid = Grid { frames: 4, rows: 16, cols: 16 };

    fn call() -> Call {
        let mut call = Call::new(GRID, 3, Arrangement::RASTER);
        call.plan = Some(plan(&call, 1));
        call
    }

    /// Marks of the first row of each head.
    fn rows(call: &Call, knob: Knob) -> Vec<String> {
        let levels = call.levels(&SparseVDiT::new(0.5), knob);
        let mark = |level: &u8| if *level == 1 { '#' } else { '.' };
        levels.chunks(8).map(|head| head[0].iter().map(mark).collect()).collect()
    }

    #[test]
    fn each_head_gets_its_own_pattern() {
        let mut call = call();
        let Some(plan) = &mut call.plan else { unreachable!() };
        let facts = |pattern: &str, keep, density, error| PatternFacts {
            pattern: pattern.into(),
            keep,
            density,
            error,
        };
        let ends = [facts("full", 0.0, 1.0, 0.0), facts("skip", 0.0, 0.0, 1.0)];
        // Head 0: the multi-diagonal is good. Head 1 adds nothing to the model. Head 2 needs everything.
        plan.heads[0].patterns = [&ends[..], &[facts("multi-diagonal", 0.5, 0.5, 0.01)]].concat();
        plan.heads[1].patterns = vec![ends[0].clone(), facts("skip", 0.0, 0.0, 0.3)];
        plan.heads[2].patterns = [&ends[..], &[facts("stripes", 0.25, 0.25, 0.9)]].concat();
        assert_eq!(
            rows(&call, Knob::Preset),
            ["##..##..##..##..", &".".repeat(16), &"#".repeat(16)]
        );
        // The least is nothing, the most is everything.
        assert_eq!(rows(&call, Knob::Keep(0.0)), vec![".".repeat(16); 3]);
        assert_eq!(rows(&call, Knob::Keep(1.0)), vec!["#".repeat(16); 3]);
    }

    #[test]
    fn density_grows_with_the_knob() {
        let call = call();
        let policy = SparseVDiT::new(0.5);
        let densities: Vec<f64> =
            (0..=20).map(|i| call.density(&policy, Knob::Keep(f64::from(i) / 20.0))).collect();
        assert!(densities.is_sorted(), "{densities:?}");
        assert_eq!((densities[0], densities[20]), (0.0, 1.0));
    }

    #[test]
    fn a_plan_without_patterns_is_refused() {
        let mut call = call();
        let Some(plan) = &mut call.plan else { unreachable!() };
        plan.heads[2].patterns.clear();
        let policy = SparseVDiT::new(0.5);
        assert!(
            policy.prepare(&call.view()).is_err_and(|error| error.to_string().contains("full"))
        );
    }
}
