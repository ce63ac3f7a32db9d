//! The UMT5 encoder (wan.md §3.1), run block by block so that it needs a block's memory, not a model's.
//!
//! Block: x += o(attention(rms(x))); x += wo(gelu_tanh(wi_0(rms(x))) · wi_1(rms(x))). Attention has no 1/√d and adds a
//! learned bias by distance in **every** block (T5 has it in the first only). Only real tokens go in: masked keys would
//! contribute nothing and the bias depends on distances alone, so padding is left out rather than masked.
//!
//! The encoder is 80 % of a checkpoint's bytes and is used once a prompt. So each block's weights are read, all prompts
//! are run through it, and the weights are dropped: 22.7 GB in F32 run in about 1 GB. Of the embedding table only the
//! rows of the prompts' tokens are read. The residual stream, norms, scores and softmax are F32 in every compute type.

use candle_core::{D, DType, Device, Tensor};
use tessera_kernels::Activation;
use tessera_kernels::linear::Linear;
use tessera_kernels::norm::{gated_add, rms_norm};

use super::{MAX_TOKENS, TextRows, buckets};
use crate::folder::{ModelFolder, TextConfig};
use crate::watch::{Watch, tick};
use crate::weights::{Expected, Weights};
use crate::{Error, Result};

const COMPONENT: &str = "text_encoder";
const TABLE: &str = "shared.weight";
/// The embedding table's other name, for the same tensor.
const TABLE_TWIN: &str = "encoder.embed_tokens.weight";

/// Parts of names of tensors that a whole UMT5 has and its encoder does not need.
pub const IGNORED: [&str; 3] = ["decoder.", "lm_head.", "embed_tokens."];

/// Matrices of one block, for progress: q, k, v, o, `wi_0`, `wi_1`, wo.
const MATRICES: usize = 7;

/// All tensors of the encoder. `has` tells which of the embedding table's two names the checkpoint uses.
pub fn expected(config: &TextConfig, has: impl Fn(&str) -> bool) -> Vec<Expected> {
    let (width, inner, hidden) = (config.d_model, config.inner(), config.d_ff);
    let table = if !has(TABLE) && has(TABLE_TWIN) { TABLE_TWIN } else { TABLE };
    let mut all = vec![
        Expected::new(table, [config.vocab_size, width]),
        Expected::new("encoder.final_layer_norm.weight", [width]),
    ];
    for block in 0..config.num_layers {
        let name = |part: &str| format!("encoder.block.{block}.layer.{part}.weight");
        all.extend([
            Expected::new(name("0.SelfAttention.q"), [inner, width]),
            Expected::new(name("0.SelfAttention.k"), [inner, width]),
            Expected::new(name("0.SelfAttention.v"), [inner, width]),
            Expected::new(name("0.SelfAttention.o"), [width, inner]),
            Expected::new(
                name("0.SelfAttention.relative_attention_bias"),
                [buckets::COUNT, config.num_heads],
            ),
            Expected::new(name("0.layer_norm"), [width]),
            Expected::new(name("1.DenseReluDense.wi_0"), [hidden, width]),
            Expected::new(name("1.DenseReluDense.wi_1"), [hidden, width]),
            Expected::new(name("1.DenseReluDense.wo"), [width, hidden]),
            Expected::new(name("1.layer_norm"), [width]),
        ]);
    }
    all
}

/// The most bytes that [`encode_prompts`] holds at once for prompts of `tokens` tokens: one block's weights with the
/// largest matrix three times (as read, as laid out and as packed), plus the activations of the longest prompt.
pub fn peak_bytes(config: &TextConfig, dtype: DType, tokens: usize, prompts: usize) -> u64 {
    let (width, inner, hidden) = (config.d_model as u64, config.inner() as u64, config.d_ff as u64);
    let size = dtype.size_in_bytes() as u64;
    let (tokens, prompts) = (tokens as u64, prompts as u64);
    let weights = size * (4 * width * inner + 3 * width * hidden);
    let largest = size * width * inner.max(hidden);
    let streams = 4 * prompts * tokens * width;
    // Scores and their softmax, and the two hidden halves in F32, are not alive together.
    let scores = 3 * 4 * config.num_heads as u64 * tokens * tokens + 4 * 4 * tokens * inner;
    let gates = 4 * 4 * tokens * hidden;
    weights + 2 * largest + streams + scores.max(gates)
}

