//! Loops over the elements of a row, over the rows of a tensor, and over tasks.
#![expect(unsafe_code, reason = "made of the levels' vector methods")]

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;

use super::{epilogue::load, host::Element, simd::Simd};

/// Elements that a task of a pointwise kernel takes.
const ELEMENTS: usize = 32 * 1024;

/// Calls `work` with ranges that cover `rows` rows of `width` elements, on all cores.
pub(crate) fn in_parallel(rows: usize, width: usize, work: impl Fn(Range<usize>) + Sync) {
    let each = (ELEMENTS / width.max(1)).max(1);
    (0..rows.div_ceil(each))
        .into_par_iter()
        .for_each(|task| work(task * each..rows.min((task + 1) * each)));
}

/// Calls `work` with every task on all cores: in their order, each core taking the next one when it is free.
pub(crate) fn in_turn<T: Sync>(tasks: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    (0..rayon::current_num_threads().min(tasks.len())).into_par_iter().with_max_len(1).for_each(
        |_| {
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(task);
            }
        },
    );
}

/// Σ x of a row.
///
/// # Safety
/// As the methods of [`Simd`]; `width` elements at `x`.
#[inline(always)]
pub(crate) unsafe fn sum<S: Simd, T: Element>(x: *const T, width: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [S::splat(0.0); 4];
        let mut i = 0;
        while i + 4 * S::LANES <= width {
            for (part, sum) in sums.iter_mut().enumerate() {
                *sum = S::add(*sum, load::<S, T>(x.add(i + part * S::LANES), S::LANES));
            }
            i += 4 * S::LANES;
        }
        while i < width {
            sums[0] = S::add(sums[0], load::<S, T>(x.add(i), S::LANES.min(width - i)));
            i += S::LANES;
        }
        S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])))
    }
}

/// Σ (x − centre)² of a row.
///
/// # Safety
/// As [`sum`].
#[inline(always)]
pub(crate) unsafe fn sum_of_squares<S: Simd, T: Element>(
    x: *const T,
    width: usize,
    centre: f32,
) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let centre = S::splat(centre);
        let mut sums = [S::splat(0.0); 4];
        let mut i = 0;
        while i + 4 * S::LANES <= width {
            for (part, sum) in sums.iter_mut().enumerate() {
                let d = S::sub(load::<S, T>(x.add(i + part * S::LANES), S::LANES), centre);
                *sum = S::fma(d, d, *sum);
            }
            i += 4 * S::LANES;
        }
        while i < width {
            let count = S::LANES.min(width - i);
            let mut d = S::sub(load::<S, T>(x.add(i), count), centre);
            if count < S::LANES {
                // Lanes beyond the row hold −centre: put zeros there.
                let mut kept = [0.0; 16];
                S::store_first(kept.as_mut_ptr(), d, count);
                d = S::load(kept.as_ptr());
            }
            sums[0] = S::fma(d, d, sums[0]);
            i += S::LANES;
        }
        S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])))
    }
}
