//! K and V of a block of keys as the two products read them.
#![expect(unsafe_code, reason = "writes packed memory through pointers")]

use super::cpu::{KEYS, Shape};
use crate::cpu::{host::Element, pack};

/// Packs K k-major, `KEYS` units from one k to the next, and V in panels whose k runs over the block's keys. Both
/// slices hold the same number of rows; a V without a partner in the last BF16 pair gets a zero.
///
/// # Safety
/// `k_to` and `v_to` have the units that the shape says.
pub(super) unsafe fn keys_and_values<T: Element>(
    shape: &Shape,
    k: &[T],
    v: &[T],
    k_to: *mut u32,
    v_to: *mut u32,
) {
    let (width, keys) = (shape.width, k.len() / shape.width);
    // SAFETY: the caller's promise; rows are within the slices.
    unsafe { pack::transpose(k.as_ptr(), width, keys, width, k_to, KEYS) };
    let to = v_to.cast::<T>();
    for first in (0..width).step_by(2 * shape.lanes) {
        let columns = (width - first).min(2 * shape.lanes);
        let panel_width = columns.next_multiple_of(shape.lanes);
        let panel = first * KEYS;
        for key in 0..keys.next_multiple_of(T::PER_UNIT) {
            let (unit, half) = (key / T::PER_UNIT, key % T::PER_UNIT);
            let row = panel + unit * panel_width * T::PER_UNIT + half;
            for column in 0..columns {
                let value = if key < keys { v[key * width + first + column] } else { T::default() };
                // SAFETY: panel, key and column are within `v_units`.
                unsafe { to.add(row + column * T::PER_UNIT).write(value) };
            }
        }
    }
}
