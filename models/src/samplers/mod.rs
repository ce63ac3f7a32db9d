//! From noise to clip: solvers of the flow's equation, each a table of numbers known before the first step (wan.md §4).
//!
//! A model predicts the velocity v = noise − clip at noise level σ, so the clip it has in mind is m = x − σ·v. A step of
//! any of these solvers is then one sum over at most five tensors (the sample, the velocity, and what is remembered of
//! earlier steps) whose factors depend on σ alone. They are computed in F64 from the F32 levels, once.

mod combine;
mod dpmpp;
mod euler;
mod schedule;
mod unipc;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;

use crate::folder::{SchedulerClass, SchedulerConfig};
use crate::{Error, Result};
pub use schedule::MOST_STEPS;
use schedule::Shape;

/// A solver in the course of one run.
pub trait Sampler: Send {
    /// What the model sees at each step: N values between 0 and 1000.
    fn timesteps(&self) -> &[f64];

    /// Noise levels before each step and after the last: N + 1 values, the last one 0.
    fn sigmas(&self) -> &[f64];

    /// Goes one step on: from the sample that the model saw and the velocity it predicted, both of one shape in F32, to the
    /// next sample. N calls make a run.
    ///
    /// # Errors
    /// [`Error::Argument`] when called after the last step or with tensors that do not fit.
    fn step(&mut self, velocity: &Tensor, sample: &Tensor) -> Result<Tensor>;

    /// Back to before the first step; forgets all samples.
    fn reset(&mut self);

    /// The solver's name, as [`SamplerKind`] prints it.
    fn name(&self) -> &'static str;
}

/// The solvers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplerKind {
    /// UniPC of order 2, what Wan checkpoints name.
    UniPc,
    /// Euler's method: the simplest.
    Euler,
    /// DPM-Solver++ of order 2, multistep.
    DpmPp2M,
}

impl SamplerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::UniPc, Self::Euler, Self::DpmPp2M];

    /// Its name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniPc => "unipc",
            Self::Euler => "euler",
            Self::DpmPp2M => "dpm++2m",
        }
    }

    /// The solver that a checkpoint names.
    pub fn of(config: &SchedulerConfig) -> Self {
        match config.class() {
            SchedulerClass::UniPc => Self::UniPc,
            SchedulerClass::FlowMatchEuler => Self::Euler,
            SchedulerClass::DpmSolver => Self::DpmPp2M,
        }
    }

    /// A solver for `steps` steps; `flow_shift` overrides the checkpoint's. A checkpoint made for another solver lends its
    /// shift alone.
    ///
    /// # Errors
    /// [`Error::Argument`] for steps outside 1 to [`MOST_STEPS`] or a shift outside 0.01 to 100.
    pub fn build(
        self,
        config: &SchedulerConfig,
        steps: usize,
        flow_shift: Option<f64>,
    ) -> Result<Box<dyn Sampler>> {
        let shape = Shape {
            steps,
            shift: flow_shift.unwrap_or(config.default_shift()),
            trained: config.num_train_timesteps,
            terminal: config.shift_terminal,
        };
        shape.check()?;
        let own = Self::of(config) == self;
        let order = if own { config.solver_order } else { 2 };
        Ok(match self {
            Self::UniPc => {
                let uncorrected = if own { config.disable_corrector.as_slice() } else { &[] };
                Box::new(unipc::UniPc::new(shape.unipc(), order, uncorrected))
            }
            Self::Euler => Box::new(euler::Euler::new(shape.euler())),
            Self::DpmPp2M => Box::new(dpmpp::DpmPp2M::new(shape.dpm(), order)),
        })
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        let names = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| Error::argument("sampler", format!("one of {}", names()), text))
    }
}
