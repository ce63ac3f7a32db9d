//! The norms and the gated residual on the CPU, a row at a time: a row stays in the first-level cache between the sums
//! and the result.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one result")]

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use half::bf16;

use crate::cpu::{
    Level,
    epilogue::{load, store},
    host::{self, Element, Output, Shared},
    rows::{self, sum, sum_of_squares},
    simd::{Simd, Work, dispatch},
};

/// A norm: (x − mean, or x) / √(mean square of that + eps) · gain + offset.
pub(super) struct Norm {
    /// Whether the mean is taken away.
    pub(super) centred: bool,
    pub(super) eps: f64,
    /// One vector for all samples, or one for each.
    pub(super) gains: Vec<f32>,
    /// As `gains`.
    pub(super) offsets: Vec<f32>,
}

/// Applies the norm to the last dimension of x; vectors, when one for each sample, follow its first dimension.
pub(super) fn norm(level: Level, x: &Tensor, norm: &Norm, out: DType) -> Result<Tensor> {
    match (x.dtype(), out) {
        (DType::F32, DType::F32) => typed::<f32, f32>(level, x, norm),
        (DType::F32, _) => typed::<f32, bf16>(level, x, norm),
        (_, DType::F32) => typed::<bf16, f32>(level, x, norm),
        _ => typed::<bf16, bf16>(level, x, norm),
    }
}

fn typed<T: Element, O: Element>(level: Level, x: &Tensor, norm: &Norm) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let values = host::slice::<T>(&storage, layout)?;
    let width = x.dims().last().copied().unwrap_or(1);
    let count = values.len() / width;
    let mut result = Output::<O>::new(values.len());
    let to = result.shared();
    let samples = (norm.gains.len() / width).max(1);
    rows::in_parallel(count, width, |rows| {
        let job = NormRows { x: values, norm, width, rows_a_sample: count / samples, rows, to };
        // SAFETY: the level is the machine's at most; each task writes its own rows.
        unsafe { dispatch(level, job) };
    });
    // SAFETY: the tasks cover every row.
    unsafe { result.finish(x.shape()) }
}

struct NormRows<'a, T, O> {
    x: &'a [T],
    norm: &'a Norm,
    width: usize,
    rows_a_sample: usize,
    rows: Range<usize>,
    to: Shared<O>,
}

impl<T: Element, O: Element> Work for NormRows<'_, T, O> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let width = self.width;
        for row in self.rows {
            // SAFETY: rows of x and of the result; vectors of the row's sample.
            unsafe {
                let x = self.x.as_ptr().add(row * width);
                let to = self.to.at(row * width);
                let sample = row / self.rows_a_sample * width;
                let (gains, offsets) =
                    (self.norm.gains.as_ptr().add(sample), self.norm.offsets.as_ptr().add(sample));
                let mean =
                    if self.norm.centred { sum::<S, T>(x, width) / width as f32 } else { 0.0 };
                let variance = sum_of_squares::<S, T>(x, width, mean) / width as f32;
                let factor = S::splat(1.0 / (variance + self.norm.eps as f32).sqrt());
                let mean = S::splat(mean);
                let mut i = 0;
                while i < width {
                    let count = S::LANES.min(width - i);
                    let normed = S::mul(S::sub(load::<S, T>(x.add(i), count), mean), factor);
                    let gain = load::<S, f32>(gains.add(i), count);
                    let offset = load::<S, f32>(offsets.add(i), count);
                    store::<S, O>(to.add(i), S::fma(normed, gain, offset), count);
                    i += S::LANES;
                }
            }
        }
    }
}

/// x + gate·y; gate holds one vector for all samples, one for each, or nothing.
pub(super) fn gated_add(
    level: Level,
    x: &Tensor,
    y: &Tensor,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    match y.dtype() {
        DType::F32 => typed_add::<f32>(level, x, y, gate),
        _ => typed_add::<bf16>(level, x, y, gate),
    }
}

fn typed_add<T: Element>(
    level: Level,
    x: &Tensor,
    y: &Tensor,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    let (x, y) = (x.contiguous()?, y.contiguous()?);
    let (_, _, width) = x.dims3()?;
    let ((xs, xl), (ys, yl)) = (x.storage_and_layout(), y.storage_and_layout());
    let (x_values, y_values) = (host::slice::<f32>(&xs, xl)?, host::slice::<T>(&ys, yl)?);
    let gates = match gate {
        Some(gate) => host::floats(gate)?,
        None => vec![1.0; width],
    };
    let count = x_values.len() / width.max(1);
    let samples = (gates.len() / width.max(1)).max(1);
    let mut result = Output::<f32>::new(x_values.len());
    let to = result.shared();
    rows::in_parallel(count, width, |rows| {
        let rows_a_sample = count / samples;
        let job =
            AddRows { x: x_values, y: y_values, gates: &gates, width, rows_a_sample, rows, to };
        // SAFETY: the level is the machine's at most; each task writes its own rows.
        unsafe { dispatch(level, job) };
    });
    // SAFETY: the tasks cover every row.
    unsafe { result.finish(x.shape()) }
}

struct AddRows<'a, T> {
    x: &'a [f32],
    y: &'a [T],
    gates: &'a [f32],
    width: usize,
    rows_a_sample: usize,
    rows: Range<usize>,
    to: Shared<f32>,
}

impl<T: Element> Work for AddRows<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for row in self.rows {
            let start = row * self.width;
            let mut i = 0;
            while i < self.width {
                let count = S::LANES.min(self.width - i);
                // SAFETY: rows of x, y and the result; the vector of the row's sample.
                unsafe {
                    let gate = self.gates.as_ptr().add(row / self.rows_a_sample * self.width + i);
                    let x = load::<S, f32>(self.x.as_ptr().add(start + i), count);
                    let y = load::<S, T>(self.y.as_ptr().add(start + i), count);
                    let sum = S::fma(load::<S, f32>(gate, count), y, x);
                    store::<S, f32>(self.to.at(start + i), sum, count);
                }
                i += S::LANES;
            }
        }
    }
}

/// x + y of one dtype and shape.
pub(super) fn add(level: Level, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 => typed_sum::<f32>(level, x, y),
        _ => typed_sum::<bf16>(level, x, y),
    }
}

fn typed_sum<T: Element>(level: Level, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (x, y) = (x.contiguous()?, y.contiguous()?);
    let ((xs, xl), (ys, yl)) = (x.storage_and_layout(), y.storage_and_layout());
    let (x_values, y_values) = (host::slice::<T>(&xs, xl)?, host::slice::<T>(&ys, yl)?);
    let mut result = Output::<T>::new(x_values.len());
    let to = result.shared();
    rows::in_parallel(x_values.len(), 1, |range| {
        let to = to.at(range.start);
        // SAFETY: the level is the machine's at most; each task writes its own elements.
        unsafe { dispatch(level, Sum { x: &x_values[range.clone()], y: &y_values[range], to }) };
    });
    // SAFETY: the tasks cover every element.
    unsafe { result.finish(x.shape()) }
}

struct Sum<'a, T> {
    x: &'a [T],
    y: &'a [T],
    to: *mut T,
}

impl<T: Element> Work for Sum<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut i = 0;
        while i < self.x.len() {
            let count = S::LANES.min(self.x.len() - i);
            // SAFETY: elements i..i + count of x, y and the result.
            unsafe {
                let x = load::<S, T>(self.x.as_ptr().add(i), count);
                let y = load::<S, T>(self.y.as_ptr().add(i), count);
                store::<S, T>(self.to.add(i), S::add(x, y), count);
            }
            i += S::LANES;
        }
    }
}
