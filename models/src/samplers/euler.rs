//! Euler's method on the flow (wan.md §4.4): x ← x + (σ′ − σ)·v.

use candle_core::Tensor;

use super::combine::{check, combine};
use super::schedule::Schedule;
use super::{Sampler, SamplerKind};
use crate::Result;

/// Euler's method in the course of a run.
pub(super) struct Euler {
    schedule: Schedule,
    index: usize,
}

impl Euler {
    pub(super) fn new(schedule: Schedule) -> Self {
        Self { schedule, index: 0 }
    }
}

impl Sampler for Euler {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn sigmas(&self) -> &[f64] {
        &self.schedule.sigmas
    }

    fn step(&mut self, velocity: &Tensor, sample: &Tensor) -> Result<Tensor> {
        check(self.index, self.schedule.timesteps.len(), velocity, sample)?;
        let (from, to) = (self.schedule.sigmas[self.index], self.schedule.sigmas[self.index + 1]);
        self.index += 1;
        combine(&[(1.0, sample), (to - from, velocity)])
    }

    fn reset(&mut self) {
        self.index = 0;
    }

    fn name(&self) -> &'static str {
        SamplerKind::Euler.name()
    }
}
