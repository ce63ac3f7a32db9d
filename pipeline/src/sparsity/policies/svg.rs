//! SVG, Sparse VideoGen: of two static bands each head gets the one that its own attention fits better.
//!
//! Spatial: |q − k| ≤ width in the model's order, so that a query sees the frames near its own. Temporal: the same with the
//! frame as the fastest axis, so that it sees the places near its own in all frames. width = L·(1 − √(1 − s)) of L tokens,
//! which is the share s of all pairs; s is the knob. Choice: 64 query rows, the smaller squared error of the output against
//! the full softmax, at the preset's s whatever density is asked for. Source: arXiv 2502.01776; methods.md §2.6.

use candle_core::Tensor;

use crate::Result;
use crate::sparsity::geometry::{Entries, Known, by_entries, density, knob_at, level, tensor};
use crate::sparsity::patterns::Pattern;
use crate::sparsity::probe::spread;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::sampled::Sums;
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// Query rows that the choice rests on.
const ROWS: usize = 64;

/// The method.
pub(super) const METHOD: Method = Method {
    name: "svg",
    summary: "Sparse VideoGen: each head sees either the frames near its own or its own place in all frames.",
    source: "arXiv 2502.01776; methods.md §2.6",
    differs: "Both bands are rounded to blocks of 128 × 64 tokens in the model's own order, where the temporal one is a stripe in every frame; as many blocks are kept as the band has pairs. The sampled rows are seeded and come from the whole clip. The official guard by timestep is taken for a share of the steps.",
    presets: &[
        Preset {
            name: "wan2.1-14b",
            source: "official script, Wan2.1-14B text to video at 720p",
            defaults: Defaults {
                warmup: Span::Share(0.3),
                dense_layers: &[0],
                first_frame: true,
                ..Defaults::PLAIN
            },
            build: || Box::new(Svg::new(0.25)),
        },
        Preset {
            name: "hunyuan",
            source: "official script, HunyuanVideo at 720p",
            defaults: Defaults { warmup: Span::Share(0.1), dense_layers: &[0], ..Defaults::PLAIN },
            build: || Box::new(Svg::new(0.25)),
        },
    ],
};

/// The share of pairs in a band, and the bands of the clip.
#[derive(Debug)]
struct Svg {
    share: f32,
    spatial: Known,
    temporal: Known,
}

impl Svg {
    fn new(share: f32) -> Self {
        Self { share, spatial: Known::default(), temporal: Known::default() }
    }

    fn spatial(&self, outline: &Outline<'_>) -> Vec<Entries> {
        self.band(outline, &self.spatial, Pattern::Diagonal)
    }

    fn temporal(&self, outline: &Outline<'_>) -> Vec<Entries> {
        self.band(outline, &self.temporal, Pattern::MultiDiagonal)
    }

    /// A band in each order of the clip.
    fn band(&self, outline: &Outline<'_>, known: &Known, pattern: Pattern) -> Vec<Entries> {
        known.entries(outline, |order| {
            let ranked = pattern.entries(outline.cells, order).unwrap_or_default();
            ranked.iter().map(|share| knob_at(*share, self.share)).collect()
        })
    }

    /// 1 where a head's output of sampled queries is nearer to the full one under the second band than under the first, `[1]`
    /// U8; `kept` are the blocks that each query's row keeps of each band, `[queries, 2, columns]` F32.
    fn is_second(
        view: &View<'_>,
        (sample, head): (usize, usize),
        queries: &[u32],
        kept: &Tensor,
    ) -> Result<Tensor> {
        let of = |x: &Tensor| x.get(sample)?.get(head);
        let operands = (&of(view.q)?, &of(view.k)?, &of(view.v)?);
        let sums = Sums::new(operands, queries, view.scale, view.blocks)?;
        let (errors, _) = sums.squares(kept)?;
        Ok(errors.narrow(0, 1, 1)?.lt(&errors.narrow(0, 0, 1)?)?)
    }

    /// The blocks that the queries' rows keep of each band.
    fn kept(view: &View<'_>, queries: &[u32], bands: [&Entries; 2]) -> Result<Tensor> {
        let columns = view.blocks.columns();
        let row = |query: u32| query as usize / view.blocks.query_block * columns;
        let kept: Vec<f32> = queries
            .iter()
            .flat_map(|&query| bands.map(|band| &band[row(query)..][..columns]))
            .flat_map(|row| row.iter().map(|entry| f32::from(level(*entry <= 0.5))))
            .collect();
        Ok(Tensor::from_vec(kept, (queries.len(), 2, columns), view.q.device())?)
    }
}

