//! Norm, head split and rotation on the CPU: a token's row is read once and written to its heads.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one result")]

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::RopeTables;
use crate::cpu::{
    Level,
    epilogue::{load, store},
    host::{self, Element, Output, Shared},
    rows::{self, sum_of_squares},
    simd::{Simd, Work, dispatch},
};

pub(super) fn norm_rope_heads(
    level: Level,
    x: &Tensor,
    norm: Option<(&Tensor, f64)>,
    heads: usize,
    rope: Option<&RopeTables>,
) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 => typed::<f32>(level, x, norm, heads, rope),
        _ => typed::<bf16>(level, x, norm, heads, rope),
    }
}

fn typed<T: Element>(
    level: Level,
    x: &Tensor,
    norm: Option<(&Tensor, f64)>,
    heads: usize,
    rope: Option<&RopeTables>,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, tokens, width) = x.dims3()?;
    let head = width / heads;
    let (storage, layout) = x.storage_and_layout();
    let values = host::slice::<T>(&storage, layout)?;
    let weight = norm.map(|(weight, _)| host::floats(weight)).transpose()?;
    let tables = match rope {
        Some(rope) => Some((host::floats(&rope.cos)?, host::floats(&rope.sin)?)),
        None => None,
    };
    let mut result = Output::<T>::new(values.len());
    let to = result.shared();
    rows::in_parallel(batch * tokens, width, |rows| {
        let job = Tokens {
            x: values,
            weight: weight.as_deref(),
            eps: norm.map_or(0.0, |(_, eps)| eps as f32),
            tables: tables.as_ref().map(|(cos, sin)| (cos.as_slice(), sin.as_slice())),
            length: tokens,
            heads,
            head,
            rows,
            to,
        };
        // SAFETY: the level is the machine's at most; the scratch holds two rows of a head; each task writes its own
        // rows.
        host::with_scratch(2 * head, |scratch| unsafe { dispatch(level, (job, scratch)) });
    });
    // SAFETY: the tasks cover every token, and each its heads.
    unsafe { result.finish((batch, heads, tokens, head)) }
}

struct Tokens<'a, T> {
    x: &'a [T],
    weight: Option<&'a [f32]>,
    eps: f32,
    /// cos and sin, `[S, D/2]`.
    tables: Option<(&'a [f32], &'a [f32])>,
    /// S.
    length: usize,
    heads: usize,
    head: usize,
    /// Rows of x, samples one after the other.
    rows: Range<usize>,
    to: Shared<T>,
}

impl<T: Element> Work for (Tokens<'_, T>, *mut u32) {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (job, scratch) = self;
        let (head, width) = (job.head, job.head * job.heads);
        // Each pair's cosine twice, and its sine with both signs: r·cos + swap(r)·sin is the rotation.
        let cosines = scratch.cast::<f32>();
        for row in job.rows {
            let (sample, token) = (row / job.length, row % job.length);
            // SAFETY: rows of x, of the tables and of the result; the scratch has 2·D numbers.
            unsafe {
                let sines = cosines.add(head);
                if let Some((cos, sin)) = job.tables {
                    for pair in 0..head / 2 {
                        let (c, s) =
                            (cos[token * (head / 2) + pair], sin[token * (head / 2) + pair]);
                        *cosines.add(2 * pair) = c;
                        *cosines.add(2 * pair + 1) = c;
                        *sines.add(2 * pair) = -s;
                        *sines.add(2 * pair + 1) = s;
                    }
                }
                let x = job.x.as_ptr().add(row * width);
                let factor = match job.weight {
                    Some(_) => {
                        1.0 / (sum_of_squares::<S, T>(x, width, 0.0) / width as f32 + job.eps)
                            .sqrt()
                    }
                    None => 1.0,
                };
                for h in 0..job.heads {
                    let to = job.to.at(((sample * job.heads + h) * job.length + token) * head);
                    let mut i = 0;
                    while i < head {
                        let count = S::LANES.min(head - i);
                        let mut r = load::<S, T>(x.add(h * head + i), count);
                        if let Some(weight) = job.weight {
                            let weight = load::<S, f32>(weight.as_ptr().add(h * head + i), count);
                            r = S::mul(S::mul(r, S::splat(factor)), weight);
                        }
                        if job.tables.is_some() {
                            let (cos, sin) = (
                                load::<S, f32>(cosines.add(i), count),
                                load::<S, f32>(sines.add(i), count),
                            );
                            r = S::fma(r, cos, S::mul(S::swap_pairs(r), sin));
                        }
                        store::<S, T>(to.add(i), r, count);
                        i += S::LANES;
                    }
                }
            }
        }
    }
}

pub(super) fn merge_heads(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 => merged::<f32>(x),
        _ => merged::<bf16>(x),
    }
}

fn merged<T: Element>(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, heads, tokens, head) = x.dims4()?;
    let (storage, layout) = x.storage_and_layout();
    let values = host::slice::<T>(&storage, layout)?;
    let mut result = Output::<T>::new(values.len());
    let to = result.shared();
    rows::in_parallel(batch * tokens, heads * head, |rows| {
        for row in rows {
            let (sample, token) = (row / tokens, row % tokens);
            for h in 0..heads {
                let from = &values[((sample * heads + h) * tokens + token) * head..][..head];
                // SAFETY: each task writes its own rows, of heads · head elements.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        from.as_ptr(),
                        to.at((row * heads + h) * head),
                        head,
                    );
                };
            }
        }
    });
    // SAFETY: the tasks cover every token, and each all heads.
    unsafe { result.finish((batch, tokens, heads * head)) }
}
