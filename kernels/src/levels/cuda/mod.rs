//! Level maps on a GPU.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{
    Result,
    cuda::{
        WrapErr,
        cudarc::driver::{DeviceRepr, PushKernelArg},
    },
};

use super::{Densities, LevelMap};
use crate::cuda::{self, Image};

/// Rows that a block of threads counts.
const ROWS: usize = 8;

/// `Cut` of `density.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Cut {
    rows: i32,
    columns: i32,
    queries: i32,
    keys: i32,
    query_block: i32,
    key_block: i32,
    deepest: i32,
}

// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for Cut {}

/// The map's densities, counted on its GPU; nothing where it is on none.
pub(super) fn counted(map: &LevelMap) -> Result<Option<Densities>> {
    let Some(device) = cuda::gpu(&map.levels)? else { return Ok(None) };
    let (blocks, (batch, heads)) = (map.blocks, map.heads());
    let levels = map.levels.contiguous()?;
    let counts = cuda::zeros::<i64>(device, &[batch * heads, 2])?;
    let cut = Cut {
        rows: blocks.rows() as i32,
        columns: blocks.columns() as i32,
        queries: blocks.queries as i32,
        keys: blocks.keys as i32,
        query_block: blocks.query_block as i32,
        key_block: blocks.key_block as i32,
        deepest: i32::from(blocks.deepest_level()),
    };
    let (from, to) = (cuda::at::<u8>(&levels)?, cuda::at::<i64>(&counts)?);
    let function = cuda::function(device, Image::Density, "density")?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&to).arg(&cut);
    let grid = (blocks.rows().div_ceil(ROWS), batch * heads);
    // SAFETY: reads a level of each block and adds to two numbers of each head.
    unsafe { launch.launch(cuda::config(grid, 32 * ROWS, 0)?) }.w()?;
    Ok(Some(Densities::counts(counts, blocks)))
}
