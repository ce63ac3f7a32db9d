//! Paired statistics over clips: medians, and how sure they are.
//!
//! Clips differ more from each other than methods do, so methods are compared on the same prompt and seed, and the median of the
//! paired differences is what is reported; its interval is a percentile bootstrap.

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
        Some(f64::midpoint(sorted[middle - 1], sorted[middle]))
    }
}

/// The median of `a[i] − b[i]` with its interval; `None` when there are no pairs. The resampling is seeded: the same values
/// give the same interval.
pub fn paired_interval(a: &[f64], b: &[f64]) -> Option<Interval> {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let centre = median(&differences)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 33) % differences.len() as u64) as usize
    };
    let mut medians: Vec<f64> = (0..RESAMPLINGS)
        .filter_map(|_| {
            let drawn: Vec<f64> = differences.iter().map(|_| differences[next()]).collect();
            median(&drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[((medians.len() - 1) as f64 * share).round() as usize];
    Some(Interval { median: centre, low: at(0.025), high: at(0.975) })
}
