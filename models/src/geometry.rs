//! From pixels to latents to tokens: which sizes a model takes, and what they become inside it.
//!
//! The autoencoder makes one latent of `spatial`² pixels and, after the first frame (which stands alone), one latent
//! frame of `temporal` pixel frames: T = 1 + (frames − 1)/temporal. The transformer makes one token of a patch of
//! latents. So a side is a multiple of spatial × patch, and a clip has k·temporal + 1 frames.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wan::config::{TransformerConfig, VaeConfig};
use crate::{Error, Result};

/// A clip's size in pixels and frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Frames.
    pub frames: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}, {} frames", self.width, self.height, self.frames)
    }
}

/// The video tokens of a clip: frame-major, then rows, then columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// Latent frames.
    pub frames: usize,
    /// Rows of tokens in a frame.
    pub rows: usize,
    /// Tokens in a row.
    pub cols: usize,
}

impl Grid {
    /// S, the number of tokens.
    pub fn tokens(&self) -> usize {
        self.frames * self.rows * self.cols
    }
}

/// The lengths that one side of a clip may have: `offset` + multiples of `step`, between `least` and `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// The shortest.
    pub least: usize,
    /// The longest.
    pub most: usize,
    /// The distance from one to the next.
    pub step: usize,
}

impl Lengths {
    /// The nearest legal lengths at or below and at or above `wanted`; equal when it is legal itself or out of range.
    pub fn around(&self, wanted: usize) -> (usize, usize) {
        let inside = wanted.clamp(self.least, self.most);
        let below = inside - (inside - self.least) % self.step;
        let above = if below < inside { (below + self.step).min(self.most) } else { below };
        (below, above)
    }

    /// The nearest legal length, the shorter of two equally near.
    pub fn nearest(&self, wanted: usize) -> usize {
        let (below, above) = self.around(wanted);
        if above.abs_diff(wanted) < below.abs_diff(wanted) { above } else { below }
    }

    /// Whether `length` is one of them.
    pub fn contain(&self, length: usize) -> bool {
        self.around(length) == (length, length)
    }
}

/// A length that the model cannot make, and the nearest ones that it can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{side}: expected {}, got {got} (nearest: {})", self.expected(), self.nearest())]
pub struct SizeProblem {
    /// "width", "height" or "frames".
    pub side: &'static str,
    /// What was asked for.
    pub got: usize,
    /// What may be asked for.
    pub legal: Lengths,
}

impl SizeProblem {
    fn expected(&self) -> String {
        let Lengths { least, most, step } = self.legal;
        if self.side == "frames" {
            format!("{step}k + 1 with 1 ≤ frames ≤ {most}")
        } else {
            format!("a multiple of {step} from {least} to {most}")
        }
    }

    fn nearest(&self) -> String {
        let (below, above) = self.legal.around(self.got);
        if below == above { below.to_string() } else { format!("{below} or {above}") }
    }
}

impl From<SizeProblem> for Error {
    fn from(problem: SizeProblem) -> Self {
        let expected = format!("{} (nearest: {})", problem.expected(), problem.nearest());
        Self::argument(problem.side, expected, problem.got.to_string())
    }
}

/// How a checkpoint's transformer and autoencoder divide a clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Geometry {
    /// Latent channels.
    pub channels: usize,
    /// Pixels a latent, along rows and columns alike.
    pub spatial: usize,
    /// Pixel frames a latent frame, after the first.
    pub temporal: usize,
    /// Latent frames (always 1), rows and columns of a token.
    pub patch: [usize; 3],
    /// No axis of the token grid may be longer: the length of the rotary tables.
    pub longest_axis: usize,
    /// Mean of each latent channel in the autoencoder's space.
    pub mean: Vec<f64>,
    /// Standard deviation of each latent channel in the autoencoder's space.
    pub std: Vec<f64>,
}

impl Geometry {
    /// The geometry of a transformer and an autoencoder; an error when their latent channels differ or a patch is
    /// deeper than one frame.
    pub fn new(transformer: &TransformerConfig, vae: &VaeConfig) -> Result<Self> {
        let config = |field: &str, expected: String, got: String| Error::Config {
            file: "transformer/config.json".to_owned(),
            field: field.to_owned(),
            expected,
            got,
        };
        if transformer.in_channels != vae.z_dim {
            let expected = format!("{} as z_dim of vae/config.json", vae.z_dim);
            return Err(config("in_channels", expected, transformer.in_channels.to_string()));
        }
        let patch = transformer.patch_size;
        if patch[0] != 1 || patch[1] != patch[2] {
            let expected = "one frame by a square, as [1, 2, 2]".to_owned();
            return Err(config("patch_size", expected, format!("{patch:?}")));
        }
        Ok(Self {
            channels: vae.z_dim,
            spatial: vae.spatial_factor(),
            temporal: vae.temporal_factor(),
            patch,
            longest_axis: transformer.rope_max_seq_len,
            mean: vae.latents_mean.clone(),
            std: vae.latents_std.clone(),
        })
    }

