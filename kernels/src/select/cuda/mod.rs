//! Selection on a GPU: a block of threads a row, the map stays where the scores are, nothing waits. A row of scores that the
//! host would refuse (NaN, no probabilities) is seen in full.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{
    DType, Result, Tensor,
    cuda::{
        WrapErr,
        cudarc::driver::{DeviceRepr, PushKernelArg},
    },
};

#[cfg(test)]
mod tests;

use super::{expected, sort_size};
use crate::{
    blocks::Blocks,
    cuda::{self, Image},
    levels::{LevelMap, SKIPPED},
};

/// Ends of a row that a kernel is passed at most.
const MOST_ENDS: usize = 8;

/// How cumulative shares are compared with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Reach {
    /// A block is in while its share does not exceed the bound, and the one that crosses it.
    Through = 1,
    /// A block is in while its share is below the bound.
    Below = 2,
}

/// Where one level ends in a row, best block first.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) level: u8,
    /// Of cumulative shares, or deviations above the mean.
    pub(super) bound: f64,
    /// Fewest and most blocks up to here.
    pub(super) blocks: (usize, usize),
}

/// `Ends` of `rows.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Ends {
    counts: u64,
    bound: [f64; MOST_ENDS],
    lowest: [i32; MOST_ENDS],
    highest: [i32; MOST_ENDS],
    level: [i32; MOST_ENDS],
    count: i32,
    shares: i32,
    crossing: i32,
}

/// `Cut` of `rows.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Cut {
    rows: i32,
    columns: i32,
    queries: i32,
    query_block: i32,
    key_block: i32,
}

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl DeviceRepr for Ends {}
// SAFETY: as above.
unsafe impl DeviceRepr for Cut {}

impl Ends {
    fn new(ends: &[End]) -> Self {
        let mut all = Self {
            counts: 0,
            bound: [0.0; MOST_ENDS],
            lowest: [0; MOST_ENDS],
            highest: [0; MOST_ENDS],
            level: [0; MOST_ENDS],
            count: ends.len() as i32,
            shares: 0,
            crossing: 0,
        };
        for (place, end) in ends.iter().enumerate() {
            all.bound[place] = end.bound;
            all.lowest[place] = i32::try_from(end.blocks.0).unwrap_or(i32::MAX);
            all.highest[place] = i32::try_from(end.blocks.1).unwrap_or(i32::MAX);
            all.level[place] = i32::from(end.level);
        }
        all
    }
}

/// Levels up to so many blocks of each row; nothing where no kernel serves the call.
pub(super) fn by_count(
    op: &str,
    scores: &Tensor,
    blocks: Blocks,
    ends: &[(u8, usize)],
) -> Result<Option<LevelMap>> {
    let end = |&(level, count)| End { level, bound: 0.0, blocks: (count, count) };
    let ends: Vec<End> = ends.iter().map(end).collect();
    ranked(op, scores, blocks, &ends, None, None)
}

/// One level, up to so many blocks of each row of each head; nothing where no kernel serves the call.
pub(super) fn by_count_of_head(
    op: &str,
    scores: &Tensor,
    blocks: Blocks,
    level: u8,
    counts: &[usize],
) -> Result<Option<LevelMap>> {
    let ends = [End { level, bound: 0.0, blocks: (0, usize::MAX) }];
    ranked(op, scores, blocks, &ends, None, Some(counts))
}

/// Levels up to shares of each row's sum; nothing where no kernel serves the call.
pub(super) fn by_share(
    op: &str,
    prob: &Tensor,
    blocks: Blocks,
    ends: &[End],
    (reach, crossing): (Reach, bool),
) -> Result<Option<LevelMap>> {
    ranked(op, prob, blocks, ends, Some((reach, crossing)), None)
}

