//! The linear map from a latent's channels to a pixel, and how it is fitted.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The maps fitted so far, one a VAE.
const FITTED: &str = include_str!("fitted.json");
/// Two VAEs with the same latent means to this are the same one; configs round to five digits.
const SAME: f64 = 1e-6;

/// rgb = W·z + b for one VAE, in levels from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// The VAE in words.
    pub vae: String,
    /// The clips that it was fitted on, in words.
    pub fitted_on: String,
    /// Share of the pixels' variance that the map explains on them, from 0 to 1.
    pub explained: f64,
    /// `latents_mean` of the VAE's config, `[C]`: by this it is known again.
    pub latents_mean: Vec<f64>,
    /// W `[3, C]`.
    pub weights: [Vec<f32>; 3],
    /// b `[3]`.
    pub bias: [f32; 3],
}

impl Projection {
    /// The map of the VAE whose latents have these means, if it was fitted.
    pub fn of(latents_mean: &[f64]) -> Option<Self> {
        let fitted: Vec<Self> = serde_json::from_str(FITTED).ok()?;
        let is_same = |other: &Self| {
            other.latents_mean.len() == latents_mean.len()
                && other.latents_mean.iter().zip(latents_mean).all(|(a, b)| (a - b).abs() < SAME)
        };
        fitted.into_iter().find(is_same)
    }

    /// Packed RGB `[T, h, w, 3]` of clean latents `[1, C, T, h, w]`.
    pub fn rgb(&self, latents: &Tensor) -> Result<Vec<u8>> {
        let (_, channels, frames, rows, columns) = latents.dims5()?;
        let flat: Vec<f32> = self.weights.iter().flatten().copied().collect();
        let weights = Tensor::from_vec(flat, (3, channels), latents.device())?;
        let bias = Tensor::new(&self.bias, latents.device())?.reshape((3, 1))?;
        let places = latents.to_dtype(DType::F32)?.reshape((channels, frames * rows * columns))?;
        let levels = weights.matmul(&places)?.broadcast_add(&bias)?.clamp(0.0, 1.0)?;
        let levels = (levels * 255.0)?.round()?.t()?.contiguous()?.to_device(&Device::Cpu)?;
        Ok(levels.to_dtype(DType::U8)?.flatten_all()?.to_vec1::<u8>()?)
    }

    /// Fits a map by least squares: rows of C channels beside the colours (levels from 0 to 1) that they became.
    /// `names` says which VAE and which clips, as in [`Projection::vae`] and [`Projection::fitted_on`].
    pub fn fit(
        names: [String; 2],
        latents_mean: Vec<f64>,
        pairs: impl Iterator<Item = (Vec<f32>, [f32; 3])>,
    ) -> Result<Self> {
        let size = latents_mean.len() + 1;
        let mut gram = vec![vec![0.0; size]; size];
        let mut sides = vec![[0.0; 3]; size];
        let (mut squares, mut sums, mut count) = ([0.0; 3], [0.0; 3], 0.0);
        for (channels, colour) in pairs {
            let row: Vec<f64> = channels.iter().map(|&z| f64::from(z)).chain([1.0]).collect();
            for (i, a) in row.iter().enumerate() {
                for (cell, b) in gram[i].iter_mut().zip(&row) {
                    *cell += a * b;
                }
                for (side, &level) in sides[i].iter_mut().zip(&colour) {
                    *side += a * f64::from(level);
                }
            }
            for channel in 0..3 {
                let level = f64::from(colour[channel]);
                squares[channel] += level * level;
                sums[channel] += level;
            }
            count += 1.0;
        }
        let solved = solve(gram, sides.clone()).ok_or_else(|| Error::Unreadable {
            what: "clips to fit a preview on".into(),
            reason: "their latents do not span all channels; give more of them".into(),
        })?;
        let (mut left, mut all) = (0.0, 0.0);
        for channel in 0..3 {
            // The normal equations hold, so what the fit explains of Σ y² is the solution times the right-hand side.
            let explained: f64 =
                solved.iter().zip(&sides).map(|(x, y)| x[channel] * y[channel]).sum();
            left += squares[channel] - explained;
            all += squares[channel] - sums[channel] * sums[channel] / f64::max(count, 1.0);
        }
        let column = |channel: usize| -> Vec<f32> {
            solved[..size - 1].iter().map(|row| row[channel] as f32).collect()
        };
        let [vae, fitted_on] = names;
        Ok(Self {
            vae,
            fitted_on,
            explained: if all > 0.0 { 1.0 - left / all } else { 0.0 },
            latents_mean,
            weights: [column(0), column(1), column(2)],
            bias: [0, 1, 2].map(|channel| solved[size - 1][channel] as f32),
        })
    }
}

