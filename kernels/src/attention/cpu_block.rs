//! One block of queries against all keys of its head.
#![expect(unsafe_code, reason = "works on packed memory and scratch through pointers")]

use super::cpu::{KEYS, QUERIES, Shape, natural};
use crate::cpu::{
    epilogue,
    host::Element,
    math::exp2,
    pack,
    simd::{Simd, Work},
    tile::{Tile, tile, tile_rows},
};

/// The operands of a task.
pub(super) struct Block<'a, T> {
    pub(super) shape: Shape,
    /// Rows of q.
    pub(super) q: &'a [T],
    /// The head's packed K and V.
    pub(super) k: *const u32,
    pub(super) v: *const u32,
    /// scale·log₂e.
    pub(super) scale: f32,
    /// bias·log₂e, one a key.
    pub(super) bias: &'a [f32],
    /// Offsets of the units along D in a packed block of K.
    pub(super) q_offsets: &'a [usize],
    /// Offsets of the rows of the scores.
    pub(super) p_offsets: &'a [usize],
    pub(super) to: *mut T,
    pub(super) lse: *mut f32,
}

/// Where the parts of a task's scratch start.
#[derive(Clone, Copy)]
struct Parts {
    /// Panels of q.
    q: *mut u32,
    /// `[KEYS, queries]`: scores, then P.
    scores: *mut f32,
    /// `[QUERIES, columns]`: P·V so far.
    sums: *mut f32,
    /// The largest score so far, in base 2, one a query.
    highest: *mut f32,
    /// Σ P so far, one a query.
    totals: *mut f32,
    /// What the sums so far shrink by, one a query.
    shrink: *mut f32,
}

impl<T: Element> Work for (Block<'_, T>, *mut u32) {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (job, scratch) = self;
        let shape = job.shape;
        let rows = job.q.len() / shape.width;
        let queries = shape.query_columns();
        // SAFETY: the parts lie one after the other in the scratch, as `Shape::scratch_units` counts them; the loops
        // stay within the shapes.
        unsafe {
            let scores = scratch.add(shape.depth * queries);
            let sums = scores.add(KEYS * queries);
            let highest = sums.add(QUERIES * shape.columns);
            let parts = Parts {
                q: scratch,
                scores: scores.cast(),
                sums: sums.cast(),
                highest: highest.cast(),
                totals: highest.add(queries).cast(),
                shrink: highest.add(2 * queries).cast(),
            };
            let panel = 2 * S::LANES;
            let mut first = 0;
            while first < queries {
                if first < rows {
                    let from = job.q.as_ptr().add(first * shape.width);
                    let to = parts.q.add(first * shape.depth);
                    pack::transpose(
                        from,
                        shape.width,
                        panel.min(rows - first),
                        shape.width,
                        to,
                        panel,
                    );
                }
                first += panel;
            }
            let mut query = 0;
            while query < queries {
                // Finite, so that a hidden key's −∞ never meets another −∞.
                S::store(parts.highest.add(query), S::splat(f32::MIN));
                S::store(parts.totals.add(query), S::splat(0.0));
                query += S::LANES;
            }
            let mut key = 0;
            while key < shape.keys {
                let block = key / KEYS;
                let keys = KEYS.min(shape.keys - key);
                scores_of::<S, T>(&job, parts, block, keys);
                softmax::<S, T>(&job, parts, key, keys);
                if block > 0 {
                    shrink::<S>(&shape, parts, rows);
                }
                values_of::<S, T>(&job, parts, block, keys, rows);
                key += KEYS;
            }
            finish::<S, T>(&job, parts, rows);
        }
    }
}

/// Sᵀ of a block of keys.
#[inline(always)]
unsafe fn scores_of<S: Simd, T: Element>(
    job: &Block<'_, T>,
    parts: Parts,
    block: usize,
    keys: usize,
) {
    let shape = &job.shape;
    let queries = shape.query_columns();
    let mut first = 0;
    while first < queries {
        let mut key = 0;
        while key < keys {
            // SAFETY: the block has KEYS keys, a multiple of every tile's height.
            unsafe {
                let operands = Tile {
                    a: job.k.add(block * shape.k_units() + key),
                    offsets: job.q_offsets,
                    b: parts.q.add(first * shape.depth),
                    sums: parts.scores.add(key * queries + first),
                    ldc: queries,
                    accumulate: false,
                };
                tile::<S, T>(keys - key, 2, operands);
            }
            key += tile_rows::<S>(keys - key);
        }
        first += 2 * S::LANES;
    }
}

