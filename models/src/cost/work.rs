//! FLOP of a forward, of a prompt and of a decode.
//!
//! With S tokens of width d, f inside the feed-forward and n text keys, a block does 8·S·d² for q, k, v and out,
//! 4·S²·d for attention, 4·S·d² and 4·S·n·d for the text, 4·S·d·f for the feed-forward. A convolution does
//! 2·(outputs)·(inputs)·(taps) a position. Norms, gates and softmax are left out: memory passes, not work.

use crate::geometry::Grid;
use crate::wan::vae::layout::{Resample, Stage, decoder_middle, decoder_stages};
use crate::wan::{TransformerConfig, VaeConfig};

/// The FLOP of one forward of the transformer, by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ForwardWork {
    /// q, k, v and out of the self-attentions.
    pub projections: u64,
    /// q·kᵀ and the weighted values of the self-attentions, dense.
    pub self_attention: u64,
    /// q and out of the cross-attentions; k and v belong to the prompt.
    pub cross_projections: u64,
    /// q·kᵀ and the weighted values of the cross-attentions.
    pub cross_attention: u64,
    /// The feed-forwards.
    pub feed_forward: u64,
    /// Patch embedding and head.
    pub ends: u64,
}

impl ForwardWork {
    /// All of it.
    pub fn total(&self) -> u64 {
        let Self {
            projections,
            self_attention,
            cross_projections,
            cross_attention,
            feed_forward,
            ends,
        } = *self;
        projections + self_attention + cross_projections + cross_attention + feed_forward + ends
    }
}

/// One forward over `grid` with `text_keys` keys in each cross-attention (a prompt's tokens and one for its padding).
pub fn forward_work(config: &TransformerConfig, grid: Grid, text_keys: usize) -> ForwardWork {
    let (s, d, f) = (grid.tokens() as u64, config.width() as u64, config.ffn_dim as u64);
    let (layers, text_keys) = (config.num_layers as u64, text_keys as u64);
    let features = (config.patch_size.iter().product::<usize>()
        * (config.in_channels + config.channels_out())) as u64;
    ForwardWork {
        projections: layers * 8 * s * d * d,
        self_attention: layers * 4 * s * s * d,
        cross_projections: layers * 4 * s * d * d,
        cross_attention: layers * 4 * s * text_keys * d,
        feed_forward: layers * 4 * s * d * f,
        ends: 2 * s * d * features,
    }
}

/// What is done once for a prompt of `rows` rows (its tokens and one for its padding): the text network, and each
/// block's keys and values.
pub fn prompt_work(config: &TransformerConfig, rows: usize) -> u64 {
    let (rows, d, text) = (rows as u64, config.width() as u64, config.text_dim as u64);
    2 * rows * d * (text + d) + config.num_layers as u64 * 4 * rows * d * d
}

/// The FLOP of one step of the decoder, by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VaeWork {
    /// All convolutions but the next.
    pub convolutions: u64,
    /// The convolutions after a doubling of rows and columns, as four phases: 4/9 of the plain form.
    pub upsampling: u64,
    /// The attention in the middle.
    pub attention: u64,
}

impl VaeWork {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.convolutions + self.upsampling + self.attention
    }

    fn conv(&mut self, positions: u64, [inputs, outputs]: [usize; 2], taps: u64) {
        self.convolutions += 2 * positions * (inputs * outputs) as u64 * taps;
    }

    fn residual(&mut self, positions: u64, [inputs, outputs]: [usize; 2]) {
        self.conv(positions, [inputs, outputs], 27);
        self.conv(positions, [outputs, outputs], 27);
        if inputs != outputs {
            self.conv(positions, [inputs, outputs], 1);
        }
    }

    fn up(&mut self, positions: &mut u64, stage: &Stage, first: bool) {
        let c = stage.outputs;
        if stage.resample == Some(Resample::SpaceAndTime) && !first {
            self.conv(*positions, [c, 2 * c], 3);
            *positions *= 2;
        }
        if stage.resample.is_some() {
            *positions *= 4;
            self.upsampling += 2 * *positions * (c * (c / 2)) as u64 * 4;
        }
    }
}

/// Decoding one latent frame of `height`×`width` latents: a clip's `first` (one pixel frame) or another (four).
pub fn decode_work(config: &VaeConfig, [height, width]: [usize; 2], first: bool) -> VaeWork {
    let mut work = VaeWork::default();
    let frame = (height * width) as u64;
    let (z, c) = (config.z_dim, decoder_middle(config));
    work.conv(frame, [z, z], 1);
    work.conv(frame, [z, c], 27);
    work.residual(frame, [c, c]);
    work.conv(frame, [c, 4 * c], 1);
    work.attention += 4 * frame * frame * c as u64;
    work.residual(frame, [c, c]);
    let mut positions = frame;
    let mut last = c;
    for stage in decoder_stages(config) {
        for channels in stage.channels() {
            work.residual(positions, channels);
        }
        work.up(&mut positions, &stage, first);
        last = stage.outputs;
    }
    work.conv(positions, [last, config.out_channels], 27);
    work
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(heads: usize, ffn_dim: usize, num_layers: usize) -> TransformerConfig {
        let num_attention_heads = heads;
        TransformerConfig {
            num_attention_heads,
            ffn_dim,
            num_layers,
            ..TransformerConfig::default()
        }
    }

    fn near(got: u64, tera: f64) {
        let got = got as f64 / 1e12;
        assert!((got / tera - 1.0).abs() < 0.02, "{got} TFLOP, expected {tera}");
    }

    /// The table of wan.md §7: no savings, 512 text rows, k and v of the text in every forward.
    fn plain(config: &TransformerConfig, grid: Grid) -> u64 {
        forward_work(config, grid, 512).total() + prompt_work(config, 512)
    }

    #[test]
    fn forwards_of_the_public_models() {
        let small = config(12, 8960, 30);
        let large = config(40, 13_824, 40);
        let grid = |rows, cols| Grid { frames: 21, rows, cols };
        near(plain(&small, grid(30, 52)), 283.0);
        near(plain(&small, grid(45, 80)), 1250.0);
        near(plain(&large, grid(30, 52)), 1678.0);
        near(plain(&large, grid(45, 80)), 6523.0);
        let parts = forward_work(&small, grid(30, 52), 512);
        near(parts.projections, 18.6);
        near(parts.self_attention, 197.8);
        near(parts.cross_attention, 3.1);
        near(parts.feed_forward, 54.1);
        let saved = forward_work(&small, grid(30, 52), 40).total();
        assert!(saved < plain(&small, grid(30, 52)));
    }

    #[test]
    fn decodes_of_the_public_autoencoder() {
        let plain = |size, first| {
            let work = decode_work(&VaeConfig::default(), size, first);
            work.convolutions + work.upsampling * 9 / 4 + work.attention
        };
        near(plain([60, 104], false), 13.5);
        near(plain([90, 160], false), 31.4);
        near(plain([60, 104], true) + 20 * plain([60, 104], false), 274.0);
    }
}
