//! One group of queries against all keys of its head.
#![expect(unsafe_code, reason = "works on packed memory and scratch through pointers")]

use super::{KEYS, Reduce, Shape};
use crate::cpu::{
    host::Element,
    math::{LOG2_E, exp2, exp2_each},
    pack,
    simd::{Simd, Work},
    tile::{Tile, tile, tile_rows},
};

/// The operands of a group.
pub(super) struct Group<'a, T> {
    pub(super) shape: &'a Shape,
    /// Rows of q.
    pub(super) q: &'a [T],
    /// The head's packed keys.
    pub(super) k: *const u32,
    /// scale·log₂e.
    pub(super) scale: f32,
    /// In base 2, one a key or none.
    pub(super) bias: &'a [f32],
    pub(super) reduce: Reduce<'a>,
    /// Natural, one a query, for [`Reduce::SumWith`].
    pub(super) lse: &'a [f32],
    /// Offsets of the units along D in a packed chunk of keys.
    pub(super) offsets: &'a [usize],
}

/// Where the parts of a group's scratch start.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// Panels of q.
    q: *mut u32,
    /// `[KEYS, row]`, `row` of [`Shape::logit_row`].
    logits: *mut f32,
    /// `[cells, numbers, queries]`.
    pub(super) cells: *mut f32,
    /// `[chunks, queries]`: what each chunk's sums are in units of, in base 2.
    units: *mut f32,
    /// The largest logit so far, in base 2, one a query.
    pub(super) highest: *mut f32,
    /// Σ of the cells, one a query.
    pub(super) totals: *mut f32,
}

/// Keys of a chunk.
#[derive(Clone, Copy)]
struct Chunk {
    index: usize,
    /// Its first key.
    first: usize,
    keys: usize,
}

impl<T: Element> Work for (Group<'_, T>, *mut u32) {
    type Output = Parts;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Parts {
        let (group, scratch) = self;
        let shape = group.shape;
        let rows = group.q.len() / shape.width;
        let queries = shape.columns(rows);
        // SAFETY: the parts lie one after the other in the scratch, as `Shape::scratch_units` counts them; the loops
        // stay within the shapes.
        unsafe {
            let logits = scratch.add(shape.depth * queries);
            let cells = logits.add(KEYS * shape.logit_row(rows));
            let units = cells.add(shape.cells() * shape.numbers * queries);
            let highest = units.add(shape.chunks() * queries);
            let parts = Parts {
                q: scratch,
                logits: logits.cast(),
                cells: cells.cast(),
                units: units.cast(),
                highest: highest.cast(),
                totals: highest.add(queries).cast(),
            };
            let panel = 2 * S::LANES;
            let mut first = 0;
            while first < rows {
                let from = group.q.as_ptr().add(first * shape.width);
                let to = parts.q.add(first * shape.depth);
                pack::transpose::<S, T>(
                    from,
                    shape.width,
                    panel.min(rows - first),
                    shape.width,
                    to,
                    panel,
                );
                first += panel;
            }
            let mut query = 0;
            while query < queries {
                // Finite, so that −∞ never meets another −∞.
                *parts.highest.add(query) = match group.lse.get(query) {
                    Some(lse) => lse * LOG2_E,
                    None => f32::MIN,
                };
                query += 1;
            }
            let mut index = 0;
            while index < shape.chunks() {
                let first = index * shape.chunk;
                let chunk = Chunk { index, first, keys: shape.chunk.min(shape.keys - first) };
                logits_of::<S, T>(&group, parts, chunk);
                match group.reduce {
                    Reduce::Max => maxima::<S, T>(&group, parts, chunk),
                    Reduce::LogSum => log_sums::<S, T>(&group, parts, chunk),
                    Reduce::Sum => {
                        raise::<S, T>(&group, parts, chunk);
                        sums::<S, T>(&group, parts, chunk);
                    }
                    Reduce::SumWith(_) => sums::<S, T>(&group, parts, chunk),
                }
                index += 1;
            }
            match group.reduce {
                Reduce::Max | Reduce::LogSum => {}
                Reduce::Sum => settle::<S>(shape, parts, queries, true),
                Reduce::SumWith(_) => settle::<S>(shape, parts, queries, false),
            }
            parts
        }
    }
}

