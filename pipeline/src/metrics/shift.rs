//! Whether one clip is the other, some frames later or earlier.
//!
//! A dropped or doubled first frame makes every pair wrong, which reads as a large distance. The error is worked out with the
//! clip moved by up to [`MOST`] frames either way; where a move at least halves it, the move is reported.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Pictures, mean_squared_error, psnr};

/// Frames that are tried either way.
const MOST: i64 = 4;
/// Of this many rows of pixels one is looked at.
const ROWS: usize = 4;

/// A clip that is out of step with its reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The clip's frame `i + frames` shows what the reference's frame `i` shows: above 0 the clip is late.
    pub frames: i64,
    /// Decibels with frames paired as they are, on every fourth row.
    #[serde(with = "super::psnr::decibels")]
    pub psnr_as_it_is: f64,
    /// Decibels with the clip moved back; infinite where it is the reference itself.
    #[serde(with = "super::psnr::decibels")]
    pub psnr_moved: f64,
}

/// The shift between two clips of one picture size; `None` when they are in step, or when no move explains the difference.
pub fn shift(clip: &Pictures, reference: &Pictures) -> Option<Shift> {
    let as_it_is = error(clip, reference, 0)?;
    if as_it_is == 0.0 {
        return None;
    }
    // Nearest first: of two moves that do equally well the smaller is the likelier.
    let moves = (1..=MOST).flat_map(|frames| [frames, -frames]);
    let tried = moves.filter_map(|frames| Some((frames, error(clip, reference, frames)?)));
    let (frames, moved) = tried.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let is_found = moved <= as_it_is / 2.0;
    is_found.then(|| Shift { frames, psnr_as_it_is: psnr(as_it_is), psnr_moved: psnr(moved) })
}

/// Indices of the reference's frames that have a partner in a clip moved by `frames`.
pub(super) fn overlap(
    clip: usize,
    reference: usize,
    frames: i64,
) -> impl ExactSizeIterator<Item = (usize, usize)> {
    let (late, early) = (frames.max(0) as usize, (-frames).max(0) as usize);
    let count = clip.saturating_sub(late).min(reference.saturating_sub(early));
    (0..count).map(move |i| (i + late, i + early))
}

/// The mean squared error of the clip moved by `frames`; `None` when fewer than half of the frames, or than two, have a
/// partner then.
fn error(clip: &Pictures, reference: &Pictures, frames: i64) -> Option<f64> {
    let lengths = [clip.frames.len(), reference.frames.len()];
    let pairs: Vec<_> = overlap(lengths[0], lengths[1], frames).collect();
    let shortest = lengths[0].min(lengths[1]);
    if pairs.len() < 2 || pairs.len() * 2 < shortest {
        return None;
    }
    let row = clip.width * 3;
    let of_pair = |(a, b): &(usize, usize)| {
        let rows = clip.frames[*a].chunks_exact(row).zip(reference.frames[*b].chunks_exact(row));
        let errors = rows.step_by(ROWS).map(|(a, b)| mean_squared_error(a, b));
        errors.sum::<f64>() / clip.height.div_ceil(ROWS) as f64
    };
    Some(pairs.par_iter().map(of_pair).collect::<Vec<_>>().iter().sum::<f64>() / pairs.len() as f64)
}
