//! Blocks that hold a share of the probability.

use candle_core::{Result, Tensor, bail};

use super::{Scores, assign, cumulative::shares, ranked};
use crate::{
    blocks::Blocks,
    levels::{FULL, LevelMap},
};

/// How far below `p` a cumulative share may be, by rounding, and still count as having reached it.
const SLACK: f64 = 1e-9;

/// A row's most probable blocks, until their share reaches `p`: attended to in full, the rest skipped.
///
/// `prob [B, H, rows, columns]` ≥ 0 is normalised here; a row of zeros counts as uniform. The block that crosses `p` is
/// kept when `include_crossing` (SVG2), otherwise not (ASA's code). `clamp` is (fewest, most) blocks of a row. Source: methods.md §2.2, §2.7.
pub fn top_p(
    prob: &Tensor,
    blocks: Blocks,
    p: f64,
    include_crossing: bool,
    clamp: (usize, usize),
) -> Result<LevelMap> {
    const OP: &str = "top_p";
    if !(0.0..=1.0).contains(&p) || clamp.0 > clamp.1 {
        bail!(
            "{OP}: expected a share from 0 to 1 and the fewest blocks not above the most, got {p} and {clamp:?}"
        );
    }
    #[cfg(feature = "cuda")]
    {
        use super::cuda::{End, Reach, by_share};
        let end = End { level: FULL, bound: p - SLACK, blocks: clamp };
        let reach = (Reach::Below, include_crossing);
        if let Some(map) = by_share(OP, prob, blocks, &[end], reach)? {
            return Ok(map);
        }
    }
    let scores = Scores::probabilities(OP, prob, blocks)?;
    scores.map(|row, levels| {
        let prob = scores.row(row);
        let ranked = ranked(prob, row % blocks.rows(), blocks);
        let count = before_reaching(&shares(prob, &ranked), p) + usize::from(include_crossing);
        assign(&ranked, [(FULL, count.clamp(clamp.0, clamp.1))], levels);
    })
}

/// Blocks before the one with which the cumulative share reaches `p`.
fn before_reaching(shares: &[f64], p: f64) -> usize {
    shares.partition_point(|&share| share < p - SLACK)
}
