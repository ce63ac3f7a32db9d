//! Radial attention: between two frames a query sees the places near its own, fewer the farther the frames are apart.
//!
//! For frames i and j with d = |i − j|, g = bits of d, T tokens a frame, P = 2^(bits of T): all if d = 0; |r − c| ≤ half or
//! all of T if d = 1; otherwise |r − c| ≤ max(P/2^g · decay, block), and where P/2^g < 128 only if d is a multiple of
//! ⌊128 / (P/2^g)⌋. Everybody sees the first frame (a forced keep). A block is kept when more than 60 % of its keys that any
//! query sees are seen by more than a third of the queries. The knob moves the decay, and every other width in proportion to it;
//! frames that are left out come back as it grows. Source: arXiv 2506.19852, official code; methods.md §2.10.

use tessera_models::attention::Site;
use tessera_models::geometry::Grid;

use super::sta::everywhere;
use crate::Result;
use crate::sparsity::geometry::{
    Coverage, Entries, Known, Token, density, entries, knob_at, prepared,
};
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// Where the official code begins to leave frames out, whatever its blocks.
const THIN: f32 = 128.0;

/// The method.
pub(super) const METHOD: Method = Method {
    name: "radial",
    summary: "Radial attention: between frames, a band around the query's place that narrows with their distance.",
    source: "arXiv 2506.19852; methods.md §2.10",
    differs: "Blocks are 128 queries by 64 keys, and the narrowest band is a key block. Another density than the preset's is met by scaling all its bands alike, those within a frame and to the next one too, which the paper leaves wide.",
    presets: &[
        Preset {
            name: "wan2.1-14b",
            source: "official code, Wan2.1-14B 768×1280×69: 12 of 50 steps and the first layer dense",
            defaults: defaults(0.24, &[0]),
            build: || Box::new(Radial::new(0.2, 0.5)),
        },
        Preset {
            name: "wan2.2",
            source: "official code, Wan2.2-A14B: 11 of 40 steps and the first layer dense",
            defaults: defaults(0.275, &[0]),
            build: || Box::new(Radial::new(0.8, 0.5)),
        },
        Preset {
            name: "hunyuan",
            source: "official code, HunyuanVideo, 117 frames: 12 of 50 steps dense",
            defaults: defaults(0.24, &[]),
            build: || Box::new(Radial::new(0.95, 1.0)),
        },
    ],
};

const fn defaults(warmup: f64, dense_layers: &'static [usize]) -> Defaults {
    Defaults {
        warmup: Span::Share(warmup),
        dense_layers,
        first_frame: true,
        refresh: Refresh::Never,
        ..Defaults::PLAIN
    }
}

/// A decay.
#[derive(Debug)]
struct Radial {
    decay: f32,
    /// Width of the band to the next frame, as a share of the frame.
    next: f32,
    known: Known,
}

impl Radial {
    fn new(decay: f32, next: f32) -> Self {
        Self { decay, next, known: Known::default() }
    }

    /// The entries in each order of a clip.
    fn entries(&self, outline: &Outline<'_>) -> Vec<Entries> {
        let Outline { cells, .. } = *outline;
        let rule = self.rule(cells.grid, cells.blocks.key_block);
        self.known.entries(outline, |order| entries(cells, order, Coverage::Columns, &rule))
    }

    /// The rule for a clip in key blocks of `block` tokens.
    fn rule(&self, grid: Grid, block: usize) -> impl Fn(&Token, &Token) -> f32 + Sync + use<> {
        let frame = (grid.rows * grid.cols).max(1);
        let longest = 2.0_f32.powi(bits(frame));
        let group = move |distance: usize| longest / 2.0_f32.powi(bits(distance));
        let (decay, next, block) = (self.decay, self.next * frame as f32, block as f32);
        let frame_width = frame as f32;
        // A decay at which nothing is left out.
        let thinnest = THIN / group(grid.frames.saturating_sub(1).max(1));
        let most = decay * (frame_width / next).max(frame_width / block).max(thinnest).max(2.0);
        move |query, key| {
            let distance = query.place[0].abs_diff(key.place[0]);
            let apart = (query.raster % frame).abs_diff(key.raster % frame) as f32;
            let needed = match distance {
                0 => decay * apart / frame_width,
                1 => decay * apart / next,
                _ => (apart / group(distance))
                    .min(decay * apart / block)
                    .max(decay * thinned(distance, group(distance))),
            };
            knob_at(needed / most, decay / most)
        }
    }
}

