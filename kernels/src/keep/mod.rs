//! Blocks that are attended to in full whatever a selector says.
//!
//! Applied after selection, in this order: the sink's keys for every row; the rows of full queries; the row's own
//! blocks and their neighbours; then, where a row still has too few full blocks, the best of the others by score. A
//! block that straddles a range's end is in it. Nothing is ever made coarser. Work: O(rows·columns) a head. A map on a GPU
//! stays there (feature `cuda`). Source: methods.md §6.7.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::{
    blocks::Blocks,
    levels::{FULL, LevelMap},
    select::{Scores, ranked},
};

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

/// What is kept. The default keeps nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Keeps {
    /// The key blocks that lie where the query block does.
    pub own: bool,
    /// As many key blocks to either side of the own ones; counts only with `own`.
    pub radius: usize,
    /// Key tokens, in the order that the attention sees, that every query sees in full: text, a first frame.
    pub sink: Range<usize>,
    /// Query tokens, in that order, that see every key in full: text.
    pub full_rows: Range<usize>,
    /// Full blocks that every row has at least, filled up by score.
    pub least_full: usize,
}

/// `map` with what `keeps` names at level 1.
///
/// `scores [B, H, rows, columns]`, the ones that the map was selected by, are needed for `least_full` alone.
pub fn apply(keeps: &Keeps, map: &LevelMap, scores: Option<&Tensor>) -> Result<LevelMap> {
    let blocks = map.blocks();
    let (rows, columns) = (blocks.rows(), blocks.columns());
    for (name, range, tokens) in
        [("sink", &keeps.sink, blocks.keys), ("full_rows", &keeps.full_rows, blocks.queries)]
    {
        if range.end > tokens {
            bail!("keep: `{name}` must lie within the {tokens} tokens, got {range:?}");
        }
    }
    let scores = match (keeps.least_full, scores) {
        (0, _) => None,
        (_, Some(scores)) => Some(scores),
        (least, None) => bail!(
            "keep: `least_full` = {least} needs the scores to choose by: pass them, or set it to 0"
        ),
    };
    let sink = overlapping(&keeps.sink, blocks.key_block);
    let full_rows = overlapping(&keeps.full_rows, blocks.query_block);
    #[cfg(feature = "cuda")]
    if let Some(map) = cuda::apply(keeps, map, scores, [&sink, &full_rows])? {
        return Ok(map);
    }
    let scores = scores.map(|scores| Scores::new("keep", scores, blocks)).transpose()?;
    let mut levels = map.to_vec()?;
    levels.par_chunks_mut(columns).enumerate().for_each(|(index, levels)| {
        let row = index % rows;
        if full_rows.contains(&row) {
            levels.fill(FULL);
            return;
        }
        levels[sink.clone()].fill(FULL);
        if keeps.own {
            let own = blocks.own_columns(row);
            let first = own.start.saturating_sub(keeps.radius);
            levels[first..columns.min(own.end + keeps.radius)].fill(FULL);
        }
        if let Some(scores) = &scores {
            fill_up(levels, scores.row(index), row, keeps.least_full, blocks);
        }
    });
    LevelMap::from_vec(levels, map.heads(), blocks)
}

/// Makes the best of the other blocks full, until there are `least`.
fn fill_up(levels: &mut [u8], scores: &[f32], row: usize, least: usize, blocks: Blocks) {
    let full = levels.iter().map(|&level| usize::from(level == FULL)).sum();
    let mut missing = least.min(levels.len()).saturating_sub(full);
    if missing == 0 {
        return;
    }
    for column in ranked(scores, row, blocks) {
        let level = &mut levels[column as usize];
        if *level != FULL {
            *level = FULL;
            missing -= 1;
        }
        if missing == 0 {
            return;
        }
    }
}

/// The blocks that a range of tokens touches.
fn overlapping(tokens: &Range<usize>, block: usize) -> Range<usize> {
    if tokens.is_empty() { 0..0 } else { tokens.start / block..tokens.end.div_ceil(block) }
}
