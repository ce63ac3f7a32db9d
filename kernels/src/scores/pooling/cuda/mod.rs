//! Pooling losses on a GPU: two walks over the keys, the result stays there, nothing waits.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{
    CudaDevice, DType, Result, Tensor,
    cuda::{
        WrapErr,
        cudarc::driver::{DeviceRepr, PushKernelArg},
    },
};

use super::PoolingLoss;
use crate::{
    blocks::{Blocks, KEY_BLOCK, QUERY_BLOCK},
    cuda::{self, Image, Shape},
    scores::cuda::{Factors, Operand, address, plan, readable},
};

#[cfg(test)]
mod tests;

/// Sampled queries of a block, of which an instruction's eight rows are made.
const QUERIES: usize = 8;
/// Levels above the first.
const LEVELS: usize = 6;
/// Shared memory that the kernels have besides what they are given.
const OWN_BYTES: usize = 8 << 10;

/// `Args` of `losses.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Args {
    a: Operand,
    b: Operand,
    spreads: [u64; LEVELS],
    partial: u64,
    loss: u64,
    mass: u64,
    rows: i32,
    columns: i32,
    keys: i32,
    tiles: i32,
    parts: i32,
    scale: f32,
}

/// `Spreads` of `spreads.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct SpreadArgs {
    levels: [u64; LEVELS],
}

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl DeviceRepr for Args {}
// SAFETY: as above.
unsafe impl DeviceRepr for SpreadArgs {}

/// [`super::pooling_loss`]; nothing where no kernel serves the call.
pub(super) fn pooling_loss(
    [q, k, v]: [&Tensor; 3],
    blocks: Blocks,
    scale: f32,
    queries: usize,
    seed: u64,
) -> Result<Option<PoolingLoss>> {
    let (batch, heads, _, width) = q.dims4()?;
    let heads_of = batch * heads;
    let is_known = (queries, blocks.query_block, blocks.key_block)
        == (QUERIES, QUERY_BLOCK, KEY_BLOCK)
        && plan::is_served(width)
        && u32::try_from(heads_of * blocks.queries).is_ok();
    let Some(limits) = cuda::limits(q.device())?.filter(|_| is_known) else { return Ok(None) };
    let (Some((device, q)), Some((_, k)), Some((_, v))) =
        (readable(q, width)?, readable(k, width)?, readable(v, plan::THREADS)?)
    else {
        return Ok(None);
    };
    let kind = if q.dtype() == DType::F32 { "f32" } else { "bf16" };
    let parts = 1 + usize::from(q.dtype() == DType::F32);
    let bytes = plan::shared_bytes(width, parts);
    if bytes + OWN_BYTES > limits.shared_bytes {
        return Ok(None);
    }
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let places = drawn(device, &q, blocks, heads_of, seed)?;
    let a = q.reshape((heads_of * blocks.queries, width))?.index_select(&places, 0)?;
    let a = Factors::of(device, &a.reshape((heads_of, rows * QUERIES, width))?)?;
    let b = Factors::of(device, &k.reshape((heads_of, blocks.keys, width))?)?;
    let spreads = spreads(device, &v, blocks)?;

    let (grid, tiles) = plan::grid((a.rows, b.rows, heads_of), limits.multiprocessors);
    let partial = cuda::room::<f32>(device, &[grid[2] as usize, heads_of, a.rows, 2])?;
    let shape = [batch, heads, rows, columns, LEVELS + 1];
    let loss = cuda::room::<f32>(device, &shape)?;
    let mass = cuda::room::<f32>(device, &shape[..4])?;
    let mut args = Args {
        a: a.operand()?,
        b: b.operand()?,
        spreads: [0; LEVELS],
        partial: cuda::at::<f32>(&partial)?,
        loss: cuda::at::<f32>(&loss)?,
        mass: cuda::at::<f32>(&mass)?,
        rows: rows as i32,
        columns: columns as i32,
        keys: blocks.keys as i32,
        tiles: tiles as i32,
        parts: grid[2] as i32,
        scale: scale * std::f32::consts::LOG2_E,
    };
    for (spread, at) in spreads.iter().zip(&mut args.spreads) {
        *at = cuda::at::<f32>(spread)?;
    }
    let stream = device.cuda_stream();
    for walk in ["denominators", "losses"] {
        let function = cuda::function(device, Image::Losses, &format!("{walk}_{kind}_d{width}"))?;
        cuda::allow_shared(&function, bytes)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&args);
        let shape = Shape { grid, threads: plan::THREADS as u32, shared_bytes: bytes };
        let config = cuda::launch_config(&shape, walk)?;
        // SAFETY: reads the factors and spreads of the sizes told; writes the parts of each query's denominator, then the
        // losses and the mass of each pair of blocks.
        unsafe { launch.launch(config) }.w()?;
    }
    Ok(Some(PoolingLoss { loss, mass }))
}

/// The sampled queries of all blocks as places in `[B·H·Sq]`.
fn drawn(
    device: &CudaDevice,
    q: &Tensor,
    blocks: Blocks,
    heads: usize,
    seed: u64,
) -> Result<Tensor> {
    let rows = blocks.rows();
    let places = cuda::room::<u32>(device, &[heads * rows * QUERIES])?;
    let to = cuda::at::<u32>(&places)?;
    let counts = [rows, q.dim(2)?, blocks.query_block, QUERIES].map(|count| count as i32);
    let function = cuda::function(device, Image::Spreads, "drawn_queries")?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&to).arg(&counts[0]).arg(&counts[1]).arg(&counts[2]).arg(&counts[3]).arg(&seed);
    // SAFETY: writes `QUERIES` places for each row.
    unsafe { launch.launch(cuda::config((rows.div_ceil(32), heads), 32, 0)?) }.w()?;
    Ok(places)
}

/// Of each level above the first (1/n) Σ ‖v − v̄‖² of each group of each head.
fn spreads(device: &CudaDevice, v: &Tensor, blocks: Blocks) -> Result<Vec<Tensor>> {
    let (batch, heads, keys, width) = v.dims4()?;
    let of_level =
        |level| cuda::room::<f32>(device, &[batch * heads, keys.div_ceil(2_usize << level)]);
    let all = (0..LEVELS).map(of_level).collect::<Result<Vec<_>>>()?;
    let mut args = SpreadArgs { levels: [0; LEVELS] };
    for (spread, at) in all.iter().zip(&mut args.levels) {
        *at = cuda::at::<f32>(spread)?;
    }
    let kind = if v.dtype() == DType::F32 { "f32" } else { "bf16" };
    let (from, keys, width_of) = (address(v)?, keys as i32, width as i32);
    let bytes = blocks.key_block * width * 4;
    let function = cuda::function(device, Image::Spreads, &format!("spreads_{kind}"))?;
    cuda::allow_shared(&function, bytes)?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&args).arg(&keys).arg(&width_of);
    let grid = (blocks.columns(), batch * heads);
    // SAFETY: reads v and writes each group of each level; its shared memory holds a block's values.
    unsafe { launch.launch(cuda::config(grid, plan::THREADS, bytes)?) }.w()?;
    Ok(all)
}
