//! How far two runs' latents are apart after each step: the earliest sign of what a setting costs.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::recording::Recording;
use crate::{Error, Result};

/// Two runs after one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatentDistance {
    /// The step after which they are compared, from 1; the starting noise is 0.
    pub step: usize,
    /// a·b / (‖a‖‖b‖), 1 for equal directions; `None` where it is no number (a run of zeros, a NaN).
    pub cosine: Option<f64>,
    /// ‖a − b‖ / ‖b‖; `None` where it is no number.
    pub relative_l2: Option<f64>,
}

/// Compares the latents of two runs after every step whose latents both recordings keep (`--record-latents f16` or `f32`).
/// Steps are paired by number.
///
/// # Errors
/// [`Error::Compare`] when the latents are of different shapes.
pub fn latent_distances(run: &Recording, reference: &Recording) -> Result<Vec<LatentDistance>> {
    let mut distances = Vec::new();
    for step in 1..=run.meta().steps().min(reference.meta().steps()) {
        if let (Some(a), Some(b)) = (run.latents(step)?.here(), reference.latents(step)?.here()) {
            distances.push(latent_distance(step, &a, &b)?);
        }
    }
    Ok(distances)
}

/// Compares latents of one shape after `step`.
///
/// # Errors
/// [`Error::Compare`] when they are of different shapes.
pub fn latent_distance(step: usize, a: &Tensor, b: &Tensor) -> Result<LatentDistance> {
    let finite = |value: f64| value.is_finite().then_some(value);
    Ok(LatentDistance {
        step,
        cosine: finite(cosine(a, b)?),
        relative_l2: finite(relative_error(a, b)?),
    })
}

/// a·b / (‖a‖‖b‖) of two tensors of one shape; 1 for equal directions, NaN where one is zero.
pub fn cosine(a: &Tensor, b: &Tensor) -> Result<f64> {
    let [ab, aa, bb, _] = products(a, b)?;
    Ok(ab / (aa * bb).sqrt())
}

/// ‖a − b‖ / ‖b‖ of two tensors of one shape.
pub fn relative_error(a: &Tensor, b: &Tensor) -> Result<f64> {
    let [_, _, bb, differences] = products(a, b)?;
    Ok((differences / bb).sqrt())
}

/// Σaᵢbᵢ, Σaᵢ², Σbᵢ² and Σ(aᵢ − bᵢ)² in F64.
fn products(a: &Tensor, b: &Tensor) -> Result<[f64; 4]> {
    if a.dims() != b.dims() {
        return Err(Error::Compare {
            expected: format!("latents {:?}", b.dims()),
            got: format!("{:?}", a.dims()),
        });
    }
    let values =
        |x: &Tensor| x.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1::<f32>());
    let (a, b) = (values(a)?, values(b)?);
    let pairs = a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    Ok(pairs.fold([0.0; 4], |[ab, aa, bb, differences], (a, b)| {
        [ab + a * b, aa + a * a, bb + b * b, differences + (a - b) * (a - b)]
    }))
}
