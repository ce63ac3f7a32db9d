//! Keys and values as the two products of attention read them.
#![expect(unsafe_code, reason = "reads rows and writes packed memory through pointers")]

use half::bf16;

use super::{
    host::Element,
    online::{KEYS, Shape},
    pack,
    simd::Simd,
};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Packed keys and values, as [`pack`] lays them out.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) k: *const u32,
    pub(crate) v: *const u32,
    /// bias·log₂e of each key; as many as there are keys, 1 to [`KEYS`].
    pub(crate) bias: &'a [f32],
}

/// Packs a tile: K k-major, [`KEYS`] units from one k to the next, and V in panels whose k runs over the keys. A row
/// may lie anywhere; a V without a partner in the last BF16 pair gets a zero.
///
/// # Safety
/// `k` and `v` name equally many rows, at most [`KEYS`], each of the shape's width; `k_to` and `v_to` have the units
/// that the shape says.
#[inline(always)]
pub(crate) unsafe fn pack<S: Simd, T: Element>(
    shape: &Shape,
    k: &[*const T],
    v: &[*const T],
    k_to: *mut u32,
    v_to: *mut u32,
) {
    let panel_columns = 2 * shape.lanes;
    // SAFETY: the caller's promise.
    unsafe {
        pack::transpose_rows::<S, T>(k, shape.width, k_to, KEYS);
        let mut first = 0;
        while first < shape.width {
            let columns = panel_columns.min(shape.width - first);
            let panel = v_to.add(first * (KEYS / T::PER_UNIT));
            values::<S, T>(v, first, columns, panel, columns.next_multiple_of(shape.lanes));
            first += panel_columns;
        }
    }
}

/// One panel of V: `columns` columns from `first` on, `ld` units from one k to the next.
#[inline(always)]
unsafe fn values<S: Simd, T: Element>(
    rows: &[*const T],
    first: usize,
    columns: usize,
    to: *mut u32,
    ld: usize,
) {
    // SAFETY: the caller's promise: `first + columns` elements in each row, and a unit for each column and k.
    unsafe {
        if T::PER_UNIT == 1 {
            for (key, row) in rows.iter().enumerate() {
                let (row, to) = (row.add(first).cast::<f32>(), to.add(key * ld).cast::<f32>());
                let mut column = 0;
                while column + S::LANES <= columns {
                    S::store(to.add(column), S::load(row.add(column)));
                    column += S::LANES;
                }
                if column < columns {
                    let count = columns - column;
                    S::store(to.add(column), S::load_first(row.add(column), count));
                }
            }
            return;
        }
        let (pairs, rest) = rows.as_chunks::<2>();
        for (unit, [low, high]) in pairs.iter().enumerate() {
            let (low, high) = (low.add(first).cast::<bf16>(), high.add(first).cast::<bf16>());
            let to = to.add(unit * ld);
            let mut column = 0;
            while column + S::LANES <= columns {
                let pairs = S::load_pairs(low.add(column), high.add(column));
                S::store(to.add(column).cast(), pairs);
                column += S::LANES;
            }
            for column in column..columns {
                let (low, high) = ((*low.add(column)).to_bits(), (*high.add(column)).to_bits());
                to.add(column).write(u32::from(low) | u32::from(high) << 16);
            }
        }
        for row in rest {
            let (row, to) = (row.add(first).cast::<u16>(), to.add(pairs.len() * ld));
            for column in 0..columns {
                to.add(column).write(u32::from(*row.add(column)));
            }
        }
    }
}

/// Rows that the next tile will be packed from, brought near while this one is computed with: they lie anywhere, so that
/// the processor would not guess them.
pub(crate) struct Ahead<'a, T> {
    pub(crate) k: &'a [*const T],
    pub(crate) v: &'a [*const T],
}

impl<T> Ahead<'_, T> {
    /// Nothing.
    pub(crate) const NONE: Self = Self { k: &[], v: &[] };
    /// Rows that are asked for at once: few, since the processor keeps only so many requests, and enough for all rows
    /// of a tile to be asked for while 128 queries are computed.
    const ROWS: usize = 4;

    /// Asks for the next few rows, of `width` elements.
    ///
    /// # Safety
    /// As the methods of [`Simd`].
    #[inline(always)]
    pub(crate) unsafe fn fetch<S: Simd>(&mut self, width: usize) {
        let mut left = Self::ROWS;
        while left > 0 {
            let rows = if self.k.is_empty() { &mut self.v } else { &mut self.k };
            let Some((row, rest)) = rows.split_first() else {
                return;
            };
            let mut byte = 0;
            while byte < width * size_of::<T>() {
                // SAFETY: any address may be asked for.
                unsafe { S::prefetch(row.cast::<u8>().wrapping_add(byte)) };
                byte += LINE;
            }
            *rows = rest;
            left -= 1;
        }
    }
}
