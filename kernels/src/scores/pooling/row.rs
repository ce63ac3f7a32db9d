//! The losses of one query block, from the logits of its sampled queries.
//!
//! Queries stand beside each other: what is done to one is done to all of them in one vector, and nothing is shuffled.
#![expect(unsafe_code, reason = "made of the levels' vector methods")]

use super::spread::Spreads;
use crate::blocks::Blocks;
use crate::cpu::{
    Level,
    math::{LOG2_E, exp2},
    simd::{Simd, Work, dispatch},
};

/// Queries that are worked on at once.
const LANES: usize = 8;
/// A number for each of them.
type Lanes = [f32; LANES];

/// Some sampled queries of one query block of one head.
pub(super) struct Rows<'a> {
    /// Natural-log logits of the head's keys, `[Sk, all sampled queries]`.
    pub(super) scores: &'a [f32],
    /// Sampled queries of a row of `scores`, the block's first, and how many it has.
    pub(super) queries: (usize, usize, usize),
    pub(super) blocks: Blocks,
    /// Of the head's values.
    pub(super) spreads: &'a Spreads,
    pub(super) scratch: &'a mut Scratch,
}

/// Of each group of keys: the sum of its weights, and the sum of their squared distances from the mean.
pub(super) struct Scratch {
    sums: Vec<Lanes>,
    squares: Vec<Lanes>,
}

impl Scratch {
    pub(super) fn new(keys: usize) -> Self {
        Self { sums: vec![[0.0; LANES]; keys], squares: vec![[0.0; LANES]; keys] }
    }
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
        let (stride, first, count) = self.queries;
        let share = 1.0 / count as f32;
        let Scratch { sums, squares } = self.scratch;
        for start in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - start);
            // SAFETY: the caller's promise; the block's queries are in each of the rows.
            let totals = unsafe {
                gather(self.scores, (stride, first + start, lanes), sums);
                weights::<S>(sums)
            };
            squares.fill([0.0; LANES]);
            let (mut scale, mut scale_squared) = ([0.0; LANES], [0.0; LANES]);
            for lane in 0..lanes {
                scale[lane] = share / totals[lane];
                scale_squared[lane] = scale[lane] / totals[lane];
            }
            for (index, spreads) in self.spreads.levels.iter().enumerate() {
                let size = 1 << index;
                merge(sums, squares, keys, size);
                let each = key_block / (2 * size);
                for column in 0..columns {
                    let groups = column * each..((column + 1) * each).min(spreads.len());
                    let mut sum = [0.0; LANES];
                    for (square, spread) in squares[groups.clone()].iter().zip(&spreads[groups]) {
                        for lane in 0..LANES {
                            sum[lane] += square[lane] * spread;
                        }
                    }
                    found.loss[column * levels + index + 1] += dot(&sum, &scale_squared);
                }
            }
            // The deepest groups are whole blocks.
            for (to, sum) in found.mass.iter_mut().zip(&*sums) {
                *to += dot(sum, &scale);
            }
        }
        found
    }
}

#[inline(always)]
fn dot(a: &Lanes, b: &Lanes) -> f32 {
    let mut sum = 0.0;
    for lane in 0..LANES {
        sum += a[lane] * b[lane];
    }
    sum
}

/// The logits of `lanes` queries from `first` on; the other lanes repeat the first.
#[inline(always)]
fn gather(scores: &[f32], (stride, first, lanes): (usize, usize, usize), to: &mut [Lanes]) {
    for (row, to) in scores.chunks_exact(stride).zip(to) {
        let row = &row[first..first + lanes];
        if let Some(whole) = row.first_chunk::<LANES>() {
            *to = *whole;
        } else {
            *to = [row[0]; LANES];
            to[..lanes].copy_from_slice(row);
        }
    }
}

/// Logits become e^(x − largest x) over the keys of each query; returns their sums.
#[inline(always)]
unsafe fn weights<S: Simd>(x: &mut [Lanes]) -> Lanes {
    let mut highest = [f32::MIN; LANES];
    for x in &*x {
        for lane in 0..LANES {
            highest[lane] = if x[lane] > highest[lane] { x[lane] } else { highest[lane] };
        }
    }
    for x in &mut *x {
        for lane in 0..LANES {
            x[lane] = (x[lane] - highest[lane]) * LOG2_E;
        }
    }
    let flat = x.as_flattened_mut();
    let mut i = 0;
    while i < flat.len() {
        let count = S::LANES.min(flat.len() - i);
        // SAFETY: `count` elements are left at `i`.
        unsafe {
            let at = flat.as_mut_ptr().add(i);
            if count == S::LANES {
                S::store(at, exp2::<S>(S::load(at)));
            } else {
                S::store_first(at, exp2::<S>(S::load_first(at, count)), count);
            }
        }
        i += count;
    }
    let mut totals = [0.0; LANES];
    for x in &*x {
        for lane in 0..LANES {
            totals[lane] += x[lane];
        }
    }
    totals
}

/// Halves the groups of `size` tokens, two neighbours into one: the sums of their weights, and the sums of their weights'
/// squared distances from the mean, which grow by (a/nₐ − b/n_b)²·nₐn_b/(nₐ + n_b). The last group may have fewer tokens;
/// without a partner it stays as it is.
#[inline(always)]
fn merge(sums: &mut [Lanes], squares: &mut [Lanes], keys: usize, size: usize) {
    let pairs = keys / (2 * size);
    let half = 0.5 / size as f32;
    for to in 0..pairs {
        let (a, b) = (sums[2 * to], sums[2 * to + 1]);
        let (of_a, of_b) = (squares[2 * to], squares[2 * to + 1]);
        for lane in 0..LANES {
            let gap = a[lane] - b[lane];
            squares[to][lane] = of_a[lane] + of_b[lane] + gap * gap * half;
            sums[to][lane] = a[lane] + b[lane];
        }
    }
    let rest = keys - pairs * 2 * size;
    if rest > size {
        let (n, m) = (size as f32, (rest - size) as f32);
        let (a, b) = (sums[2 * pairs], sums[2 * pairs + 1]);
        let (of_a, of_b) = (squares[2 * pairs], squares[2 * pairs + 1]);
        for lane in 0..LANES {
            let gap = a[lane] / n - b[lane] / m;
            squares[pairs][lane] = of_a[lane] + of_b[lane] + gap * gap * n * m / (n + m);
            sums[pairs][lane] = a[lane] + b[lane];
        }
    } else if rest > 0 {
        (sums[pairs], squares[pairs]) = (sums[2 * pairs], squares[2 * pairs]);
    }
}
