//! A finished clip of a sweep: what ran, how long it took, and how far it is from its dense clip.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cells::Role;
use crate::error::FailureKind;
use crate::events::Phase;
use crate::metrics::{Fidelity, LatentDistance};
use crate::receipt::{PhaseTime, RanOn, Receipt};
use crate::request::Request;

/// Version of [`Cell`].
pub(super) const VERSION: u32 = 1;

/// One row of the results; never changed once it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Version of this format.
    pub version: u32,
    /// Its name in the folder; see [`super::Planned`].
    pub key: String,
    /// Name of the arm.
    pub arm: String,
    /// What the arm is for.
    pub role: Role,
    /// The settings of the arm, by key.
    pub settings: Map<String, Value>,
    /// What it shows.
    pub prompt: String,
    /// Its seed.
    pub seed: u64,
    /// Key of the dense clip that it is compared with; its own for that one.
    pub reference: String,
    /// When it was finished, in seconds since 1970, UTC.
    pub finished_at: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was made and compared.
    Made(Box<Made>),
    /// It could not be made.
    Failed {
        /// The error with its causes.
        error: String,
        /// Which side it is on.
        kind: FailureKind,
    },
}

/// A clip that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The request with every default filled in; making it again gives the same clip.
    pub request: Request,
    /// The model's name.
    pub model: String,
    /// Its weights.
    pub fingerprint: String,
    /// Where it ran.
    pub ran_on: RanOn,
    /// Wall time of each phase.
    pub phases: Vec<PhaseTime>,
    /// Wall time in self-attention, estimates included.
    pub attention_seconds: f64,
    /// The part of it that estimated what to attend to.
    pub estimate_seconds: f64,
    /// Exact density of the sparse calls; `None` when there were none.
    pub density_sparse: Option<f64>,
    /// Exact density of all calls, dense ones counted as 1.
    pub density: f64,
    /// Largest resident memory of the process so far, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// What did not run as asked, full sentences.
    pub fallbacks: Vec<String>,
    /// Distance from the dense clip, per clip and per frame; `None` of the dense clip itself.
    pub fidelity: Option<Fidelity>,
    /// Distance of the latents from the dense run's, after each step; empty where the sweep does not ask for it.
    pub latents: Vec<LatentDistance>,
    /// The frames, lossless; relative to the sweep's folder.
    pub master: PathBuf,
    /// The receipt beside it: every attention call, kernels, files.
    pub receipt: PathBuf,
    /// The frame in its middle, small, as JPEG.
    pub thumbnail: PathBuf,
}

impl Cell {
    /// What was made; `None` of a failure.
    pub fn made(&self) -> Option<&Made> {
        match &self.outcome {
            Outcome::Made(made) => Some(made),
            Outcome::Failed { .. } => None,
        }
    }

    /// Why it failed; `None` where it did not.
    pub fn error(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Made(_) => None,
            Outcome::Failed { error, .. } => Some(error),
        }
    }
}

impl Made {
    /// Puts together what the receipt says; the distances are added when they are measured.
    pub(super) fn new(receipt: Receipt, [master, beside, thumbnail]: [PathBuf; 3]) -> Self {
        let calls = |sparse: bool| {
            receipt.attention.iter().filter(move |used| !sparse || used.mode != "dense")
        };
        let density = |sparse: bool| {
            let count: u64 = calls(sparse).map(|used| used.calls).sum();
            let sum: f64 = calls(sparse).map(|used| used.density_exact * used.calls as f64).sum();
            (count > 0).then(|| sum / count as f64)
        };
        let estimate_seconds = calls(false).map(|used| used.estimate_seconds).sum();
        let attend_seconds: f64 = calls(false).map(|used| used.attend_seconds).sum();
        Self {
            density_sparse: density(true),
            density: density(false).unwrap_or(1.0),
            attention_seconds: attend_seconds + estimate_seconds,
            estimate_seconds,
            request: receipt.request.clip_only(),
            model: receipt.model.name,
            fingerprint: receipt.model.fingerprint,
            ran_on: receipt.ran_on,
            phases: receipt.phases,
            peak_memory_bytes: receipt.peak_memory_bytes,
            fallbacks: receipt.fallbacks,
            fidelity: None,
            latents: Vec::new(),
            master,
            receipt: beside,
            thumbnail,
        }
    }

    /// Wall time of one phase; 0 where it did not run.
    pub fn seconds_in(&self, phase: Phase) -> f64 {
        self.phases.iter().filter(|time| time.phase == phase).map(|time| time.seconds).sum()
    }

    /// Wall time of all steps.
    pub fn denoise_seconds(&self) -> f64 {
        self.seconds_in(Phase::Denoise)
    }

    /// Wall time from the prompt to the file, loading left out: the model stays in memory from clip to clip.
    pub fn clip_seconds(&self) -> f64 {
        self.phases.iter().filter(|time| time.phase != Phase::Load).map(|time| time.seconds).sum()
    }
}