/// By how much the band must be widened for two frames this far apart to see each other at all: 0 when they do at the
/// preset already. The stride between frames that are seen shrinks as the band widens, and 1 leaves none out.
fn thinned(distance: usize, width: f32) -> f32 {
    let stride = ((THIN / width) as usize).max(1);
    if distance.is_multiple_of(stride) {
        return 0.0;
    }
    let next = (1..stride).rev().find(|stride| distance.is_multiple_of(*stride)).unwrap_or(1);
    THIN / (width * next as f32)
}

/// Bits that it takes to write a number.
fn bits(x: usize) -> i32 {
    (usize::BITS - x.leading_zeros()) as i32
}

impl Policy for Radial {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn owner(&self, site: Site, _layers: usize) -> Site {
        everywhere(site)
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(density(&self.entries(outline)))
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        prepared(view, &self.entries(&view.outline()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    #[test]
    fn promises() {
        for grid in [Grid { frames: 9, rows: 16, cols: 16 }, Grid { frames: 5, rows: 9, cols: 13 }]
        {
            let call = Call::new(grid, 2, Arrangement::RASTER);
            keeps_its_promises(&Radial::new(0.2, 0.5), &call);
        }
    }

    #[test]
    fn bands_by_hand() {
        // 256 tokens a frame: P = 512, so P/2^g is 256, 128, 64, 32 for distances 1, 2–3, 4–7, 8–15.
        let grid = Grid { frames: 12, rows: 16, cols: 16 };
        let rule = Radial::new(0.75, 0.5).rule(grid, 64);
        let entry = |distance: usize, apart: usize| {
            let token = |frame: usize, raster| Token { place: [frame, 0, 0], raster };
            rule(&token(0, 0), &token(distance, distance * 256 + apart))
        };
        assert!(entry(0, 255) <= 0.5 && entry(1, 128) <= 0.5 && entry(2, 64) <= 0.5);
        assert_eq!([entry(0, 0), entry(1, 0), entry(2, 0)], [0.0; 3]);
        // Distance 2: 128 · 0.75 = 96 tokens at the preset.
        assert!(entry(2, 96) <= 0.5 && entry(2, 97) > 0.5 && entry(1, 129) > 0.5);
        // Distances 4 to 7 have 64 tokens: every second; 8 and more have 32: every fourth.
        assert!(entry(4, 64) <= 0.5 && entry(6, 64) <= 0.5 && entry(5, 0) > 0.5);
        assert!(entry(8, 64) <= 0.5 && entry(9, 0) > 0.5);
        // They come back at strides of 3, 2 and 1.
        assert!(entry(9, 0) < entry(10, 0) && entry(10, 0) < entry(11, 0));
        assert!((0..12).all(|distance| (0..256).all(|apart| entry(distance, apart) <= 1.0)));
    }

    #[test]
    fn blocks_follow_the_bands() {
        let call = Call::new(Grid { frames: 6, rows: 16, cols: 16 }, 1, Arrangement::RASTER);
        let levels = call.levels(&Radial::new(0.25, 0.5), Knob::Preset);
        let row: String =
            levels[0].iter().map(|level| if *level == 1 { '#' } else { '.' }).collect();
        // Query block 0 is the first half of frame 0: all of frame 0, then bands of 128, 64, 64 and 64 tokens; frame 5 is
        // left out, being an odd number of frames away.
        assert_eq!(row, "#######.##..##..##......");
    }
}
