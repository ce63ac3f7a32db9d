//! A recording of any size without its run: for benches and tests of what shows recordings. No attention is computed; maps,
//! scores and numbers come from a formula that looks like what methods make, a band about the diagonal with pooled surroundings.

use std::path::Path;

use tessera_kernels::blocks::{KEY_BLOCK, QUERY_BLOCK};
use tessera_kernels::levels::Density;
use tessera_kernels::order::{self, Volume};
use tessera_models::attention::Branch;
use tessera_models::geometry::{Grid, Size};

use super::{Call, Kind, Meta, Outcome, Place, Writer};
use crate::Result;
use crate::capture::{LatentFormat, Options};
use crate::plan::PlannedModel;
use crate::request::Request;
use crate::sparsity::observer::Mode;

/// Different maps; calls share them, so that a large recording is a small file.
const PATTERNS: usize = 12;

/// What a synthetic recording is of.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Blocks of the transformer.
    pub layers: usize,
    /// Heads of each.
    pub heads: usize,
    /// Steps; the first two are dense, each other call makes its own map.
    pub steps: usize,
    /// Latent frames, rows and columns of tokens.
    pub grid: [usize; 3],
}

impl Extent {
    /// The largest that views are measured on: 30 layers of 12 heads, 50 steps, 32 768 tokens in 256 × 512 blocks.
    pub const LARGEST: Self = Self { layers: 30, heads: 12, steps: 50, grid: [16, 32, 64] };
}

/// Writes it to `target`. Every head's maps are kept, and in the middle layer attention and scores of head 0.
pub fn write(target: &Path, extent: Extent) -> Result<()> {
    let meta = meta(extent);
    let blocks = meta.blocks();
    let [frames, rows, columns] = extent.grid;
    let mut writer = Writer::create(target, &meta)?;
    let curve = order::gilbert(Volume { frames, rows, columns });
    writer.order(0, Some("gilbert"), curve.tokens())?;
    let size = [blocks.rows(), blocks.columns()];
    let patterns: Vec<Vec<u8>> = (0..PATTERNS)
        .map(|pattern| (0..extent.heads).flat_map(|head| levels(size, pattern, head)).collect())
        .collect();
    let pinned: Vec<usize> = (0..extent.heads).collect();
    for (step, layer) in
        (0..extent.steps).flat_map(|step| (0..extent.layers).map(move |layer| (step, layer)))
    {
        let place = Place::new(step, Branch::Cond, layer);
        let is_dense = step < 2;
        let id = (step * extent.layers + layer) as u32;
        let pattern = (step + layer) % PATTERNS;
        if !is_dense {
            writer.map(id, &patterns[pattern], &meta, &pinned, None)?;
        }
        let of_head = |head: usize| {
            let exact = 0.1 + 0.7 * noise([step, layer, head]);
            Density { nominal: exact, exact }
        };
        let kept = |head: usize| 0.8 + 0.2 * noise([head, layer, step]);
        writer.call(&Call {
            place,
            mode: if is_dense { Mode::Dense } else { Mode::Fresh },
            estimate_ms: if is_dense { 0.0 } else { 1.2 },
            attention_ms: 6.0 + 4.0 * noise([layer, step, 7]),
            densities: (0..extent.heads).filter(|_| !is_dense).map(of_head).collect(),
            retained: (!is_dense).then(|| (0..extent.heads).map(kept).collect()),
            estimated_at: (!is_dense).then_some(step),
            map: (!is_dense).then_some(id),
            orders: vec![0],
            fallback: None,
        })?;
        if layer == extent.layers / 2 {
            let values = mass(size, pattern);
            writer.capture(Kind::Attention, place, 0, None, &values)?;
            writer.capture(Kind::Scores, place, 0, None, &values)?;
        }
        writer.commit()?;
    }
    writer.finish(&Outcome::Finished).map(drop)
}

