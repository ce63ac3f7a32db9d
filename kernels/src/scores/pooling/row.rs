//! The losses of one query block, from the logits of its sampled queries.
#![expect(unsafe_code, reason = "made of the levels' vector methods")]

use super::spread::Spreads;
use crate::blocks::Blocks;
use crate::cpu::{
    Level,
    math::{LOG2_E, exp2},
    simd::{Simd, Work, dispatch},
};

/// One query block of one head.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// Natural-log logits of the sampled queries, `[queries, Sk]`.
    pub(super) scores: &'a [f32],
    pub(super) blocks: Blocks,
    /// Of the head's values.
    pub(super) spreads: &'a Spreads,
}

/// Means over the sampled queries.
pub(super) struct Found {
    /// `[columns, levels]`.
    pub(super) loss: Vec<f32>,
    /// `[columns]`.
    pub(super) mass: Vec<f32>,
}

impl Rows<'_> {
    pub(super) fn run(self, level: Level) -> Found {
        // SAFETY: the level is the machine's at most; slices say how long they are.
        unsafe { dispatch(level, self) }
    }
}

impl Work for Rows<'_> {
    type Output = Found;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Found {
        let Blocks { keys, key_block, .. } = self.blocks;
        let (columns, levels) = (self.blocks.columns(), self.spreads.levels.len() + 1);
        let mut found = Found { loss: vec![0.0; columns * levels], mass: vec![0.0; columns] };
        let share = keys as f32 / self.scores.len() as f32;
        let (mut sums, mut squares) = (vec![0.0_f32; keys], vec![0.0_f32; keys]);
        for row in self.scores.chunks_exact(keys) {
            // SAFETY: the caller's promise; `sums` is as long as the row.
            let total = unsafe { weights::<S>(row, &mut sums) };
            squares.fill(0.0);
            let scale = share / (total * total);
            for (index, spreads) in self.spreads.levels.iter().enumerate() {
                let size = 1 << index;
                merge(&mut sums, &mut squares, keys, size);
                let each = key_block / (2 * size);
                for column in 0..columns {
                    let groups = column * each..((column + 1) * each).min(spreads.len());
                    let mut sum = 0.0;
                    for (square, spread) in squares[groups.clone()].iter().zip(&spreads[groups]) {
                        sum += square * spread;
                    }
                    found.loss[column * levels + index + 1] += sum * scale;
                }
            }
            // The deepest groups are whole blocks.
            for (to, sum) in found.mass.iter_mut().zip(&sums) {
                *to += sum * (share / total);
            }
        }
        found
    }
}

/// e^(x − largest x) of a row, and their sum.
#[inline(always)]
unsafe fn weights<S: Simd>(row: &[f32], to: &mut [f32]) -> f32 {
    let whole = row.len() - row.len() % S::LANES;
    // SAFETY: loads and stores stay within the row's length, which is `to`'s; the last ones are of the rest alone.
    unsafe {
        let mut highest = f32::MIN;
        for &x in row {
            highest = highest.max(x);
        }
        let (scale, shift) = (S::splat(LOG2_E), S::splat(-highest * LOG2_E));
        let mut total = S::splat(0.0);
        let mut i = 0;
        while i < whole {
            let weight = exp2::<S>(S::fma(S::load(row.as_ptr().add(i)), scale, shift));
            S::store(to.as_mut_ptr().add(i), weight);
            total = S::add(total, weight);
            i += S::LANES;
        }
        let mut total = S::sum(total);
        for at in whole..row.len() {
            to[at] = (row[at] - highest).exp();
            total += to[at];
        }
        total
    }
}

/// Halves the groups of `size` tokens, two neighbours into one: the sums of their weights, and the sums of their weights'
/// squared distances from the mean, which grow by (a/nₐ − b/n_b)²·nₐn_b/(nₐ + n_b). The last group may have fewer tokens;
/// without a partner it stays as it is.
#[inline(always)]
fn merge(sums: &mut [f32], squares: &mut [f32], keys: usize, size: usize) {
    let pairs = keys / (2 * size);
    let half = 0.5 / size as f32;
    for to in 0..pairs {
        let (a, b) = (2 * to, 2 * to + 1);
        let gap = sums[a] - sums[b];
        squares[to] = squares[a] + squares[b] + gap * gap * half;
        sums[to] = sums[a] + sums[b];
    }
    let rest = keys - pairs * 2 * size;
    let (a, b) = (2 * pairs, 2 * pairs + 1);
    if rest > size {
        let (of_a, of_b) = (size as f32, (rest - size) as f32);
        let gap = sums[a] / of_a - sums[b] / of_b;
        squares[pairs] = squares[a] + squares[b] + gap * gap * of_a * of_b / (of_a + of_b);
        sums[pairs] = sums[a] + sums[b];
    } else if rest > 0 {
        (sums[pairs], squares[pairs]) = (sums[a], squares[a]);
    }
}