/// q·kᵀ of a chunk, transposed.
#[inline(always)]
unsafe fn logits_of<S: Simd, T: Element>(group: &Group<'_, T>, parts: Parts, chunk: Chunk) {
    let shape = group.shape;
    let rows = group.q.len() / shape.width;
    let (queries, row) = (shape.columns(rows), shape.logit_row(rows));
    let mut first = 0;
    while first < queries {
        let mut key = 0;
        while key < chunk.keys {
            // SAFETY: the packed chunk and the logits have KEYS rows, a multiple of every tile's height.
            unsafe {
                let operands = Tile {
                    a: group.k.add(chunk.index * shape.chunk_units() + key),
                    offsets: group.offsets,
                    b: parts.q.add(first * shape.depth),
                    sums: parts.logits.add(key * row + first),
                    ldc: row,
                    accumulate: false,
                };
                tile::<S, T>(chunk.keys - key, 2, operands);
            }
            key += tile_rows::<S>(chunk.keys - key);
        }
        first += 2 * S::LANES;
    }
}

/// scale·(q·k) + bias of one key, in base 2, less `less`.
#[inline(always)]
unsafe fn logit<S: Simd, T>(
    group: &Group<'_, T>,
    product: *const f32,
    key: usize,
    less: S::V,
) -> S::V {
    // SAFETY: the caller's product; the bias is there for every key or for none.
    unsafe {
        let scaled = S::fma(S::load(product), S::splat(group.scale), less);
        if group.bias.is_empty() {
            scaled
        } else {
            S::add(scaled, S::splat(*group.bias.as_ptr().add(key)))
        }
    }
}

/// Raises each query's largest logit to the chunk's.
#[inline(always)]
unsafe fn raise<S: Simd, T: Element>(group: &Group<'_, T>, parts: Parts, chunk: Chunk) {
    let rows = group.q.len() / group.shape.width;
    let (queries, row) = (group.shape.columns(rows), group.shape.logit_row(rows));
    let mut query = 0;
    while query < queries {
        // SAFETY: rows and columns of the logits.
        unsafe {
            let logits = parts.logits.add(query);
            let mut highest = [S::load(parts.highest.add(query)); 4];
            let mut key = 0;
            while key + 4 <= chunk.keys {
                for (i, highest) in highest.iter_mut().enumerate() {
                    let at = logits.add((key + i) * row);
                    *highest = S::max(
                        logit::<S, T>(group, at, chunk.first + key + i, S::splat(0.0)),
                        *highest,
                    );
                }
                key += 4;
            }
            while key < chunk.keys {
                let at = logits.add(key * row);
                highest[0] =
                    S::max(logit::<S, T>(group, at, chunk.first + key, S::splat(0.0)), highest[0]);
                key += 1;
            }
            let highest = S::max(S::max(highest[0], highest[1]), S::max(highest[2], highest[3]));
            S::store(parts.highest.add(query), highest);
            S::store(parts.units.add(chunk.index * queries + query), highest);
        }
        query += S::LANES;
    }
}

/// Σ 2^(s − highest) of every cell of a chunk.
#[inline(always)]
unsafe fn sums<S: Simd, T: Element>(group: &Group<'_, T>, parts: Parts, chunk: Chunk) {
    let shape = group.shape;
    let rows = group.q.len() / shape.width;
    let (queries, row) = (shape.columns(rows), shape.logit_row(rows));
    let mut query = 0;
    while query < queries {
        // SAFETY: rows and columns of the logits and of the cells.
        unsafe {
            let logits = parts.logits.add(query);
            let less = S::sub(S::splat(0.0), S::load(parts.highest.add(query)));
            let mut cell = chunk.first / shape.cell;
            let mut key = 0;
            while key < chunk.keys {
                let end = chunk.keys.min(key + shape.cell);
                let mut sums = [S::splat(0.0); 4];
                while key + 4 <= end {
                    let mut scores = sums;
                    for (i, score) in scores.iter_mut().enumerate() {
                        let at = logits.add((key + i) * row);
                        *score = logit::<S, T>(group, at, chunk.first + key + i, less);
                    }
                    for (sum, weight) in sums.iter_mut().zip(exp2_each::<S, 4>(scores)) {
                        *sum = S::add(*sum, weight);
                    }
                    key += 4;
                }
                while key < end {
                    let at = logits.add(key * row);
                    let score = logit::<S, T>(group, at, chunk.first + key, less);
                    sums[0] = S::add(sums[0], exp2::<S>(score));
                    key += 1;
                }
                let sum = S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]));
                S::store(parts.cells.add(cell * queries + query), sum);
                cell += 1;
            }
        }
        query += S::LANES;
    }
}

