//! How fast this machine is, phase by phase: measured in earlier runs, guessed before there are any.

use serde::{Deserialize, Serialize};

use crate::events::Phase;

/// Under what conditions a speed was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Number format of the phase.
    pub dtype: String,
    /// The CPU kernels' level; for denoising by a sparse method also that, see [`with_method`].
    pub kernels: String,
    /// The model's fingerprint.
    pub fingerprint: String,
}

/// The kernels of denoising: their level, and the sparse method where one runs: choosing what to attend to and
/// skipping the rest are slower than dense products, each in its own way.
pub fn with_method(kernels: &str, method: Option<&str>) -> String {
    method.map_or_else(|| kernels.to_owned(), |method| format!("{kernels}+{method}"))
}

/// A measured speed. The work of a phase is counted in FLOPs; of loading, in bytes; of encoding the video, in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Which phase.
    pub phase: Phase,
    /// When it was measured.
    pub conditions: Conditions,
    /// Work done.
    pub work: f64,
    /// Time it took.
    pub seconds: f64,
}

/// Speeds measured here, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates(pub Vec<Rate>);

/// A run counts when it did at least this part of the work that is planned: the speed of a moment says nothing of an hour's.
const ENOUGH: f64 = 1.0 / 20.0;
/// Runs that the median is taken over.
const REMEMBERED: usize = 5;

impl Rates {
    /// Work a second in a phase of `work`: the median of the last large enough runs of this model, or else of any model under
    /// otherwise equal conditions; `None` when there are none.
    pub fn measured(&self, phase: Phase, now: &Conditions, work: f64) -> Option<f64> {
        let alike = |rate: &&Rate| {
            rate.phase == phase
                && rate.work >= ENOUGH * work
                && rate.conditions.device == now.device
                && rate.conditions.dtype == now.dtype
                && rate.conditions.kernels == now.kernels
        };
        let own = self
            .0
            .iter()
            .filter(alike)
            .filter(|rate| rate.conditions.fingerprint == now.fingerprint);
        median(own).or_else(|| median(self.0.iter().filter(alike)))
    }
}

fn median<'a>(rates: impl Iterator<Item = &'a Rate>) -> Option<f64> {
    let mut speeds: Vec<f64> = rates
        .map(|rate| rate.work / rate.seconds)
        .filter(|speed| speed.is_finite() && *speed > 0.0)
        .take(REMEMBERED)
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied()
}

/// A guess for the first run on a machine.
pub fn guess(phase: Phase, now: &Conditions, cores: u32) -> f64 {
    let gpu = now.device != "cpu";
    match phase {
        Phase::Load => 1e9,
        Phase::EncodeVideo | Phase::Measure => 2e7,
        Phase::Decode if gpu => 1e14,
        _ if gpu => 3e14,
        phase => {
            // A core's share of what the reference machine does (two cores: 150 GFLOP/s in f32, 410 in bf16 with AMX).
            let core = match (now.kernels.as_str(), now.dtype.as_str()) {
                ("amx", "bf16") => 200e9,
                ("avx512bf16", "bf16") => 100e9,
                ("amx" | "avx512bf16" | "avx512", _) => 60e9,
                ("avx2", _) => 30e9,
                ("portable", _) => 5e9,
                _ => 10e9,
            };
            let part = if phase == Phase::Decode { 0.6 } else { 1.0 };
            core * part * f64::from(cores)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(fingerprint: &str, per_second: f64) -> Rate {
        let (work, seconds) = (100.0 * per_second, 100.0);
        Rate { phase: Phase::Denoise, conditions: conditions(fingerprint), work, seconds }
    }

    fn conditions(fingerprint: &str) -> Conditions {
        Conditions {
            device: "cpu".into(),
            dtype: "f32".into(),
            kernels: "avx2".into(),
            fingerprint: fingerprint.into(),
        }
    }

    #[test]
    fn the_models_own_runs_come_first_and_the_median_forgives_a_slow_one() {
        let rates = Rates(vec![
            rate("a", 10.0),
            rate("b", 99.0),
            rate("a", 11.0),
            rate("a", 1.0),
            rate("a", f64::NAN),
        ]);
        assert_eq!(rates.measured(Phase::Denoise, &conditions("a"), 100.0), Some(10.0));
        assert_eq!(rates.measured(Phase::Denoise, &conditions("new"), 100.0), Some(11.0));
        assert_eq!(rates.measured(Phase::Decode, &conditions("a"), 100.0), None);
        assert_eq!(rates.measured(Phase::Denoise, &conditions("a"), 1e6), None);
        let gpu = Conditions { device: "cuda:0".into(), ..conditions("a") };
        assert_eq!(rates.measured(Phase::Denoise, &gpu, 100.0), None);
    }
}
