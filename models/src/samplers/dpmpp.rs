//! DPM-Solver++, multistep of order 2 by the midpoint rule, for flows (diffusers' `DPMSolverMultistepScheduler`).
//!
//! With α = 1 − σ, λ = ln(α/σ), s = σ_i, t = σ_{i+1}, h = λ_t − λ_s, φ = e^(−h) − 1 and r = (λ_s − λ_{i−1})/h:
//! x ← (t/s)·x − α_t·φ·(m_i + (m_i − m_{i−1})/(2r)). The first step, and the last one to σ = 0, are of first order, without
//! the difference; to σ = 0 that is x ← m. Below 15 steps diffusers makes the last step first-order too, which it is.

use candle_core::Tensor;

use super::combine::{check, combine};
use super::schedule::Schedule;
use super::{Sampler, SamplerKind};
use crate::Result;

/// Factors of one step: of x, m_i, m_{i−1}.
type Factors = [f64; 3];

/// DPM-Solver++ in the course of a run.
pub(super) struct DpmPp2M {
    schedule: Schedule,
    factors: Vec<Factors>,
    index: usize,
    previous: Option<Tensor>,
}

impl DpmPp2M {
    pub(super) fn new(schedule: Schedule, order: usize) -> Self {
        let factors =
            (0..schedule.timesteps.len()).map(|i| factors(&schedule.sigmas, i, order)).collect();
        Self { schedule, factors, index: 0, previous: None }
    }

    #[cfg(test)]
    pub(super) fn factors(&self) -> &[Factors] {
        &self.factors
    }
}

/// λ, the logarithm of clip over noise.
pub(super) fn lambda(sigma: f64) -> f64 {
    ((1.0 - sigma) / sigma).ln()
}

fn factors(sigmas: &[f64], i: usize, order: usize) -> Factors {
    let (s, t) = (sigmas[i], sigmas[i + 1]);
    if t == 0.0 {
        return [0.0, 1.0, 0.0];
    }
    let h = lambda(t) - lambda(s);
    let step = -(1.0 - t) * (-h).exp_m1();
    // At σ = 1 (a shift of any size leaves u = 1 there) λ is −∞: no difference to it can be taken.
    if i == 0 || order == 1 || !lambda(sigmas[i - 1]).is_finite() {
        return [t / s, step, 0.0];
    }
    let r = (lambda(s) - lambda(sigmas[i - 1])) / h;
    [t / s, step * (1.0 + 0.5 / r), -step * 0.5 / r]
}

impl Sampler for DpmPp2M {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn sigmas(&self) -> &[f64] {
        &self.schedule.sigmas
    }

    fn step(&mut self, velocity: &Tensor, sample: &Tensor) -> Result<Tensor> {
        check(self.index, self.factors.len(), velocity, sample)?;
        let clip = combine(&[(1.0, sample), (-self.schedule.sigmas[self.index], velocity)])?;
        let [a, b, c] = self.factors[self.index];
        let previous = self.previous.as_ref().unwrap_or(&clip);
        let next = combine(&[(a, sample), (b, &clip), (c, previous)])?;
        self.previous = Some(clip);
        self.index += 1;
        Ok(next)
    }

    fn reset(&mut self) {
        self.index = 0;
        self.previous = None;
    }

    fn name(&self) -> &'static str {
        SamplerKind::DpmPp2M.name()
    }
}
