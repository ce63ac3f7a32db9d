//! The Wan 2.1 family: a diffusion transformer over latent video and the causal video autoencoder around it.

pub mod config;
pub mod transformer;
pub mod vae;

mod random;
mod source;
#[cfg(test)]
mod testing;

pub use config::{TransformerConfig, VaeConfig};
pub use transformer::tensors::IGNORED as TRANSFORMER_IGNORED;
pub use transformer::{StepModulation, TextContext, WanTransformer, transformer_tensors};
pub use vae::{DecodeStream, EncodeStream, TiledStream, WanDecoder, WanEncoder, vae_tensors};
