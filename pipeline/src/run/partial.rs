//! What a run that ends while it denoises leaves behind: the clip as its last finished step saw it.
//!
//! The sample itself is mostly noise then; m = x − σ·v is what the model took the clip to be. `resume` decodes it.

use candle_core::Tensor;

use crate::engine::Job;
use crate::events::FileRole;
use crate::latents::{Denoised, Description};
use crate::plan::{Plan, Settled, files};
use crate::{Result, latents};

/// The last finished step.
pub(super) struct Finished {
    /// What the model saw, `[1, C, T, h, w]` F32.
    pub(super) sample: Tensor,
    /// What it predicted, likewise.
    pub(super) velocity: Tensor,
    /// The noise level of the sample.
    pub(super) sigma: f64,
    /// Steps that were finished.
    pub(super) steps: Denoised,
}

impl Finished {
    /// The clean latents as predicted at this step, `[1, C, T, h, w]` F32.
    pub(super) fn clip(&self) -> Result<Tensor> {
        Ok((&self.sample - (&self.velocity * self.sigma)?)?)
    }
}

/// Puts the clip of the last finished step on disk. That it cannot be is a warning: why the run ended is what it says.
pub(super) fn keep(job: &mut Job<'_>, plan: &Plan, settled: &Settled, last: &Finished) {
    let path = files::partial_latents_of(&settled.out);
    let saved = || -> Result<u64> {
        let description =
            Description { denoised: Some(last.steps), ..Description::of(plan, settled) };
        latents::save(&path, &last.clip()?, &description)?;
        Ok(std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default())
    };
    match saved() {
        Ok(bytes) => job.wrote(FileRole::PartialLatents, &path, bytes),
        Err(error) => job.warn(format!("What was denoised so far could not be kept: {error}.")),
    }
}
