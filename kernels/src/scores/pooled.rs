//! Scores from block means: scale·q̄ᵢ·k̄ⱼ, which is the mean logit of the block.
#![expect(unsafe_code, reason = "made of the levels' vector methods")]

use candle_core::{DType, Device, Result, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::{logits, operands};
use crate::{
    blocks::Blocks,
    cpu::{
        Level,
        epilogue::{load, store},
        host::{self, Element},
        level,
        simd::{Simd, Work, dispatch},
    },
    pool,
};

/// The mean logit of every pair of blocks, `[B, H, rows, columns]` F32.
///
/// A ragged block's mean is over its true tokens. Work: 2·B·H·rows·columns·D FLOP and one read of q and k.
pub fn mean_pool(q: &Tensor, k: &Tensor, blocks: Blocks, scale: f32) -> Result<Tensor> {
    operands("mean_pool", q, k, blocks)?;
    logits(&means(q, blocks.query_block)?, &means(k, blocks.key_block)?, scale)
}

/// Means over runs of `run` tokens of `[B, H, S, D]`, the last run shorter: `[B, H, ⌈S/run⌉, D]`, F32 whatever x is, so
/// that scores carry no rounding to BF16.
pub(super) fn means(x: &Tensor, run: usize) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(means) = super::cuda::means(x, run)? {
        return Ok(means);
    }
    match level() {
        level if x.device().is_cpu() && level > Level::Reference => match x.dtype() {
            DType::BF16 => fast::<bf16>(level, x, run),
            _ => fast::<f32>(level, x, run),
        },
        _ => pool::mean_pool(&x.to_dtype(DType::F32)?, run),
    }
}

fn fast<T: Element>(level: Level, x: &Tensor, run: usize) -> Result<Tensor> {
    let (batch, heads, tokens, width) = x.dims4()?;
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let x = host::slice::<T>(&storage, layout)?;
    let runs = tokens.div_ceil(run);
    let mut means = vec![0.0; batch * heads * runs * width];
    let heads_of = means.par_chunks_mut(runs * width).zip(x.par_chunks(tokens * width));
    heads_of.for_each(|(means, x)| {
        let runs = means.par_chunks_mut(width).zip(x.par_chunks(run * width));
        runs.with_min_len(16).for_each(|(to, rows)| {
            // SAFETY: the level is the machine's at most.
            unsafe { dispatch(level, Run { rows, to }) };
        });
    });
    Tensor::from_vec(means, (batch, heads, runs, width), &Device::Cpu)
}

/// The mean of some rows as wide as `to`.
struct Run<'a, T> {
    rows: &'a [T],
    to: &'a mut [f32],
}

impl<T: Element> Work for Run<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Run { rows, to } = self;
        let width = to.len();
        // SAFETY: the loops stay within the rows and the result.
        unsafe {
            let share = S::splat(width as f32 / rows.len() as f32);
            let mut column = 0;
            while column < width {
                let count = S::LANES.min(width - column);
                let mut sums = [S::splat(0.0); 4];
                let mut at = column;
                while at < rows.len() {
                    let mut part = 0;
                    while part < 4 && at < rows.len() {
                        let x = load::<S, T>(rows.as_ptr().add(at), count);
                        sums[part] = S::add(sums[part], x);
                        at += width;
                        part += 1;
                    }
                }
                let sum = S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]));
                store::<S, f32>(to.as_mut_ptr().add(column), S::mul(sum, share), count);
                column += S::LANES;
            }
        }
    }
}
