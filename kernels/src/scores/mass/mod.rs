//! The exact softmax mass of every pair of blocks.
//!
//! mass(i, j) = mean over the queries a of block i of Σ over the keys t of block j of e^(scale·qₐ·kₜ − LSEₐ): a row's masses
//! sum to 1. Nothing of size Sq×Sk is held. Work: 2·B·H·Sq·Sk·D FLOP, half of dense attention's; traffic as there.
//! With the LSE of an earlier call (it drifts slowly from step to step) there is no maximum to find. Source: methods.md
//! §2.3 (AdaSpa).

use candle_core::{DType, Result, Tensor, bail};
use half::bf16;

use super::operands;
use crate::{
    blocks::Blocks,
    check,
    cpu::{Level, level},
};

mod cpu;
mod reference;

/// The masses of one call, and what they were divided by.
#[derive(Debug, Clone)]
pub struct Mass {
    /// `[B, H, rows, columns]` F32.
    pub mass: Tensor,
    /// The natural log of each query's softmax denominator, `[B, H, Sq]` F32: computed, or the one that was given.
    pub lse: Tensor,
}

/// The mean softmax mass of every pair of blocks.
///
/// Without `lse` rows sum to 1. With the cached `lse [B, H, Sq]` F32 of an earlier call each query's weights are
/// e^(s − LSE): rows sum to about 1, as far as the denominators have not moved.
pub fn block_mass(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    lse: Option<&Tensor>,
) -> Result<Mass> {
    operands("block_mass", q, k, blocks)?;
    if let Some(lse) = lse {
        let (batch, heads, queries, _) = q.dims4()?;
        check::dtype("block_mass", "lse", lse, DType::F32)?;
        check::shape("block_mass", "lse", lse, &[batch, heads, queries])?;
    }
    match level() {
        level if q.device().is_cpu() && level > Level::Reference => match q.dtype() {
            DType::F32 => cpu::block_mass::<f32>(level, [q, k], blocks, scale, lse),
            _ => cpu::block_mass::<bf16>(level, [q, k], blocks, scale, lse),
        },
        _ => reference::block_mass(q, k, blocks, scale, lse),
    }
}

/// The softmax mass that each of the query tokens `rows` gives to each key block, `[B, H, rows.len(), columns]` F32.
///
/// Tokens are counted in the order that the attention sees; `blocks` cuts the keys. Work: 2·B·H·rows.len()·Sk·D FLOP.
pub fn sampled_rows(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    rows: &[u32],
) -> Result<Tensor> {
    operands("sampled_rows", q, k, blocks)?;
    if let Some(row) = rows.iter().find(|&&row| row as usize >= blocks.queries) {
        bail!("sampled_rows: `rows` must be query tokens below {}, got {row}", blocks.queries);
    }
    let single = Blocks::new(rows.len(), blocks.keys, 1, blocks.key_block)?;
    let q = q.contiguous()?.index_select(&Tensor::new(rows, q.device())?, 2)?;
    Ok(block_mass(&q, k, single, scale, None)?.mass)
}
