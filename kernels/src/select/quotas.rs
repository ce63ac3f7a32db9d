//! Levels by count.

use candle_core::{Result, Tensor};

use super::{Scores, assign, check_ends, ranked};
use crate::{blocks::Blocks, levels::LevelMap};

/// A row's blocks by descending score: the first ⌊n·share₁⌋ get the first level, those up to ⌊n·share₂⌋ the next, and so
/// on; the rest is skipped.
///
/// `scores [B, H, rows, columns]`; `ends` are (level, cumulative share), both ascending. Source: methods.md §2.1 (top-k
/// mode), without the rounding to whole tiles that PSA's kernel needs.
pub fn quotas(scores: &Tensor, blocks: Blocks, ends: &[(u8, f64)]) -> Result<LevelMap> {
    const OP: &str = "quotas";
    check_ends(OP, ends, blocks)?;
    let columns = blocks.columns() as f64;
    let count = |&(level, share): &(u8, f64)| (level, (columns * share) as usize);
    let counts: Vec<(u8, usize)> = ends.iter().map(count).collect();
    #[cfg(feature = "cuda")]
    if let Some(map) = super::cuda::by_count(OP, scores, blocks, &counts)? {
        return Ok(map);
    }
    let scores = Scores::new(OP, scores, blocks)?;
    scores.map(|row, levels| {
        let ranked = ranked(scores.row(row), row % blocks.rows(), blocks);
        assign(&ranked, counts.iter().copied(), levels);
    })
}

/// Of every block its place in its row, best first, as a share of the row, `[B, H, rows, columns]` F32: what [`quotas`]
/// compares with its ends. A block has the level of an end, or a finer one, where this does not exceed the end.
pub fn rank_share(scores: &Tensor, blocks: Blocks) -> Result<Tensor> {
    let scores = Scores::new("rank_share", scores, blocks)?;
    let columns = blocks.columns() as f64;
    scores.places(|row, places| {
        let ranked = ranked(scores.row(row), row % blocks.rows(), blocks);
        for (place, column) in ranked.iter().enumerate() {
            places[*column as usize] = ((place + 1) as f64 / columns) as f32;
        }
    })
}
