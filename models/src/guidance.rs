//! Classifier-free guidance: v = u + g·(c − u), from the velocities with the prompt (c) and with the negative prompt (u).
//!
//! g = 1 is the prompt alone, and more exaggerates what the prompt changes. The sum is F32, as in the original
//! repository; diffusers forms it in the model's dtype.

use candle_core::{DType, Tensor};

use crate::Result;

/// u + g·(c − u), F32, for velocities of equal shape; `scale` is g.
pub fn combine(cond: &Tensor, uncond: &Tensor, scale: f64) -> Result<Tensor> {
    let cond = cond.to_dtype(DType::F32)?;
    let uncond = uncond.to_dtype(DType::F32)?;
    Ok((&uncond + ((cond - &uncond)? * scale)?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_scale_of_zero_one_and_five() {
        let c = Tensor::new(&[1.0f32, 2.0], &Device::Cpu).unwrap();
        let u = Tensor::new(&[0.0f32, 4.0], &Device::Cpu).unwrap();
        let at = |scale| combine(&c, &u, scale).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(at(0.0), [0.0, 4.0]);
        assert_eq!(at(1.0), [1.0, 2.0]);
        assert_eq!(at(5.0), [5.0, -6.0]);
    }
}
