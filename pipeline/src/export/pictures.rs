//! Arrays as pictures.

use std::path::PathBuf;

use image::RgbImage;

use super::array::{Array, Values};
use super::projection::Projection;
use super::{What, writing};
use crate::{Result, palette};

/// Small pictures are enlarged to about this many pixels on their longer side.
const LONG_SIDE: usize = 512;
/// Shares are shown over this many powers of ten below the largest.
const DECADES: f32 = 4.0;

/// Paints the arrays of a kind into a folder, which is there once the first picture is.
pub(super) struct Painter {
    kind: What,
    folder: PathBuf,
    /// Of latents.
    projection: Option<Projection>,
    painted: usize,
}

/// Cells of one colour each.
pub(super) struct Cells {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<[u8; 3]>,
}

impl Painter {
    pub(super) fn new(kind: What, folder: PathBuf, projection: Option<Projection>) -> Self {
        Self { kind, folder, projection, painted: 0 }
    }

    /// Paints an array, where its kind is one to look at.
    pub(super) fn paint(&mut self, array: &Array) -> Result<()> {
        let cells = match (self.kind, &array.values, array.shape.as_slice()) {
            (What::Maps, Values::U8(levels), &[height, width]) => {
                Cells { width, height, rgb: levels.iter().map(|l| palette::level(*l)).collect() }
            }
            (What::Attention, Values::F32(shares), &[height, width]) => {
                Cells { width, height, rgb: decades(shares) }
            }
            (What::Scores, Values::F32(scores), &[height, width]) => {
                Cells { width, height, rgb: linear(scores) }
            }
            (What::Tokens, Values::F32(shares), &[frames, height, width]) => {
                beside(&decades(shares), [frames, height, width])
            }
            (What::Latents, Values::F32(clip), &[1, _, frames, height, width]) => {
                let Some(projection) = &self.projection else { return Ok(()) };
                beside(&projection.rgb(clip), [frames, height, width])
            }
            _ => return Ok(()),
        };
        std::fs::create_dir_all(&self.folder).map_err(writing(&self.folder))?;
        let path = self.folder.join(format!("{}.png", array.name));
        let failed = |error: image::ImageError| writing(&path)(std::io::Error::other(error));
        cells.enlarged().save(&path).map_err(failed)?;
        self.painted += 1;
        Ok(())
    }

    /// Whether anything was painted.
    pub(super) fn finish(self) -> bool {
        self.painted > 0
    }
}

impl Cells {
    /// Each cell so many pixels wide and high that small pictures can be looked at.
    pub(super) fn enlarged(&self) -> RgbImage {
        let factor = (LONG_SIDE / self.width.max(self.height).max(1)).max(1);
        let side = |cells: usize| (cells * factor) as u32;
        RgbImage::from_fn(side(self.width), side(self.height), |x, y| {
            let cell = y as usize / factor * self.width + x as usize / factor;
            image::Rgb(self.rgb.get(cell).copied().unwrap_or_default())
        })
    }
}

/// Frames one beside the other, a cell apart.
pub(super) fn beside(rgb: &[[u8; 3]], [frames, height, width]: [usize; 3]) -> Cells {
    let mut cells = Vec::with_capacity(height * frames * (width + 1));
    for row in 0..height {
        for frame in 0..frames {
            if frame > 0 {
                cells.push(palette::level(0));
            }
            let start = (frame * height + row) * width;
            cells.extend(rgb.iter().skip(start).take(width));
        }
    }
    Cells { width: frames * width + frames.saturating_sub(1), height, rgb: cells }
}

/// Shares on a logarithmic scale that ends at the largest.
pub(super) fn decades(shares: &[f32]) -> Vec<[u8; 3]> {
    let most = shares.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    shares.iter().map(|share| palette::heat(1.0 + (share / most).log10() / DECADES)).collect()
}

/// Numbers from the least to the most of those that are finite.
pub(super) fn linear(numbers: &[f32]) -> Vec<[u8; 3]> {
    let finite = || numbers.iter().copied().filter(|number| number.is_finite());
    let (least, most) = (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max));
    let range = (most - least).max(f32::MIN_POSITIVE);
    numbers.iter().map(|number| palette::heat((number - least) / range)).collect()
}
