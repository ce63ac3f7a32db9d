//! Keys and values as the two products of attention read them.
#![expect(unsafe_code, reason = "reads rows and writes packed memory through pointers")]

use super::{
    host::Element,
    online::{KEYS, Shape},
    pack,
};

/// Packs a tile: K k-major, [`KEYS`] units from one k to the next, and V in panels whose k runs over the keys. A row
/// may lie anywhere; a V without a partner in the last BF16 pair gets a zero.
///
/// # Safety
/// `k` and `v` name equally many rows, at most [`KEYS`], each of the shape's width; `k_to` and `v_to` have the units
/// that the shape says.
#[inline(always)]
pub(crate) unsafe fn pack<T: Element>(
    shape: &Shape,
    k: &[*const T],
    v: &[*const T],
    k_to: *mut u32,
    v_to: *mut u32,
) {
    let panel_columns = 2 * shape.lanes;
    // SAFETY: the caller's promise.
    unsafe {
        pack::transpose_rows(k, shape.width, k_to, KEYS);
        let mut first = 0;
        while first < shape.width {
            let columns = panel_columns.min(shape.width - first);
            let panel = v_to.add(first * (KEYS / T::PER_UNIT));
            values(v, first, columns, panel, columns.next_multiple_of(shape.lanes));
            first += panel_columns;
        }
    }
}

/// One panel of V: `columns` columns from `first` on, `ld` units from one k to the next.
#[inline(always)]
unsafe fn values<T: Element>(
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
                let row = row.add(first).cast::<u32>();
                std::ptr::copy_nonoverlapping(row, to.add(key * ld), columns);
            }
            return;
        }
        let (pairs, rest) = rows.as_chunks::<2>();
        for (unit, [low, high]) in pairs.iter().enumerate() {
            let (low, high) = (low.add(first).cast::<u16>(), high.add(first).cast::<u16>());
            let to = to.add(unit * ld);
            for column in 0..columns {
                let pair = u32::from(*low.add(column)) | u32::from(*high.add(column)) << 16;
                to.add(column).write(pair);
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
