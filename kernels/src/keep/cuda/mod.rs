//! Forced keeps on a GPU: the map stays there, nothing waits.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use std::ops::Range;

use candle_core::{
    DType, Result, Tensor,
    cuda::{
        WrapErr,
        cudarc::driver::{DeviceRepr, PushKernelArg},
    },
};

use super::Keeps;
use crate::{
    check,
    cuda::{self, Image},
    levels::{FULL, LevelMap},
    select::sort_size,
};

/// `Args` of `keep.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Args {
    from: u64,
    scores: u64,
    to: u64,
    rows: i32,
    columns: i32,
    queries: i32,
    query_block: i32,
    key_block: i32,
    sink: [i32; 2],
    full_rows: [i32; 2],
    own: i32,
    radius: i32,
    least_full: i32,
    size: i32,
}

// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for Args {}

/// [`super::apply`] on the map's GPU, `sink` in key blocks and `full_rows` in query blocks; nothing where no kernel serves
/// the call.
pub(super) fn apply(
    keeps: &Keeps,
    map: &LevelMap,
    scores: Option<&Tensor>,
    [sink, full_rows]: [&Range<usize>; 2],
) -> Result<Option<LevelMap>> {
    let blocks = map.blocks();
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let Some(size) = sort_size(columns) else { return Ok(None) };
    let Some(device) = cuda::gpu(map.levels())? else { return Ok(None) };
    let shape = map.levels().dims();
    let from = map.levels().contiguous()?;
    let scores = scores.map(|scores| {
        check::shape("keep", "scores", scores, shape)?;
        scores.to_device(from.device())?.to_dtype(DType::F32)?.contiguous()
    });
    let scores = scores.transpose()?;
    let to = cuda::room::<u8>(device, shape)?;
    let pair = |range: &Range<usize>| [range.start as i32, range.end as i32];
    let args = Args {
        from: cuda::at::<u8>(&from)?,
        scores: scores.as_ref().map_or(Ok(0), cuda::at::<f32>)?,
        to: cuda::at::<u8>(&to)?,
        rows: rows as i32,
        columns: columns as i32,
        queries: blocks.queries as i32,
        query_block: blocks.query_block as i32,
        key_block: blocks.key_block as i32,
        sink: pair(sink),
        full_rows: pair(full_rows),
        own: i32::from(keeps.own),
        radius: keeps.radius.min(columns) as i32,
        least_full: keeps.least_full.min(columns) as i32,
        size: size as i32,
    };
    let (threads, shared_bytes) = match keeps.least_full {
        0 => (128, 0),
        _ => ((size / 2).clamp(32, 256), size * 8),
    };
    let function = cuda::function(device, Image::Keep, "keep")?;
    cuda::allow_shared(&function, shared_bytes)?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&args);
    let grid = (shape[0] * shape[1] * rows, 1);
    // SAFETY: reads a level of each block, and a score where some are asked for; writes a level of each; its shared memory
    // holds `size` keys where it sorts.
    unsafe { launch.launch(cuda::config(grid, threads, shared_bytes)?) }.w()?;
    let all = (0..32).filter(|&level| map.uses(level)).chain([FULL]);
    LevelMap::among(to, blocks, all).map(Some)
}
