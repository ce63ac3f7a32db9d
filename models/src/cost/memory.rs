//! Bytes that weights and activations take at the peak of a phase.
//!
//! Counted are the tensors that this crate holds at once; what a kernel packs or sums in for the moment is small beside
//! them (blocks of rows, not whole tensors).

use candle_core::DType;

use crate::geometry::Grid;
use crate::wan::transformer::block::ffn_rows;
use crate::wan::transformer::tensors::held_in_f32;
use crate::wan::vae::decoder_tensors;
use crate::wan::vae::layout::{Resample, decoder_middle, decoder_stages};
use crate::wan::{TransformerConfig, VaeConfig, transformer_tensors};
use crate::weights::Expected;

fn elements(tensor: &Expected) -> u64 {
    tensor.shape.iter().map(|&length| length as u64).product()
}

/// The transformer's weights for computing in `dtype`.
pub fn transformer_weight_bytes(config: &TransformerConfig, dtype: DType) -> u64 {
    let of = |tensor: &Expected| {
        let width = if held_in_f32(&tensor.name) { 4 } else { dtype.size_in_bytes() as u64 };
        width * elements(tensor)
    };
    transformer_tensors(config).iter().map(of).sum()
}

/// The decoder's weights for computing in `dtype`; biases and norms are F32.
pub fn decoder_weight_bytes(config: &VaeConfig, dtype: DType) -> u64 {
    let of = |tensor: &Expected| {
        let small = ["bias", "gamma"].iter().any(|last| tensor.name.ends_with(last));
        let width = if small { 4 } else { dtype.size_in_bytes() as u64 };
        width * elements(tensor)
    };
    decoder_tensors(config).iter().map(of).sum()
}

/// The keys and values of a prompt with `keys` keys (its tokens and one for its padding) in every block.
pub fn text_context_bytes(config: &TransformerConfig, keys: usize, dtype: DType) -> u64 {
    (2 * config.num_layers * keys * config.width() * dtype.size_in_bytes()) as u64
}

/// What the forwards of `steps` steps take from their timesteps: six vectors a block each.
pub fn step_bytes(config: &TransformerConfig, steps: usize) -> u64 {
    (4 * steps * config.width() * (6 * config.num_layers + 6 + 2 + 1)) as u64
}

/// The peak of a forward beyond the weights and the prompts' keys and values.
///
/// It stands in the self-attention (the residual stream in F32, its norm, q, k, v and one projection not yet split into
/// heads), in the feed-forward (the pieces of its result, put together, and one piece's inside) or where a residual is
/// added (old, new and what is added). A GPU takes more rows of the feed-forward at once.
pub fn denoise_bytes(config: &TransformerConfig, grid: Grid, dtype: DType, is_gpu: bool) -> u64 {
    let (tokens, width, bytes) = (grid.tokens(), config.width(), dtype.size_in_bytes());
    let stream = (tokens * width) as u64;
    let (residual, computed) = (4 * stream, bytes as u64 * stream);
    let attention = residual + 5 * computed;
    let rows = ffn_rows(tokens, config.ffn_dim, dtype, is_gpu);
    let inside = (rows * (config.ffn_dim + 2 * width) * bytes) as u64;
    let feed_forward = residual + 2 * computed + inside;
    let adding = 2 * residual + computed;
    let rotary = (4 * tokens * config.attention_head_dim) as u64;
    let latents =
        (4 * tokens * config.patch_size.iter().product::<usize>() * config.in_channels) as u64;
    // Latents, tokens, velocities of both branches and a sampler's history of three.
    attention.max(feed_forward).max(adding) + rotary + 8 * latents
}

