//! The ladder on the host: all steps of all blocks, sorted.

use rayon::prelude::*;

/// The steps of all blocks.
#[derive(Debug)]
pub(super) struct Steps {
    /// All of them, by falling gain.
    ranked: Vec<Step>,
    /// `[blocks × deepest]`.
    losses: Vec<f32>,
    /// The level that every block begins at.
    deepest: u8,
    /// What that costs.
    least: u64,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    gain: f32,
    work: u64,
    block: u32,
    level: u8,
}

impl Steps {
    /// From the losses `[blocks × deepest]` of each block at levels 1 to `deepest`, and the work of a block at a level, of the
    /// `whole` that all blocks are at level 1.
    pub(super) fn new(
        losses: Vec<f32>,
        deepest: u8,
        whole: u64,
        work: impl Fn(usize, u8) -> u64 + Sync,
    ) -> Self {
        let levels = usize::from(deepest);
        let all = losses.par_chunks(levels).enumerate();
        let mut steps: Vec<Step> =
            all.flat_map_iter(|(block, losses)| hull(block, losses, whole, &work)).collect();
        // Of equal gains the earlier block comes first, and of one block the coarser level.
        steps.par_sort_unstable_by(|a, b| {
            b.gain.total_cmp(&a.gain).then(a.block.cmp(&b.block)).then(b.level.cmp(&a.level))
        });
        let blocks = losses.len() / levels;
        let least = (0..blocks).map(|block| work(block, deepest)).sum();
        Self { ranked: steps, losses, deepest, least }
    }

    /// The level of each block when at most `budget` is spent, or the least that there is.
    pub(super) fn levels(&self, budget: u64) -> Vec<u8> {
        let mut levels = vec![self.deepest; self.losses.len() / usize::from(self.deepest)];
        let mut spent = self.least;
        for step in &self.ranked {
            spent += step.work;
            if spent > budget {
                break;
            }
            levels[step.block as usize] = step.level;
        }
        levels
    }

    /// The sum of the losses when at most `budget` is spent.
    pub(super) fn loss(&self, budget: u64) -> f32 {
        let levels = self.levels(budget);
        let blocks = levels.iter().zip(self.losses.chunks(usize::from(self.deepest)));
        blocks.map(|(level, losses)| losses[usize::from(*level) - 1]).sum()
    }
}

/// The steps of one block along its hull, from the deepest level to the finest.
fn hull(block: usize, losses: &[f32], whole: u64, work: &impl Fn(usize, u8) -> u64) -> Vec<Step> {
    let cost = |level: u8| (work(block, level) as f64 / whole as f64) as f32;
    let choice = |level: u8| (level, cost(level), losses[usize::from(level) - 1]);
    let mut hull: Vec<(u8, f32, f32)> = Vec::with_capacity(losses.len());
    for level in (1..=losses.len() as u8).rev() {
        let next = choice(level);
        // Where a finer level costs nothing more (a ragged end), it takes the coarser one's place.
        while let Some(last) = hull.last()
            && hull.len() > 1
            && (next.1 <= last.1 || gain(hull[hull.len() - 2], *last) <= gain(*last, next))
        {
            hull.pop();
        }
        hull.push(next);
    }
    let step = |pair: &[(u8, f32, f32)]| Step {
        gain: gain(pair[0], pair[1]),
        work: work(block, pair[1].0) - work(block, pair[0].0),
        block: block as u32,
        level: pair[1].0,
    };
    hull.windows(2).map(step).collect()
}

/// Loss saved for cost spent: without end where a step is free, whatever it saves.
fn gain((_, cheap, before): (u8, f32, f32), (_, dear, after): (u8, f32, f32)) -> f32 {
    if dear <= cheap { f32::INFINITY } else { (before - after).max(0.0) / (dear - cheap) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block at level 1.
    const WHOLE: u64 = 1 << 20;

    /// Level ℓ of each block costs 2^(1 − ℓ) of its share.
    fn ladder(losses: &[f32], deepest: u8) -> Steps {
        let blocks = (losses.len() / usize::from(deepest)) as u64;
        Steps::new(losses.to_vec(), deepest, blocks * WHOLE, |_, level| WHOLE >> (level - 1))
    }

    /// So many whole blocks.
    fn spent(blocks: f64) -> u64 {
        (blocks * WHOLE as f64).round() as u64
    }

    /// Three levels cost 1, ½, ¼. The first block gains (8 − 4)/¼ = 16 and then 4/½ = 8; the second 0.4/¼ and nothing; the
    /// third gains only 1 by its first step and 7/½ = 14 by its second, so that it takes both at once, 8/¾ = 10.7 each.
    #[test]
    fn steps_are_taken_by_their_gain() {
        let ladder = ladder(&[0.0, 4.0, 8.0, 0.0, 0.0, 0.4, 0.0, 7.0, 8.0], 3);
        let at = |blocks: f64| ladder.levels(spent(blocks));
        assert_eq!(at(0.0), [3, 3, 3], "the least there is");
        assert_eq!(at(1.0), [2, 3, 3]);
        assert_eq!(at(1.74), [2, 3, 3], "a step that does not fit ends the climb");
        assert_eq!(at(1.75), [2, 3, 1]);
        assert_eq!(at(2.25), [1, 3, 1]);
        assert_eq!(at(2.5), [1, 2, 1]);
        assert_eq!(at(3.0), [1, 1, 1]);
        assert_eq!(ladder.loss(spent(2.25)), 0.4);
    }

    proptest! {
        #![proptest_config(crate::testing::config(64))]

        /// No other choice of levels that costs as little loses less; with steps that all cost the same, that is exact.
        #[test]
        fn no_other_choice_is_better(
            losses in prop::collection::vec(0.0..1.0f32, 2..12),
            taken in 0_usize..6,
        ) {
            let losses: Vec<f32> = losses.iter().flat_map(|loss| [0.0, *loss]).collect();
            let blocks = losses.len() / 2;
            let taken = taken.min(blocks);
            let budget = spent(taken as f64 + (blocks - taken) as f64 / 2.0);
            let levels = ladder(&losses, 2).levels(budget);
            let fine = levels.iter().map(|level| usize::from(*level == 1)).sum::<usize>();
            prop_assert_eq!(fine, taken);
            let dropped = |level: u8| {
                let of = levels.iter().zip(losses.chunks(2)).filter(move |(at, _)| **at == level);
                of.map(|(_, loss)| loss[1]).collect::<Vec<_>>()
            };
            let least = dropped(1).into_iter().fold(f32::INFINITY, f32::min);
            prop_assert!(dropped(2).into_iter().all(|loss| loss <= least));
        }

        #[test]
        fn a_larger_budget_never_takes_back(
            losses in prop::collection::vec(0.0..1.0f32, 4..80),
            budgets in (0.0..1.0f64, 0.0..1.0f64),
        ) {
            let whole = losses.len() / 4 * 4;
            let ladder = ladder(&losses[..whole], 4);
            let blocks = (whole / 4) as f64;
            let at = |budget: f64| spent(budget * blocks);
            let (less, more) = (at(budgets.0.min(budgets.1)), at(budgets.0.max(budgets.1)));
            let pairs = ladder.levels(less).into_iter().zip(ladder.levels(more));
            for (less, more) in pairs {
                prop_assert!(more <= less);
            }
            prop_assert!(ladder.levels(at(1.0)).into_iter().all(|level| level == 1));
        }
    }
}
