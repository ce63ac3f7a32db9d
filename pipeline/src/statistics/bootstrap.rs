//! Medians, and how sure they are.

use serde::{Deserialize, Serialize};

/// A median and the range that holds it with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median of the sample.
    pub median: f64,
    /// 2.5 % of the resampled medians are below.
    pub low: f64,
    /// 2.5 % of the resampled medians are above.
    pub high: f64,
}

/// Resamplings of an interval.
const RESAMPLINGS: usize = 2000;

/// The median; `None` of nothing, or where a value is not a number.
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        Some(sorted[middle])
    } else {
        // Of two infinities of one sign the midpoint is that infinity; of opposite ones there is none.
        Some(f64::midpoint(sorted[middle - 1], sorted[middle])).filter(|value| !value.is_nan())
    }
}

/// The median with its percentile bootstrap interval; `None` where there is no median. The resampling is seeded: the same
/// values in the same order give the same interval.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let centre = median(values)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 33) % values.len() as u64) as usize
    };
    let mut medians: Vec<f64> = (0..RESAMPLINGS)
        .filter_map(|_| {
            let drawn: Vec<f64> = values.iter().map(|_| values[next()]).collect();
            median(&drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians.get(((medians.len() - 1) as f64 * share).round() as usize);
    Some(Interval { median: centre, low: *at(0.025)?, high: *at(0.975)? })
}
