//! Putting operands into the order in which [`super::tile`] reads them.
//!
//! *Panels* hold a weight: columns in groups of two vectors (the last group of one, when one is enough), in each group
//! for every k the units of its columns. *k-major* blocks hold activations: for every k the units of all rows.
#![expect(unsafe_code, reason = "writes into scratch memory through pointers")]

use rayon::prelude::*;

use super::{
    Level,
    host::{Element, Shared, Units},
    simd::{Simd, Work, dispatch},
};

/// A weight in panels.
#[derive(Debug)]
pub(crate) struct Panels {
    units: Units,
    /// Columns.
    columns: usize,
    /// Units along k, over all taps.
    depth: usize,
    lanes: usize,
}

/// A group of columns of [`Panels`].
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) first_column: usize,
    pub(crate) columns: usize,
    /// Width in vectors: 1 or 2.
    pub(crate) vectors: usize,
    /// Its first unit.
    pub(crate) b: *const u32,
}

/// The vector width of a level.
pub(crate) fn lanes(level: Level) -> usize {
    struct Lanes;
    impl Work for Lanes {
        type Output = usize;
        #[inline(always)]
        unsafe fn run<S: Simd>(self) -> usize {
            S::LANES
        }
    }
    // SAFETY: levels come from `level()`, which is at most the machine's; nothing is read or written.
    unsafe { dispatch(level, Lanes) }
}

impl Panels {
    /// Packs a weight of `taps` matrices with `columns` columns and `inputs` rows; `at(tap, input, column)` is its value.
    ///
    /// Every tap starts on a unit of its own: an odd number of BF16 inputs is padded by a zero.
    pub(crate) fn new<T: Element>(
        level: Level,
        taps: usize,
        inputs: usize,
        columns: usize,
        at: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let lanes = lanes(level);
        let tap_depth = inputs.div_ceil(T::PER_UNIT);
        let depth = taps * tap_depth;
        let mut units = Units::zeroed(depth * columns.next_multiple_of(lanes));
        let base = Shared::new(units.pointer_mut().cast::<T>());
        (0..columns.div_ceil(2 * lanes)).into_par_iter().for_each(|group| {
            let first = group * 2 * lanes;
            let count = (columns - first).min(2 * lanes);
            let width = count.next_multiple_of(lanes);
            for tap in 0..taps {
                for input in 0..inputs {
                    let row = first * depth + (tap * tap_depth + input / T::PER_UNIT) * width;
                    for column in 0..count {
                        let value = T::rounded(at(tap, input, first + column));
                        let place = (row + column) * T::PER_UNIT + input % T::PER_UNIT;
                        // SAFETY: the unit is below depth · columns in whole vectors, which is what was allocated, and
                        // belongs to this group.
                        unsafe { base.at(place).write(value) };
                    }
                }
            }
        });
        Self { units, columns, depth, lanes }
    }

    /// Number of groups.
    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(2 * self.lanes)
    }

    /// Columns of a whole group.
    pub(crate) fn widest(&self) -> usize {
        2 * self.lanes
    }

    /// Units along k over all taps.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn panel(&self, index: usize) -> Panel {
        let first_column = index * 2 * self.lanes;
        let columns = (self.columns - first_column).min(2 * self.lanes);
        let vectors = columns.div_ceil(self.lanes);
        // Every earlier group is two vectors wide.
        let b = self.units.pointer().wrapping_add(first_column * self.depth);
        Panel { first_column, columns, vectors, b }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.units.bytes()
    }
}

/// Writes `rows` rows of `width` elements, `from_stride` elements apart, k-major: unit (k, r) to `to[k·ld + r]`. An odd
/// number of BF16 is padded by a zero.
///
/// # Safety
/// As the methods of [`Simd`]; memory is there for what the shapes name.
#[inline(always)]
pub(crate) unsafe fn transpose<S: Simd, T: Element>(
    from: *const T,
    from_stride: usize,
    rows: usize,
    width: usize,
    to: *mut u32,
    ld: usize,
) {
    let mut group = [from; GROUP];
    let mut first = 0;
    while first < rows {
        let count = S::LANES.min(rows - first);
        // SAFETY: the caller's promise.
        unsafe {
            for (i, row) in group[..count].iter_mut().enumerate() {
                *row = from.add((first + i) * from_stride);
            }
            transpose_group::<S, T>(&group, count, width, to.add(first), ld);
        }
        first += S::LANES;
    }
}

/// As [`transpose`] of rows that lie anywhere.
///
/// # Safety
/// As [`transpose`]: every pointer is to `width` elements.
#[inline(always)]
pub(crate) unsafe fn transpose_rows<S: Simd, T: Element>(
    rows: &[*const T],
    width: usize,
    to: *mut u32,
    ld: usize,
) {
    let mut first = 0;
    while first < rows.len() {
        let count = S::LANES.min(rows.len() - first);
        let mut group = [rows[first]; GROUP];
        group[..count].copy_from_slice(&rows[first..first + count]);
        // SAFETY: the caller's promise.
        unsafe { transpose_group::<S, T>(&group, count, width, to.add(first), ld) };
        first += S::LANES;
    }
}

/// Rows of a group at most: a vector's lanes.
const GROUP: usize = 16;

/// The first `count` of S's lanes' rows, all of which can be read.
#[inline(always)]
unsafe fn transpose_group<S: Simd, T: Element>(
    rows: &[*const T; GROUP],
    count: usize,
    width: usize,
    to: *mut u32,
    ld: usize,
) {
    let whole = width / T::PER_UNIT;
    // SAFETY: the caller's promise.
    unsafe {
        let mut k = 0;
        while k + 4 <= whole {
            let mut quads = [S::splat(0.0); 4];
            for (i, quad) in quads.iter_mut().enumerate() {
                *quad = S::load_quads(rows.as_ptr().add(i).cast(), k);
            }
            for (i, units) in S::transpose_quads(quads).iter().enumerate() {
                let to = to.add((k + i) * ld).cast();
                if count == S::LANES {
                    S::store(to, *units);
                } else {
                    S::store_first(to, *units, count);
                }
            }
            k += 4;
        }
        for (r, row) in rows[..count].iter().enumerate() {
            let to = to.add(r);
            for k in k..whole {
                to.add(k * ld).write(row.cast::<u32>().add(k).read_unaligned());
            }
            if T::PER_UNIT == 2 && !width.is_multiple_of(2) {
                // The last BF16 of an odd row, with a zero beside it.
                to.add(whole * ld).write(u32::from(row.add(width - 1).cast::<u16>().read()));
            }
        }
    }
}