impl Policy for Svg {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    /// As if as many heads took the one band as the other.
    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(f64::midpoint(density(&self.spatial(outline)), density(&self.temporal(outline))))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        // Measured over all of `prepare`, 5 heads × 64, F32, at 2 304 and 8 112 tokens: .16 and .07 on one core, .43 and .12
        // in wall time on two, because it is many small products.
        0.03 + 600.0 / tokens.max(1) as f64
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let outline = &view.outline()?;
        let (spatial, temporal) = (self.spatial(outline), self.temporal(outline));
        let (batch, heads, tokens, _) = view.q.dims4()?;
        let queries = spread(tokens, ROWS, view.seed);
        let bands = spatial.iter().zip(&temporal);
        let kept = bands.map(|(spatial, temporal)| Self::kept(view, &queries, [spatial, temporal]));
        let kept = kept.collect::<Result<Vec<_>>>()?;
        let mut second = Vec::with_capacity(batch * heads);
        for index in 0..batch * heads {
            let place = (index / heads, index % heads);
            second.push(Self::is_second(view, place, &queries, &kept[place.1 % kept.len()])?);
        }
        // One band for all heads, or one a head.
        let tensors = |bands: &[Entries]| {
            let of = |entries: &Entries| tensor(entries, view.blocks, view.q.device());
            let bands = bands.iter().map(of).collect::<Result<Vec<_>>>()?;
            let (rows, columns) = (view.blocks.rows(), view.blocks.columns());
            Ok::<_, crate::Error>(
                Tensor::cat(&bands, 1)?.broadcast_as((batch, heads, rows, columns))?,
            )
        };
        let (spatial, temporal) = (tensors(&spatial)?, tensors(&temporal)?);
        let second = Tensor::cat(&second, 0)?.reshape((batch, heads, 1, 1))?;
        let chosen = second.broadcast_as(spatial.shape())?.where_cond(&temporal, &spatial)?;
        by_entries(view, chosen)
    }
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};
    use crate::sparsity::{Knob, arrangement::volume};

    const GRID: Grid = Grid { frames: 6, rows: 16, cols: 16 };

    #[test]
    fn promises() {
        keeps_its_promises(&Svg::new(0.25), &Call::new(GRID, 2, Arrangement::RASTER));
        let ragged = Grid { frames: 5, rows: 9, cols: 13 };
        keeps_its_promises(&Svg::new(0.25), &Call::new(ragged, 1, Arrangement::RASTER));
    }

    #[test]
    fn each_head_gets_the_band_that_it_looks_along() {
        let mut call = Call::new(GRID, 2, Arrangement::RASTER);
        // Head 0 looks at its own frame, head 1 at its own place: keys are what the queries ask for.
        let volume = volume(GRID);
        let features: Vec<f32> = (0..2)
            .flat_map(|head| {
                (0..GRID.tokens()).flat_map(move |token| {
                    let [frame, row, column] = volume.place(token);
                    let angles =
                        if head == 0 { [frame as f32; 2] } else { [row as f32, column as f32] };
                    let turn = |x: f32| (0.39 * x).sin_cos();
                    let ((a, b), (c, d)) = (turn(angles[0]), turn(angles[1]));
                    [a, b, c, d, 0.0, 0.0, 0.0, 0.0]
                })
            })
            .collect();
        let shape = (1, 2, GRID.tokens(), 8);
        let features = Tensor::from_vec(features, shape, call.q.device()).unwrap();
        call.q = (&features * 8.0).unwrap();
        call.k = (&features * 8.0).unwrap();

        let levels = call.levels(&Svg::new(0.5), Knob::Preset);
        let rows = call.blocks.rows();
        // A query block is half a frame of 256 tokens, a key block a quarter. Row 4 is the first half of frame 2.
        let [spatial, temporal] = [0, 1].map(|head| &levels[head * rows + 4]);
        assert!((8..10).all(|column| spatial[column] == 1) && spatial[0] == 0 && spatial[20] == 0);
        assert!((0..6).all(|frame| temporal[4 * frame] == 1 || temporal[4 * frame + 1] == 1));
        assert!((0..6).all(|frame| temporal[4 * frame + 3] == 0));
        let density = call.density(&Svg::new(0.5), Knob::Preset);
        assert!((0.45..=0.5).contains(&density), "{density}");
    }
}
