//! UniPC of order 2 (B(h) = e^(−h) − 1, in terms of the predicted clip), in closed form (wan.md §4.3).
//!
//! α = 1 − σ, λ = ln(α/σ), m_i = x − σ_i·v. Each call first **corrects** the sample it was given, now that the model has
//! spoken at its noise level, and then **predicts** the next one. With s the level before, t the level after,
//! h = λ_t − λ_s and φ = e^(−h) − 1:
//!
//! * predict (s = σ_i, t = σ_{i+1}): x ← (t/s)·x − α_t·φ·(m_i + ½·(m_{i−1} − m_i)/r), r = (λ_{i−1} − λ_i)/h; the first and
//!   the last step leave out the difference; to σ = 0 that is x ← m_i.
//! * correct (s = σ_{i−1}, t = σ_i, x̂ the previous corrected sample, m₀ = m_{i−1}):
//!   x ← (t/s)·x̂ − α_t·φ·(m₀ + ρ₀·D + ρ₁·(m_i − m₀)), D = (m_{i−2} − m₀)/r, r = (λ_{i−2} − λ_s)/h. ρ solves
//!   ρ₀ + ρ₁ = b₁, r·ρ₀ + ρ₁ = b₂ (so that polynomials are integrated exactly), with a₁ = φ/(−h) − 1, b₁ = a₁/φ,
//!   a₂ = a₁/(−h) − ½, b₂ = 2a₂/φ. At order 1, ρ₁ = ½ and there is no D.
//!
//! The corrector has the order of the prediction that it corrects, and m is made from the sample as the model saw it.

use candle_core::Tensor;

use super::combine::{check, combine};
use super::dpmpp::lambda;
use super::schedule::Schedule;
use super::{Sampler, SamplerKind};
use crate::Result;

/// Factors of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Factors {
    /// Of x̂, m_{i−1}, m_i, m_{i−2}; `None` where the sample stays as it is.
    pub(super) correct: Option<[f64; 4]>,
    /// Of x, m_i, m_{i−1}.
    pub(super) predict: [f64; 3],
}

/// UniPC in the course of a run.
pub(super) struct UniPc {
    schedule: Schedule,
    factors: Vec<Factors>,
    index: usize,
    /// The last corrected sample.
    corrected: Option<Tensor>,
    /// m_{i−1} and m_{i−2}.
    clips: [Option<Tensor>; 2],
}

impl UniPc {
    /// `uncorrected` are the steps whose prediction is left uncorrected.
    pub(super) fn new(schedule: Schedule, order: usize, uncorrected: &[usize]) -> Self {
        let steps = schedule.timesteps.len();
        let order_of = |i: usize| order.min(i + 1).min(steps - i);
        let factors = (0..steps)
            .map(|i| Factors {
                correct: (i > 0 && !uncorrected.contains(&(i - 1)))
                    .then(|| correct(&schedule.sigmas, i, order_of(i - 1))),
                predict: predict(&schedule.sigmas, i, order_of(i)),
            })
            .collect();
        Self { schedule, factors, index: 0, corrected: None, clips: [None, None] }
    }

    #[cfg(test)]
    pub(super) fn factors(&self) -> &[Factors] {
        &self.factors
    }
}

fn predict(sigmas: &[f64], i: usize, order: usize) -> [f64; 3] {
    let (s, t) = (sigmas[i], sigmas[i + 1]);
    if t == 0.0 {
        return [0.0, 1.0, 0.0];
    }
    let h = lambda(t) - lambda(s);
    let step = -(1.0 - t) * (-h).exp_m1();
    if order == 1 {
        return [t / s, step, 0.0];
    }
    let r = (lambda(sigmas[i - 1]) - lambda(s)) / h;
    [t / s, step * (1.0 - 0.5 / r), step * 0.5 / r]
}

fn correct(sigmas: &[f64], i: usize, order: usize) -> [f64; 4] {
    let (s, t) = (sigmas[i - 1], sigmas[i]);
    let h = lambda(t) - lambda(s);
    let phi = (-h).exp_m1();
    let step = -(1.0 - t) * phi;
    if order == 1 {
        return [t / s, step * 0.5, step * 0.5, 0.0];
    }
    let r = (lambda(sigmas[i - 2]) - lambda(s)) / h;
    let a1 = phi / -h - 1.0;
    let b1 = a1 / phi;
    let b2 = 2.0 * (a1 / -h - 0.5) / phi;
    let far = (b2 - b1) / (r - 1.0);
    let near = b1 - far;
    [t / s, step * (1.0 - far / r - near), step * near, step * far / r]
}

impl Sampler for UniPc {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn sigmas(&self) -> &[f64] {
        &self.schedule.sigmas
    }

    fn step(&mut self, velocity: &Tensor, sample: &Tensor) -> Result<Tensor> {
        check(self.index, self.factors.len(), velocity, sample)?;
        let Factors { correct, predict } = self.factors[self.index];
        let clip = combine(&[(1.0, sample), (-self.schedule.sigmas[self.index], velocity)])?;
        let [before, earlier] = &self.clips;
        let before = before.as_ref().unwrap_or(&clip);
        let corrected = match (correct, &self.corrected) {
            (Some([a, b, c, d]), Some(last)) => {
                let earlier = earlier.as_ref().unwrap_or(&clip);
                combine(&[(a, last), (b, before), (c, &clip), (d, earlier)])?
            }
            _ => sample.clone(),
        };
        let [a, b, c] = predict;
        let next = combine(&[(a, &corrected), (b, &clip), (c, before)])?;
        self.corrected = Some(corrected);
        self.clips.swap(0, 1);
        self.clips[0] = Some(clip);
        self.index += 1;
        Ok(next)
    }

    fn reset(&mut self) {
        self.index = 0;
        self.corrected = None;
        self.clips = [None, None];
    }

    fn name(&self) -> &'static str {
        SamplerKind::UniPc.name()
    }
}
