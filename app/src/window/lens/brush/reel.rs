//! The frames under an overlay: the run's clip where its file is found, otherwise what the step was heading for where latents
//! were kept, otherwise empty frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::{Color32, ColorImage};
use tessera_pipeline::inspect;
use tessera_pipeline::preview;
use tessera_pipeline::recording::{Meta, Recording};

use super::Tiles;
use crate::window::player::{Film, Source};
use crate::window::workers;

/// Small pictures have at most this many pixels in a row.
const SMALL: usize = 112;
/// Colour of an empty frame.
const EMPTY: [u8; 3] = [0x24, 0x26, 0x2b];

/// What frames are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Under {
    /// The run's own clip, in this file.
    Clip(PathBuf),
    /// What a step was heading for.
    Predicted(usize),
    /// Nothing was found.
    Nothing,
}

/// Frames and small ones.
#[derive(Debug)]
pub(crate) struct Reel {
    pub(crate) under: Under,
    pub(crate) film: Film,
    /// All latent frames.
    pub(crate) strip: ColorImage,
    pub(crate) tiles: Tiles,
}

/// The frames for a recording at a step. `serial` tells them from those before.
pub(super) fn find(recording: &Recording, step: usize, serial: u64) -> Reel {
    let meta = recording.meta();
    let source = Source::Recorded { serial };
    let seconds = meta.size.frames as f64 / meta.request.fps.unwrap_or(16.0);
    if let Some((path, film)) = clip(recording, source) {
        return reel(meta, Under::Clip(path), film);
    }
    if let Ok(Some(preview)) = preview::recorded(recording, step) {
        let film = Film { source, ..Film::of_preview(&preview, seconds) };
        return reel(meta, Under::Predicted(step), film);
    }
    let (size, count) = ([meta.grid.cols, meta.grid.rows], meta.grid.frames);
    let frame: Arc<[u8]> = Arc::from(EMPTY.repeat(size[0] * size[1]));
    let film = Film { source, size, frames: vec![frame; count], fps: count as f64 / seconds };
    reel(meta, Under::Nothing, film)
}

/// The step that the frames depend on, if they do.
pub(super) fn depends_on(under: &Under) -> Option<usize> {
    match under {
        Under::Predicted(step) => Some(*step),
        Under::Clip(_) | Under::Nothing => None,
    }
}

/// The run's clip: beside the recording, or where the run put it. A file of that name is taken when its size is the run's and its
/// settings, if it has any, are of the same clip.
fn clip(recording: &Recording, source: Source) -> Option<(PathBuf, Film)> {
    let meta = recording.meta();
    let fps = meta.request.fps.unwrap_or(16.0);
    let out = meta.request.out.clone();
    let named = out.as_ref().and_then(|out| out.file_name()).map(PathBuf::from);
    let own = recording.path().with_extension("").file_name().map(|name| {
        let mut name = name.to_owned();
        name.push(".mp4");
        PathBuf::from(name)
    });
    let beside = recording.path().parent().unwrap_or(Path::new("."));
    let near = named.into_iter().chain(own).map(|name| beside.join(name));
    let mut candidates = near.chain(out).filter(|path| path.is_file());
    candidates.find_map(|path| {
        let film = workers::film(source, &path, fps).ok()?;
        let is_own = film.size == [meta.size.width, meta.size.height]
            && film.frames.len() == meta.size.frames
            && is_of(&path, meta);
        is_own.then_some((path, film))
    })
}

/// Whether the settings in a file, if there are any, make the recorded clip.
fn is_of(path: &Path, meta: &Meta) -> bool {
    let Ok(report) = inspect::inspect(path) else { return false };
    let (ours, theirs) = (&meta.request, report.request());
    theirs.is_none_or(|theirs| {
        let of = |request: &tessera_pipeline::request::Request| {
            (request.prompt.clone(), request.seed, request.steps, request.attention.clone())
        };
        of(ours) == of(theirs)
    })
}

fn reel(meta: &Meta, under: Under, film: Film) -> Reel {
    let count = meta.grid.frames;
    let wide = film.size[0].min(SMALL);
    let high = (film.size[1] * wide / film.size[0].max(1)).max(1);
    let tiles = Tiles::new(count, [wide, high]);
    let strip = tiles.paint(|tile, x, y| {
        let frames = frames_of(tile, film.frames.len(), count);
        let rgb = &film.frames[usize::midpoint(frames.0, frames.1)];
        mean(rgb, film.size, [wide, high], [x, y])
    });
    Reel { under, film, strip, tiles }
}

/// The mean colour of the pixels of a frame that fall onto one pixel of a smaller one.
fn mean(rgb: &[u8], size: [usize; 2], small: [usize; 2], [x, y]: [usize; 2]) -> Color32 {
    let range = |at: usize, axis: usize| {
        let from = at * size[axis] / small[axis];
        from..((at + 1) * size[axis] / small[axis]).max(from + 1)
    };
    let (mut sum, mut count) = ([0u32; 3], 0);
    for row in range(y, 1) {
        for column in range(x, 0) {
            let at = (row * size[0] + column) * 3;
            for (sum, level) in sum.iter_mut().zip(&rgb[at..at + 3]) {
                *sum += u32::from(*level);
            }
            count += 1;
        }
    }
    let [r, g, b] = sum.map(|sum| (sum / count) as u8);
    Color32::from_rgb(r, g, b)
}

/// The first and the last of a clip's frames that come from a latent frame. The first latent frame is one frame, each other one
/// as many as the VAE makes of it.
pub(crate) fn frames_of(latent: usize, frames: usize, latents: usize) -> (usize, usize) {
    if frames <= latents || latents < 2 {
        return (latent.min(frames.saturating_sub(1)), latent.min(frames.saturating_sub(1)));
    }
    let each = (frames - 1).div_ceil(latents - 1);
    let last = (latent * each).min(frames - 1);
    (if latent == 0 { 0 } else { ((latent - 1) * each + 1).min(last) }, last)
}

/// The latent frame that a clip's frame comes from.
pub(in crate::window::lens) fn latent_of(frame: usize, frames: usize, latents: usize) -> usize {
    if frames <= latents || latents < 2 {
        return frame.min(latents.saturating_sub(1));
    }
    frame.div_ceil((frames - 1).div_ceil(latents - 1)).min(latents - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_latent_frame_is_one_frame_and_each_other_four() {
        assert_eq!([0, 1, 8].map(|latent| frames_of(latent, 33, 9)), [(0, 0), (1, 4), (29, 32)]);
        for frame in 0..33 {
            let (first, last) = frames_of(latent_of(frame, 33, 9), 33, 9);
            assert!((first..=last).contains(&frame), "{frame}");
        }
        assert_eq!((frames_of(3, 9, 9), latent_of(3, 9, 9)), ((3, 3), 3), "a picture each");
        assert_eq!((frames_of(0, 1, 1), latent_of(0, 1, 1)), ((0, 0), 0));
    }

    #[test]
    fn small_frames_are_means() {
        let rgb = [0u8, 0, 0, 100, 100, 100, 200, 0, 0, 0, 0, 0];
        assert_eq!(mean(&rgb, [2, 2], [1, 1], [0, 0]), Color32::from_rgb(75, 25, 25));
        assert_eq!(mean(&rgb, [2, 2], [2, 2], [0, 1]), Color32::from_rgb(200, 0, 0));
    }
}
