//! The two configs of a Wan checkpoint folder, with diffusers' class defaults, and what of them this crate runs.
//!
//! Fields are named as in the files. Missing keys take the default, as in diffusers (folders of Wan 2.1 were written by
//! 0.33, which had fewer fields). What would need code that is not here (image branches, the 2.2 autoencoder) is
//! refused by name in [`TransformerConfig::problems`] and [`VaeConfig::problems`].

use serde::{Deserialize, Serialize};
use tessera_kernels::attention::MAX_HEAD_WIDTH;

use crate::problems::Problem;

/// The only `qk_norm` there is: one RMS norm over all heads together.
const ACROSS_HEADS: &str = "rms_norm_across_heads";

/// transformer/config.json of `WanTransformer3DModel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransformerConfig {
    /// Latent frames, rows and columns that make one token.
    pub patch_size: [usize; 3],
    /// Heads of every attention.
    pub num_attention_heads: usize,
    /// Width of a head; the inner width d is heads × this.
    pub attention_head_dim: usize,
    /// Latent channels in.
    pub in_channels: usize,
    /// Latent channels out; null means as many as in.
    pub out_channels: Option<usize>,
    /// Width of the text encoder's rows.
    pub text_dim: usize,
    /// Width of the sinusoid of the timestep.
    pub freq_dim: usize,
    /// Width inside the feed-forward.
    pub ffn_dim: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Whether the LayerNorm before cross-attention exists.
    pub cross_attn_norm: bool,
    /// Name of the query/key norm; diffusers builds the same one whatever it says.
    pub qk_norm: Option<String>,
    /// Epsilon of every norm.
    pub eps: f64,
    /// Width of image embeddings (image-to-video only).
    pub image_dim: Option<usize>,
    /// Width of the added key/value projections (image-to-video only).
    pub added_kv_proj_dim: Option<usize>,
    /// Length of the rotary tables: no axis of the token grid may be longer.
    pub rope_max_seq_len: usize,
    /// Positions of image embeddings (image-to-video only).
    pub pos_embed_seq_len: Option<usize>,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            patch_size: [1, 2, 2],
            num_attention_heads: 40,
            attention_head_dim: 128,
            in_channels: 16,
            out_channels: Some(16),
            text_dim: 4096,
            freq_dim: 256,
            ffn_dim: 13_824,
            num_layers: 40,
            cross_attn_norm: true,
            qk_norm: Some(ACROSS_HEADS.to_owned()),
            eps: 1e-6,
            image_dim: None,
            added_kv_proj_dim: None,
            rope_max_seq_len: 1024,
            pos_embed_seq_len: None,
        }
    }
}

impl TransformerConfig {
    /// The inner width d = heads × head width.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Latent channels of the velocity.
    pub fn channels_out(&self) -> usize {
        self.out_channels.filter(|&channels| channels > 0).unwrap_or(self.in_channels)
    }

    /// What of this config cannot be run, with `file` as its name in the folder.
    pub fn problems(&self, file: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let positive = [
            ("num_attention_heads", self.num_attention_heads),
            ("in_channels", self.in_channels),
            ("text_dim", self.text_dim),
            ("ffn_dim", self.ffn_dim),
            ("num_layers", self.num_layers),
            ("rope_max_seq_len", self.rope_max_seq_len),
        ];
        for (field, value) in positive {
            if value == 0 {
                found.push(Problem::new(file, field, "at least 1", "0"));
            }
        }
        let [frames, rows, cols] = self.patch_size;
        if frames != 1 || rows != cols || rows == 0 {
            let got = format!("{:?}", self.patch_size);
            found.push(Problem::new(
                file,
                "patch_size",
                "one frame by a square, as [1, 2, 2]",
                got,
            ));
        }
        let head = self.attention_head_dim;
        if head == 0 || !head.is_multiple_of(2) || head > MAX_HEAD_WIDTH {
            let expected = format!("an even width from 2 to {MAX_HEAD_WIDTH}");
            found.push(Problem::new(file, "attention_head_dim", expected, head.to_string()));
        }
        if self.freq_dim == 0 || !self.freq_dim.is_multiple_of(2) {
            let got = self.freq_dim.to_string();
            found.push(Problem::new(file, "freq_dim", "an even width of at least 2", got));
        }
        if !(self.eps > 0.0 && self.eps < 1.0) {
            let got = self.eps.to_string();
            found.push(Problem::new(file, "eps", "a small number above 0", got));
        }
        if !self.cross_attn_norm {
            found.push(Problem::new(file, "cross_attn_norm", "true", "false"));
        }
        if self.qk_norm.as_deref() != Some(ACROSS_HEADS) {
            let got = self.qk_norm.as_deref().unwrap_or("null");
            found.push(Problem::new(file, "qk_norm", ACROSS_HEADS, got));
        }
        let image = "image-to-video checkpoints are not supported; use a text-to-video one";
        for (field, value) in [
            ("image_dim", self.image_dim),
            ("added_kv_proj_dim", self.added_kv_proj_dim),
            ("pos_embed_seq_len", self.pos_embed_seq_len),
        ] {
            if let Some(value) = value {
                found.push(Problem::new(file, field, "null", value.to_string()).advice(image));
            }
        }
        if self.channels_out() != self.in_channels {
            let expected = format!("{}, as out_channels", self.channels_out());
            let got = self.in_channels.to_string();
            found.push(Problem::new(file, "in_channels", expected, got).advice(image));
        }
        found
    }
}

