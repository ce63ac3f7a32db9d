//! Work and memory of a clip, phase by phase, put together from the models' own counts ([`tessera_models::cost`]).

use candle_core::DType;
use tessera_models::cost;
use tessera_models::folder::{ModelFolder, TextConfig};
use tessera_models::geometry::Grid;
use tessera_models::text::peak_bytes;

/// Floating-point operations, 2 a multiply-add.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Text encoder, both prompts.
    pub encode_text: f64,
    /// Transformer, all forwards.
    pub denoise: f64,
    /// VAE decoder, all frames.
    pub decode: f64,
}

/// Bytes of weights that stay, and of what a phase needs beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// The packed transformer.
    pub transformer: u64,
    /// The packed decoder.
    pub decoder: u64,
    /// Text encoder: the block of weights at hand (it is read a block at a time) and its activations.
    pub encode_text: u64,
    /// One forward, and what is prepared for all of them.
    pub denoise: u64,
    /// One frame group.
    pub decode: u64,
}

/// What is known of a clip when its cost is asked.
#[derive(Debug, Clone, Copy)]
pub struct Clip {
    /// Video tokens.
    pub grid: Grid,
    /// Latent frames, rows and columns.
    pub latent: [usize; 3],
    /// Tokens of the prompt and of the negative prompt (0 without guidance).
    pub text: [usize; 2],
    /// Steps.
    pub steps: usize,
    /// Self-attention's share of its dense work over the whole run, time to choose what to see counted as such work.
    pub attention: f64,
    /// Number format of the transformer and the text encoder.
    pub dtype: DType,
    /// Number format of the VAE.
    pub vae_dtype: DType,
    /// Whether it runs on a GPU.
    pub is_gpu: bool,
}

impl Clip {
    /// Tokens of each prompt that runs.
    fn prompts(&self) -> impl Iterator<Item = usize> {
        self.text.into_iter().filter(|tokens| *tokens > 0)
    }
}

/// FLOPs of the text encoder over n tokens: four projections, the gated feed-forward, scores and sums in every block.
pub fn encode_work(config: &TextConfig, tokens: usize) -> f64 {
    let (n, d) = (tokens as f64, config.d_model as f64);
    let (inner, hidden) = (config.inner() as f64, config.d_ff as f64);
    let block = 8.0 * n * d * inner + 6.0 * n * d * hidden + 4.0 * n * n * inner;
    config.num_layers as f64 * block
}

/// All work of a clip.
pub fn work(folder: &ModelFolder, clip: &Clip) -> Work {
    let transformer = folder.transformer_config();
    let mut work = Work::default();
    for tokens in clip.prompts() {
        let keys = tokens + 1; // all padding rows are one key
        let dense = cost::forward_work(transformer, clip.grid, keys);
        let left_out = (1.0 - clip.attention) * dense.self_attention as f64;
        let forward = dense.total() as f64 - left_out;
        work.encode_text += encode_work(folder.text_config(), tokens);
        work.denoise += cost::prompt_work(transformer, keys) as f64 + clip.steps as f64 * forward;
    }
    let [frames, height, width] = clip.latent;
    let group =
        |first| cost::decode_work(folder.vae_config(), [height, width], first).total() as f64;
    work.decode = group(true) + frames.saturating_sub(1) as f64 * group(false);
    work
}

/// All memory of a clip.
pub fn bytes(folder: &ModelFolder, clip: &Clip) -> Bytes {
    let (transformer, vae) = (folder.transformer_config(), folder.vae_config());
    let longest = clip.prompts().max().unwrap_or(1);
    let contexts: u64 = clip
        .prompts()
        .map(|tokens| cost::text_context_bytes(transformer, tokens + 1, clip.dtype))
        .sum();
    let [frames, height, width] = clip.latent;
    Bytes {
        transformer: cost::transformer_weight_bytes(transformer, clip.dtype),
        decoder: cost::decoder_weight_bytes(vae, clip.vae_dtype),
        encode_text: peak_bytes(folder.text_config(), clip.dtype, longest, clip.prompts().count()),
        denoise: contexts
            + cost::step_bytes(transformer, clip.steps)
            + cost::denoise_bytes(transformer, clip.grid, clip.dtype, clip.is_gpu),
        decode: cost::decode_bytes(vae, frames, [height, width], clip.vae_dtype),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// wan.md §7: 4.8 TFLOP on 512 tokens.
    #[test]
    fn the_published_text_encoder_costs_what_the_reference_counts() {
        let text = TextConfig {
            d_model: 4096,
            d_kv: 64,
            num_heads: 64,
            d_ff: 10_240,
            num_layers: 24,
            ..TextConfig::default()
        };
        let got = encode_work(&text, 512);
        assert!((got / 4.8e12 - 1.0).abs() < 0.02, "{got:e}");
    }
}
