//! Likeness on the CPU: each block is read once, by one task.
#![expect(unsafe_code, reason = "made of the levels' vector methods")]

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::POOLS;
use crate::cpu::{
    Level,
    epilogue::load,
    host::{self, Element},
    rows::sum_of_squares,
    simd::{Simd, Work, dispatch},
};

pub(super) fn self_similarity<T: Element>(
    level: Level,
    x: &Tensor,
    block: usize,
) -> Result<Tensor> {
    let (batch, heads, tokens, _) = x.dims4()?;
    let values = by_block::<T, 1>(x, block, |rows, width, to| {
        let job = Similarity { rows, width };
        host::with_scratch(width.next_multiple_of(16), |sum| {
            // SAFETY: the level is the machine's at most, and the scratch holds a row in whole vectors.
            to[0] = unsafe { dispatch(level, (job, sum.cast())) };
        });
    })?;
    Tensor::from_vec(values, (batch, heads, tokens.div_ceil(block)), &Device::Cpu)
}

pub(super) fn group_cosine<T: Element>(
    level: Level,
    k: &Tensor,
    key_block: usize,
) -> Result<Tensor> {
    let (batch, heads, keys, _) = k.dims4()?;
    let values = by_block::<T, { POOLS.len() }>(k, key_block, |rows, width, to| {
        // SAFETY: the level is the machine's at most.
        unsafe { dispatch(level, (Groups { rows, width, key_block }, to)) };
    })?;
    Tensor::from_vec(values, (batch, heads, keys.div_ceil(key_block), POOLS.len()), &Device::Cpu)
}

/// N numbers for each block of each head, from its rows and their width.
fn by_block<T: Element, const N: usize>(
    x: &Tensor,
    block: usize,
    work: impl Fn(&[T], usize, &mut [f32]) + Sync,
) -> Result<Vec<f32>> {
    let (batch, heads, tokens, width) = x.dims4()?;
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let x = host::slice::<T>(&storage, layout)?;
    let mut values = vec![0.0; batch * heads * tokens.div_ceil(block) * N];
    let heads = values.par_chunks_mut(tokens.div_ceil(block) * N).zip(x.par_chunks(tokens * width));
    heads.for_each(|(values, x)| {
        let blocks = values.par_chunks_mut(N).zip(x.par_chunks(block * width));
        blocks.for_each(|(to, rows)| work(rows, width, to));
    });
    Ok(values)
}

struct Similarity<'a, T> {
    rows: &'a [T],
    width: usize,
}

impl<T: Element> Work for (Similarity<'_, T>, *mut f32) {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        let (Similarity { rows, width }, sum) = self;
        // SAFETY: the loops stay within the rows; the sum has `width` numbers in whole vectors.
        unsafe {
            let mut column = 0;
            while column < width {
                S::store(sum.add(column), S::splat(0.0));
                column += S::LANES;
            }
            let mut first = 0;
            while first < rows.len() {
                let row = rows.as_ptr().add(first);
                let factor = S::splat(1.0 / length::<S, T>(row, width));
                column = 0;
                while column < width {
                    let x = load::<S, T>(row.add(column), S::LANES.min(width - column));
                    let at = sum.add(column);
                    S::store(at, S::fma(x, factor, S::load(at)));
                    column += S::LANES;
                }
                first += width;
            }
            let count = (rows.len() / width) as f32;
            sum_of_squares::<S, f32>(sum, width, 0.0) / (count * count)
        }
    }
}

struct Groups<'a, T> {
    rows: &'a [T],
    width: usize,
    key_block: usize,
}

impl<T: Element> Work for (Groups<'_, T>, &mut [f32]) {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (Groups { rows, width, key_block }, to) = self;
        let tokens = rows.len() / width;
        let mut pool = 0;
        while pool < POOLS.len() {
            let size = POOLS[pool].min(key_block);
            let (mut sum, mut first) = (0.0, 0);
            while first < tokens {
                let last = tokens.min(first + size) - 1;
                // SAFETY: both are rows of the block.
                unsafe {
                    let (a, b) =
                        (rows.as_ptr().add(first * width), rows.as_ptr().add(last * width));
                    let lengths = length::<S, T>(a, width) * length::<S, T>(b, width);
                    sum += dot::<S, T>(a, b, width) / lengths;
                }
                first += size;
            }
            to[pool] = sum / tokens.div_ceil(size) as f32;
            pool += 1;
        }
    }
}

/// ‖x‖, but never 0.
#[inline(always)]
unsafe fn length<S: Simd, T: Element>(x: *const T, width: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { sum_of_squares::<S, T>(x, width, 0.0).sqrt().max(f32::MIN_POSITIVE) }
}

/// a·b of two rows.
#[inline(always)]
unsafe fn dot<S: Simd, T: Element>(a: *const T, b: *const T, width: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = S::splat(0.0);
        let mut i = 0;
        while i < width {
            let count = S::LANES.min(width - i);
            sum = S::fma(load::<S, T>(a.add(i), count), load::<S, T>(b.add(i), count), sum);
            i += S::LANES;
        }
        S::sum(sum)
    }
}
