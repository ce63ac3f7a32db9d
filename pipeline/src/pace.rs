//! How long attention takes by its density, as the calls of a run were measured.
//!
//! A sparse call is a fixed time and one that grows with its exact density, fitted to the run's sparse calls by least
//! squares, neither of them below zero; where all of them had nearly the same density, the time is taken as proportional to
//! it. To that comes what choosing maps took on average. The unit is a dense call: measured where the run had any, otherwise
//! the fit's call of density 1.

use crate::recording::Call;
use crate::sparsity::Mode;

/// Densities nearer to each other than this say nothing of a slope.
const NEAR: f64 = 0.02;

/// The pace of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Milliseconds of a sparse call beside what grows with its density.
    pub base_ms: f64,
    /// Milliseconds more of a call of density 1.
    pub slope_ms: f64,
    /// Milliseconds of choosing a map, the mean over sparse calls.
    pub estimate_ms: f64,
    /// Milliseconds of a dense call: the median.
    pub dense_ms: f64,
    /// Whether dense calls were measured.
    pub has_dense: bool,
}

impl Pace {
    /// From the calls of one run; `None` without a sparse one that took any time.
    pub fn of<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Option<Self> {
        let (mut dense, mut sparse, mut estimates) = (Vec::new(), Vec::new(), 0.0);
        for call in calls {
            if call.mode == Mode::Dense {
                dense.push(call.attention_ms);
            } else {
                sparse.push((call.density().exact, call.attention_ms));
                estimates += call.estimate_ms;
            }
        }
        let count = sparse.len() as f64;
        let (base_ms, slope_ms) = fitted(&sparse)?;
        dense.sort_by(f64::total_cmp);
        let measured = dense.get(dense.len() / 2).copied().filter(|ms| *ms > 0.0);
        Some(Self {
            base_ms,
            slope_ms,
            estimate_ms: estimates / count,
            dense_ms: measured.unwrap_or(base_ms + slope_ms),
            has_dense: measured.is_some(),
        })
    }

    /// Time of a call whose heads have this exact density, choosing included, over that of a dense call.
    pub fn ratio(&self, density: f64) -> f64 {
        (self.base_ms + self.slope_ms * density + self.estimate_ms) / self.dense_ms
    }
}

/// Base and slope of (density, milliseconds).
fn fitted(calls: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = calls.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| calls.iter().map(of).sum::<f64>() / count;
    let (density, ms) = (mean(|call| call.0), mean(|call| call.1));
    if density <= 0.0 || ms <= 0.0 {
        return None;
    }
    let spread: f64 = calls.iter().map(|call| (call.0 - density).powi(2)).sum();
    if (spread / count).sqrt() < NEAR {
        return Some((0.0, ms / density));
    }
    let along: f64 = calls.iter().map(|call| (call.0 - density) * (call.1 - ms)).sum();
    let slope = (along / spread).clamp(0.0, ms / density);
    Some((ms - slope * density, slope))
}

#[cfg(test)]
mod tests {
    use tessera_kernels::levels::Density;
    use tessera_models::attention::Branch;

    use super::*;
    use crate::recording::Place;

    fn call(density: Option<f64>, attention_ms: f64) -> Call {
        let exact = density.unwrap_or(1.0);
        Call {
            place: Place::new(0, Branch::Cond, 0),
            mode: if density.is_some() { Mode::Fresh } else { Mode::Dense },
            estimate_ms: if density.is_some() { 2.0 } else { 0.0 },
            attention_ms,
            densities: vec![Density { nominal: exact, exact }; 2],
            retained: None,
            estimated_at: None,
            map: None,
            orders: Vec::new(),
            fallback: None,
        }
    }

    #[test]
    fn a_line_through_measured_calls_over_the_median_dense_one() {
        // 3 ms and 50 ms times the density.
        let calls = [(0.1, 8.0), (0.3, 18.0), (0.5, 28.0)];
        let mut calls: Vec<Call> = calls.map(|(density, ms)| call(Some(density), ms)).into();
        let alone = Pace::of(&calls).unwrap();
        assert!(!alone.has_dense && (alone.dense_ms - 53.0).abs() < 1e-9, "{alone:?}");
        calls.extend([30.0, 40.0, 90.0].map(|ms| call(None, ms)));
        let pace = Pace::of(&calls).unwrap();
        assert!((pace.base_ms - 3.0).abs() < 1e-9 && (pace.slope_ms - 50.0).abs() < 1e-9);
        assert!((pace.ratio(0.2) - (3.0 + 10.0 + 2.0) / 40.0).abs() < 1e-9);
    }

    #[test]
    fn calls_of_one_density_are_in_proportion_and_no_part_is_negative() {
        let pace = Pace::of(&[call(Some(0.25), 10.0), call(Some(0.25), 14.0)]).unwrap();
        assert_eq!((pace.base_ms, pace.slope_ms), (0.0, 48.0));
        let falling = Pace::of(&[call(Some(0.2), 14.0), call(Some(0.6), 10.0)]).unwrap();
        assert_eq!((falling.base_ms, falling.slope_ms), (12.0, 0.0));
        let steep = Pace::of(&[call(Some(0.2), 1.0), call(Some(0.6), 11.0)]).unwrap();
        assert!(steep.base_ms.abs() < 1e-9 && (steep.slope_ms - 15.0).abs() < 1e-9, "{steep:?}");
        assert_eq!(Pace::of(&[call(None, 3.0)]), None);
    }
}
