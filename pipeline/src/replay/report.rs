//! What a replay tells.

use serde::Serialize;

use crate::request::Request;
use crate::sparsity::observer::Mode;

/// Everything that was replayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The recorded model's name.
    pub model: String,
    /// The prompt.
    pub prompt: String,
    /// The steps, from 0.
    pub steps: Vec<usize>,
    /// Steps of the run.
    pub of: usize,
    /// Number format of the forwards.
    pub dtype: String,
    /// Whether the clips were recorded in F32, so that the forwards are those of the run and not of a rounded clip.
    pub is_exact: bool,
    /// Whether each method's forward went on with its own output.
    pub is_propagated: bool,
    /// The methods.
    pub arms: Vec<ArmReport>,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmReport {
    /// Its name.
    pub name: String,
    /// The request that it answered, every setting of attention filled in.
    pub request: Request,
    /// Every attention call, by step, branch and layer.
    pub calls: Vec<Call>,
    /// What its output did to the model's answer; only of propagated forwards.
    pub velocities: Vec<Velocity>,
    /// What did not run as asked.
    pub fallbacks: Vec<String>,
}

/// One attention call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// The step, from 0.
    pub step: usize,
    /// `cond` or `uncond`.
    pub branch: &'static str,
    /// The layer.
    pub layer: usize,
    /// How it was answered: fresh, cached where another site of the same step made the map, dense where the method could not
    /// choose or nothing was to be chosen.
    pub mode: Mode,
    /// Milliseconds spent on choosing the map, all heads together.
    pub estimate_ms: f64,
    /// Milliseconds spent on attention itself.
    pub attention_ms: f64,
    /// Milliseconds of dense attention of the same q, k and v.
    pub dense_ms: f64,
    /// Its heads; samples × heads in row-major order where there are several samples.
    pub heads: Vec<Head>,
}

/// One head of a call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Head {
    /// Which.
    pub head: usize,
    /// ‖O' − O‖ / ‖O‖ with O dense attention of the same q, k and v.
    pub error: f64,
    /// Share of the softmax mass in blocks that the map sees finer than its floor, averaged over queries; exact.
    pub recall: f64,
    /// Pooled keys that were looked at, over queries × keys.
    pub density: f64,
    /// The same with every block counted as whole.
    pub nominal: f64,
}

/// The model's answer after a forward with a method's output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Velocity {
    /// The step, from 0.
    pub step: usize,
    /// `cond` or `uncond`; `guided` is the sum that the sampler takes, where both were replayed.
    pub branch: &'static str,
    /// ‖v' − v‖ / ‖v‖ with v the dense model's.
    pub error: f64,
}

/// Where the values of many heads lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of them are below.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The worst one.
    pub worst: f64,
}

impl Spread {
    /// Of values of which `worst` finds the worst. `None` without any.
    fn of(values: impl Iterator<Item = f64>, worst: fn(f64, f64) -> f64) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median =
            if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self { median, mean, worst: values.iter().copied().fold(upper, worst) })
    }
}

/// A method in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Relative output errors of all heads.
    pub error: Spread,
    /// Recalls of all heads.
    pub recall: Spread,
    /// Mean exact density.
    pub density: f64,
    /// Milliseconds of a call, on average: choosing the map.
    pub estimate_ms: f64,
    /// Attention itself.
    pub attention_ms: f64,
    /// Dense attention.
    pub dense_ms: f64,
}

impl Summary {
    /// Over some of a method's calls; `None` without any.
    pub fn of<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Option<Self> {
        let calls: Vec<&Call> = calls.into_iter().collect();
        let heads = || calls.iter().flat_map(|call| &call.heads);
        let count = calls.len().max(1) as f64;
        let ms = |of: fn(&Call) -> f64| calls.iter().map(|call| of(call)).sum::<f64>() / count;
        Some(Self {
            error: Spread::of(heads().map(|head| head.error), f64::max)?,
            recall: Spread::of(heads().map(|head| head.recall), f64::min)?,
            density: heads().map(|head| head.density).sum::<f64>() / heads().count().max(1) as f64,
            estimate_ms: ms(|call| call.estimate_ms),
            attention_ms: ms(|call| call.attention_ms),
            dense_ms: ms(|call| call.dense_ms),
        })
    }
}

impl ArmReport {
    /// Over all its calls.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.calls)
    }
}
