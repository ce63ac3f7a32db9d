//! Latents as colours where no map to pixels is known: the three directions in which the newest clip's channels vary most.
//!
//! With μ the mean of a clip's channels and u₁, u₂, u₃ the first eigenvectors of their covariance, a place z is shown as
//! ½ + uᵢ·(z − μ) / 4σᵢ in red, green and blue, so that two deviations to either side fill the range. All pictures of a
//! recording share the projection.

use candle_core::Tensor;

use crate::Result;

/// Sweeps of the eigenvalue iteration; it converges quadratically, ten are more than 16 channels need.
const SWEEPS: usize = 30;

/// A map from a latent's channels to a colour.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    mean: Vec<f64>,
    /// Directions, each divided by four of its deviations.
    axes: [Vec<f64>; 3],
}

impl Projection {
    /// The projection that suits a clip `[1, C, T, h, w]`.
    pub(crate) fn of(clip: &Tensor) -> Result<Self> {
        let (_, channels, frames, rows, columns) = clip.dims5()?;
        let places = (frames * rows * columns).max(1) as f64;
        let clip: Vec<Vec<f32>> = clip.reshape((channels, frames * rows * columns))?.to_vec2()?;
        let mean: Vec<f64> = clip
            .iter()
            .map(|channel| channel.iter().map(|x| f64::from(*x)).sum::<f64>() / places)
            .collect();
        let covariance = |a: usize, b: usize| {
            let pairs = clip[a].iter().zip(&clip[b]);
            pairs.map(|(x, y)| (f64::from(*x) - mean[a]) * (f64::from(*y) - mean[b])).sum::<f64>()
                / places
        };
        let matrix = (0..channels).map(|a| (0..channels).map(|b| covariance(a, b)).collect());
        let found = eigenvectors(matrix.collect());
        let axis = |place: usize| match found.get(place) {
            Some((variance, vector)) if *variance > 0.0 => {
                vector.iter().map(|x| x / (4.0 * variance.sqrt())).collect()
            }
            _ => vec![0.0; channels],
        };
        Ok(Self { axes: [axis(0), axis(1), axis(2)], mean })
    }

    /// The colour of every place of a clip `[1, C, T, h, w]`.
    pub(crate) fn rgb(&self, clip: &[f32]) -> Vec<[u8; 3]> {
        let places = clip.len() / self.mean.len().max(1);
        let colour = |place: usize| {
            let shown = |axis: &Vec<f64>| -> u8 {
                let channel = |c: usize| f64::from(clip[c * places + place]) - self.mean[c];
                let along: f64 = axis.iter().enumerate().map(|(c, x)| x * channel(c)).sum();
                ((0.5 + along) * 255.0).round().clamp(0.0, 255.0) as u8
            };
            [shown(&self.axes[0]), shown(&self.axes[1]), shown(&self.axes[2])]
        };
        (0..places).map(colour).collect()
    }
}

/// Eigenvalues of a symmetric matrix with their unit vectors, largest first, each with its largest part positive: Jacobi's
/// rotations.
fn eigenvectors(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let size = a.len();
    let unit = |i: usize| (0..size).map(|j| f64::from(u8::from(i == j))).collect();
    let mut vectors: Vec<Vec<f64>> = (0..size).map(unit).collect(); // rows
    for _ in 0..SWEEPS {
        for p in 0..size {
            for q in p + 1..size {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cos = t.hypot(1.0).recip();
                let sin = t * cos;
                for row in &mut a {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                for of in [&mut a, &mut vectors] {
                    let (low, high) = of.split_at_mut(q);
                    for (x, y) in low[p].iter_mut().zip(&mut high[0]) {
                        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                    }
                }
            }
        }
    }
    let mut found: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(i, vector)| (a[i][i], vector)).collect();
    found.sort_by(|x, y| y.0.total_cmp(&x.0));
    for (_, vector) in &mut found {
        let largest =
            vector.iter().copied().fold(0.0, |m: f64, x| if x.abs() > m.abs() { x } else { m });
        if largest < 0.0 {
            for x in vector {
                *x = -*x;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn eigenvectors_are_such() {
        let a = vec![
            vec![4.0, 1.0, -0.5, 0.2],
            vec![1.0, 3.0, 0.7, 0.0],
            vec![-0.5, 0.7, 1.0, 0.3],
            vec![0.2, 0.0, 0.3, 2.0],
        ];
        let found = eigenvectors(a.clone());
        assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0));
        assert!((found.iter().map(|(value, _)| value).sum::<f64>() - 10.0).abs() < 1e-9);
        for (value, vector) in &found {
            for (row, x) in a.iter().zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                assert!((product - value * x).abs() < 1e-9, "{value} {vector:?}");
            }
            assert!((vector.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_varies_most_is_red_and_the_mean_is_grey() {
        // Channel 2 swings widely, channel 0 a little, channel 1 not at all.
        let swing = |i: usize| [0.1 * ((i % 3) as f32 - 1.0), 5.0, 3.0 * ((i % 5) as f32 - 2.0)];
        let values: Vec<f32> = (0..3).flat_map(|c| (0..15).map(move |i| swing(i)[c])).collect();
        let clip = Tensor::from_vec(values.clone(), (1, 3, 1, 3, 5), &Device::Cpu).unwrap();
        let rgb = Projection::of(&clip).unwrap().rgb(&values);
        for (i, colour) in rgb.iter().enumerate() {
            let expected = 0.5 + (f64::from((i % 5) as u8) - 2.0) / (4.0 * 2.0f64.sqrt());
            assert_eq!(colour[0], (expected * 255.0).round() as u8, "place {i}");
            assert_eq!(colour[2], 128, "nothing left to show");
        }
    }
}