fn ranked(
    op: &str,
    scores: &Tensor,
    blocks: Blocks,
    ends: &[End],
    shares: Option<(Reach, bool)>,
    counts: Option<&[usize]>,
) -> Result<Option<LevelMap>> {
    let [batch, heads, rows, columns] = expected(op, scores, blocks)?;
    let Some(size) = sort_size(columns).filter(|_| ends.len() <= MOST_ENDS) else {
        return Ok(None);
    };
    let Some(device) = cuda::gpu(scores)? else { return Ok(None) };
    let scores = scores.to_dtype(DType::F32)?.contiguous()?;
    let levels = cuda::room::<u8>(device, &[batch, heads, rows, columns])?;
    let mut args = Ends::new(ends);
    if let Some((reach, crossing)) = shares {
        (args.shares, args.crossing) = (reach as i32, i32::from(crossing));
    }
    let counts = counts.map(|counts| {
        let counts: Vec<u32> = counts.iter().map(|&count| count.min(columns) as u32).collect();
        Tensor::new(counts, scores.device())
    });
    let counts = counts.transpose()?;
    if let Some(counts) = &counts {
        args.counts = cuda::at::<u32>(counts)?;
    }
    let function = cuda::function(device, Image::Rows, "select_ranked")?;
    cuda::allow_shared(&function, size * 8)?;
    let (from, to) = (cuda::at::<f32>(&scores)?, cuda::at::<u8>(&levels)?);
    let (cut, of_sort) = (cut(blocks), size as i32);
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&to).arg(&args).arg(&cut).arg(&of_sort);
    let grid = (batch * heads * rows, 1);
    let threads = (size / 2).clamp(32, 256);
    // SAFETY: reads the scores and writes a level for each; its shared memory holds `size` keys.
    unsafe { launch.launch(cuda::config(grid, threads, size * 8)?) }.w()?;
    map(levels, blocks, ends).map(Some)
}

/// Levels of the blocks above mean + τ·σ of their rows; nothing where no kernel serves the call.
pub(super) fn above(
    op: &str,
    scores: &Tensor,
    blocks: Blocks,
    [mean, sigma]: [&Tensor; 2],
    ends: &[End],
) -> Result<Option<LevelMap>> {
    let [batch, heads, rows, columns] = expected(op, scores, blocks)?;
    let Some(device) = cuda::gpu(scores)?.filter(|_| ends.len() <= MOST_ENDS) else {
        return Ok(None);
    };
    let floats = |x: &Tensor| x.to_device(scores.device())?.to_dtype(DType::F32)?.contiguous();
    let (scores, mean, sigma) = (floats(scores)?, floats(mean)?, floats(sigma)?);
    let levels = cuda::room::<u8>(device, &[batch, heads, rows, columns])?;
    let at = [cuda::at::<f32>(&scores)?, cuda::at::<f32>(&mean)?, cuda::at::<f32>(&sigma)?];
    let (to, args, columns) = (cuda::at::<u8>(&levels)?, Ends::new(ends), columns as i32);
    let function = cuda::function(device, Image::Rows, "select_above")?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&at[0]).arg(&at[1]).arg(&at[2]).arg(&to).arg(&args).arg(&columns);
    // SAFETY: reads the scores and two numbers a row, writes a level for each score.
    unsafe { launch.launch(cuda::config((batch * heads * rows, 1), 128, 0)?) }.w()?;
    map(levels, blocks, ends).map(Some)
}

fn cut(blocks: Blocks) -> Cut {
    Cut {
        rows: blocks.rows() as i32,
        columns: blocks.columns() as i32,
        queries: blocks.queries as i32,
        query_block: blocks.query_block as i32,
        key_block: blocks.key_block as i32,
    }
}

/// Level 1 is always among them: of a row that no kernel can choose from.
fn map(levels: Tensor, blocks: Blocks, ends: &[End]) -> Result<LevelMap> {
    let all = ends.iter().map(|end| end.level).chain([SKIPPED, crate::levels::FULL]);
    LevelMap::among(levels, blocks, all)
}
