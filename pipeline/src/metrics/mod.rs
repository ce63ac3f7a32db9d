//! Distances between two clips: what a faster run lost against the run it is compared with.
//!
//! ```text
//! two clips → Pictures ─(align, when asked)→ compare, frame by index → Fidelity: PSNR, SSIM, MS-SSIM, flicker; a shift, if it is one
//! two recordings → latent_distances: cosine and relative L2 after each step
//! ```
//!
//! All figures are about two runs, a distance from the dense run, never about how good a clip is. Frames are 8-bit RGB, paired
//! by index, on all cores. What the window draws of a pair ([`ssim_map`], [`difference`], [`frame_fidelity`]) is here too.

mod align;
mod difference;
mod fidelity;
mod filters;
mod flicker;
mod latents;
mod lpips;
mod ms_ssim;
mod pictures;
mod psnr;
mod report;
mod shift;
mod ssim;
#[cfg(test)]
mod tests;

pub use align::{Alignment, align};
pub use difference::difference;
pub use fidelity::{Fidelity, FrameFidelity, fidelity, fidelity_with, frame_fidelity};
pub use filters::{Filter, Filtered, filtered};
pub use flicker::{flicker, step_energy};
pub use latents::{LatentDistance, cosine, latent_distance, latent_distances, relative_error};
pub use lpips::Lpips;
pub use ms_ssim::ms_ssim;
pub use pictures::Pictures;
pub use psnr::{mean_squared_error, psnr};
pub use report::{Report, measure};
pub use shift::{Shift, shift};
pub use ssim::{SsimMap, ssim, ssim_map};