/// The peak of decoding `latent_frames` frames of `height`×`width` latents one at a time, beyond the weights: what each
/// causal convolution remembers, and three and a half tensors of the widest place (a block's input, what goes into and
/// comes out of a convolution, and the two of its four frames that are about to be remembered).
pub fn decode_bytes(
    config: &VaeConfig,
    latent_frames: usize,
    [height, width]: [usize; 2],
    dtype: DType,
) -> u64 {
    let bytes = dtype.size_in_bytes() as u64;
    let (mut pixels, mut frames) = ((height * width) as u64, 1u64);
    let (mut remembered, mut widest) = (0u64, 0u64);
    let middle = decoder_middle(config) as u64;
    // conv_in, and two residual blocks of two convolutions each.
    remembered += 2 * pixels * (config.z_dim as u64 + 4 * middle);
    // What came in, its norm, q, k, v and the attention's result.
    let middle_peak = 6 * bytes * pixels * middle;
    let mut last = middle;
    for stage in decoder_stages(config) {
        for [inputs, outputs] in stage.channels() {
            remembered += 2 * pixels * (inputs + outputs) as u64;
            widest = widest.max(frames * pixels * inputs.max(outputs) as u64);
        }
        last = stage.outputs as u64;
        if stage.resample == Some(Resample::SpaceAndTime) && latent_frames > 1 {
            remembered += 2 * pixels * last;
            frames *= 2;
        }
        if stage.resample.is_some() {
            pixels *= 4;
            widest = widest.max(frames * pixels * last / 2);
        }
    }
    remembered += 2 * pixels * last;
    let pictures = 3 * frames * pixels * config.out_channels as u64 * 4;
    (bytes * remembered) + (7 * bytes * widest / 2 + pictures).max(middle_peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { frames: 21, rows: 30, cols: 52 };

    fn small() -> TransformerConfig {
        TransformerConfig {
            num_attention_heads: 12,
            ffn_dim: 8960,
            num_layers: 30,
            ..TransformerConfig::default()
        }
    }

    fn near(got: u64, expected: f64) {
        assert!((got as f64 / expected - 1.0).abs() < 0.02, "{got}, expected {expected}");
    }

    #[test]
    fn weights_of_the_public_models() {
        near(transformer_weight_bytes(&small(), DType::BF16), 2.84e9);
        near(transformer_weight_bytes(&small(), DType::F32), 5.676e9);
        near(transformer_weight_bytes(&TransformerConfig::default(), DType::BF16), 28.6e9);
        near(decoder_weight_bytes(&VaeConfig::default(), DType::F32), 4.0 * 73.3e6);
        near(text_context_bytes(&small(), 512, DType::BF16), 94e6);
    }

    #[test]
    fn activations_of_the_small_model() {
        // Hidden states are 101 MB in BF16: 2 + 5 of them, the rotary tables, eight latents of 8.4 MB.
        near(denoise_bytes(&small(), GRID, DType::BF16, false), 7.0 * 100.6e6 + 16.8e6 + 67.1e6);
        let long = Grid { frames: 21, rows: 45, cols: 80 };
        assert!(denoise_bytes(&small(), long, DType::BF16, false) < 2 << 30);
        // On a GPU the whole of the feed-forward's inside: 587 MB.
        let gpu = denoise_bytes(&small(), GRID, DType::BF16, true);
        near(gpu, 6.0 * 100.6e6 + 587e6 + 16.8e6 + 67.1e6);
    }

    #[test]
    fn a_decode_is_bounded_by_its_last_stage() {
        // 4 frames of 96 channels at 480p are 613 MB in F32: three of them, and what 33 convolutions remember, of which
        // the seven of the last stage have 307 MB each.
        let clip = decode_bytes(&VaeConfig::default(), 21, [60, 104], DType::F32);
        assert!(clip > (3 * 613 + 7 * 307) * 1_000_000 && clip < 10 * 613_000_000, "{clip}");
        assert_eq!(clip, decode_bytes(&VaeConfig::default(), 200, [60, 104], DType::F32));
        assert!(decode_bytes(&VaeConfig::default(), 1, [60, 104], DType::F32) < clip);
    }
}