/// Solves A·X = B for a symmetric positive A by Gaussian elimination with pivots; `None` when A is singular.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<[f64; 3]>) -> Option<Vec<[f64; 3]>> {
    let size = a.len();
    for column in 0..size {
        let pivot =
            (column..size).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        if a[pivot][column].abs() < 1e-9 {
            return None;
        }
        a.swap(column, pivot);
        b.swap(column, pivot);
        let (row, side) = (a[column].clone(), b[column]);
        for other in (0..size).filter(|&other| other != column) {
            let factor = a[other][column] / row[column];
            a[other].iter_mut().zip(&row).for_each(|(cell, above)| *cell -= factor * above);
            b[other].iter_mut().zip(&side).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    Some((0..size).map(|i| b[i].map(|cell| cell / a[i][i])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels that look random, from a fixed recurrence.
    fn rows(count: usize, channels: usize) -> Vec<Vec<f32>> {
        let mut state = 1u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(|_| (0..channels).map(|_| next()).collect()).collect()
    }

    #[test]
    fn a_linear_truth_is_found_and_drawn() {
        let truth =
            |z: &[f32]| [0.5 + 0.2 * z[0] - 0.1 * z[3], 0.4 + 0.3 * z[1], 0.5 - 0.25 * z[2]];
        let rows = rows(200, 4);
        let pairs = rows.iter().map(|z| (z.clone(), truth(z)));
        let names = ["test".into(), "a truth".into()];
        let fit = Projection::fit(names, vec![0.0; 4], pairs).unwrap();
        assert!(fit.explained > 0.9999, "{}", fit.explained);
        assert!((fit.weights[1][1] - 0.3).abs() < 1e-5 && (fit.bias[2] - 0.5).abs() < 1e-5);

        let (frames, side) = (2, 3);
        let places = frames * side * side;
        let values: Vec<f32> =
            (0..4).flat_map(|c| rows[..places].iter().map(move |z| z[c])).collect();
        let latents = Tensor::from_vec(values, (1, 4, frames, side, side), &Device::Cpu).unwrap();
        let rgb = fit.rgb(&latents).unwrap();
        assert_eq!(rgb.len(), places * 3);
        for (pixel, z) in rgb.chunks_exact(3).zip(&rows) {
            for (level, wanted) in pixel.iter().zip(truth(z)) {
                assert!((f32::from(*level) - 255.0 * wanted).abs() <= 0.51, "{pixel:?} {z:?}");
            }
        }
    }

    #[test]
    fn too_few_clips_are_refused() {
        let pairs = vec![(vec![1.0, 0.0], [0.0; 3]); 9].into_iter();
        let error = Projection::fit(["a".into(), "b".into()], vec![0.0; 2], pairs).unwrap_err();
        assert!(error.to_string().contains("more of them"), "{error}");
    }

    #[test]
    fn the_bundled_vae_has_a_map_and_a_stranger_has_none() {
        let folder =
            tessera_models::folder::ModelFolder::open(&crate::bundled::model().unwrap()).unwrap();
        let map = Projection::of(&folder.vae_config().latents_mean).unwrap();
        assert_eq!(map.weights[0].len(), 16);
        assert!(map.explained > 0.5, "{}", map.explained);
        assert!(Projection::of(&[0.0; 16]).is_none());
    }
}
