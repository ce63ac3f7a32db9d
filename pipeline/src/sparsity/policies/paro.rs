//! PARO: each head in the axis order in which its attention is most block-sparse, with static masks from calibration.
//!
//! A block is kept when its mean mass over the calibration runs is above a threshold, the same for all heads of a layer, so
//! that heads which need more get more; the knob is the share of the layer's blocks above it. The first half of the steps
//! has masks of its own for each group of timesteps, the second half shares one. A last block that is not whole is kept,
//! row and column. Source: arXiv 2506.16054; methods.md §2.4.

use super::knob::stretched;
use super::planned;
use crate::Result;
use crate::sparsity::calibration::plan::group;
use crate::sparsity::calibration::{HeadPlan, MassMap};
use crate::sparsity::geometry::level;
use crate::sparsity::policy::Needs;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::seed::mixed;
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "paro",
    summary: "PARO: each head in the token order that calibration chose, with static masks from calibration.",
    source: "arXiv 2506.16054; methods.md §2.4",
    differs: "Nothing is quantised, blocks are 128 queries by 64 keys, and the threshold is set by the density that is asked for. By default `tessera calibrate` chooses among the six axis orders, the Hilbert curve and the Morton order by how few blocks carry 95 % of the mass; with --order-by paro it takes the paper's metric, whose weight α = 0.5 and signs are our reading of it.",
    presets: &[
        Preset {
            name: "density-0.5",
            source: "paper, CogVideoX-5B and Wan2.1, every step sparse",
            defaults: Defaults::PLAIN,
            build: || Box::new(Paro { share: 0.5 }),
        },
        Preset {
            name: "density-0.3",
            source: "paper, CogVideoX-5B and Wan2.1, every step sparse",
            defaults: Defaults::PLAIN,
            build: || Box::new(Paro { share: 0.3 }),
        },
    ],
};

/// A density.
#[derive(Debug)]
struct Paro {
    share: f64,
}

impl Policy for Paro {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Calibrated
    }

    fn needs(&self) -> Needs {
        Needs { plan: true, ..Needs::default() }
    }

    fn density(&self, _outline: &Outline<'_>) -> Option<f64> {
        Some(self.share)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let heads = planned::heads(view)?;
        check_orders(view, heads)?;
        let blocks = view.blocks;
        let columns = blocks.columns();
        let mut masks = Vec::with_capacity(heads.len());
        for head in heads {
            let mass = head.mass.get(group(view.step, view.steps, head.mass.len()));
            masks.push(mass.ok_or_else(|| planned::wrong("masses of blocks", "none"))?);
        }
        let ragged = (
            !blocks.queries.is_multiple_of(blocks.query_block),
            !blocks.keys.is_multiple_of(blocks.key_block),
        );
        let last = (blocks.rows() - 1, columns - 1);
        Ok(Prepared {
            scores: None,
            lse: None,
            key_order: None,
            select: Box::new(move |knob| {
                let above = Threshold::of(&masks, stretched(self.share, knob));
                planned::map(view, |head, row, column| {
                    let place = row * columns + column;
                    let forced = ragged.0 && row == last.0 || ragged.1 && column == last.1;
                    level(forced || above.holds(masks[head].codes()[place], head, place))
                })
            }),
        })
    }
}

/// Refuses any orders but the ones that the masks were made in.
fn check_orders(view: &View<'_>, heads: &[HeadPlan]) -> Result<()> {
    let mut known: Vec<(Arrangement, usize)> = Vec::new();
    for (index, head) in heads.iter().enumerate() {
        let order = index % view.orders.len();
        if known.contains(&(head.order, order)) {
            continue;
        }
        if head.order.order(view.grid).as_ref() != Some(&view.orders[order]) {
            let problem = crate::settings::Problem::new(
                "order",
                "calibrated, the orders that paro's masks were made in",
                "another",
            );
            return Err(crate::Error::Settings(vec![problem]));
        }
        known.push((head.order, order));
    }
    Ok(())
}

/// What is above a threshold: larger codes, and of its own code those with the smaller hash.
struct Threshold {
    code: u8,
    hash: u64,
}

