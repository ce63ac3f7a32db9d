//! How far a clip is from another, frame by frame and as a whole, and how far two latents are.

use candle_core::{DType, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{mean_squared_error, psnr, ssim};
use crate::{Error, Result};

/// A clip in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Each frame as RGB, 3 bytes a pixel, rows without gaps.
    pub frames: Vec<Vec<u8>>,
}

/// One pair of frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrameFidelity {
    /// Mean squared error, in squared steps of 1/255.
    pub mean_squared_error: f64,
    /// Decibels; `None` where the frames are equal.
    pub psnr: Option<f64>,
    /// Structural similarity; `None` for frames smaller than its window.
    pub ssim: Option<f64>,
}

/// A clip's distance from the clip that it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Decibels of the clip's mean squared error; `None` where the clips are equal.
    pub psnr: Option<f64>,
    /// Mean of the frames' structural similarity.
    pub ssim: Option<f64>,
    /// Every frame, by index.
    pub frames: Vec<FrameFidelity>,
}

/// Compares two clips frame by frame; refuses clips of different sizes or lengths.
pub fn fidelity(clip: &Pictures, reference: &Pictures) -> Result<Fidelity> {
    let sizes = |p: &Pictures| (p.width, p.height, p.frames.len());
    if sizes(clip) != sizes(reference) || clip.frames.is_empty() {
        return Err(Error::Compare {
            expected: format!("{:?} (width, height, frames)", sizes(reference)),
            got: format!("{:?}", sizes(clip)),
        });
    }
    let frames: Vec<_> = clip
        .frames
        .par_iter()
        .zip(&reference.frames)
        .map(|(a, b)| {
            let error = mean_squared_error(a, b);
            FrameFidelity {
                mean_squared_error: error,
                psnr: finite(psnr(error)),
                ssim: ssim(a, b, clip.width, clip.height),
            }
        })
        .collect();
    let mean = |of: &dyn Fn(&FrameFidelity) -> f64| {
        frames.iter().map(of).sum::<f64>() / frames.len() as f64
    };
    Ok(Fidelity {
        psnr: finite(psnr(mean(&|frame| frame.mean_squared_error))),
        ssim: finite(mean(&|frame| frame.ssim.unwrap_or(f64::NAN))),
        frames,
    })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// a·b / (‖a‖‖b‖) of two tensors of one shape; 1 for equal directions.
pub fn cosine(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (ab, aa, bb) = (dot(a, b)?, dot(a, a)?, dot(b, b)?);
    Ok(ab / (aa * bb).sqrt())
}

/// ‖a − b‖ / ‖b‖.
pub fn relative_error(a: &Tensor, b: &Tensor) -> Result<f64> {
    let difference = (a.to_dtype(DType::F32)? - b.to_dtype(DType::F32)?)?;
    Ok((dot(&difference, &difference)? / dot(b, b)?).sqrt())
}

/// Σ aᵢbᵢ in F64.
fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    let values =
        |x: &Tensor| x.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1::<f32>());
    Ok(values(a)?.iter().zip(&values(b)?).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
}
