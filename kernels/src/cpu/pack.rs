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
/// Memory is there for what the shapes name.
#[inline(always)]
pub(crate) unsafe fn transpose<T: Element>(
    from: *const T,
    from_stride: usize,
    rows: usize,
    width: usize,
    to: *mut u32,
    ld: usize,
) {
    let mut r = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while r + 4 <= rows {
            let first = from.add(r * from_stride);
            let four = [
                first,
                first.add(from_stride),
                first.add(2 * from_stride),
                first.add(3 * from_stride),
            ];
            transpose_four(four, width, to.add(r), ld);
            r += 4;
        }
        while r < rows {
            transpose_one(from.add(r * from_stride), width, to.add(r), ld);
            r += 1;
        }
    }
}

/// As [`transpose`] of rows that lie anywhere.
///
/// # Safety
/// As [`transpose`]: every pointer is to `width` elements.
#[inline(always)]
pub(crate) unsafe fn transpose_rows<T: Element>(
    rows: &[*const T],
    width: usize,
    to: *mut u32,
    ld: usize,
) {
    let (fours, rest) = rows.as_chunks::<4>();
    // SAFETY: the caller's promise.
    unsafe {
        for (i, four) in fours.iter().enumerate() {
            transpose_four(*four, width, to.add(4 * i), ld);
        }
        for (i, row) in rest.iter().enumerate() {
            transpose_one(*row, width, to.add(4 * fours.len() + i), ld);
        }
    }
}

#[inline(always)]
unsafe fn transpose_four<T: Element>(rows: [*const T; 4], width: usize, to: *mut u32, ld: usize) {
    let whole = width / T::PER_UNIT;
    let [a, b, c, d] = rows;
    let (a, b, c, d) = (a.cast::<u32>(), b.cast::<u32>(), c.cast::<u32>(), d.cast::<u32>());
    // SAFETY: the caller's promise; reads of units may be unaligned, BF16 rows start anywhere.
    unsafe {
        let mut k = 0;
        while k + 4 <= whole {
            let block = [quad(a.add(k)), quad(b.add(k)), quad(c.add(k)), quad(d.add(k))];
            transpose_4x4(block, to.add(k * ld), ld);
            k += 4;
        }
        while k < whole {
            let to = to.add(k * ld);
            to.write(a.add(k).read_unaligned());
            to.add(1).write(b.add(k).read_unaligned());
            to.add(2).write(c.add(k).read_unaligned());
            to.add(3).write(d.add(k).read_unaligned());
            k += 1;
        }
        if T::PER_UNIT == 2 && !width.is_multiple_of(2) {
            let mut r = 0;
            while r < 4 {
                to.add(whole * ld + r).write(last_half(rows[r], width));
                r += 1;
            }
        }
    }
}

#[inline(always)]
unsafe fn transpose_one<T: Element>(row: *const T, width: usize, to: *mut u32, ld: usize) {
    let whole = width / T::PER_UNIT;
    // SAFETY: as `transpose_four`.
    unsafe {
        for k in 0..whole {
            to.add(k * ld).write(row.cast::<u32>().add(k).read_unaligned());
        }
        if T::PER_UNIT == 2 && !width.is_multiple_of(2) {
            to.add(whole * ld).write(last_half(row, width));
        }
    }
}

/// The last BF16 of an odd row, with a zero beside it.
#[inline(always)]
unsafe fn last_half<T: Element>(row: *const T, width: usize) -> u32 {
    // SAFETY: the caller has `width` elements of 16 bits there.
    u32::from(unsafe { row.add(width - 1).cast::<u16>().read() })
}

/// Four units from an address that need not be aligned.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn quad(from: *const u32) -> std::arch::x86_64::__m128 {
    // SAFETY: the caller has four units there; SSE is part of x86-64.
    unsafe { std::arch::x86_64::_mm_loadu_ps(from.cast()) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_4x4(rows: [std::arch::x86_64::__m128; 4], to: *mut u32, ld: usize) {
    use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_storeu_ps};
    let [mut a, mut b, mut c, mut d] = rows;
    // SAFETY: the caller has four rows of four units there; SSE is part of x86-64.
    unsafe {
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        _mm_storeu_ps(to.cast(), a);
        _mm_storeu_ps(to.add(ld).cast(), b);
        _mm_storeu_ps(to.add(2 * ld).cast(), c);
        _mm_storeu_ps(to.add(3 * ld).cast(), d);
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn quad(from: *const u32) -> [u32; 4] {
    // SAFETY: the caller has four units there.
    unsafe { from.cast::<[u32; 4]>().read_unaligned() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn transpose_4x4(rows: [[u32; 4]; 4], to: *mut u32, ld: usize) {
    for k in 0..4 {
        for (r, row) in rows.iter().enumerate() {
            // SAFETY: the caller has four rows of four units there.
            unsafe { to.add(k * ld + r).write(row[k]) };
        }
    }
}
