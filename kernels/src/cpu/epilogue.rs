//! From a tile's sums to the result: bias, activation, rounding, ragged edges.
#![expect(unsafe_code, reason = "reads scratch and writes results through pointers")]

use std::any::TypeId;

use half::bf16;

use super::{host::Element, math, simd::Simd};
use crate::Activation;

/// What happens to sums on their way into the result.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One number a column, or none.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Activation,
}

/// Where a tile's sums go.
#[derive(Clone, Copy)]
pub(crate) struct Place<T> {
    /// The first row's first column.
    pub(crate) to: *mut T,
    /// The same element of a tensor of the result's shape that is added before rounding.
    pub(crate) added: Option<*const T>,
    /// From one row to the next.
    pub(crate) step: usize,
}

impl Epilogue<'_> {
    /// Finishes `rows`×`columns` sums, `ld` apart, whose first column is `first`, into `place`.
    ///
    /// # Safety
    /// As the methods of [`Simd`]; memory is there for what the shapes name.
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Simd, T: Element>(
        &self,
        sums: *const f32,
        ld: usize,
        (rows, columns): (usize, usize),
        first: usize,
        place: Place<T>,
    ) {
        let mut c = 0;
        while c < columns {
            let count = (columns - c).min(S::LANES);
            // SAFETY: columns c..c + count are within the shapes that the caller names.
            unsafe {
                let bias = match self.bias.get(first + c..first + c + count) {
                    Some(bias) => S::load_first(bias.as_ptr(), count),
                    None => S::splat(0.0),
                };
                for r in 0..rows {
                    let sum = S::add(S::load(sums.add(r * ld + c)), bias);
                    let mut y = math::activate::<S>(self.activation, sum);
                    let at = r * place.step + c;
                    if let Some(added) = place.added {
                        y = S::add(y, load::<S, T>(added.add(at), count));
                    }
                    store::<S, T>(place.to.add(at), y, count);
                }
            }
            c += S::LANES;
        }
    }
}

/// Stores the first `count` ≤ LANES values of `x`, rounded to `T`.
///
/// # Safety
/// As the methods of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn store<S: Simd, T: Element>(to: *mut T, x: S::V, count: usize) {
    // SAFETY: the caller's promise; T is F32 or BF16, told apart by its size in units.
    unsafe {
        if TypeId::of::<T>() == TypeId::of::<f32>() {
            if count == S::LANES {
                S::store(to.cast(), x);
            } else {
                S::store_first(to.cast(), x, count);
            }
        } else if count == S::LANES {
            S::store_bf16(to.cast(), x);
        } else {
            let mut whole = [bf16::ZERO; 16];
            S::store_bf16(whole.as_mut_ptr(), x);
            std::ptr::copy_nonoverlapping(whole.as_ptr(), to.cast(), count);
        }
    }
}

/// Loads the first `count` ≤ LANES values, zeros after them.
///
/// # Safety
/// As the methods of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn load<S: Simd, T: Element>(from: *const T, count: usize) -> S::V {
    // SAFETY: as `store`.
    unsafe {
        if TypeId::of::<T>() == TypeId::of::<f32>() {
            if count == S::LANES { S::load(from.cast()) } else { S::load_first(from.cast(), count) }
        } else if count == S::LANES {
            S::load_bf16(from.cast())
        } else {
            let mut whole = [bf16::ZERO; 16];
            std::ptr::copy_nonoverlapping(from.cast(), whole.as_mut_ptr(), count);
            S::load_bf16(whole.as_ptr())
        }
    }
}