/// Scores to P, in place: P of a key is a row of F32, or half of a row of BF16 pairs.
#[inline(always)]
unsafe fn softmax<S: Simd, T: Element>(
    job: &Block<'_, T>,
    parts: Parts,
    first: usize,
    keys: usize,
) {
    let queries = job.shape.query_columns();
    let mut query = 0;
    while query < queries {
        // SAFETY: rows and columns of the scores; row j of the pairs is written when rows 2j and 2j + 1 are read.
        unsafe {
            let bias = job.bias.as_ptr().add(first);
            let scores = parts.scores.add(query);
            let scale = S::splat(job.scale);
            let before = S::load(parts.highest.add(query));
            let mut highest = [before; 4];
            let mut key = 0;
            while key + 4 <= keys {
                for (i, highest) in highest.iter_mut().enumerate() {
                    let score = S::fma(
                        S::load(scores.add((key + i) * queries)),
                        scale,
                        S::splat(*bias.add(key + i)),
                    );
                    *highest = S::max(score, *highest);
                }
                key += 4;
            }
            while key < keys {
                let score =
                    S::fma(S::load(scores.add(key * queries)), scale, S::splat(*bias.add(key)));
                highest[0] = S::max(score, highest[0]);
                key += 1;
            }
            let highest = S::max(S::max(highest[0], highest[1]), S::max(highest[2], highest[3]));
            let shrink = exp2::<S>(S::sub(before, highest));
            let mut total = [S::splat(0.0); 2];
            let mut key = 0;
            while key < keys {
                let mut p = [S::splat(0.0); 2];
                for (i, p) in p.iter_mut().enumerate() {
                    if key + i < keys {
                        let score = S::fma(
                            S::load(scores.add((key + i) * queries)),
                            scale,
                            S::splat(*bias.add(key + i)),
                        );
                        *p = exp2::<S>(S::sub(score, highest));
                        total[i] = S::add(total[i], *p);
                    }
                }
                if T::PER_UNIT == 2 {
                    S::store(scores.add(key / 2 * queries), S::pair(p[0], p[1]));
                } else {
                    S::store(scores.add(key * queries), p[0]);
                    if key + 1 < keys {
                        S::store(scores.add((key + 1) * queries), p[1]);
                    }
                }
                key += 2;
            }
            let before = S::load(parts.totals.add(query));
            S::store(parts.totals.add(query), S::fma(before, shrink, S::add(total[0], total[1])));
            S::store(parts.highest.add(query), highest);
            S::store(parts.shrink.add(query), shrink);
        }
        query += S::LANES;
    }
}

/// Sums so far, in the units of the new maximum.
#[inline(always)]
unsafe fn shrink<S: Simd>(shape: &Shape, parts: Parts, rows: usize) {
    for row in 0..rows {
        // SAFETY: rows and columns of the sums.
        unsafe {
            let factor = *parts.shrink.add(row);
            if factor != 1.0 {
                let mut column = 0;
                while column < shape.columns {
                    let at = parts.sums.add(row * shape.columns + column);
                    S::store(at, S::mul(S::load(at), S::splat(factor)));
                    column += S::LANES;
                }
            }
        }
    }
}

/// Adds P·V of a block of keys.
#[inline(always)]
unsafe fn values_of<S: Simd, T: Element>(
    job: &Block<'_, T>,
    parts: Parts,
    block: usize,
    keys: usize,
    rows: usize,
) {
    let shape = &job.shape;
    let units = keys.div_ceil(T::PER_UNIT);
    let mut column = 0;
    while column < shape.columns {
        let vectors = if shape.columns - column > S::LANES { 2 } else { 1 };
        let mut row = 0;
        while row < rows {
            // SAFETY: the scores and the sums have QUERIES rows, a multiple of every tile's height; the panel starts
            // after `column` columns of all units.
            unsafe {
                let operands = Tile {
                    a: parts.scores.add(row).cast(),
                    offsets: &job.p_offsets[..units],
                    b: job.v.add(block * shape.v_units::<T>() + column * (KEYS / T::PER_UNIT)),
                    sums: parts.sums.add(row * shape.columns + column),
                    ldc: shape.columns,
                    accumulate: block > 0,
                };
                tile::<S, T>(rows - row, vectors, operands);
            }
            row += tile_rows::<S>(rows - row);
        }
        column += 2 * S::LANES;
    }
}

/// Divides by the denominators.
#[inline(always)]
unsafe fn finish<S: Simd, T: Element>(job: &Block<'_, T>, parts: Parts, rows: usize) {
    let shape = &job.shape;
    for row in 0..rows {
        // SAFETY: rows and columns of the sums and of the result.
        unsafe {
            let total = *parts.totals.add(row);
            *job.lse.add(row) = natural(*parts.highest.add(row), total);
            let share = S::splat(if total == 0.0 { 0.0 } else { 1.0 / total });
            let mut column = 0;
            while column < shape.width {
                let count = S::LANES.min(shape.width - column);
                let sum = S::load(parts.sums.add(row * shape.columns + column));
                epilogue::store::<S, T>(
                    job.to.add(row * shape.width + column),
                    S::mul(sum, share),
                    count,
                );
                column += S::LANES;
            }
        }
    }
}
