//! FLOPs and bytes of a clip, from the configs alone (2 FLOPs a multiply-add; wan.md §7 has the figures that the tests pin).
//!
//! With S video tokens, width d, hidden width f, L layers and n text keys a forward costs, per layer: 8·S·d² for q, k, v, o of the
//! self-attention, 4·S²·d for its scores and sums, 4·S·d² for q and o of the cross-attention, 4·S·n·d for its scores and sums,
//! and 4·S·d·f for the two linears. Cross keys and values are made once a prompt: 4·n·d² a layer.
//!
//! Peaks count what is alive at once in the worst place, in the order the code allocates; they are predictions to refuse by, so
//! they lean to the high side.

use candle_core::DType;
use tessera_models::folder::{ModelFolder, TextConfig};
use tessera_models::geometry::Grid;
use tessera_models::text::peak_bytes;
use tessera_models::wan::{TransformerConfig, VaeConfig};

/// Frames that one latent frame becomes, after the first.
const GROUP: u64 = 4;

/// Floating-point operations.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Text encoder, both prompts.
    pub encode_text: f64,
    /// Transformer, all forwards.
    pub denoise: f64,
    /// VAE decoder, all frames.
    pub decode: f64,
}

/// Bytes alive beyond weights that stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activations {
    /// Text encoder, the block of weights at hand included: it is read a block at a time.
    pub encode_text: u64,
    /// One forward.
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
    pub latent: [u64; 3],
    /// Tokens of the prompt and of the negative prompt (0 without guidance).
    pub text: [u64; 2],
    /// Forwards of the transformer.
    pub forwards: u64,
    /// Number format of the transformer and the text encoder.
    pub dtype: DType,
    /// Number format of the VAE.
    pub vae_dtype: DType,
}

/// FLOPs of one forward over S tokens and n text keys, cross keys and values left out.
pub fn forward(config: &TransformerConfig, tokens: u64, text: u64) -> f64 {
    let (s, n, d, f) = (tokens as f64, text as f64, config.width() as f64, config.ffn_dim as f64);
    let layer = 12.0 * s * d * d + 4.0 * s * s * d + 4.0 * s * n * d + 4.0 * s * d * f;
    let ends = 2.0 * s * d * 4.0 * (config.in_channels + config.channels_out()) as f64;
    config.num_layers as f64 * layer + ends
}

/// FLOPs of the text encoder over n tokens.
pub fn encode(config: &TextConfig, tokens: u64) -> f64 {
    let (n, d, inner, f) =
        (tokens as f64, config.d_model as f64, config.inner() as f64, config.d_ff as f64);
    config.num_layers as f64 * (8.0 * n * d * inner + 6.0 * n * d * f + 4.0 * n * n * inner)
}

/// FLOPs of the VAE's decoder for latents of `[T, h, w]`.
pub fn decode(config: &VaeConfig, latent: [u64; 3]) -> f64 {
    let [t, h, w] = latent.map(|side| side as f64);
    let stages = stages(config);
    let middle = stages[0].channels;
    let (z, first) = (config.z_dim as f64, middle as f64);
    let conv = |taps: f64, from: f64, to: f64, pixels: f64| 2.0 * taps * from * to * pixels;
    let low = t * h * w;
    let attention = conv(1.0, first, 4.0 * first, low) + 4.0 * t * (h * w) * (h * w) * first;
    let mut sum = conv(1.0, z, z, low)
        + conv(27.0, z, first, low)
        + 4.0 * conv(27.0, first, first, low)
        + attention;
    let (mut frames, mut side) = (t, 1.0);
    for stage in &stages[1..] {
        let pixels = frames * h * w * side * side;
        let (from, to) = (stage.from as f64, stage.channels as f64);
        sum += conv(27.0, from, to, pixels)
            + if stage.from == stage.channels { 0.0 } else { conv(1.0, from, to, pixels) };
        sum += (2.0 * config.num_res_blocks as f64 + 1.0) * conv(27.0, to, to, pixels);
        if stage.temporal {
            sum += conv(3.0, to, 2.0 * to, pixels);
            frames = 2.0 * frames - 1.0;
        }
        if stage.spatial {
            side *= 2.0;
            sum += conv(9.0, to, stage.upsampled as f64, frames * h * w * side * side);
        }
    }
    let last = stages.last().map_or(middle, |stage| stage.channels) as f64;
    sum + conv(27.0, last, 3.0, frames * h * w * side * side)
}

/// All of a clip.
pub fn work(folder: &ModelFolder, clip: &Clip) -> Work {
    let transformer = folder.transformer_config();
    let branches = if clip.text[1] == 0 { 1 } else { 2 };
    let d = transformer.width() as f64;
    let mut work = Work { decode: decode(folder.vae_config(), clip.latent), ..Work::default() };
    for tokens in &clip.text[..branches] {
        let keys = tokens + 1; // all padding rows are one key
        work.encode_text += encode(folder.text_config(), *tokens);
        work.denoise += transformer.num_layers as f64 * 4.0 * keys as f64 * d * d;
        work.denoise += (clip.forwards / branches as u64) as f64
            * forward(transformer, clip.grid.tokens() as u64, keys);
    }
    work
}

