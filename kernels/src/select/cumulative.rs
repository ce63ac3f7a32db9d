//! Levels by cumulative probability.

use candle_core::{Result, Tensor};

use super::{Scores, assign, check_ends, ranked};
use crate::{blocks::Blocks, levels::LevelMap};

/// How far above its end a cumulative share may be and still count as below: rounding, in shares.
const SLACK: f64 = 1e-6;

/// A row's blocks by descending probability: those up to and including the one whose cumulative share crosses τ₁ get the
/// first level, those up to the one that crosses τ₂ the next, and so on; the rest is skipped.
///
/// `prob [B, H, rows, columns]` ≥ 0 is normalised here; a row of zeros counts as uniform. `ends` are (level, τ), both
/// ascending. At least `min_full` blocks get the first level (PSA: 6 % of the columns, rounded down, and one more), and
/// every row keeps at least one block. Source: methods.md §2.1, without the rounding to whole tiles that PSA's kernel
/// needs.
pub fn cumulative(
    prob: &Tensor,
    blocks: Blocks,
    ends: &[(u8, f64)],
    min_full: usize,
) -> Result<LevelMap> {
    const OP: &str = "cumulative";
    check_ends(OP, ends, blocks)?;
    #[cfg(feature = "cuda")]
    {
        use super::cuda::{End, Reach, by_share};
        let end = |(place, &(level, end)): (usize, &(u8, f64))| {
            let least = if place == 0 { min_full } else { 0 };
            End { level, bound: end + SLACK, blocks: (least, usize::MAX) }
        };
        let ends: Vec<End> = ends.iter().enumerate().map(end).collect();
        if let Some(map) = by_share(OP, prob, blocks, &ends, (Reach::Through, true))? {
            return Ok(map);
        }
    }
    let scores = Scores::probabilities(OP, prob, blocks)?;
    scores.map(|row, levels| {
        let prob = scores.row(row);
        let ranked = ranked(prob, row % blocks.rows(), blocks);
        let shares = shares(prob, &ranked);
        let counts = ends.iter().enumerate().map(|(place, &(level, end))| {
            let least = if place == 0 { min_full } else { 0 };
            (level, crossing(&shares, end).max(least))
        });
        assign(&ranked, counts, levels);
    })
}

/// Of every block the share of its row's probability that blocks before it hold, `[B, H, rows, columns]` F32: what
/// [`cumulative`] compares with its ends. A block has the level of an end, or a finer one, where this does not exceed the end.
pub fn share_before(prob: &Tensor, blocks: Blocks) -> Result<Tensor> {
    let scores = Scores::probabilities("share_before", prob, blocks)?;
    scores.places(|row, places| {
        let prob = scores.row(row);
        let ranked = ranked(prob, row % blocks.rows(), blocks);
        let before = std::iter::once(0.0).chain(shares(prob, &ranked));
        for (column, share) in ranked.iter().zip(before) {
            places[*column as usize] = share as f32;
        }
    })
}

/// The cumulative shares of the ranked blocks.
pub(super) fn shares(prob: &[f32], ranked: &[u32]) -> Vec<f64> {
    let total: f64 = prob.iter().map(|&p| f64::from(p)).sum();
    let share = |column: u32| match total {
        0.0 => 1.0 / prob.len() as f64,
        total => f64::from(prob[column as usize]) / total,
    };
    let mut sum = 0.0;
    let add = |&column: &u32| {
        sum += share(column);
        sum
    };
    ranked.iter().map(add).collect()
}

/// Blocks whose cumulative share does not exceed `end`, and the one that crosses it.
pub(super) fn crossing(shares: &[f64], end: f64) -> usize {
    (shares.partition_point(|&share| share <= end + SLACK) + 1).min(shares.len())
}
