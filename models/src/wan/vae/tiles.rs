//! A clip decoded in tiles that overlap, for when the whole picture does not fit into a device's memory.
//!
//! Each tile is a stream of its own and sees nothing beyond its edges; where tiles overlap, their pixels are blended
//! linearly. The middle's attention then looks over a tile instead of the picture, so the clip is close to the whole one,
//! not equal to it: the first tile size to try is the whole picture.

use std::ops::Range;

use candle_core::Tensor;

use super::decoder::{DecodeStream, WanDecoder};
use crate::Result;

/// Latents that neighbouring tiles share.
const OVERLAP: usize = 8;
/// Tiles are no smaller than this, in latents.
const SMALLEST: usize = 16;

/// One clip on its way from latents to pixels, tile by tile.
#[derive(Debug)]
pub struct TiledStream<'a> {
    tiles: Vec<Tile<'a>>,
    /// Rows and columns of the latents.
    size: [usize; 2],
    side: usize,
}

#[derive(Debug)]
struct Tile<'a> {
    at: [Range<usize>; 2],
    stream: DecodeStream<'a>,
}

impl<'a> TiledStream<'a> {
    /// Latents of `rows` × `columns` in tiles of at most `side` × `side` latents; one tile where that is enough.
    pub fn new(decoder: &'a WanDecoder, [rows, columns]: [usize; 2], side: usize) -> Self {
        let mut tiles = Vec::new();
        for row in spans(rows, side) {
            for column in spans(columns, side) {
                tiles.push(Tile { at: [row.clone(), column], stream: decoder.stream() });
            }
        }
        Self { tiles, size: [rows, columns], side }
    }

    /// The next smaller side to try after `side`; `None` where tiles would be all overlap.
    pub fn smaller(side: usize) -> Option<usize> {
        let half = side.div_ceil(2).max(SMALLEST);
        (half < side).then_some(half)
    }

    /// Tiles of a picture.
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// As [`DecodeStream::step`].
    pub fn step(&mut self, latent_frame: &Tensor) -> Result<Tensor> {
        if let [whole] = self.tiles.as_mut_slice() {
            return whole.stream.step(latent_frame);
        }
        let mut sum: Option<Tensor> = None;
        for Tile { at: [rows, columns], stream } in &mut self.tiles {
            let part = latent_frame.narrow(3, rows.start, rows.len())?.narrow(
                4,
                columns.start,
                columns.len(),
            )?;
            let pixels = stream.step(&part.contiguous()?)?;
            let scale = pixels.dim(3)? / rows.len();
            let weight = |of: &Range<usize>, length: usize, shape: [usize; 5]| -> Result<Tensor> {
                let weights = weights(of, &spans(length, self.side), scale);
                Ok(Tensor::from_vec(weights, &shape, pixels.device())?)
            };
            let [height, width] = self.size;
            let down = weight(rows, height, [1, 1, 1, rows.len() * scale, 1])?;
            let across = weight(columns, width, [1, 1, 1, 1, columns.len() * scale])?;
            let weighted = pixels.broadcast_mul(&down)?.broadcast_mul(&across)?;
            let placed = weighted
                .pad_with_zeros(3, rows.start * scale, (height - rows.end) * scale)?
                .pad_with_zeros(4, columns.start * scale, (width - columns.end) * scale)?;
            sum = Some(match sum {
                Some(sum) => (sum + placed)?,
                None => placed,
            });
        }
        sum.ok_or_else(|| crate::Error::argument("latents to decode", "rows and columns", "none"))
    }
}

/// `length` latents as spans of at most `side`, neighbours sharing [`OVERLAP`], evenly placed.
fn spans(length: usize, side: usize) -> Vec<Range<usize>> {
    let side = side.max(SMALLEST).min(length);
    let count = if side == length { 1 } else { (length - OVERLAP).div_ceil(side - OVERLAP) };
    let start = |index: usize| index * (length - side) / (count - 1).max(1);
    (0..count).map(|index| start(index)..start(index) + side).collect()
}

/// How much each pixel of a span counts: its share of what all spans make of it, each rising over its first overlap and
/// falling over its last.
fn weights(span: &Range<usize>, all: &[Range<usize>], scale: usize) -> Vec<f32> {
    let ramp = (OVERLAP * scale) as f32;
    let height = |span: &Range<usize>, pixel: usize| {
        let inside = pixel as f32 + 0.5;
        let (from, to) = ((span.start * scale) as f32, (span.end * scale) as f32);
        ((inside - from).min(to - inside) / ramp).clamp(0.0, 1.0)
    };
    let share =
        |pixel| height(span, pixel) / all.iter().map(|span| height(span, pixel)).sum::<f32>();
    (span.start * scale..span.end * scale).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_and_overlap() {
        assert_eq!(spans(16, 32).first(), Some(&(0..16)));
        for (length, side) in [(60, 32), (104, 52), (90, 16), (33, 32)] {
            let all = spans(length, side);
            assert_eq!((all[0].start, all.last().unwrap().end), (0, length));
            for pair in all.windows(2) {
                assert!(pair[1].start + OVERLAP <= pair[0].end, "{all:?}");
            }
        }
        let all = spans(33, 20);
        let mut sums = vec![0.0; 33 * 4];
        for span in &all {
            for (pixel, weight) in weights(span, &all, 4).into_iter().enumerate() {
                sums[span.start * 4 + pixel] += weight;
            }
        }
        assert!(all.len() > 1 && sums.iter().all(|sum: &f32| (sum - 1.0).abs() < 1e-6), "{sums:?}");
        assert_eq!(TiledStream::smaller(104), Some(52));
        assert_eq!(TiledStream::smaller(20), Some(SMALLEST));
        assert_eq!(TiledStream::smaller(SMALLEST), None);
    }
}
