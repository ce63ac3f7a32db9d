//! Step replay: one forward of a recorded run again, with other attention methods in place of the one that ran.
//!
//! A [`Recording`](crate::recording::Recording) holds the clip before each step; with the model it is enough to have the
//! queries, keys and values of every layer of that step again. [`replay`] shows them to any number of methods and tells of
//! each branch, layer and head how far the method's output is from dense attention *of the same q, k and v*, how much of the
//! softmax its map retained, and its density.
//!
//! The forward itself goes on with the dense output, so every layer sees what a dense model would show it and the errors of
//! layers do not mix: they can be laid at the door of the method's choice in that very head. One forward serves all methods.
//! With [`Spec::propagate`] each method has a forward of its own that goes on with its output, as a run does; errors are
//! still against dense attention of the q, k and v that the method met, and the error of the velocity at the end is told too.
//!
//! A replayed step is always sparse and its maps are fresh: warm-up, dense last steps and the refresh period of the settings
//! do not act, and nothing is kept of steps before it (a method that would use an earlier log-sum-exp computes it). Dense
//! layers are measured as any other; only a propagated forward goes on densely there.

mod arm;
mod comparing;
mod looking;
mod model;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod truth;
mod watcher;

use std::path::PathBuf;

use tessera_models::attention::Branch;

pub use arm::Arm;
pub use looking::{Looked, Looking, WordShare, look};
pub use model::Progress;
pub use report::{ArmReport, Call, Head, Replay, Spread, Summary, Velocity};
pub use run::replay;

/// What is replayed.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// The methods, each with its settings.
    pub arms: Vec<Arm>,
    /// Steps of the run, from 0.
    pub steps: Vec<usize>,
    /// Which of a guided step's forwards; none stands for all that the run had.
    pub branches: Vec<Branch>,
    /// Whether each method's forward goes on with its own output.
    pub propagate: bool,
    /// The model folder, where it is not at the place that the recording names.
    pub model: Option<PathBuf>,
    /// Another device than the run's: `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: Option<String>,
    /// Another number format than the run's: `auto`, `f32` or `bf16`.
    pub dtype: Option<String>,
}
