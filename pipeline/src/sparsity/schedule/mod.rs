//! When attention is dense, when a map is estimated and when the last one is used again.
//!
//! dense(s) = s < W or s ≥ S − E, and in every listed layer; otherwise by a map, fresh or cached (methods.md §6.5). A pure
//! function of the step, which is the sampler's and never a count of calls, and of the layer: a step that is left out or
//! asked for twice changes nothing.

use std::ops::Range;

use super::layers::Layers;
use crate::settings::Problem;

mod refresh;
mod span;
#[cfg(test)]
mod tests;

pub use refresh::Refresh;
pub use span::Span;

/// What a schedule is made of, before the run's steps are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Dense steps at the start.
    pub warmup: Span,
    /// Dense steps at the end.
    pub dense_last: usize,
    /// Layers that stay dense.
    pub dense_layers: Layers,
    /// When maps are estimated again.
    pub refresh: Refresh,
}

/// The schedule of one run of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    steps: usize,
    /// Steps that are not dense.
    sparse: Range<usize>,
    /// Whether each layer stays dense.
    dense_layers: Vec<bool>,
    /// Without shares.
    refresh: Refresh,
}

impl Schedule {
    /// Everything dense.
    pub fn dense(steps: usize, layers: usize) -> Self {
        let dense_layers = vec![true; layers];
        Self { steps, sparse: 0..0, dense_layers, refresh: Refresh::Never }
    }

    /// Nothing dense, and a new map for every call.
    pub fn always(steps: usize, layers: usize) -> Self {
        let dense_layers = vec![false; layers];
        Self { steps, sparse: 0..steps, dense_layers, refresh: Refresh::Every(1) }
    }

    /// The schedule of a run whose steps have these noise levels, in a model of `layers` blocks. Refuses terms that leave
    /// nothing sparse, or that name steps and layers which there are not.
    pub fn new(terms: &Terms, sigmas: &[f64], layers: usize) -> Result<Self, Vec<Problem>> {
        let steps = sigmas.len();
        let warmup = terms.warmup.steps(sigmas);
        let mut problems = Vec::new();
        if warmup >= steps {
            problems.push(Problem::new(
                "warmup",
                format!("at most {} of the run's {steps} steps", steps.saturating_sub(1)),
                of_steps(&terms.warmup.to_string(), warmup),
            ));
        } else if warmup + terms.dense_last >= steps {
            problems.push(Problem::new(
                "dense_last",
                format!(
                    "at most {} after {warmup} steps of warm-up, of {steps}",
                    steps - warmup - 1
                ),
                terms.dense_last,
            ));
        }
        if let Some(beyond) = terms.dense_layers.as_slice().last().filter(|last| **last >= layers) {
            problems.push(Problem::new(
                "dense_layers",
                format!("layers from 0 to {}", layers.saturating_sub(1)),
                beyond,
            ));
        } else if terms.dense_layers.as_slice().len() >= layers {
            let expected = format!("fewer than all {layers} layers (attention dense does that)");
            problems.push(Problem::new("dense_layers", expected, &terms.dense_layers));
        }
        if let Refresh::At(listed) = &terms.refresh
            && let Some(beyond) = listed.last().filter(|last| **last >= steps)
        {
            let expected = format!("steps from 0 to {}", steps.saturating_sub(1));
            problems.push(Problem::new("refresh", expected, beyond));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            steps,
            sparse: warmup..steps - terms.dense_last,
            dense_layers: (0..layers).map(|layer| terms.dense_layers.contains(layer)).collect(),
            refresh: terms.refresh.in_steps(steps),
        })
    }

    /// Steps of the run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The steps that are not dense.
    pub fn sparse(&self) -> Range<usize> {
        self.sparse.clone()
    }

    /// The number of layers that are not dense.
    pub fn sparse_layers(&self) -> usize {
        self.dense_layers.iter().filter(|dense| !**dense).count()
    }

    /// Whether a layer is dense in every step.
    pub fn is_dense_layer(&self, layer: usize) -> bool {
        self.dense_layers.get(layer).copied().unwrap_or(true)
    }

    /// Whether every layer is dense in a step.
    pub fn is_dense_step(&self, step: usize) -> bool {
        !self.sparse.contains(&step)
    }

    /// Whether an attention is dense.
    pub fn is_dense(&self, step: usize, layer: usize) -> bool {
        self.is_dense_step(step) || self.is_dense_layer(layer)
    }

    /// When maps are estimated again, shares of the run resolved to steps.
    pub fn refresh(&self) -> &Refresh {
        &self.refresh
    }

    /// The newest step up to `step`, a sparse one, in which maps are due: a map that is older is not used.
    pub fn due(&self, step: usize) -> usize {
        let first = self.sparse.start;
        match &self.refresh {
            Refresh::Every(period) => step - (step.saturating_sub(first)) % period,
            Refresh::At(listed) => {
                let before = listed.iter().rev().find(|listed| **listed <= step);
                before.copied().unwrap_or(first).max(first)
            }
            Refresh::Never | Refresh::Adaptive(_) | Refresh::AtShares(_) => first,
        }
    }

    /// The share of its first recall below which a cached map is estimated again, when that is the rule.
    pub fn recall_bound(&self) -> Option<f64> {
        match self.refresh {
            Refresh::Adaptive(bound) => Some(bound),
            _ => None,
        }
    }

    /// Estimates a site makes in the run; `None` when that depends on what it sees.
    pub fn estimates(&self) -> Option<usize> {
        let is_due = |step: &usize| self.due(*step) == *step;
        self.recall_bound().is_none().then(|| self.sparse().filter(is_due).count())
    }

    /// Whether any map is used in a later step than its own.
    pub fn keeps_maps(&self) -> bool {
        self.estimates().is_none_or(|estimates| estimates < self.sparse.len())
    }
}

/// "30% (6 steps)", or the number alone where it was typed as one.
fn of_steps(typed: &str, steps: usize) -> String {
    let number = steps.to_string();
    if typed == number { number } else { format!("{typed} ({steps} steps)") }
}