/// vae/config.json of `AutoencoderKLWan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    /// Channels of the encoder's first stage.
    pub base_dim: usize,
    /// Channels of the decoder's last stage; null means `base_dim`.
    pub decoder_base_dim: Option<usize>,
    /// Latent channels.
    pub z_dim: usize,
    /// Channels of each stage in units of the base, from pixels to latents.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of an encoder stage; a decoder stage has one more.
    pub num_res_blocks: usize,
    /// Scales at which the encoder would attend outside its middle; no public checkpoint has any.
    pub attn_scales: Vec<f64>,
    /// Which of the encoder's downsamplings halve time too (the spelling is diffusers').
    pub temperal_downsample: Vec<bool>,
    /// Whether it is of the 2.2 family of blocks.
    pub is_residual: bool,
    /// Pixel channels in.
    pub in_channels: usize,
    /// Pixel channels out.
    pub out_channels: usize,
    /// Pixel patch of the 2.2 autoencoder.
    pub patch_size: Option<usize>,
    /// Mean of each latent channel: z = z'·std + mean, with z' the transformer's space.
    pub latents_mean: Vec<f64>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f64>,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            base_dim: 96,
            decoder_base_dim: None,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            attn_scales: Vec::new(),
            temperal_downsample: vec![false, true, true],
            is_residual: false,
            in_channels: 3,
            out_channels: 3,
            patch_size: None,
            latents_mean: vec![
                -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134,
                -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
            ],
            latents_std: vec![
                2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526,
                2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
            ],
        }
    }
}

impl VaeConfig {
    /// Pixels a latent, along rows and columns alike.
    pub fn spatial_factor(&self) -> usize {
        1 << self.temperal_downsample.len()
    }

    /// Pixel frames a latent frame, after the first (which is one pixel frame).
    pub fn temporal_factor(&self) -> usize {
        1 << self.temperal_downsample.iter().filter(|&&halves| halves).count()
    }

    /// Channels of the decoder's last stage.
    pub fn decoder_base(&self) -> usize {
        self.decoder_base_dim.filter(|&base| base > 0).unwrap_or(self.base_dim)
    }

    /// What of this config cannot be run, with `file` as its name in the folder.
    pub fn problems(&self, file: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let newer = "the Wan 2.2 5B autoencoder is not supported; the 2.1 one (also of A14B) is";
        if self.is_residual {
            found.push(Problem::new(file, "is_residual", "false", "true").advice(newer));
        }
        if let Some(patch) = self.patch_size.filter(|&patch| patch != 1) {
            let got = patch.to_string();
            found.push(Problem::new(file, "patch_size", "null", got).advice(newer));
        }
        if !self.attn_scales.is_empty() {
            let got = format!("{:?}", self.attn_scales);
            found.push(Problem::new(file, "attn_scales", "an empty list", got));
        }
        for (field, value) in [
            ("base_dim", self.base_dim),
            ("z_dim", self.z_dim),
            ("num_res_blocks", self.num_res_blocks),
        ] {
            if value == 0 {
                found.push(Problem::new(file, field, "at least 1", "0"));
            }
        }
        for (field, value) in
            [("in_channels", self.in_channels), ("out_channels", self.out_channels)]
        {
            if value != 3 && !self.is_residual {
                found.push(Problem::new(file, field, "3 (red, green, blue)", value.to_string()));
            }
        }
        self.stage_problems(file, &mut found);
        self.statistics_problems(file, &mut found);
        found
    }