    /// The legal widths and heights.
    pub fn sides(&self) -> Lengths {
        let step = self.spatial * self.patch[1];
        Lengths { least: step, most: step * self.longest_axis, step }
    }

    /// The legal frame counts.
    pub fn frame_counts(&self) -> Lengths {
        Lengths { least: 1, most: 1 + self.temporal * (self.longest_axis - 1), step: self.temporal }
    }

    /// Refuses a size that the model cannot make, naming the first side that is wrong.
    pub fn check(&self, size: Size) -> std::result::Result<(), SizeProblem> {
        let sides = [
            ("width", size.width, self.sides()),
            ("height", size.height, self.sides()),
            ("frames", size.frames, self.frame_counts()),
        ];
        for (side, got, legal) in sides {
            if !legal.contain(got) {
                return Err(SizeProblem { side, got, legal });
            }
        }
        Ok(())
    }

    /// The nearest legal size, each side on its own.
    pub fn snap(&self, size: Size) -> Size {
        Size {
            width: self.sides().nearest(size.width),
            height: self.sides().nearest(size.height),
            frames: self.frame_counts().nearest(size.frames),
        }
    }

    /// Latent frames of a legal number of pixel frames.
    pub fn latent_frames(&self, frames: usize) -> usize {
        1 + frames.saturating_sub(1) / self.temporal
    }

    /// Pixel frames of `latent_frames` latent frames.
    pub fn pixel_frames(&self, latent_frames: usize) -> usize {
        1 + latent_frames.saturating_sub(1) * self.temporal
    }

    /// `[1, C, T, H/spatial, W/spatial]` of a legal size.
    pub fn latent_shape(&self, size: Size) -> Result<[usize; 5]> {
        self.check(size)?;
        let frames = self.latent_frames(size.frames);
        Ok([1, self.channels, frames, size.height / self.spatial, size.width / self.spatial])
    }

    /// The tokens of a legal size.
    pub fn grid(&self, size: Size) -> Result<Grid> {
        let [_, _, frames, height, width] = self.latent_shape(size)?;
        Ok(Grid { frames, rows: height / self.patch[1], cols: width / self.patch[2] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wan() -> Geometry {
        Geometry {
            channels: 16,
            spatial: 8,
            temporal: 4,
            patch: [1, 2, 2],
            longest_axis: 1024,
            mean: vec![0.0; 16],
            std: vec![1.0; 16],
        }
    }

    #[test]
    fn the_table_of_tokens() {
        for (frames, small, large) in [
            (17, 7_800, 18_000),
            (33, 14_040, 32_400),
            (81, 32_760, 75_600),
            (121, 48_360, 111_600),
        ] {
            let tokens =
                |width, height| wan().grid(Size { width, height, frames }).unwrap().tokens();
            assert_eq!((tokens(832, 480), tokens(1280, 720)), (small, large));
        }
        let size = Size { width: 256, height: 256, frames: 33 };
        assert_eq!(wan().latent_shape(size).unwrap(), [1, 16, 9, 32, 32]);
    }

    #[test]
    fn wrong_sizes_are_told_with_the_nearest_right_ones() {
        let problem = wan().check(Size { width: 250, height: 256, frames: 33 }).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "width: expected a multiple of 16 from 16 to 16384, got 250 (nearest: 240 or 256)"
        );
        let problem = wan().check(Size { width: 256, height: 0, frames: 33 }).unwrap_err();
        assert_eq!((problem.side, problem.legal.nearest(0)), ("height", 16));
        let problem = wan().check(Size { width: 256, height: 256, frames: 80 }).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "frames: expected 4k + 1 with 1 ≤ frames ≤ 4093, got 80 (nearest: 77 or 81)"
        );
        assert!(wan().check(Size { width: 16, height: 16, frames: 1 }).is_ok());
    }

    #[test]
    fn snapping_gives_the_nearest_legal_size() {
        let snap = |width, height, frames| {
            let size = wan().snap(Size { width, height, frames });
            (size.width, size.height, size.frames)
        };
        assert_eq!(snap(833, 471, 82), (832, 464, 81));
        assert_eq!(snap(1, 0, 0), (16, 16, 1));
        assert_eq!(snap(1_000_000, 256, 100_000), (16_384, 256, 4093));
    }
}
