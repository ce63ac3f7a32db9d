//! Blocks whose score stands out of its row.

use candle_core::{DType, Result, Tensor, bail};

use super::{Scores, check_levels, expected};
use crate::{blocks::Blocks, check, levels::LevelMap};

/// Each block gets the first level of `taus` whose threshold μ + τ·σ its score exceeds; the rest is skipped.
///
/// `scores [B, H, rows, columns]`, `mean` and `sigma` `[B, H, rows]` in the same units
/// ([`crate::scores::row_moments`] has them); `taus` are (level, τ), levels ascending and τ descending: the finer the
/// level, the higher its bar. Nothing is sorted: O(columns) a row. Source: methods.md §2.16 (Sol-Attn, whose one τ goes
/// with level 1), §6.2.
pub fn mean_sigma(
    scores: &Tensor,
    blocks: Blocks,
    mean: &Tensor,
    sigma: &Tensor,
    taus: &[(u8, f64)],
) -> Result<LevelMap> {
    const OP: &str = "mean_sigma";
    check_levels(OP, taus.iter().map(|tau| tau.0), blocks)?;
    if !taus.is_sorted_by(|a, b| a.1 >= b.1) {
        bail!("{OP}: `taus` must descend from the finest level to the coarsest, got {taus:?}");
    }
    let [batch, heads, rows, _] = expected(OP, scores, blocks)?;
    for (name, x) in [("mean", mean), ("sigma", sigma)] {
        check::shape(OP, name, x, &[batch, heads, rows])?;
    }
    #[cfg(feature = "cuda")]
    {
        use super::cuda::{End, above};
        let end = |&(level, tau): &(u8, f64)| End { level, bound: tau, blocks: (0, 0) };
        let ends: Vec<End> = taus.iter().map(end).collect();
        if let Some(map) = above(OP, scores, blocks, [mean, sigma], &ends)? {
            return Ok(map);
        }
    }
    let scores = Scores::new(OP, scores, blocks)?;
    let moments = |name: &str, x: &Tensor| {
        let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().find(|x| x.is_nan()) {
            Some(_) => bail!("{OP}: `{name}` must be numbers, got NaN"),
            None => Ok(values),
        }
    };
    let (mean, sigma) = (moments("mean", mean)?, moments("sigma", sigma)?);
    scores.map(|row, levels| {
        let bar = |tau: f64| f64::from(mean[row]) + tau * f64::from(sigma[row]);
        let bars: Vec<(u8, f64)> = taus.iter().map(|&(level, tau)| (level, bar(tau))).collect();
        for (level, &score) in levels.iter_mut().zip(scores.row(row)) {
            if let Some(&(of, _)) = bars.iter().find(|(_, bar)| f64::from(score) > *bar) {
                *level = of;
            }
        }
    })
}
