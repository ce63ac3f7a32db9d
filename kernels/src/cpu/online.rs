//! An online softmax for one block of queries of one head: tiles of keys are taken in one after the other.
//!
//! Scores are computed transposed, Sᵀ = K·Qᵀ: keys are a tile's rows and queries its columns. Maximum, exponent and
//! sum then run along vectors of queries without crossing lanes, and P comes out k-major, as the product P·V reads it.
//! The exponent is base 2 with log₂e folded into scale and bias.
#![expect(unsafe_code, reason = "works on packed memory and scratch through pointers")]

use std::{f32::consts::LN_2, marker::PhantomData};

use super::{
    Level, epilogue,
    host::Element,
    keys::{Ahead, Keys},
    math::{exp2, exp2_each},
    pack,
    simd::Simd,
    tile::{Tile, tile, tile_rows},
};

/// Keys of a tile: whole tiles of sums at every level, and even.
pub(crate) const KEYS: usize = 192;
/// Rows of sums are counted in whole tiles, which are 12 rows at most and at every level a divisor of it.
const TILE_ROWS: usize = 12;

/// The sizes of one call.
#[derive(Debug)]
pub(crate) struct Shape {
    /// D.
    pub(crate) width: usize,
    /// Units along D.
    pub(crate) depth: usize,
    /// Columns of the sums: D in whole vectors.
    pub(crate) columns: usize,
    pub(crate) lanes: usize,
    /// Queries of the largest block in whole panels.
    queries: usize,
    /// From one row of scores to the next.
    score_row: usize,
    /// Offsets of the units along D in a packed tile of K.
    k_offsets: Vec<usize>,
    /// Offsets of the rows of the scores.
    p_offsets: Vec<usize>,
}

impl Shape {
    /// For heads of `width` and blocks of at most `queries` queries.
    pub(crate) fn new<T: Element>(level: Level, width: usize, queries: usize) -> Self {
        let lanes = pack::lanes(level);
        let depth = width.div_ceil(T::PER_UNIT);
        let queries = queries.next_multiple_of(2 * lanes);
        let score_row = spread(queries);
        Self {
            width,
            depth,
            columns: width.next_multiple_of(lanes),
            lanes,
            queries,
            score_row,
            k_offsets: (0..depth).map(|d| d * KEYS).collect(),
            p_offsets: (0..KEYS).map(|key| key * score_row).collect(),
        }
    }

    /// Units of a packed tile of K.
    pub(crate) fn k_units(&self) -> usize {
        self.depth * KEYS
    }

    /// Units of a packed tile of V.
    pub(crate) fn v_units<T: Element>(&self) -> usize {
        self.columns * KEYS / T::PER_UNIT
    }

    /// Units of the scratch: Q, the scores, the sums, and three numbers a query.
    pub(crate) fn scratch_units(&self) -> usize {
        let rows = self.queries.next_multiple_of(TILE_ROWS);
        (self.depth + 3) * self.queries + KEYS * self.score_row + rows * self.columns
    }
}

/// Units from one row to the next of a matrix of `columns` columns that is read down its columns: an odd number of cache
/// lines. Were it a power of two, a few sets of the nearest cache would serve all rows, and not hold them.
pub(crate) fn spread(columns: usize) -> usize {
    const LINE: usize = 16;
    (columns.div_ceil(LINE) | 1) * LINE
}

/// A block of queries and what it has gathered so far.
pub(crate) struct Online<'a, T> {
    shape: &'a Shape,
    /// scale·log₂e.
    scale: f32,
    /// Queries of this block.
    rows: usize,
    /// Whether no keys were taken in yet: the sums hold whatever the scratch did.
    fresh: bool,
    /// Panels of q.
    q: *mut u32,
    /// `[KEYS, score_row]`: scores, then P.
    scores: *mut f32,
    /// `[queries, columns]`: P·V so far.
    sums: *mut f32,
    /// The largest score so far, in base 2, one a query.
    highest: *mut f32,
    /// Σ P so far, one a query.
    totals: *mut f32,
    /// What the sums so far shrink by, one a query.
    shrink: *mut f32,
    element: PhantomData<T>,
}

