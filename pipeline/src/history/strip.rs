//! A clip in a few small frames side by side: what a list of runs shows, and plays under the pointer.

use std::path::Path;

use image::{ImageFormat, RgbImage, imageops};

use crate::video::Decoder;
use crate::{Error, Result};

/// Frames of a strip at most.
const MOST: usize = 8;
/// Pixels of a frame's longer side.
const SIDE: u32 = 112;

/// Frames side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strip {
    /// How many frames.
    pub frames: usize,
    /// Pixels in a row of all of them, rows.
    pub size: [usize; 2],
    /// Packed RGB.
    pub rgb: Vec<u8>,
}

/// Takes in every frame of a clip and keeps some of them, evenly.
#[derive(Debug)]
pub(crate) struct Stripper {
    of: usize,
    seen: usize,
    kept: Vec<RgbImage>,
}

impl Stripper {
    /// For a clip of so many frames.
    pub(crate) fn new(of: usize) -> Self {
        Self { of: of.max(1), seen: 0, kept: Vec::new() }
    }

    /// Takes in the next frame: width and height in pixels, packed RGB.
    pub(crate) fn push(&mut self, (width, height): (u32, u32), rgb: &[u8]) {
        let count = MOST.min(self.of);
        let is_due = self.kept.len() < count && self.seen == self.kept.len() * self.of / count;
        self.seen += 1;
        if !is_due {
            return;
        }
        let Some(picture) = RgbImage::from_raw(width, height, rgb.to_vec()) else { return };
        let scale = (f64::from(SIDE) / f64::from(width.max(height).max(1))).min(1.0);
        let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
        self.kept.push(imageops::thumbnail(&picture, side(width), side(height)));
    }

    /// The frames that were kept; `None` when there were none.
    pub(crate) fn finish(self) -> Option<Strip> {
        let (width, height) = self.kept.first()?.dimensions();
        let mut all = RgbImage::new(width * self.kept.len() as u32, height);
        for (index, picture) in self.kept.iter().enumerate() {
            imageops::replace(&mut all, picture, i64::from(width) * index as i64, 0);
        }
        let size = [all.width() as usize, all.height() as usize];
        Some(Strip { frames: self.kept.len(), size, rgb: all.into_raw() })
    }
}

impl Strip {
    /// The strip of a finished video of so many frames.
    pub fn of_video(path: &Path, frames: usize) -> Result<Option<Self>> {
        let mut stripper = Stripper::new(frames);
        for frame in Decoder::open(path)? {
            let frame = frame?;
            stripper.push((frame.width, frame.height), &frame.rgb);
        }
        Ok(stripper.finish())
    }

    /// As a WebP file, which loses nothing.
    pub(super) fn to_webp(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let [width, height] = self.size.map(|side| side as u32);
        image_webp::WebPEncoder::new(&mut bytes)
            .encode(&self.rgb, width, height, image_webp::ColorType::Rgb8)
            .map_err(|error| unreadable(&error))?;
        Ok(bytes)
    }

    /// Reads what [`Strip::to_webp`] wrote.
    pub(super) fn from_webp(bytes: &[u8], frames: usize) -> Result<Self> {
        let picture = image::load_from_memory_with_format(bytes, ImageFormat::WebP)
            .map_err(|error| unreadable(&error))?
            .into_rgb8();
        let size = [picture.width() as usize, picture.height() as usize];
        Ok(Self { frames: frames.max(1), size, rgb: picture.into_raw() })
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::Unreadable { what: "thumbnails in the history".into(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_kept_evenly_small_and_exact() {
        let mut stripper = Stripper::new(33);
        for frame in 0..33u8 {
            stripper.push((224, 112), &vec![frame; 224 * 112 * 3]);
        }
        let strip = stripper.finish().unwrap();
        assert_eq!((strip.frames, strip.size), (8, [112 * 8, 56]));
        let shades: Vec<u8> = (0..8).map(|frame| strip.rgb[frame * 112 * 3]).collect();
        assert_eq!(shades, [0, 4, 8, 12, 16, 20, 24, 28]);
        assert_eq!(Strip::from_webp(&strip.to_webp().unwrap(), 8).unwrap(), strip);
        assert_eq!(Stripper::new(1).finish(), None);
        assert!(Strip::from_webp(b"no picture", 8).is_err());
    }
}
