//! Shares of attention laid over frames.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use serde_json::json;
use tessera_models::geometry::Grid;

use super::super::array::{Array, Values};
use super::super::pictures::beside;
use super::rate;
use super::sheets::Sheet;
use super::writing::Film;
use crate::palette::Scale;
use crate::{Error, Result, palette};

/// A video is at least this many pixels on its longer side.
const LONG_SIDE: usize = 512;

/// The frames below.
#[derive(Debug, Clone, PartialEq)]
pub struct Under {
    /// Pixels in a row, rows.
    pub size: [usize; 2],
    /// Packed RGB of each frame.
    pub frames: Vec<Arc<[u8]>>,
    /// Frames in a second.
    pub fps: f64,
}

/// What lies over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay {
    /// The stem of its files.
    pub name: String,
    /// The video tokens.
    pub grid: Grid,
    /// Named shares, `[T, rows, columns]` each.
    pub shares: Vec<(String, Vec<f32>)>,
    /// Which of them is shown.
    pub shown: usize,
    /// How shares become colours.
    pub scale: Scale,
    /// The frames below, and the latent frame that each comes from.
    pub under: Under,
    /// Of each frame below.
    pub latents: Vec<usize>,
}

impl Overlay {
    fn shown(&self) -> &[f32] {
        self.shares.get(self.shown).map(|(_, shares)| shares.as_slice()).unwrap_or_default()
    }

    /// All latent frames side by side, and every share.
    pub(super) fn sheet(&self) -> Sheet {
        let grid = self.grid;
        let sides = [grid.frames, grid.rows, grid.cols];
        let rgb: Vec<[u8; 3]> = self
            .shown()
            .iter()
            .map(|share| palette::overlay(self.scale.amount(*share)).0)
            .collect();
        let arrays = self
            .shares
            .iter()
            .map(|(name, shares)| Array::new(name.clone(), &sides, Values::F32(shares.clone())));
        let mut columns = vec!["latent_frame", "row", "column"];
        columns.extend(self.shares.iter().map(|(name, _)| name.as_str()));
        let mut sheet = Sheet::new(beside(&rgb, sides), arrays.collect(), &columns);
        let place = |token: usize| {
            [token / (grid.rows * grid.cols), token / grid.cols % grid.rows, token % grid.cols]
        };
        sheet.rows = (0..grid.tokens())
            .map(|token| {
                let shares = self.shares.iter().map(|(_, shares)| json!(shares.get(token)));
                place(token).into_iter().map(|side| json!(side)).chain(shares).collect()
            })
            .collect();
        sheet
    }

    /// Every frame with the overlay of its latent frame.
    pub(super) fn film(&self, to: &Path, tell: &mut dyn FnMut(usize, usize) -> bool) -> Result<()> {
        let [wide, high] = self.under.size;
        let factor = LONG_SIDE.div_ceil(wide.max(high).max(1)).max(1);
        let size = ((wide * factor) as u32, (high * factor) as u32);
        let mut film = Film::create(to, size, rate(self.under.fps)?)?;
        for (index, frame) in self.under.frames.iter().enumerate() {
            if !tell(index, self.under.frames.len()) {
                return Err(Error::Cancelled);
            }
            let latent = self.latents.get(index).copied().unwrap_or_default();
            film.push(&self.covered(frame, latent, factor, size))?;
        }
        film.finish()
    }

    fn covered(&self, frame: &[u8], latent: usize, factor: usize, size: (u32, u32)) -> RgbImage {
        let ([wide, high], grid) = (self.under.size, self.grid);
        let shares = self.shown();
        RgbImage::from_fn(size.0, size.1, |x, y| {
            let (x, y) = (x as usize / factor, y as usize / factor);
            let (row, column) = (y * grid.rows / high, x * grid.cols / wide);
            let share = shares.get((latent * grid.rows + row) * grid.cols + column);
            let share = share.copied().unwrap_or_default();
            let (heat, cover) = palette::overlay(self.scale.amount(share));
            let below = &frame[(y * wide + x) * 3..][..3];
            let mixed = |c: usize| {
                (f32::from(heat[c]) * cover + f32::from(below[c]) * (1.0 - cover)).round() as u8
            };
            image::Rgb([mixed(0), mixed(1), mixed(2)])
        })
    }
}
