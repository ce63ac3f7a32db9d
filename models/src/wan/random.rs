//! Models of random weights, made on their device: for measuring speed and memory without a checkpoint.

use candle_core::{DType, Device, Tensor};

use super::source::Source;
use super::vae::decoder_tensors;
use super::{TransformerConfig, VaeConfig, WanDecoder, WanTransformer, transformer_tensors};
use crate::watch::Unwatched;
use crate::weights::Expected;
use crate::{Error, Result};

impl WanTransformer {
    /// A transformer of this shape whose weights keep the size of what they multiply; what it makes is noise.
    pub fn random(config: &TransformerConfig, dtype: DType, device: &Device) -> Result<Self> {
        let expected = transformer_tensors(config);
        drawn(&expected, (dtype, device), |source| Self::build(config, source, device))
    }
}

impl WanDecoder {
    /// A decoder of this shape, likewise.
    pub fn random(config: &VaeConfig, dtype: DType, device: &Device) -> Result<Self> {
        let expected = decoder_tensors(config);
        drawn(&expected, (dtype, device), |source| Self::build(config, source, device))
    }
}

fn drawn<T>(
    expected: &[Expected],
    (dtype, device): (DType, &Device),
    build: impl FnOnce(&mut Source<'_>) -> Result<T>,
) -> Result<T> {
    let mut read = |name: &str, dtype: DType| -> Result<Tensor> {
        let Some(Expected { shape, .. }) = expected.iter().find(|one| one.name == name) else {
            return Err(Error::argument("weight", "one of the model's", name));
        };
        let is_gain =
            name.ends_with("gamma") || (name.contains("norm") && name.ends_with("weight"));
        let inputs: usize = shape.iter().skip(1).product();
        let (mean, std) =
            if is_gain { (1.0, 0.1) } else { (0.0, (inputs.max(1) as f32).powf(-0.5)) };
        let std = if shape.len() == 1 { std.min(0.1) } else { std };
        Ok(Tensor::randn(mean, std, shape.as_slice(), device)?.to_dtype(dtype)?)
    };
    build(&mut Source::new(&mut read, dtype, expected.len(), &mut Unwatched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_weights_make_finite_pixels() {
        let config = VaeConfig {
            base_dim: 4,
            z_dim: 3,
            num_res_blocks: 1,
            latents_mean: vec![0.0; 3],
            latents_std: vec![1.0; 3],
            ..VaeConfig::default()
        };
        let decoder = WanDecoder::random(&config, DType::F32, &Device::Cpu).unwrap();
        let latents = Tensor::randn(0f32, 1.0, (1, 3, 1, 2, 2), &Device::Cpu).unwrap();
        let pixels = decoder.stream().step(&latents).unwrap();
        assert_eq!(pixels.dims(), [1, 3, 1, 16, 16]);
        assert!(crate::finite::is_finite(&pixels).unwrap());
    }
}
