//! The noise levels σ of a run and the timesteps that the model sees (wan.md §4.2), each as its class in diffusers makes them.
//!
//! All three start from u, evenly spaced from noise to clip, and bend it: σ = shift·u / (1 + (shift − 1)·u). They differ
//! in where u starts and ends and in how often the bend is applied. Levels are computed in F64 and stored as F32.

use crate::{Error, Result};

/// The most steps of a run: the number of training steps of every public model.
pub const MOST_STEPS: usize = 1000;

/// Noise levels and timesteps of N steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    /// σ before each step and after the last: N + 1 values from about 1 down to 0, each a whole F32 number.
    pub(super) sigmas: Vec<f64>,
    /// What the model sees at each step: N values.
    pub(super) timesteps: Vec<f64>,
}

/// What a schedule is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) steps: usize,
    pub(super) shift: f64,
    /// Training steps: 1000.
    pub(super) trained: usize,
    /// Where the last level before 0 is stretched to, if anywhere.
    pub(super) terminal: Option<f64>,
}

impl Shape {
    /// Checks what a person may have set.
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MOST_STEPS).contains(&self.steps) {
            let expected = format!("1 to {MOST_STEPS}");
            return Err(Error::argument("steps", expected, self.steps.to_string()));
        }
        if !(0.01..=100.0).contains(&self.shift) {
            return Err(Error::argument("flow shift", "0.01 to 100", self.shift.to_string()));
        }
        Ok(())
    }

    fn bend(&self, u: f64) -> f64 {
        self.shift * u / (1.0 + (self.shift - 1.0) * u)
    }

    /// UniPC: u from 1 to just above 1/trained; the first σ is kept below 1, where its logarithm would be infinite.
    /// Timesteps are cut to whole numbers.
    pub(super) fn unipc(&self) -> Schedule {
        let end = 1.0 / self.trained as f64;
        let mut sigmas: Vec<_> =
            linspace(1.0, end, self.steps + 1).take(self.steps).map(|u| self.bend(u)).collect();
        self.stretch(&mut sigmas);
        if let Some(first) = sigmas.first_mut()
            && (*first - 1.0).abs() < 1e-6
        {
            *first -= 1e-6;
        }
        self.finish(&sigmas, f64::trunc)
    }

    /// DPM-Solver: 1 − u from 0 to 1 − 1/trained, read backwards, without the 0. Timesteps are cut to whole numbers.
    pub(super) fn dpm(&self) -> Schedule {
        let end = 1.0 / self.trained as f64;
        let mut sigmas: Vec<_> =
            linspace(1.0, end, self.steps + 1).map(|u| self.bend(1.0 - u)).collect();
        sigmas.reverse();
        sigmas.truncate(self.steps);
        self.finish(&sigmas, f64::trunc)
    }

    /// Euler: the scheduler's smallest level is already bent when the levels between are laid out and bent again.
    /// Timesteps are not rounded.
    pub(super) fn euler(&self) -> Schedule {
        let trained = self.trained as f64;
        let bent = |u: f32| {
            let (shift, one) = (self.shift as f32, 1.0);
            f64::from(shift * u / (one + (self.shift - 1.0) as f32 * u))
        };
        let (most, least) = (bent(1.0), bent(1.0 / self.trained as f32));
        let mut sigmas: Vec<_> = linspace(most * trained, least * trained, self.steps)
            .map(|timestep| self.bend(timestep / trained))
            .collect();
        self.stretch(&mut sigmas);
        let mut schedule = self.finish(&sigmas, |timestep| timestep);
        // Here the timesteps come from the rounded levels, in F32.
        schedule.timesteps = schedule.sigmas[..self.steps]
            .iter()
            .map(|&sigma| f64::from(sigma as f32 * self.trained as f32))
            .collect();
        schedule
    }

    /// Stretches 1 − σ so that the last level is the terminal one.
    fn stretch(&self, sigmas: &mut [f64]) {
        if let (Some(terminal), Some(&last)) = (self.terminal.filter(|&t| t > 0.0), sigmas.last())
            && last < 1.0
        {
            let factor = (1.0 - last) / (1.0 - terminal);
            for sigma in sigmas {
                *sigma = 1.0 - (1.0 - *sigma) / factor;
            }
        }
    }

    fn finish(&self, sigmas: &[f64], round: impl Fn(f64) -> f64) -> Schedule {
        let timesteps = sigmas.iter().map(|sigma| round(sigma * self.trained as f64)).collect();
        let rounded = sigmas.iter().map(|&sigma| f64::from(sigma as f32));
        Schedule { sigmas: rounded.chain([0.0]).collect(), timesteps }
    }
}

/// `count` numbers from `start` to `end`, both included, as numpy makes them; of one, `start`.
fn linspace(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let gaps = count.saturating_sub(1);
    let step = (end - start) / gaps.max(1) as f64;
    (0..count).map(move |i| if i > 0 && i == gaps { end } else { start + i as f64 * step })
}
