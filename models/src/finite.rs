//! The check that stops a run before it decodes noise: are all numbers of a tensor finite?

use candle_core::{DType, Tensor};

use crate::Result;

/// Whether no element of `tensor` (any float dtype, any shape) is a NaN or an infinity. One pass, on its device.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    // 0·x is 0 for a finite x and NaN for the others, and a NaN survives every sum.
    let zeros = (tensor.to_dtype(DType::F32)? * 0.0)?;
    Ok(zeros.sum_all()?.to_scalar::<f32>()? == 0.0)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn one_nan_or_infinity_is_found() {
        let of = |values: &[f32]| is_finite(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
        assert!(of(&[0.0, -1.0, f32::MAX]));
        assert!(!of(&[0.0, f32::NAN]));
        assert!(!of(&[f32::INFINITY, f32::NEG_INFINITY]));
    }
}