impl<'a, T: Element> Online<'a, T> {
    /// Packs the rows of `q`.
    ///
    /// # Safety
    /// As the methods of [`Simd`]; the shape is of S's level, `q` holds at most the shape's queries, and `scratch` has
    /// [`Shape::scratch_units`] units that nobody else touches while this lives.
    #[inline(always)]
    pub(crate) unsafe fn start<S: Simd>(
        shape: &'a Shape,
        scale: f32,
        q: &[T],
        scratch: *mut u32,
    ) -> Self {
        let rows = q.len() / shape.width;
        // SAFETY: the parts lie one after the other in the scratch, as `Shape::scratch_units` counts them; the loops
        // stay within the shapes.
        unsafe {
            let scores = scratch.add(shape.depth * shape.queries);
            let sums = scores.add(KEYS * shape.score_row);
            let highest = sums.add(shape.queries.next_multiple_of(TILE_ROWS) * shape.columns);
            let online = Self {
                shape,
                scale,
                rows,
                fresh: true,
                q: scratch,
                scores: scores.cast(),
                sums: sums.cast(),
                highest: highest.cast(),
                totals: highest.add(shape.queries).cast(),
                shrink: highest.add(2 * shape.queries).cast(),
                element: PhantomData,
            };
            let panel = 2 * S::LANES;
            let mut first = 0;
            while first < rows {
                let from = q.as_ptr().add(first * shape.width);
                let to = online.q.add(first * shape.depth);
                let count = panel.min(rows - first);
                pack::transpose::<S, T>(from, shape.width, count, shape.width, to, panel);
                first += panel;
            }
            let mut query = 0;
            while query < shape.queries {
                // Finite, so that a hidden key's −∞ never meets another −∞.
                S::store(online.highest.add(query), S::splat(f32::MIN));
                S::store(online.totals.add(query), S::splat(0.0));
                query += S::LANES;
            }
            online
        }
    }

    /// Takes in a tile of keys.
    ///
    /// # Safety
    /// As [`Self::start`]; K and V have the units that the shape says.
    #[inline(always)]
    pub(crate) unsafe fn absorb<S: Simd>(&mut self, keys: Keys<'_>, mut ahead: Ahead<'_, T>) {
        // SAFETY: the caller's promise.
        unsafe {
            self.scores_of::<S>(keys, &mut ahead);
            self.softmax::<S>(keys.bias);
            if !self.fresh {
                self.shrink_sums::<S>();
            }
            self.values_of::<S>(keys, &mut ahead);
        }
        self.fresh = false;
    }

    /// Sᵀ of a tile of keys.
    #[inline(always)]
    unsafe fn scores_of<S: Simd>(&self, keys: Keys<'_>, ahead: &mut Ahead<'_, T>) {
        let (shape, count) = (self.shape, keys.bias.len());
        let mut first = 0;
        while first < self.rows {
            let mut key = 0;
            while key < count {
                // SAFETY: the tile has KEYS keys, a multiple of every tile's height.
                unsafe {
                    let operands = Tile {
                        a: keys.k.add(key),
                        offsets: &shape.k_offsets,
                        b: self.q.add(first * shape.depth),
                        sums: self.scores.add(key * shape.score_row + first),
                        ldc: shape.score_row,
                        accumulate: false,
                    };
                    ahead.fetch::<S>(shape.width);
                    tile::<S, T>(count - key, 2, operands);
                }
                key += tile_rows::<S>(count - key);
            }
            first += 2 * S::LANES;
        }
    }

    /// Scores to P, in place: P of a key is a row of F32, or half of a row of BF16 pairs.
    #[inline(always)]
    unsafe fn softmax<S: Simd>(&self, bias: &[f32]) {
        let (row, keys) = (self.shape.score_row, bias.len());
        let bias = bias.as_ptr();
        let mut query = 0;
        while query < self.rows {
            // SAFETY: rows and columns of the scores.
            unsafe {
                let scores = self.scores.add(query);
                let scale = S::splat(self.scale);
                let before = S::load(self.highest.add(query));
                let mut highest = [before; 4];
                let mut key = 0;
                while key + 4 <= keys {
                    for (i, highest) in highest.iter_mut().enumerate() {
                        let score = S::fma(
                            S::load(scores.add((key + i) * row)),
                            scale,
                            S::splat(*bias.add(key + i)),
                        );
                        *highest = S::max(score, *highest);
                    }
                    key += 4;
                }
                while key < keys {
                    let score =
                        S::fma(S::load(scores.add(key * row)), scale, S::splat(*bias.add(key)));
                    highest[0] = S::max(score, highest[0]);
                    key += 1;
                }
                let highest =
                    S::max(S::max(highest[0], highest[1]), S::max(highest[2], highest[3]));
                let shrink = exp2::<S>(S::sub(before, highest));
                let mut total = [S::splat(0.0); 2];
                let mut key = 0;
                while key + 4 <= keys {
                    let p = self.weights::<S, 4>(query, key, bias, highest, &mut total);
                    self.store_weights::<S, 4>(query, key, p);
                    key += 4;
                }
                while key + 2 <= keys {
                    let p = self.weights::<S, 2>(query, key, bias, highest, &mut total);
                    self.store_weights::<S, 2>(query, key, p);
                    key += 2;
                }
                if key < keys {
                    let p = self.weights::<S, 1>(query, key, bias, highest, &mut total);
                    self.store_weights::<S, 1>(query, key, p);
                }
                let before = S::load(self.totals.add(query));
                let total = S::add(total[0], total[1]);
                S::store(self.totals.add(query), S::fma(before, shrink, total));
                S::store(self.highest.add(query), highest);
                S::store(self.shrink.add(query), shrink);
            }
            query += S::LANES;
        }
    }

