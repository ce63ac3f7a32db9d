//! The ladder on a GPU: the first step that a budget does not pay for is searched, nothing is sorted, nothing waits.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{
    CudaDevice, DType, Result, Tensor,
    cuda::{
        WrapErr,
        cudarc::driver::{DeviceRepr, PushKernelArg},
    },
};

use super::whole;
use crate::{
    blocks::{Blocks, KEY_BLOCK},
    cuda::{self, Image},
    levels::{FULL, LevelMap},
};

#[cfg(test)]
mod tests;

/// Levels of a key block of 64, and the steps between them.
const LEVELS: usize = 7;
const STEPS: usize = LEVELS - 1;
/// Bits of a digit, and sums of its values.
const BITS: i32 = 11;
const DIGITS: usize = 1 << BITS;
/// Threads of a block.
const THREADS: usize = 256;

/// `Cut` of `ladder.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Cut {
    rows: i32,
    columns: i32,
    queries: i32,
    keys: i32,
    query_block: i32,
    key_block: i32,
    cells: i32,
    whole: f64,
}

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl DeviceRepr for Cut {}

/// What each step of each block gains, on a GPU.
#[derive(Debug)]
pub(super) struct Gains {
    /// `[6, blocks of all heads]` F32.
    of_steps: Tensor,
    loss: Tensor,
    cut: Cut,
    heads: usize,
}

impl Gains {
    /// The gains of `loss [B, H, rows, columns, 7]`; nothing where no kernel serves the call.
    pub(super) fn new(loss: &Tensor, blocks: Blocks) -> Result<Option<Self>> {
        let heads = loss.dim(0)? * loss.dim(1)?;
        let cells = heads * blocks.rows() * blocks.columns();
        // A key names a block by 29 bits.
        let is_served = blocks.key_block == KEY_BLOCK && cells < 1 << 29;
        let Some(device) = cuda::gpu(loss)?.filter(|_| is_served) else { return Ok(None) };
        let loss = loss.to_dtype(DType::F32)?.contiguous()?;
        let gains = cuda::room::<f32>(device, &[STEPS, cells])?;
        let cut = Cut {
            rows: blocks.rows() as i32,
            columns: blocks.columns() as i32,
            queries: blocks.queries as i32,
            keys: blocks.keys as i32,
            query_block: blocks.query_block as i32,
            key_block: blocks.key_block as i32,
            cells: cells as i32,
            whole: whole(heads, blocks) as f64,
        };
        let (from, to) = (cuda::at::<f32>(&loss)?, cuda::at::<f32>(&gains)?);
        let function = cuda::function(device, Image::Ladder, "ladder_gains")?;
        let stream = device.cuda_stream();
        let mut launch = stream.launch_builder(&function);
        launch.arg(&from).arg(&to).arg(&cut);
        // SAFETY: reads the losses of each block and writes a gain for each of its steps.
        unsafe { launch.launch(cuda::config((cells.div_ceil(THREADS), 1), THREADS, 0)?) }.w()?;
        Ok(Some(Self { of_steps: gains, loss, cut, heads }))
    }

    /// The map for which at most `budget` products are spent.
    pub(super) fn map(
        &self,
        budget: u64,
        (batch, heads): (usize, usize),
        blocks: Blocks,
    ) -> Result<LevelMap> {
        let device = self.of_steps.device().as_cuda_device()?;
        let deepest = blocks.deepest_level();
        // Every row, pooled into one key a block.
        let least = (self.heads * blocks.queries * blocks.columns()) as u64;
        let shape = [batch, heads, blocks.rows(), blocks.columns()];
        let levels = cuda::room::<u8>(device, &shape)?;
        // `State`: prefix, what is left, and whether all is paid for.
        let state = match budget.checked_sub(least) {
            Some(left) => [0, left as i64, 0],
            None => {
                return LevelMap::filled(deepest, (batch, heads), blocks)?
                    .to_device(self.of_steps.device());
            }
        };
        let state = Tensor::new(&state, self.of_steps.device())?;
        let sums = cuda::zeros::<i64>(device, &[DIGITS])?;
        let mut bottom = u64::BITS as i32;
        while bottom > 0 {
            let bits = BITS.min(bottom);
            bottom -= bits;
            self.narrow(device, [&state, &sums], (bottom, bits))?;
        }
        let at =
            [cuda::at::<f32>(&self.of_steps)?, cuda::at::<i64>(&state)?, cuda::at::<u8>(&levels)?];
        let function = cuda::function(device, Image::Ladder, "ladder_levels")?;
        let stream = device.cuda_stream();
        let mut launch = stream.launch_builder(&function);
        launch.arg(&at[0]).arg(&at[1]).arg(&at[2]).arg(&self.cut);
        let grid = ((self.cut.cells as usize).div_ceil(THREADS), 1);
        // SAFETY: reads the gains and the key that was found, writes a level for each block.
        unsafe { launch.launch(cuda::config(grid, THREADS, 0)?) }.w()?;
        LevelMap::among(levels, blocks, FULL..=deepest)
    }

    /// Finds one more digit of the key.
    fn narrow(
        &self,
        device: &CudaDevice,
        [state, sums]: [&Tensor; 2],
        (shift, bits): (i32, i32),
    ) -> Result<()> {
        let at =
            [cuda::at::<f32>(&self.of_steps)?, cuda::at::<i64>(state)?, cuda::at::<i64>(sums)?];
        let stream = device.cuda_stream();
        let function = cuda::function(device, Image::Ladder, "ladder_sums")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&at[0]).arg(&at[1]).arg(&at[2]).arg(&self.cut).arg(&shift).arg(&bits);
        let blocks = (self.cut.cells as usize).div_ceil(THREADS).min(1024);
        // SAFETY: reads the gains and the state, adds to the sums of `DIGITS` digits.
        unsafe { launch.launch(cuda::config((blocks, 1), THREADS, 0)?) }.w()?;
        let function = cuda::function(device, Image::Ladder, "ladder_digit")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&at[2]).arg(&at[1]).arg(&bits);
        // SAFETY: reads and clears those sums, writes the state.
        unsafe { launch.launch(cuda::config((1, 1), DIGITS / 2, 0)?) }.w().map(|_| ())
    }

    /// The sum of the losses of a map; waits.
    pub(super) fn loss(&self, map: &LevelMap) -> Result<f32> {
        let levels = map.levels().flatten_all()?;
        let places = (&levels - levels.ones_like()?)?.to_dtype(DType::U32)?.unsqueeze(1)?;
        let losses = self.loss.reshape(((), LEVELS))?.gather(&places, 1)?;
        losses.sum_all()?.to_scalar()
    }
}
