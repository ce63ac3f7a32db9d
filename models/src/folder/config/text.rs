//! text_encoder/config.json: UMT5's sizes (wan.md §3.1).

use serde::{Deserialize, Serialize};

use super::Config;
use crate::problems::Problem;

/// A `UMT5EncoderModel`. Some fields have only one value that is supported; they are here to be checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream and of the rows that come out.
    pub d_model: usize,
    /// Channels of one attention head.
    pub d_kv: usize,
    /// Hidden width of the gated feed-forward network.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Epsilon of every RMS norm.
    pub layer_norm_epsilon: f64,
    /// Buckets of relative positions: 32.
    pub relative_attention_num_buckets: usize,
    /// Distance from which on all positions share a bucket: 128.
    pub relative_attention_max_distance: usize,
    /// "gated-gelu", which transformers reads as the tanh form of GELU.
    pub feed_forward_proj: String,
    /// The token that ends a prompt: 1.
    pub eos_token_id: usize,
    /// The token that fills a prompt up: 0.
    pub pad_token_id: usize,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 250_112,
            d_model: 512,
            d_kv: 64,
            d_ff: 1024,
            num_layers: 8,
            num_heads: 6,
            layer_norm_epsilon: 1e-6,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            feed_forward_proj: "gated-gelu".to_owned(),
            eos_token_id: 1,
            pad_token_id: 0,
        }
    }
}

impl TextConfig {
    /// Width of queries, keys and values: heads × channels of one head. It need not be `d_model`.
    pub fn inner(&self) -> usize {
        self.num_heads * self.d_kv
    }
}

impl Config for TextConfig {
    const CLASS: (&'static str, &'static [&'static str]) = ("model_type", &["umt5"]);
    const IGNORED: &'static [&'static str] = &[
        "architectures",
        "classifier_dropout",
        "decoder_start_token_id",
        "dense_act_fn",
        "dropout_rate",
        "dtype",
        "initializer_factor",
        "is_decoder",
        "is_encoder_decoder",
        "is_gated_act",
        "num_decoder_layers",
        "output_past",
        "scalable_attention",
        "tie_word_embeddings",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    ];

    fn problems(&self, file: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let least = [
            ("vocab_size", self.vocab_size, 4),
            ("d_model", self.d_model, 1),
            ("d_kv", self.d_kv, 1),
            ("d_ff", self.d_ff, 1),
            ("num_layers", self.num_layers, 1),
            ("num_heads", self.num_heads, 1),
        ];
        for (name, value, least) in least {
            if value < least {
                found.push(Problem::new(
                    file,
                    name,
                    format!("at least {least}"),
                    value.to_string(),
                ));
            }
        }
        if !(1e-12..=0.1).contains(&self.layer_norm_epsilon) {
            let got = self.layer_norm_epsilon.to_string();
            found.push(Problem::new(file, "layer_norm_epsilon", "from 1e-12 to 0.1", got));
        }
        let fixed = [
            ("relative_attention_num_buckets", self.relative_attention_num_buckets, 32),
            ("relative_attention_max_distance", self.relative_attention_max_distance, 128),
            ("eos_token_id", self.eos_token_id, 1),
            ("pad_token_id", self.pad_token_id, 0),
        ];
        for (name, value, only) in fixed {
            if value != only {
                let problem = Problem::new(file, name, only.to_string(), value.to_string());
                found.push(problem.advice("only UMT5's own value is supported"));
            }
        }
        if self.feed_forward_proj != "gated-gelu" {
            let problem =
                Problem::new(file, "feed_forward_proj", "gated-gelu", &self.feed_forward_proj);
            found.push(problem.advice("only UMT5's own value is supported"));
        }
        found
    }
}