    /// P of the N keys from `key`, an even one, on; added to the totals of even and odd keys.
    #[inline(always)]
    unsafe fn weights<S: Simd, const N: usize>(
        &self,
        query: usize,
        key: usize,
        bias: *const f32,
        highest: S::V,
        totals: &mut [S::V; 2],
    ) -> [S::V; N] {
        // SAFETY: rows and columns of the scores.
        unsafe {
            let scores = self.scores.add(key * self.shape.score_row + query);
            let mut p = [S::splat(0.0); N];
            for (i, p) in p.iter_mut().enumerate() {
                let score = S::load(scores.add(i * self.shape.score_row));
                let score = S::fma(score, S::splat(self.scale), S::splat(*bias.add(key + i)));
                *p = S::sub(score, highest);
            }
            let p = exp2_each::<S, N>(p);
            for (i, p) in p.iter().enumerate() {
                totals[i % 2] = S::add(totals[i % 2], *p);
            }
            p
        }
    }

    /// Puts P in the place of scores, all of which were read.
    #[inline(always)]
    unsafe fn store_weights<S: Simd, const N: usize>(
        &self,
        query: usize,
        key: usize,
        p: [S::V; N],
    ) {
        // SAFETY: rows and columns of the scores; row j of the pairs is written when rows 2j and 2j + 1 are read.
        unsafe {
            let to = self.scores.add(key / T::PER_UNIT * self.shape.score_row + query);
            for (row, p) in p.chunks(T::PER_UNIT).enumerate() {
                let to = to.add(row * self.shape.score_row);
                match p {
                    [p] if T::PER_UNIT == 1 => S::store(to, *p),
                    [low] => S::store(to, S::pair(*low, S::splat(0.0))),
                    [low, high, ..] => S::store(to, S::pair(*low, *high)),
                    [] => {}
                }
            }
        }
    }

    /// Sums so far, in the units of the new maximum.
    #[inline(always)]
    unsafe fn shrink_sums<S: Simd>(&self) {
        let columns = self.shape.columns;
        for row in 0..self.rows {
            // SAFETY: rows and columns of the sums.
            unsafe {
                let factor = *self.shrink.add(row);
                if factor != 1.0 {
                    let mut column = 0;
                    while column < columns {
                        let at = self.sums.add(row * columns + column);
                        S::store(at, S::mul(S::load(at), S::splat(factor)));
                        column += S::LANES;
                    }
                }
            }
        }
    }

    /// Adds P·V of a tile of keys.
    #[inline(always)]
    unsafe fn values_of<S: Simd>(&self, keys: Keys<'_>, ahead: &mut Ahead<'_, T>) {
        let shape = self.shape;
        let units = keys.bias.len().div_ceil(T::PER_UNIT);
        let mut column = 0;
        while column < shape.columns {
            let vectors = if shape.columns - column > S::LANES { 2 } else { 1 };
            let mut row = 0;
            while row < self.rows {
                // SAFETY: the scores and the sums have whole tiles of rows; the panel starts after `column` columns of
                // all units.
                unsafe {
                    let operands = Tile {
                        a: self.scores.add(row).cast(),
                        offsets: &shape.p_offsets[..units],
                        b: keys.v.add(column * (KEYS / T::PER_UNIT)),
                        sums: self.sums.add(row * shape.columns + column),
                        ldc: shape.columns,
                        accumulate: !self.fresh,
                    };
                    ahead.fetch::<S>(shape.width);
                    tile::<S, T>(self.rows - row, vectors, operands);
                }
                row += tile_rows::<S>(self.rows - row);
            }
            column += 2 * S::LANES;
        }
    }

    /// Divides by the denominators: writes the block's rows of the result to `to` and the natural logs of the
    /// denominators to `lse`. Without keys, and where all were hidden, those are 0 and −∞.
    ///
    /// # Safety
    /// As [`Self::start`]; `to` and `lse` have room for the block's rows.
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Simd>(self, to: *mut T, lse: *mut f32) {
        let shape = self.shape;
        for row in 0..self.rows {
            // SAFETY: rows and columns of the sums and of the result.
            unsafe {
                let total = *self.totals.add(row);
                *lse.add(row) = (*self.highest.add(row) + total.log2()) * LN_2;
                let share = S::splat(if total == 0.0 { 0.0 } else { 1.0 / total });
                let mut column = 0;
                while column < shape.width {
                    let count = S::LANES.min(shape.width - column);
                    let sum = if self.fresh {
                        S::splat(0.0)
                    } else {
                        S::load(self.sums.add(row * shape.columns + column))
                    };
                    let at = to.add(row * shape.width + column);
                    epilogue::store::<S, T>(at, S::mul(sum, share), count);
                    column += S::LANES;
                }
            }
        }
    }
}
