//! How far a clip is from another, frame by frame and as a whole.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::psnr::decibels;
use super::{
    Lpips, Pictures, Shift, flicker, mean_squared_error, ms_ssim, psnr, shift, ssim, step_energy,
};
use crate::{Error, Result};

/// One pair of frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrameFidelity {
    /// Mean squared error, in squared steps of 1/255.
    pub mean_squared_error: f64,
    /// Decibels; infinite where the frames are equal (`"inf"` in JSON).
    #[serde(with = "decibels")]
    pub psnr: f64,
    /// Structural similarity; `None` for frames smaller than its window.
    pub ssim: Option<f64>,
    /// Multi-scale structural similarity; `None` for frames with a side below 176 pixels.
    #[serde(default)]
    pub ms_ssim: Option<f64>,
    /// LPIPS, where its weights were given; 0 is equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// How much more than the reference the clip changed since the frame before, in steps of 1/255; `None` of the first.
    #[serde(default)]
    pub flicker: Option<f64>,
}

/// A clip's distance from the clip that it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Decibels of the clip's mean squared error; infinite where the clips are equal (`"inf"` in JSON).
    #[serde(with = "decibels")]
    pub psnr: f64,
    /// Mean of the frames' structural similarity.
    pub ssim: Option<f64>,
    /// Mean of the frames' multi-scale structural similarity.
    #[serde(default)]
    pub ms_ssim: Option<f64>,
    /// Mean of the frames' LPIPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// How much more than the reference the clip changes from frame to frame, in steps of 1/255.
    #[serde(default)]
    pub flicker: Option<f64>,
    /// The clip is the reference some frames later or earlier, so the figures above are of wrong pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// Every frame, by index.
    pub frames: Vec<FrameFidelity>,
}

impl Fidelity {
    /// The index of the frame that is farthest from its partner: of the least SSIM, or PSNR where there is none; the first of
    /// equals.
    pub fn worst_frame(&self) -> usize {
        let rank = |frame: &FrameFidelity| frame.ssim.unwrap_or(frame.psnr);
        let worst =
            self.frames.iter().enumerate().min_by(|(_, a), (_, b)| rank(a).total_cmp(&rank(b)));
        worst.map_or(0, |(index, _)| index)
    }
}

/// Compares two pictures of `width`×`height` (RGB, 3 bytes a pixel, rows without gaps); their flicker and LPIPS are not known.
pub fn frame_fidelity(a: &[u8], b: &[u8], width: usize, height: usize) -> FrameFidelity {
    let error = mean_squared_error(a, b);
    FrameFidelity {
        mean_squared_error: error,
        psnr: psnr(error),
        ssim: ssim(a, b, width, height),
        ms_ssim: ms_ssim(a, b, width, height),
        lpips: None,
        flicker: None,
    }
}

/// Compares two clips frame by frame.
///
/// # Errors
/// [`Error::Compare`] for clips of different sizes or lengths; [`super::align`] makes them comparable.
pub fn fidelity(clip: &Pictures, reference: &Pictures) -> Result<Fidelity> {
    fidelity_with(clip, reference, None)
}

/// [`fidelity`] with LPIPS too, where its network is given.
pub fn fidelity_with(
    clip: &Pictures,
    reference: &Pictures,
    lpips: Option<&Lpips>,
) -> Result<Fidelity> {
    let sizes = |p: &Pictures| (p.width, p.height, p.frames.len());
    if sizes(clip) != sizes(reference) || clip.frames.is_empty() {
        return Err(Error::Compare { expected: reference.extent(), got: clip.extent() });
    }
    let pairs = clip.frames.par_iter().zip(&reference.frames);
    let mut frames: Vec<_> =
        pairs.map(|(a, b)| frame_fidelity(a, b, clip.width, clip.height)).collect();
    let (ours, theirs) = (step_energy(clip), step_energy(reference));
    let steps = ours.chunks(1).zip(theirs.chunks(1));
    for (frame, (ours, theirs)) in frames.iter_mut().skip(1).zip(steps) {
        frame.flicker = flicker(ours, theirs);
    }
    if let Some(lpips) = lpips {
        for (index, frame) in frames.iter_mut().enumerate() {
            let pair = [&clip.frames[index], &reference.frames[index]];
            frame.lpips = lpips.distance(pair[0], pair[1], clip.width, clip.height)?;
        }
    }
    let errors = mean(frames.iter().map(|frame| Some(frame.mean_squared_error)));
    Ok(Fidelity {
        psnr: psnr(errors.unwrap_or(f64::NAN)),
        ssim: mean(frames.iter().map(|frame| frame.ssim)),
        ms_ssim: mean(frames.iter().map(|frame| frame.ms_ssim)),
        lpips: mean(frames.iter().map(|frame| frame.lpips)),
        flicker: flicker(&ours, &theirs),
        shift: shift(clip, reference),
        frames,
    })
}

/// The mean; `None` where a value is missing.
fn mean(values: impl ExactSizeIterator<Item = Option<f64>>) -> Option<f64> {
    let count = values.len();
    let sum: Option<f64> = values.sum();
    sum.map(|sum| sum / count as f64)
}