    fn stage_problems(&self, file: &str, found: &mut Vec<Problem>) {
        // Eight stages are already 128 pixels a latent.
        if self.dim_mult.is_empty() || self.dim_mult.len() > 8 || self.dim_mult.contains(&0) {
            let got = format!("{:?}", self.dim_mult);
            let expected = "one to eight multipliers of at least 1";
            found.push(Problem::new(file, "dim_mult", expected, got));
        } else if self.temperal_downsample.len() + 1 != self.dim_mult.len() {
            let expected = format!("{} values, one fewer than dim_mult", self.dim_mult.len() - 1);
            let got = format!("{:?}", self.temperal_downsample);
            found.push(Problem::new(file, "temperal_downsample", expected, got));
        } else if self.dim_mult.iter().skip(1).any(|mult| mult * self.decoder_base() < 2) {
            // Each upsampling halves the channels.
            let got = self.decoder_base().to_string();
            found.push(Problem::new(file, "decoder_base_dim", "at least 2", got));
        }
        // The attention in the middle has one head as wide as the coarsest stage.
        let coarsest = self.dim_mult.last().copied().unwrap_or(1);
        for (field, base) in
            [("base_dim", self.base_dim), ("decoder_base_dim", self.decoder_base())]
        {
            if base.saturating_mul(coarsest) > MAX_HEAD_WIDTH {
                let expected = format!("at most {}", MAX_HEAD_WIDTH / coarsest.max(1));
                found.push(Problem::new(file, field, expected, base.to_string()));
            }
        }
    }

    fn statistics_problems(&self, file: &str, found: &mut Vec<Problem>) {
        for (field, list) in
            [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)]
        {
            if list.len() != self.z_dim {
                let expected = format!("{} values, one a latent channel", self.z_dim);
                let got = format!("{} values", list.len());
                found.push(Problem::new(file, field, expected, got));
            }
        }
        if self.latents_std.iter().any(|&std| !(std > 0.0 && std.is_finite())) {
            let got = format!("{:?}", self.latents_std);
            found.push(Problem::new(file, "latents_std", "numbers above 0", got));
        }
        if self.latents_mean.iter().any(|mean| !mean.is_finite()) {
            let got = format!("{:?}", self.latents_mean);
            found.push(Problem::new(file, "latents_mean", "finite numbers", got));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_fall_back_to_the_class() {
        let config: TransformerConfig =
            serde_json::from_str(r#"{"num_attention_heads": 12, "out_channels": null}"#).unwrap();
        assert_eq!((config.width(), config.num_layers, config.channels_out()), (1536, 40, 16));
        assert!(config.problems("transformer/config.json").is_empty());
        let vae: VaeConfig = serde_json::from_str("{}").unwrap();
        assert_eq!((vae.spatial_factor(), vae.temporal_factor()), (8, 4));
        assert!(vae.problems("vae/config.json").is_empty());
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_name() {
        let names = |found: Vec<Problem>| found.into_iter().map(|p| p.name).collect::<Vec<_>>();
        let newer = VaeConfig { is_residual: true, ..VaeConfig::default() };
        assert_eq!(names(newer.problems("vae/config.json")), ["is_residual"]);
        let image = TransformerConfig {
            image_dim: Some(1280),
            in_channels: 36,
            ..TransformerConfig::default()
        };
        assert_eq!(names(image.problems("config.json")), ["image_dim", "in_channels"]);
        let other = |qk_norm| TransformerConfig { qk_norm, ..TransformerConfig::default() };
        for config in [other(None), other(Some("layer_norm".to_owned()))] {
            assert_eq!(names(config.problems("config.json")), ["qk_norm"]);
        }
        let short =
            VaeConfig { latents_std: vec![1.0; 3], dim_mult: vec![1, 2], ..VaeConfig::default() };
        let expected = ["temperal_downsample", "latents_std"];
        assert_eq!(names(short.problems("vae/config.json")), expected);
    }
}