impl Threshold {
    /// So that `share` of all blocks are above it, up to blocks of one hash.
    fn of(masks: &[&MassMap], share: f64) -> Self {
        let mut counts = [0_usize; 256];
        for code in masks.iter().flat_map(|mask| mask.codes()) {
            counts[usize::from(*code)] += 1;
        }
        let mut left = (share * counts.iter().sum::<usize>() as f64).round() as usize;
        for code in (0..=u8::MAX).rev() {
            let count = counts[usize::from(code)];
            if count > left {
                // A hash is below this bound in left of count cases.
                let hash = (left as f64 / count as f64 * u64::MAX as f64) as u64;
                return Self { code, hash };
            }
            left -= count;
        }
        Self { code: 0, hash: u64::MAX }
    }

    fn holds(&self, code: u8, head: usize, place: usize) -> bool {
        code > self.code
            || code == self.code
                && mixed(head as u64, &[place as u64]) <= self.hash
                && self.hash > 0
    }
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::planned::tests::plan;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    const GRID: Grid = Grid { frames: 4, rows: 16, cols: 16 };

    fn call(grid: Grid, groups: usize) -> Call {
        let mut call = Call::new(grid, 3, Arrangement::RASTER);
        call.plan = Some(plan(&call, groups));
        call
    }

    #[test]
    fn promises() {
        keeps_its_promises(&Paro { share: 0.3 }, &call(GRID, 2));
        let ragged = Grid { frames: 5, rows: 9, cols: 13 };
        let call = call(ragged, 1);
        keeps_its_promises(&Paro { share: 0.3 }, &call);
        let levels = call.levels(&Paro { share: 0.3 }, Knob::Keep(0.0));
        let (rows, columns) = (call.blocks.rows(), call.blocks.columns());
        let mark = |place: usize| levels[place / columns][place % columns];
        assert!((0..rows * columns).all(|place| {
            let forced = place / columns == rows - 1 || place % columns == columns - 1;
            mark(place) == u8::from(forced)
        }));
    }

    #[test]
    fn the_heaviest_blocks_of_the_layer_are_kept() {
        let mut call = call(GRID, 1);
        let Some(plan) = &mut call.plan else { unreachable!() };
        // Head 0 is spread evenly, head 1 sits on its first two columns, head 2 has next to nothing anywhere.
        let columns = call.blocks.columns();
        let mass = |of: fn(usize) -> f32| {
            let place = |place: usize| of(place % columns);
            vec![MassMap::new(&(0..8 * columns).map(place).collect::<Vec<_>>())]
        };
        plan.heads[0].mass = mass(|_| 0.0625);
        plan.heads[1].mass = mass(|column| if column < 2 { 0.5 } else { 0.0 });
        plan.heads[2].mass = mass(|_| 0.001);
        let third = (2.0 + 16.0) / 48.0;
        let levels = call.levels(&Paro { share: third }, Knob::Preset);
        let kept = |head: usize| {
            levels[8 * head..][..8].concat().iter().map(|l| usize::from(*l)).sum::<usize>()
        };
        assert_eq!([kept(0), kept(1), kept(2)], [128, 16, 0]);
        assert_eq!(levels[8][..4], [1, 1, 0, 0]);
        // Equal blocks are not chosen by their place.
        let levels = call.levels(&Paro { share: (2.0 + 8.0) / 48.0 }, Knob::Preset);
        let kept: Vec<usize> =
            levels[..8].iter().map(|row| row.iter().map(|l| usize::from(*l)).sum()).collect();
        assert!(kept.iter().all(|count| (3..=13).contains(count)), "{kept:?}");
        assert!((50..80).contains(&kept.iter().sum::<usize>()), "{kept:?}");
    }

    #[test]
    fn masks_follow_the_group_of_timesteps() {
        let mut call = call(GRID, 2);
        (call.step, call.steps) = (0, 4);
        let first = call.levels(&Paro { share: 0.3 }, Knob::Preset);
        call.step = 1;
        assert_eq!(call.levels(&Paro { share: 0.3 }, Knob::Preset), first);
        call.step = 2;
        assert_ne!(call.levels(&Paro { share: 0.3 }, Knob::Preset), first);
    }

    #[test]
    fn other_orders_are_refused() {
        let mut call = call(GRID, 1);
        call.orders = vec![Arrangement::Gilbert.order(GRID).unwrap()];
        let refusal = Paro { share: 0.3 }.prepare(&call.view()).err().unwrap();
        assert!(refusal.to_string().starts_with("order: expected calibrated"), "{refusal}");
    }
}