/// Encodes prompts (token ids from [`super::Tokenizer`]) into rows, reading each weight once for all of them.
///
/// `dtype` (F32 or BF16) is the compute type; the rows are F32 on `device`. The watch ticks between matrices.
///
/// # Errors
/// [`Error::Folder`] when tensors do not fit the config, [`Error::Argument`] for an empty or too long prompt,
/// [`Error::NotFinite`] when rows are not numbers, [`Error::Cancelled`], [`Error::Io`].
pub fn encode_prompts(
    folder: &ModelFolder,
    prompts: &[Vec<u32>],
    dtype: DType,
    device: &Device,
    watch: &mut dyn Watch,
) -> Result<Vec<TextRows>> {
    if !matches!(dtype, DType::F32 | DType::BF16) {
        return Err(Error::argument("text encoder's dtype", "F32 or BF16", format!("{dtype:?}")));
    }
    if let Some(ids) = prompts.iter().find(|ids| !(1..=MAX_TOKENS).contains(&ids.len())) {
        let expected = format!("1 to {MAX_TOKENS} tokens");
        return Err(Error::argument("prompt", expected, format!("{} tokens", ids.len())));
    }
    let config = folder.text_config();
    let weights = Weights::open(folder, COMPONENT)?;
    let has = |name: &str| weights.shape(name).is_some();
    weights.check(&expected(config, has), &IGNORED)?;
    let table = if has(TABLE) { TABLE } else { TABLE_TWIN };

    let mut streams = Vec::with_capacity(prompts.len());
    for ids in prompts {
        streams.push(weights.rows(table, ids, DType::F32, device)?.unsqueeze(0)?);
    }
    let of = config.num_layers * MATRICES;
    for index in 0..config.num_layers {
        let mut loading = Loading { weights: &weights, dtype, device, index, of, watch };
        let block = Block::load(&mut loading, config)?;
        for stream in &mut streams {
            *stream = block.forward(stream, config, dtype)?;
        }
    }
    tick(watch, of, of)?;
    let norm = weights.tensor("encoder.final_layer_norm.weight", DType::F32, device)?;
    streams
        .into_iter()
        .map(|stream| {
            let rows =
                rms_norm(&stream, &norm, config.layer_norm_epsilon, DType::F32)?.squeeze(0)?;
            let finite =
                rows.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| value.is_finite());
            if !finite {
                return Err(Error::NotFinite {
                    what: "the prompt's encoding".to_owned(),
                    step: None,
                });
            }
            Ok(TextRows { rows, padded_to: MAX_TOKENS })
        })
        .collect()
}

/// One block's loading: where from, how, and who watches.
struct Loading<'a> {
    weights: &'a Weights,
    dtype: DType,
    device: &'a Device,
    index: usize,
    of: usize,
    watch: &'a mut dyn Watch,
}

impl Loading<'_> {
    fn name(&self, part: &str) -> String {
        format!("encoder.block.{}.layer.{part}.weight", self.index)
    }

    /// The matrix that is the `nth` of the block.
    fn matrix(&mut self, nth: usize, part: &str) -> Result<Linear> {
        tick(self.watch, self.index * MATRICES + nth, self.of)?;
        let weight = self.weights.tensor(&self.name(part), self.dtype, self.device)?;
        Ok(Linear::new(&weight, None, self.dtype)?)
    }

    fn vector(&self, part: &str) -> Result<Tensor> {
        self.weights.tensor(&self.name(part), DType::F32, self.device)
    }
}

/// One block's weights.
struct Block {
    attention_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    /// [32, heads], F32.
    bias: Tensor,
    feed_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn load(from: &mut Loading<'_>, config: &TextConfig) -> Result<Self> {
        debug_assert!(from.index < config.num_layers);
        Ok(Self {
            attention_norm: from.vector("0.layer_norm")?,
            q: from.matrix(0, "0.SelfAttention.q")?,
            k: from.matrix(1, "0.SelfAttention.k")?,
            v: from.matrix(2, "0.SelfAttention.v")?,
            o: from.matrix(3, "0.SelfAttention.o")?,
            bias: from.vector("0.SelfAttention.relative_attention_bias")?,
            feed_norm: from.vector("1.layer_norm")?,
            gate: from.matrix(4, "1.DenseReluDense.wi_0")?,
            up: from.matrix(5, "1.DenseReluDense.wi_1")?,
            down: from.matrix(6, "1.DenseReluDense.wo")?,
        })
    }

    /// x [1, n, d] F32 → the same.
    fn forward(&self, x: &Tensor, config: &TextConfig, dtype: DType) -> Result<Tensor> {
        let eps = config.layer_norm_epsilon;
        let normed = rms_norm(x, &self.attention_norm, eps, dtype)?;
        let mixed = self.attend(&normed, config.num_heads)?;
        let x = gated_add(x.clone(), &mixed, None)?;

        let normed = rms_norm(&x, &self.feed_norm, eps, dtype)?;
        let gate = self.gate.forward_with(&normed, Activation::GeluTanh)?.to_dtype(DType::F32)?;
        let up = self.up.forward(&normed)?.to_dtype(DType::F32)?;
        let fed = self.down.forward(&(gate * up)?.to_dtype(dtype)?)?;
        Ok(gated_add(x, &fed, None)?)
    }

    /// softmax(q·kᵀ + bias)·v over all pairs: x [1, n, d] compute type → the same. At most 512² scores a head.
    fn attend(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (_, tokens, _) = x.dims3()?;
        // F32 from here on: candle multiplies no BF16 on a CPU, and scores without 1/√d are large.
        let split = |matrix: &Linear| -> candle_core::Result<Tensor> {
            let wide = matrix.forward(x)?.to_dtype(DType::F32)?;
            wide.reshape((tokens, heads, ()))?.transpose(0, 1)?.contiguous()
        };
        let (q, k, v) = (split(&self.q)?, split(&self.k)?, split(&self.v)?);
        let pairs = Tensor::from_vec(buckets::table(tokens), tokens * tokens, x.device())?;
        let bias = self.bias.index_select(&pairs, 0)?.reshape((tokens, tokens, heads))?;
        let scores = q.matmul(&k.transpose(1, 2)?)?.add(&bias.permute((2, 0, 1))?)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let mixed = weights.matmul(&v)?.transpose(0, 1)?.reshape((1, tokens, ()))?;
        Ok(self.o.forward(&mixed.to_dtype(x.dtype())?)?)
    }
}
