//! Attention on the CPU: an online softmax over blocks of keys, for one block of queries and one head at a time.
//!
//! Scores are computed transposed, Sᵀ = K·Qᵀ: keys are a tile's rows and queries its columns. Maximum, exponent and
//! sum then run along vectors of queries without crossing lanes, and P comes out k-major, as the product P·V reads it.
//! The exponent is base 2 with log₂e folded into scale and bias. K and V are packed once for each head.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint rows of one result and work on packed memory"
)]

use std::f32::consts::LN_2;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::{cpu_block::Block, cpu_pack};
use crate::cpu::{
    Level,
    host::{self, Element, Output, Units},
    math::LOG2_E,
    pack,
    simd::dispatch,
};

/// Queries of a task: whole tiles and whole vectors at every level.
pub(super) const QUERIES: usize = 96;
/// Keys of a block: whole tiles at every level, and even.
pub(super) const KEYS: usize = 192;

/// The sizes of one call.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// D.
    pub(super) width: usize,
    /// Units along D.
    pub(super) depth: usize,
    /// Columns of the sums: D in whole vectors.
    pub(super) columns: usize,
    pub(super) lanes: usize,
}

impl Shape {
    fn new<T: Element>(level: Level, queries: usize, keys: usize, width: usize) -> Self {
        let lanes = pack::lanes(level);
        let depth = width.div_ceil(T::PER_UNIT);
        Self { queries, keys, width, depth, columns: width.next_multiple_of(lanes), lanes }
    }

    fn key_blocks(&self) -> usize {
        self.keys.div_ceil(KEYS)
    }

    /// Units of a packed block of K.
    pub(super) fn k_units(&self) -> usize {
        self.depth * KEYS
    }

    /// Units of a packed block of V.
    pub(super) fn v_units<T: Element>(&self) -> usize {
        self.columns * KEYS / T::PER_UNIT
    }

    /// Queries of a task in whole panels.
    pub(super) fn query_columns(&self) -> usize {
        self.queries.min(QUERIES).next_multiple_of(2 * self.lanes)
    }

    /// Units of a task's scratch: Q, the scores, the sums, and three numbers a query.
    fn scratch_units(&self) -> usize {
        let columns = self.query_columns();
        (self.depth + KEYS + 3) * columns + QUERIES * self.columns
    }
}

pub(super) fn attention_with_lse<T: Element>(
    level: Level,
    [q, k, v]: [&Tensor; 3],
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let (batch, heads, queries, width) = q.dims4()?;
    let keys = k.dim(2)?;
    let shape = Shape::new::<T>(level, queries, keys, width);
    let bias = match key_bias {
        Some(bias) => host::floats(bias)?.iter().map(|b| b * LOG2_E).collect(),
        None => vec![0.0; keys],
    };
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let ((q, ql), (k, kl), (v, vl)) =
        (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
    let (q, k, v) =
        (host::slice::<T>(&q, ql)?, host::slice::<T>(&k, kl)?, host::slice::<T>(&v, vl)?);

    let all = batch * heads;
    let mut result = Output::<T>::new(q.len());
    let mut lses = Output::<f32>::new(all * queries);
    let (to, lse_to) = (result.shared(), lses.shared());

    // Heads are packed and attended in groups: enough tasks for every core, and little packed at once.
    let query_blocks = queries.div_ceil(QUERIES);
    let group = (4 * rayon::current_num_threads()).div_ceil(query_blocks).clamp(1, all.max(1));
    let (k_head, v_head) =
        (shape.k_units() * shape.key_blocks(), shape.v_units::<T>() * shape.key_blocks());
    let mut packed = Units::zeroed(group * (k_head + v_head));
    let packed_to = host::Shared::new(packed.pointer_mut());
    let q_offsets: Vec<usize> = (0..shape.depth).map(|d| d * KEYS).collect();
    let p_offsets: Vec<usize> = (0..KEYS).map(|key| key * shape.query_columns()).collect();

    for first in (0..all).step_by(group) {
        let heads = first..all.min(first + group);
        (0..heads.len() * shape.key_blocks()).into_par_iter().for_each(|task| {
            let (head, block) = (task / shape.key_blocks(), task % shape.key_blocks());
            let start = ((first + head) * keys + block * KEYS) * width;
            let count = KEYS.min(keys - block * KEYS);
            let k_to = packed_to.at(head * (k_head + v_head) + block * shape.k_units());
            let v_to =
                packed_to.at(head * (k_head + v_head) + k_head + block * shape.v_units::<T>());
            let rows = start..start + count * width;
            // SAFETY: each task packs its own block, of the size that the shape says.
            unsafe { cpu_pack::keys_and_values(&shape, &k[rows.clone()], &v[rows], k_to, v_to) };
        });
        (0..heads.len() * query_blocks).into_par_iter().for_each(|task| {
            let (head, block) = (task / query_blocks, task % query_blocks);
            let row = (first + head) * queries + block * QUERIES;
            let rows = QUERIES.min(queries - block * QUERIES);
            let job = Block {
                shape,
                q: &q[row * width..(row + rows) * width],
                k: packed_to.at(head * (k_head + v_head)),
                v: packed_to.at(head * (k_head + v_head) + k_head),
                scale: scale * LOG2_E,
                bias: &bias,
                q_offsets: &q_offsets,
                p_offsets: &p_offsets,
                to: to.at(row * width),
                lse: lse_to.at(row),
            };
            // SAFETY: the level is the machine's at most, the scratch is as large as the shape says, and each task
            // writes its own rows.
            host::with_scratch(shape.scratch_units(), |scratch| unsafe {
                dispatch(level, (job, scratch));
            });
        });
    }
    // SAFETY: the tasks cover every head and every query.
    unsafe {
        Ok((result.finish((batch, heads, queries, width))?, lses.finish((batch, heads, queries))?))
    }
}

/// The path of q's dtype.
pub(super) fn dispatch_dtype(
    level: Level,
    operands: [&Tensor; 3],
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    match operands[0].dtype() {
        DType::F32 => attention_with_lse::<f32>(level, operands, scale, key_bias),
        _ => attention_with_lse::<half::bf16>(level, operands, scale, key_bias),
    }
}

/// The natural log of a softmax denominator from its maximum and sum in base 2.
pub(super) fn natural(highest: f32, sum: f32) -> f32 {
    (highest + sum.log2()) * LN_2
}
