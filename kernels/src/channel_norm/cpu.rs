//! The channel norm on the CPU, a pixel at a time.
#![expect(unsafe_code, reason = "tasks write disjoint pixels of one result")]

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::SMALLEST_LENGTH;
use crate::cpu::{
    Level,
    epilogue::{load, store},
    host::{self, Element, Output, Shared},
    math,
    rows::{self, sum_of_squares},
    simd::{Simd, Work, dispatch},
};

pub(super) fn channel_norm(level: Level, x: &Tensor, gamma: &Tensor, silu: bool) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 => typed::<f32>(level, x, gamma, silu),
        _ => typed::<bf16>(level, x, gamma, silu),
    }
}

fn typed<T: Element>(level: Level, x: &Tensor, gamma: &Tensor, silu: bool) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let values = host::slice::<T>(&storage, layout)?;
    let root = (gamma.elem_count() as f32).sqrt();
    let gains: Vec<f32> = host::floats(gamma)?.iter().map(|g| g * root).collect();
    let mut result = Output::<T>::new(values.len());
    let to = result.shared();
    rows::in_parallel(values.len() / gains.len(), gains.len(), |rows| {
        // SAFETY: the level is the machine's at most; each task writes its own pixels.
        unsafe { dispatch(level, Pixels { x: values, gains: &gains, silu, rows, to }) };
    });
    // SAFETY: the tasks cover every pixel.
    unsafe { result.finish(x.shape()) }
}

struct Pixels<'a, T> {
    x: &'a [T],
    /// √C·gamma.
    gains: &'a [f32],
    silu: bool,
    rows: Range<usize>,
    to: Shared<T>,
}

impl<T: Element> Work for Pixels<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let width = self.gains.len();
        for row in self.rows {
            // SAFETY: a pixel of x and of the result, and the channels' gains.
            unsafe {
                let x = self.x.as_ptr().add(row * width);
                let length = sum_of_squares::<S, T>(x, width, 0.0).sqrt().max(SMALLEST_LENGTH);
                let factor = S::splat(1.0 / length);
                let mut i = 0;
                while i < width {
                    let count = S::LANES.min(width - i);
                    let gain = load::<S, f32>(self.gains.as_ptr().add(i), count);
                    let mut y = S::mul(S::mul(load::<S, T>(x.add(i), count), factor), gain);
                    if self.silu {
                        y = math::silu::<S>(y);
                    }
                    store::<S, T>(self.to.at(row * width + i), y, count);
                    i += S::LANES;
                }
            }
        }
    }
}
