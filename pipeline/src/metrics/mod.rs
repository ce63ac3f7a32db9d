//! Distances between two clips of the same size: what a faster run lost against the run it is compared with.
//!
//! All figures are about two runs, never about how good a clip is. Frames are 8-bit RGB, paired by index.

mod fidelity;
mod psnr;
mod sampling;
mod ssim;
#[cfg(test)]
mod tests;

pub use fidelity::{Fidelity, FrameFidelity, Pictures, cosine, fidelity, relative_error};
pub use psnr::{mean_squared_error, psnr};
pub use sampling::{Interval, median, paired_interval};
pub use ssim::ssim;
