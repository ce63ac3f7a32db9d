//! The causal video autoencoder of Wan 2.1, as two streams: one latent frame in and 1 (the first), then 4 pixel frames
//! out, or the other way round.
//!
//! Every convolution over time looks back only, so a clip can be made piece by piece with two frames of memory a
//! convolution (`causal`): a preview, an encoder or a cancel needs no whole clip. Inside, tensors are channels-last,
//! `[B, T, H, W, C]`; outside, pixels are `[B, 3, n, H, W]` in [−1, 1] and latents `[B, z, 1, h, w]` in the
//! transformer's space, z' = (z − mean)/std. Source: diffusers 0.42, `AutoencoderKLWan`.

use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::wan::config::VaeConfig;

mod causal;
mod decoder;
mod encoder;
pub(crate) mod layout;
mod mid;
mod resample;
mod residual;
mod tensors;
#[cfg(test)]
mod tests;
mod tiles;

pub use decoder::{DecodeStream, WanDecoder};
pub use encoder::{EncodeStream, WanEncoder};
pub use tensors::{decoder_tensors, encoder_tensors, vae_tensors};
pub use tiles::TiledStream;

/// Each latent channel's mean and standard deviation in the autoencoder's space, `[1, z, 1, 1, 1]` F32.
#[derive(Debug)]
struct Statistics {
    mean: Tensor,
    std: Tensor,
}

impl Statistics {
    fn new(config: &VaeConfig, device: &Device) -> Result<Self> {
        let of = |values: &[f64]| -> Result<Tensor> {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Ok(Tensor::from_vec(values, (1, config.z_dim, 1, 1, 1), device)?)
        };
        Ok(Self { mean: of(&config.latents_mean)?, std: of(&config.latents_std)? })
    }

    /// From the transformer's space to the autoencoder's.
    fn denormalise(&self, latents: &Tensor) -> Result<Tensor> {
        Ok(latents.to_dtype(DType::F32)?.broadcast_mul(&self.std)?.broadcast_add(&self.mean)?)
    }

    /// From the autoencoder's space to the transformer's.
    fn normalise(&self, latents: &Tensor) -> Result<Tensor> {
        Ok(latents.broadcast_sub(&self.mean)?.broadcast_div(&self.std)?)
    }
}

/// `[B, C, T, H, W]` → `[B, T, H, W, C]`.
fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 2, 3, 4, 1))?.contiguous()?)
}

/// `[B, T, H, W, C]` → `[B, C, T, H, W]`.
fn channels_first(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 4, 1, 2, 3))?.contiguous()?)
}
