//! Means over runs on the CPU, on all cores.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one result")]

use candle_core::{Result, Tensor};

use crate::cpu::{
    Level, epilogue,
    host::{self, Element, Output},
    rows,
    simd::{Simd, Work, dispatch},
};

/// As [`super::mean_pool`].
pub(super) fn mean_pool<T: Element>(level: Level, x: &Tensor, run: usize) -> Result<Tensor> {
    let (batch, heads, tokens, width) = x.dims4()?;
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let x = host::slice::<T>(&storage, layout)?;
    let runs = tokens.div_ceil(run);
    let ends: Vec<u32> = (0..=runs).map(|g| (g * run).min(tokens) as u32).collect();
    let mut result = Output::<T>::new(batch * heads * runs * width);
    let to = result.shared();
    rows::in_parallel(batch * heads * runs, run * width, |mut groups| {
        while !groups.is_empty() {
            // As many as the head has left.
            let (head, first) = (groups.start / runs, groups.start % runs);
            let count = groups.len().min(runs - first);
            let means = Means {
                x: x[head * tokens * width..].as_ptr(),
                width,
                ends: &ends[first..=first + count],
                to: to.at(groups.start * width),
            };
            // SAFETY: the level is the machine's at most; each task writes its own rows.
            unsafe { dispatch(level, means) };
            groups.start += count;
        }
    });
    // SAFETY: the tasks cover every row.
    unsafe { result.finish((batch, heads, runs, width)) }
}

/// The means of consecutive groups of rows: group g is rows `ends[g]..ends[g + 1]`, at least one. F32 sums in the order
/// of the rows, rounded once.
pub(crate) struct Means<'a, T> {
    /// Row 0.
    pub(crate) x: *const T,
    pub(crate) width: usize,
    pub(crate) ends: &'a [u32],
    /// The first group's mean.
    pub(crate) to: *mut T,
}

impl<T: Element> Work for Means<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (group, ends) in self.ends.windows(2).enumerate() {
            let (first, end) = (ends[0] as usize, ends[1] as usize);
            let mut column = 0;
            while column < self.width {
                let count = S::LANES.min(self.width - column);
                // SAFETY: the caller has the rows that `ends` names, and room for a mean of each group.
                unsafe {
                    let mut sum = S::splat(0.0);
                    for row in first..end {
                        let at = self.x.add(row * self.width + column);
                        sum = S::add(sum, epilogue::load::<S, T>(at, count));
                    }
                    let mean = S::div(sum, S::splat((end - first) as f32));
                    epilogue::store::<S, T>(self.to.add(group * self.width + column), mean, count);
                }
                column += S::LANES;
            }
        }
    }
}
