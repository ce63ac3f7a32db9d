//! How far a tensor is from its golden: ‖got − want‖ / ‖want‖ over the whole tensor, in F64.
//!
//! The relative norm is one number a stage whatever its scale; a single wrong element of n among right ones still moves it by about 1/√n,
//! far above the bars. Every measured number is printed (`cargo test … -- --nocapture` shows a table).

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};

/// Bar of the text rows, the transformer's stages and its velocity in F32.
pub const MODEL_BAR: f64 = 1e-5;
/// Bar of the VAE in F32.
pub const VAE_BAR: f64 = 5e-6;
/// Bar of the sampler trajectories.
pub const SAMPLER_BAR: f64 = 1e-6;
/// Bar of a whole clip in F32: what the stages' differences grow to over the steps.
pub const CLIP_BAR: f64 = 1e-4;
/// BF16 may be wrong by this many times what plain BF16 of the same formula is.
pub const BF16_FACTOR: f64 = 2.0;

/// All elements in order, in F64.
pub fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    // BF16 goes through F32: candle's CPU casts know that pair for certain.
    let wide =
        if tensor.dtype() == DType::BF16 { tensor.to_dtype(DType::F32)? } else { tensor.clone() };
    Ok(wide.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// ‖got − want‖ / ‖want‖. Axes of length 1 do not count as a difference of shape; a different order of the others does.
pub fn relative_error(got: &Tensor, want: &Tensor) -> Result<f64> {
    let long =
        |tensor: &Tensor| tensor.dims().iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    ensure!(long(got) == long(want), "shape {:?}, expected {:?}", got.dims(), want.dims());
    Ok(relative_error_of(&values(got)?, &values(want)?))
}

/// [`relative_error`] of plain numbers. A number that is not finite makes it infinite.
pub fn relative_error_of(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() || got.iter().any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let off: f64 = got.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = want.iter().map(|b| b * b).sum();
    if size == 0.0 { off.sqrt() } else { (off / size).sqrt() }
}

/// Collects measurements, prints each, and tells all that missed their bar at the end.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
    measured: usize,
}

impl Report {
    /// Measures `got` against `want` under `what`.
    pub fn tensor(&mut self, what: &str, got: &Tensor, want: &Tensor, bar: f64) {
        match relative_error(got, want) {
            Ok(error) => self.number(what, error, bar),
            Err(error) => self.miss(format!("{what}: {error}")),
        }
    }

    /// A number that must not be above its bar (NaN misses).
    pub fn number(&mut self, what: &str, error: f64, bar: f64) {
        self.measured += 1;
        println!("{what}: {error:.2e} (bar {bar:.0e})");
        if error.is_nan() || error > bar {
            self.missed.push(format!("{what}: {error:.3e}, bar {bar:.1e}"));
        }
    }

    /// A comparison that could not be made, or a fact that is false.
    pub fn miss(&mut self, what: String) {
        self.measured += 1;
        println!("MISS {what}");
        self.missed.push(what);
    }

    /// Fails when anything missed its bar, or when nothing was measured at all.
    pub fn finish(self) -> Result<()> {
        ensure!(self.measured > 0, "nothing was measured");
        ensure!(
            self.missed.is_empty(),
            "{} of {} missed:\n  {}",
            self.missed.len(),
            self.measured,
            self.missed.join("\n  ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn row(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_error_is_relative_to_the_golden() {
        let error = relative_error(&row(&[3.0, 4.5]), &row(&[3.0, 4.0])).unwrap();
        assert!((error - 0.1).abs() < 1e-12, "{error}");
    }

    #[test]
    fn shapes_nans_and_emptiness_fail() {
        let mut report = Report::default();
        report.tensor("shape", &row(&[1.0, 2.0]), &row(&[1.0]), 1.0);
        report.tensor("nan", &row(&[f32::NAN]), &row(&[1.0]), 1e9);
        report.tensor("fine", &row(&[1.0]), &row(&[1.0]), 0.0);
        let message = report.finish().unwrap_err().to_string();
        assert!(message.starts_with("2 of 3 missed"), "{message}");
        assert!(Report::default().finish().is_err());
    }
}
