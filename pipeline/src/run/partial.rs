//! What a run that ends while it denoises leaves behind: the clip as its last finished step saw it.
//!
//! The sample itself is mostly noise then; m = x − σ·v is what the model took the clip to be. `resume` decodes it.

use candle_core::{Device, Tensor};

use crate::engine::Job;
use crate::events::FileRole;
use crate::latents::{Denoised, Description};
use crate::plan::{Plan, Settled, files};
use crate::{Result, latents};

/// The last finished step.
pub(super) struct Finished {
    /// The clean latents as the model predicted them there, `[1, C, T, h, w]` F32 in main memory, where no failing GPU
    /// takes them along.
    clip: Tensor,
    /// Steps that were finished.
    pub(super) steps: Denoised,
}

impl Finished {
    /// Of what the model saw and predicted at noise level `sigma`, both `[1, C, T, h, w]` F32.
    pub(super) fn new(
        sample: &Tensor,
        velocity: &Tensor,
        sigma: f64,
        steps: Denoised,
    ) -> Result<Self> {
        let clip = (sample - (velocity * sigma)?)?.to_device(&Device::Cpu)?;
        Ok(Self { clip, steps })
    }

    /// The clean latents.
    pub(super) fn clip(&self) -> &Tensor {
        &self.clip
    }
}

/// Puts the clip of the last finished step on disk. That it cannot be is a warning: why the run ended is what it says.
pub(super) fn keep(job: &mut Job<'_>, plan: &Plan, settled: &Settled, last: &Finished) {
    let path = files::partial_latents_of(&settled.out);
    let saved = || -> Result<u64> {
        let description =
            Description { denoised: Some(last.steps), ..Description::of(plan, settled) };
        latents::save(&path, last.clip(), &description)?;
        Ok(std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default())
    };
    match saved() {
        Ok(bytes) => job.wrote(FileRole::PartialLatents, &path, bytes),
        Err(error) => job.warn(format!("What was denoised so far could not be kept: {error}.")),
    }
}
