//! Two clips that are not of one size or length, made comparable, when that is asked for.

use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::shift::overlap;
use super::{Pictures, shift};
use crate::{Error, Result};

/// What was changed to make two clips comparable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alignment {
    /// The clip's own size in pixels, when it was resampled to the reference's.
    pub resampled_from: Option<(usize, usize)>,
    /// Frames by which the clip was late (above 0) or early, and was moved back.
    pub moved: i64,
    /// Frames of the clip that have no partner.
    pub clip_frames_left_out: usize,
    /// Frames of the reference that have no partner.
    pub reference_frames_left_out: usize,
}

/// Resamples the clip to the reference's size (Lanczos), moves it by the [`shift`] between them, and leaves out frames
/// without a partner. Clips that are comparable come back as they are.
///
/// # Errors
/// One of them has no frame or no pixel.
pub fn align(
    mut clip: Pictures,
    mut reference: Pictures,
) -> Result<(Pictures, Pictures, Alignment)> {
    let is_empty = |p: &Pictures| p.frames.is_empty() || p.width == 0 || p.height == 0;
    if is_empty(&clip) || is_empty(&reference) {
        return Err(Error::Compare { expected: reference.extent(), got: clip.extent() });
    }
    let mut done = Alignment::default();
    if (clip.width, clip.height) != (reference.width, reference.height) {
        done.resampled_from = Some((clip.width, clip.height));
        clip = resampled(&clip, reference.width, reference.height)?;
    }
    done.moved = shift(&clip, &reference).map_or(0, |shift| shift.frames);
    let lengths = [clip.frames.len(), reference.frames.len()];
    let pairs: Vec<_> = overlap(lengths[0], lengths[1], done.moved).collect();
    done.clip_frames_left_out = lengths[0] - pairs.len();
    done.reference_frames_left_out = lengths[1] - pairs.len();
    if let Some((clip_first, reference_first)) = pairs.first() {
        clip.frames.drain(..clip_first);
        reference.frames.drain(..reference_first);
    }
    clip.frames.truncate(pairs.len());
    reference.frames.truncate(pairs.len());
    Ok((clip, reference, done))
}

fn resampled(clip: &Pictures, width: usize, height: usize) -> Result<Pictures> {
    let of_frame = |rgb: &Vec<u8>| {
        ImageBuffer::<Rgb<u8>, _>::from_raw(clip.width as u32, clip.height as u32, rgb.as_slice())
            .map(|picture| {
                resize(&picture, width as u32, height as u32, FilterType::Lanczos3).into_raw()
            })
    };
    let frames: Option<Vec<_>> = clip.frames.par_iter().map(of_frame).collect();
    let frames = frames.ok_or_else(|| Error::Compare {
        expected: format!("{} bytes a frame of {}", clip.width * clip.height * 3, clip.extent()),
        got: "a shorter frame".into(),
    })?;
    Ok(Pictures { width, height, frames })
}
