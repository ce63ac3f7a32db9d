//! What the clip will look like, after every step and at hardly any cost: the predicted clean latents through a linear map to RGB.
//!
//! With x the latents at noise level σ and v the velocity, the clean clip predicted now is x₀ = x − σ·v (rectified flow). Each
//! latent place of x₀ (C channels) becomes one pixel, rgb = W·x₀ + b, with W `[3, C]` and b `[3]` fitted once for each VAE by
//! least squares on what it really decodes (`examples/fit_preview.rs` writes `preview/fitted.json`). The run's own latents are
//! only read, so a clip is the same in every bit whether somebody watches or not.

mod projection;
mod recorded;

use std::sync::Arc;

pub use projection::Projection;
pub use recorded::recorded;

use crate::events::JobId;

/// A small picture of every latent frame, as predicted after one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The job it belongs to.
    pub job: JobId,
    /// The step, from 0.
    pub step: u64,
    /// Steps of the run.
    pub of: u64,
    /// Latent frames, T.
    pub frames: usize,
    /// Pixels in a row: latent places, w.
    pub width: usize,
    /// Rows of pixels, h.
    pub height: usize,
    /// `[T, h, w, 3]`, packed.
    pub rgb: Arc<[u8]>,
}