fn meta(extent: Extent) -> Meta {
    let [frames, rows, cols] = extent.grid;
    let all = |layer: usize| (0..extent.heads).map(move |head| [layer, head]);
    let share = |step: usize| 1.0 - step as f64 / extent.steps as f64;
    Meta {
        program: crate::receipt::program(),
        request: Request {
            prompt: "nothing that was ever computed".into(),
            attention: Some("psa".into()),
            ..Request::default()
        },
        model: PlannedModel {
            name: "synthetic".into(),
            path: "synthetic".into(),
            fingerprint: "synthetic".into(),
            parameters: 0,
        },
        size: Size { width: cols * 16, height: rows * 16, frames: 4 * frames - 3 },
        latent_shape: [1, 16, frames, rows * 2, cols * 2],
        grid: Grid { frames, rows, cols },
        text_tokens: 0,
        heads: extent.heads,
        layers: extent.layers,
        blocks: [QUERY_BLOCK, KEY_BLOCK],
        sigmas: (0..=extent.steps).map(share).collect(),
        timesteps: (0..extent.steps).map(|step| share(step) * 1000.0).collect(),
        is_guided: false,
        capture: Options {
            heads: (0..extent.layers).flat_map(all).collect(),
            attention: true,
            scores: true,
            rows: Vec::new(),
            latents: LatentFormat::None,
            limit: 1 << 30,
        },
    }
}

/// A number from 0 to 1 that looks like chance: splitmix64 of three numbers.
fn noise(of: [usize; 3]) -> f64 {
    let mut z = of.iter().fold(0u64, |sum, number| {
        sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(*number as u64 + 1)
    });
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// How far a pair of blocks is from the diagonal, from 0 to 1.
fn distance([rows, columns]: [usize; 2], row: usize, column: usize) -> f64 {
    (row as f64 / rows as f64 - column as f64 / columns as f64).abs()
}

/// A head's map `[rows, columns]`.
fn levels(size: [usize; 2], pattern: usize, head: usize) -> impl Iterator<Item = u8> {
    let reach = 0.03 + 0.01 * (head + pattern) as f64;
    let [rows, columns] = size;
    (0..rows * columns).map(move |at| {
        let (row, column) = (at / columns, at % columns);
        match distance(size, row, column) / reach * (0.5 + noise([at, pattern, head])) {
            near if near < 1.0 => 1,
            near if near < 2.0 => 2,
            near if near < 4.0 => 4,
            _ if head.is_multiple_of(2) => 7,
            _ => 0,
        }
    })
}

/// Shares of the softmax `[rows, columns]`; rows sum to about 1.
fn mass(size: [usize; 2], pattern: usize) -> Vec<f32> {
    let [rows, columns] = size;
    let of = |at: usize| {
        let far = distance(size, at / columns, at % columns) * 60.0;
        ((-far).exp() * (0.2 + noise([at, pattern, 3]))) as f32
    };
    (0..rows)
        .flat_map(|row| {
            let line: Vec<f32> = (row * columns..(row + 1) * columns).map(of).collect();
            let sum: f32 = line.iter().sum();
            line.into_iter().map(move |value| value / sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Held, Recording};
    use super::*;

    #[test]
    fn it_is_a_recording_with_maps_attention_and_an_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.recording");
        let extent = Extent { layers: 3, heads: 2, steps: 4, grid: [2, 8, 17] };
        write(&path, extent).unwrap();
        let recording = Recording::open(&path).unwrap();
        assert_eq!(recording.outcome().unwrap(), Outcome::Finished);
        let calls: usize = (0..4).map(|step| recording.calls(step).unwrap().len()).sum();
        assert_eq!(calls, 12);
        let place = Place::new(3, Branch::Cond, 1);
        assert!(matches!(recording.map(place, 1).unwrap(), Held::Here(_)));
        let mass = recording.attention(place, 0).unwrap().here().unwrap();
        let sums: Vec<f32> = mass.sum(1).unwrap().to_vec1().unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 0.01), "{sums:?}");
        let order = recording.order(place, 1).unwrap().unwrap();
        assert_eq!(order.name.as_deref(), Some("gilbert"));
    }
}
