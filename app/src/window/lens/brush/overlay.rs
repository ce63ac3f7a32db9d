//! Mass of attention as pictures to lay over frames.

use eframe::egui::{Color32, ColorImage, Pos2, Rect, Vec2};
use tessera_pipeline::gaze::{Gaze, Reading};
use tessera_pipeline::palette::{self, Scale};

/// Pictures of one size in one texture, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    /// Pictures.
    pub(crate) count: usize,
    /// Of them in a row.
    pub(crate) across: usize,
    /// Pixels of each.
    pub(crate) size: [usize; 2],
}

impl Tiles {
    /// As square as they get, so that many frames are no endless ribbon.
    pub(crate) fn new(count: usize, size: [usize; 2]) -> Self {
        let across = (1..count.max(1)).find(|across| across * across >= count).unwrap_or(1);
        Self { count, across, size }
    }

    /// Pixels of all.
    fn extent(&self) -> [usize; 2] {
        [self.across * self.size[0], self.count.div_ceil(self.across).max(1) * self.size[1]]
    }

    /// Where one lies in the texture, each side from 0 to 1, half a pixel in from its neighbours.
    pub(crate) fn uv(&self, tile: usize) -> Rect {
        let [wide, high] = self.extent().map(|side| side as f32);
        let corner = Pos2::new(
            (tile % self.across * self.size[0]) as f32,
            (tile / self.across * self.size[1]) as f32,
        );
        let inside = Rect::from_min_size(corner, self.size.map(|side| side as f32).into());
        let inside = inside.shrink2(Vec2::splat(0.01));
        let scaled = |at: Pos2| Pos2::new(at.x / wide, at.y / high);
        Rect::from_min_max(scaled(inside.min), scaled(inside.max))
    }

    /// One picture of all of them; `pixel` tells that of (tile, x, y).
    pub(crate) fn paint(&self, pixel: impl Fn(usize, usize, usize) -> Color32) -> ColorImage {
        let extent = self.extent();
        let mut pixels = vec![Color32::TRANSPARENT; extent[0] * extent[1]];
        for tile in 0..self.count {
            let (left, top) =
                (tile % self.across * self.size[0], tile / self.across * self.size[1]);
            for y in 0..self.size[1] {
                for x in 0..self.size[0] {
                    pixels[(top + y) * extent[0] + left + x] = pixel(tile, x, y);
                }
            }
        }
        ColorImage::new(extent, pixels)
    }
}

/// What tokens look at, painted.
#[derive(Debug)]
pub(crate) struct Painted {
    /// Its numbers.
    pub(crate) gaze: Gaze,
    /// Of each reading the mass in each latent frame.
    pub(crate) of_frames: [Vec<f32>; 3],
    /// Of each reading all latent frames, a pixel a token.
    pub(crate) images: [ColorImage; 3],
    /// How they lie in these.
    pub(crate) tiles: Tiles,
}

impl Painted {
    /// All readings on the scale of the truth, so that they can be compared.
    pub(crate) fn of(gaze: Gaze) -> Self {
        let grid = gaze.grid;
        let tiles = Tiles::new(grid.frames, [grid.cols, grid.rows]);
        let plane = grid.rows * grid.cols;
        let scale = Scale::log(&gaze.truth);
        // Of what is not known there is nothing to see, and the view offers none of it.
        let nothing = || vec![0.0; gaze.truth.len()];
        let all = Reading::ALL.map(|reading| gaze.reading(reading).unwrap_or_else(nothing));
        Self {
            of_frames: all.each_ref().map(|shares| of_frames(shares, plane)),
            images: all.each_ref().map(|shares| heat(&tiles, shares, scale)),
            tiles,
            gaze,
        }
    }
}

/// Shares `[T, rows, columns]` as translucent heat.
pub(crate) fn heat(tiles: &Tiles, shares: &[f32], scale: Scale) -> ColorImage {
    let [wide, high] = tiles.size;
    tiles.paint(|tile, x, y| {
        let amount = scale.amount(shares[(tile * high + y) * wide + x]);
        let ([r, g, b], cover) = palette::overlay(amount);
        Color32::from_rgba_unmultiplied(r, g, b, (cover * 255.0) as u8)
    })
}

/// The sum of shares `[T, rows, columns]` in each latent frame of `plane` tokens.
pub(crate) fn of_frames(shares: &[f32], plane: usize) -> Vec<f32> {
    shares.chunks(plane.max(1)).map(|frame| frame.iter().sum()).collect()
}

#[cfg(test)]
mod tests {
    use tessera_pipeline::gaze::{Gaze, Grain};

    use super::*;

    #[test]
    fn tiles_lie_side_by_side_and_are_found_again() {
        let tiles = Tiles::new(5, [2, 3]);
        let image = tiles.paint(|tile, x, y| Color32::from_rgb(tile as u8, x as u8, y as u8));
        assert_eq!((tiles.across, image.size), (3, [6, 6]));
        for tile in 0..5 {
            let uv = tiles.uv(tile);
            let at = |uv: f32, side: usize| (uv * side as f32) as usize;
            let first = image.pixels[at(uv.min.y, 6) * 6 + at(uv.min.x, 6)];
            let last = image.pixels[at(uv.max.y, 6) * 6 + at(uv.max.x, 6)];
            assert_eq!(first, Color32::from_rgb(tile as u8, 0, 0));
            assert_eq!(last, Color32::from_rgb(tile as u8, 1, 2));
        }
        assert_eq!(Tiles::new(1, [4, 4]).across, 1);
    }

    #[test]
    fn readings_share_the_scale_of_the_truth() {
        let gaze = Gaze {
            grid: serde_json::from_str(r#"{"frames":2,"rows":1,"cols":2}"#).unwrap(),
            truth: vec![0.5, 0.25, 0.2, 0.05],
            kept: Some(vec![0.5, 0.0, 0.2, 0.0]),
            grain: Grain::Blocks,
        };
        let painted = Painted::of(gaze);
        assert_eq!(painted.of_frames[0], [0.75, 0.25]);
        assert_eq!(painted.of_frames[2], [0.25, 0.05]);
        assert_eq!(painted.images[0].pixels[0], painted.images[1].pixels[0]);
        assert_eq!(painted.images[0].pixels[1], painted.images[2].pixels[1]);
        assert_ne!(painted.images[0].pixels[0], painted.images[0].pixels[1]);
    }
}
