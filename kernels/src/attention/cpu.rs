//! Attention on the CPU: [`Online`] over all keys, for one block of queries and one head at a time. K and V are packed
//! once for each head.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint rows of one result and work on packed memory"
)]

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::cpu::{
    Level,
    host::{self, Element, Output, Units},
    keys::{self, Ahead, Keys},
    math::LOG2_E,
    online::{KEYS, Online, Shape},
    simd::{Simd, Work, dispatch},
};

/// Queries of a task: whole tiles and whole vectors at every level.
const QUERIES: usize = 96;

fn attention_with_lse<T: Element>(
    level: Level,
    [q, k, v]: [&Tensor; 3],
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let (batch, heads, queries, width) = q.dims4()?;
    let keys = k.dim(2)?;
    let shape = Shape::new::<T>(level, width, queries.min(QUERIES));
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
    let (query_blocks, tiles) = (queries.div_ceil(QUERIES), keys.div_ceil(KEYS));
    let group = (4 * rayon::current_num_threads()).div_ceil(query_blocks).clamp(1, all.max(1));
    let (k_head, v_head) = (shape.k_units() * tiles, shape.v_units::<T>() * tiles);
    let mut packed = Units::zeroed(group * (k_head + v_head));
    let packed_to = host::Shared::new(packed.pointer_mut());

    for first in (0..all).step_by(group) {
        let heads = first..all.min(first + group);
        (0..heads.len() * tiles).into_par_iter().for_each(|task| {
            let (head, tile) = (task / tiles, task % tiles);
            let start = ((first + head) * keys + tile * KEYS) * width;
            let rows = start..start + KEYS.min(keys - tile * KEYS) * width;
            let pack = Pack {
                shape: &shape,
                k: &k[rows.clone()],
                v: &v[rows],
                k_to: packed_to.at(head * (k_head + v_head) + tile * shape.k_units()),
                v_to: packed_to.at(head * (k_head + v_head) + k_head + tile * shape.v_units::<T>()),
            };
            // SAFETY: the level is the machine's at most; each task packs its own tile, of the size that the shape says.
            unsafe { dispatch(level, pack) };
        });
        (0..heads.len() * query_blocks).into_par_iter().for_each(|task| {
            let (head, block) = (task / query_blocks, task % query_blocks);
            let row = (first + head) * queries + block * QUERIES;
            let rows = QUERIES.min(queries - block * QUERIES);
            // SAFETY: the level is the machine's at most, the scratch is as large as the shape says, and each task
            // writes its own rows.
            host::with_scratch(shape.scratch_units(), |scratch| unsafe {
                let attend = Attend {
                    shape: &shape,
                    q: &q[row * width..(row + rows) * width],
                    k: packed_to.at(head * (k_head + v_head)),
                    v: packed_to.at(head * (k_head + v_head) + k_head),
                    scale: scale * LOG2_E,
                    bias: &bias,
                    scratch,
                    to: to.at(row * width),
                    lse: lse_to.at(row),
                };
                dispatch(level, attend);
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

/// Packing of one tile of a head's keys.
struct Pack<'a, T> {
    shape: &'a Shape,
    /// The tile's rows.
    k: &'a [T],
    v: &'a [T],
    k_to: *mut u32,
    v_to: *mut u32,
}

impl<T: Element> Work for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (width, keys) = (self.shape.width, self.k.len() / self.shape.width);
        let (mut k, mut v) = ([std::ptr::null(); KEYS], [std::ptr::null(); KEYS]);
        for (key, (k, v)) in k.iter_mut().zip(&mut v).enumerate().take(keys) {
            *k = self.k[key * width..].as_ptr();
            *v = self.v[key * width..].as_ptr();
        }
        // SAFETY: the rows are within the slices; the rest is the caller's promise.
        unsafe { keys::pack::<S, T>(self.shape, &k[..keys], &v[..keys], self.k_to, self.v_to) }
    }
}

/// One block of queries against all keys of its head.
struct Attend<'a, T> {
    shape: &'a Shape,
    /// The block's rows.
    q: &'a [T],
    /// The head's packed tiles.
    k: *const u32,
    v: *const u32,
    /// scale·log₂e.
    scale: f32,
    /// bias·log₂e, one a key.
    bias: &'a [f32],
    scratch: *mut u32,
    to: *mut T,
    lse: *mut f32,
}

impl<T: Element> Work for Attend<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.shape;
        // SAFETY: the caller has as many packed tiles as there are biases for, and scratch and room for the result.
        unsafe {
            let mut online = Online::start::<S>(shape, self.scale, self.q, self.scratch);
            for (tile, bias) in self.bias.chunks(KEYS).enumerate() {
                let keys = Keys {
                    k: self.k.add(tile * shape.k_units()),
                    v: self.v.add(tile * shape.v_units::<T>()),
                    bias,
                };
                online.absorb::<S>(keys, Ahead::NONE);
            }
            online.finish::<S>(self.to, self.lse);
        }
    }
}