/// max s of every cell of a chunk, and of each query so far.
#[inline(always)]
unsafe fn maxima<S: Simd, T: Element>(group: &Group<'_, T>, parts: Parts, chunk: Chunk) {
    let shape = group.shape;
    let rows = group.q.len() / shape.width;
    let (queries, row) = (shape.columns(rows), shape.logit_row(rows));
    let mut query = 0;
    while query < queries {
        // SAFETY: rows and columns of the logits and of the cells.
        unsafe {
            let logits = parts.logits.add(query);
            let mut highest = S::load(parts.highest.add(query));
            let mut cell = chunk.first / shape.cell;
            let mut key = 0;
            while key < chunk.keys {
                let end = chunk.keys.min(key + shape.cell);
                let mut most = S::splat(f32::MIN);
                while key < end {
                    let at = logits.add(key * row);
                    let score = logit::<S, T>(group, at, chunk.first + key, S::splat(0.0));
                    most = S::max(most, score);
                    key += 1;
                }
                S::store(parts.cells.add(cell * queries + query), most);
                highest = S::max(most, highest);
                cell += 1;
            }
            S::store(parts.highest.add(query), highest);
        }
        query += S::LANES;
    }
}

/// m = max s and Σ 2^(s − m) of every cell of a chunk.
#[inline(always)]
unsafe fn log_sums<S: Simd, T: Element>(group: &Group<'_, T>, parts: Parts, chunk: Chunk) {
    let shape = group.shape;
    let rows = group.q.len() / shape.width;
    let (queries, row) = (shape.columns(rows), shape.logit_row(rows));
    let mut query = 0;
    while query < queries {
        // SAFETY: rows and columns of the logits and of the cells.
        unsafe {
            let logits = parts.logits.add(query);
            let mut cell = chunk.first / shape.cell;
            let mut first = 0;
            while first < chunk.keys {
                let end = chunk.keys.min(first + shape.cell);
                let mut most = S::splat(f32::MIN);
                let mut key = first;
                while key < end {
                    let at = logits.add(key * row);
                    most = S::max(logit::<S, T>(group, at, chunk.first + key, S::splat(0.0)), most);
                    key += 1;
                }
                let less = S::sub(S::splat(0.0), most);
                let mut sum = S::splat(0.0);
                key = first;
                while key < end {
                    let at = logits.add(key * row);
                    let score = logit::<S, T>(group, at, chunk.first + key, less);
                    sum = S::add(sum, exp2::<S>(score));
                    key += 1;
                }
                S::store(parts.cells.add(2 * cell * queries + query), most);
                S::store(parts.cells.add((2 * cell + 1) * queries + query), sum);
                cell += 1;
                first = end;
            }
        }
        query += S::LANES;
    }
}

/// Adds each query's cells up, after bringing them to the units of its largest logit if they are in their chunk's.
#[inline(always)]
unsafe fn settle<S: Simd>(shape: &Shape, parts: Parts, queries: usize, rescale: bool) {
    let of_chunk = shape.chunk / shape.cell;
    let mut query = 0;
    while query < queries {
        // SAFETY: rows and columns of the cells and of the units.
        unsafe {
            let highest = S::load(parts.highest.add(query));
            let mut total = S::splat(0.0);
            let mut factor = S::splat(1.0);
            let mut cell = 0;
            while cell < shape.cells() {
                if rescale && cell % of_chunk == 0 {
                    let unit = S::load(parts.units.add(cell / of_chunk * queries + query));
                    factor = exp2::<S>(S::sub(unit, highest));
                }
                let at = parts.cells.add(cell * queries + query);
                let sum = S::mul(S::load(at), factor);
                if rescale {
                    S::store(at, sum);
                }
                total = S::add(total, sum);
                cell += 1;
            }
            S::store(parts.totals.add(query), total);
        }
        query += S::LANES;
    }
}