/// Peak bytes beyond weights.
pub fn activations(folder: &ModelFolder, clip: &Clip) -> Activations {
    let transformer = folder.transformer_config();
    let s = clip.grid.tokens() as u64;
    let d = transformer.width() as u64;
    let f = transformer.ffn_dim as u64;
    // Residual in F32; normed input; then q, k, v raw and q, k, v by heads and the output, or the hidden layer and its output.
    let inside = (8 * d).max(2 * d + f);
    let denoise = s * (4 * d + clip.dtype.size_in_bytes() as u64 * inside)
        + 6 * 4 * s * 4 * transformer.in_channels as u64;
    let longest = clip.text[0].max(clip.text[1]).max(1) as usize;
    let prompts = if clip.text[1] == 0 { 1 } else { 2 };
    let encode_text = peak_bytes(folder.text_config(), clip.dtype, longest, prompts);
    let vae = folder.vae_config();
    Activations { encode_text, denoise, decode: decode_bytes(vae, clip) }
}

/// The decoder's peak: the caches of two frames a convolution, and the widest stage's live tensors of one frame group.
fn decode_bytes(config: &VaeConfig, clip: &Clip) -> u64 {
    let pixels = clip.latent[1] * clip.latent[2];
    let (mut caches, mut widest, mut side, mut frames) = (0, 0, 1, 1);
    for stage in &stages(config) {
        let numbers = pixels * side * side * stage.channels.max(stage.from) as u64;
        caches += numbers * 2 * 2 * (config.num_res_blocks as u64 + 1);
        if stage.temporal {
            frames = (frames * 2).min(GROUP);
        }
        if stage.spatial {
            side *= 2;
        }
        let after = pixels * side * side * stage.channels as u64 * frames;
        widest = widest.max(after * 4);
    }
    let rgb = pixels * side * side * 3 * GROUP;
    clip.vae_dtype.size_in_bytes() as u64 * (caches + widest) + 3 * 4 * rgb
}

/// A stage of the decoder; the first is the middle block.
struct Stage {
    from: usize,
    channels: usize,
    upsampled: usize,
    spatial: bool,
    temporal: bool,
}

fn stages(config: &VaeConfig) -> Vec<Stage> {
    let base = config.decoder_base_dim.unwrap_or(config.base_dim);
    let up: Vec<usize> = config.dim_mult.iter().rev().map(|multiple| multiple * base).collect();
    let Some(&middle) = up.first() else { return Vec::new() };
    let mut stages = vec![Stage {
        from: middle,
        channels: middle,
        upsampled: middle,
        spatial: false,
        temporal: false,
    }];
    let mut from = middle;
    for (index, &channels) in up.iter().enumerate() {
        let spatial = index + 1 < up.len();
        let temporal =
            spatial && config.temperal_downsample.iter().rev().nth(index).copied().unwrap_or(false);
        let upsampled = channels / 2;
        stages.push(Stage { from, channels, upsampled, spatial, temporal });
        from = if spatial { upsampled } else { channels };
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() < 0.02, "got {got:.4e}, expected {expected:.4e}");
    }

    /// The table of wan.md §7.
    #[test]
    fn forwards_cost_what_the_reference_counts() {
        let small = TransformerConfig {
            num_attention_heads: 12,
            attention_head_dim: 128,
            ffn_dim: 8960,
            num_layers: 30,
            ..TransformerConfig::default()
        };
        let large = TransformerConfig::default();
        // The reference counts cross keys and values in every forward; here they are made once.
        let cross =
            |c: &TransformerConfig| c.num_layers as f64 * 4.0 * 512.0 * (c.width() as f64).powi(2);
        close(forward(&small, 32_760, 512) + cross(&small), 283e12);
        close(forward(&small, 75_600, 512) + cross(&small), 1250e12);
        close(forward(&large, 75_600, 512) + cross(&large), 6523e12);
    }

    #[test]
    fn the_published_decoder_and_text_encoder_cost_what_the_reference_counts() {
        let vae = VaeConfig::default();
        // The reference counts every latent frame as four frames; the first becomes only one.
        close(decode(&vae, [21, 60, 104]) - decode(&vae, [20, 60, 104]), 13.5e12);
        let text = TextConfig {
            d_model: 4096,
            d_kv: 64,
            num_heads: 64,
            d_ff: 10_240,
            num_layers: 24,
            ..TextConfig::default()
        };
        close(encode(&text, 512), 4.8e12);
    }
}
