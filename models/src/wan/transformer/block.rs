//! One block: self-attention, cross-attention to the text and a feed-forward, each added to the F32 residual stream x.
//!
//! With the six vectors (shift_a, scale_a, gate_a, shift_f, scale_f, gate_f) of the step:
//!
//! * n = LN(x)·(1 + scale_a) + shift_a;  x ← x + gate_a · out(attend(rope(rms(q(n))), rope(rms(k(n))), v(n)))
//! * n = LN(x) with weight and bias;     x ← x + out(attend(rms(q(n)), K_text, V_text)), no gate, no rotation
//! * n = LN(x)·(1 + scale_f) + shift_f;  x ← x + gate_f · net2(GELU_tanh(net0(n)))
//!
//! rms is over the whole width, all heads at once. Source: diffusers 0.42, `WanTransformerBlock`; where that rounds the
//! residual to the model's dtype after each line, this keeps it F32, as the original repository does.

use candle_core::{DType, Tensor};
use tessera_kernels::Activation;
use tessera_kernels::attention::attention;
use tessera_kernels::linear::Linear;
use tessera_kernels::norm::{gated_add, layer_norm, layer_norm_modulate};
use tessera_kernels::rope::{RopeTables, merge_heads, norm_rope_heads};

use super::super::source::Source;
use crate::Result;
use crate::attention::{SelfAttention, Site, TextScores, scale};
use crate::wan::config::TransformerConfig;

/// Bytes of the feed-forward's inner activations at once: 32,760 tokens × 8,960 would be 587 MB in BF16. Smaller pieces
/// read the weights more often, but each still does thousands of rows with them.
pub(crate) const FFN_BYTES: usize = 64 << 20;
/// On a GPU, which wants many rows at once and has the memory.
pub(crate) const FFN_BYTES_GPU: usize = 1 << 30;

/// Rows of the feed-forward done at once.
pub(crate) fn ffn_rows(tokens: usize, inner: usize, compute: DType, is_gpu: bool) -> usize {
    let bytes = if is_gpu { FFN_BYTES_GPU } else { FFN_BYTES };
    (bytes / (inner * compute.size_in_bytes())).clamp(1, tokens.max(1))
}

/// The projections of one attention, and its norms of queries and keys.
#[derive(Debug)]
struct Projections {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norm_q: Tensor, // [d] F32, as norm_k
    norm_k: Tensor,
}

impl Projections {
    fn new(source: &mut Source<'_>, at: &str) -> Result<Self> {
        Ok(Self {
            q: source.linear(&format!("{at}.to_q"))?,
            k: source.linear(&format!("{at}.to_k"))?,
            v: source.linear(&format!("{at}.to_v"))?,
            out: source.linear(&format!("{at}.to_out.0"))?,
            norm_q: source.vector(&format!("{at}.norm_q.weight"))?,
            norm_k: source.vector(&format!("{at}.norm_k.weight"))?,
        })
    }

    fn bytes(&self) -> usize {
        [&self.q, &self.k, &self.v, &self.out].iter().map(|layer| layer.bytes()).sum::<usize>()
            + 4 * (self.norm_q.elem_count() + self.norm_k.elem_count())
    }
}

/// One block's weights.
#[derive(Debug)]
pub(super) struct Block {
    this: Projections,
    text: Projections,
    norm2: (Tensor, Tensor), // weight, bias: [d] F32
    ffn_in: Linear,
    ffn_out: Linear,
    heads: usize,
    eps: f64,
    compute: DType,
}

/// What a forward holds fixed over its blocks.
pub(super) struct Fixed<'a> {
    pub(super) rope: &'a RopeTables,
    pub(super) key_bias: Option<&'a Tensor>,
}

impl Block {
    /// Reads block `at`, e.g. "blocks.3".
    pub(super) fn new(
        source: &mut Source<'_>,
        at: &str,
        config: &TransformerConfig,
    ) -> Result<Self> {
        Ok(Self {
            this: Projections::new(source, &format!("{at}.attn1"))?,
            text: Projections::new(source, &format!("{at}.attn2"))?,
            norm2: (
                source.vector(&format!("{at}.norm2.weight"))?,
                source.vector(&format!("{at}.norm2.bias"))?,
            ),
            ffn_in: source.linear(&format!("{at}.ffn.net.0.proj"))?,
            ffn_out: source.linear(&format!("{at}.ffn.net.2"))?,
            heads: config.num_attention_heads,
            eps: config.eps,
            compute: source.compute,
        })
    }

    /// Keys and values of the text rows `[1, n, d]` (compute dtype): `[1, H, n, D]` each.
    pub(super) fn text_keys(&self, rows: &Tensor) -> Result<(Tensor, Tensor)> {
        let layers = &self.text;
        let norm = Some((&layers.norm_k, self.eps));
        let keys = norm_rope_heads(&layers.k.forward(rows)?, norm, self.heads, None)?;
        let values = norm_rope_heads(&layers.v.forward(rows)?, None, self.heads, None)?;
        Ok((keys, values))
    }

    /// The block: x `[B, S, d]` F32 → the same. `six` is `[6, d]` F32, `text` the prompt's keys and values. `halfway` is called
    /// behind self-attention, about half of the block's work; its error ends the call.
    pub(super) fn forward(
        &self,
        x: Tensor,
        six: &Tensor,
        text: (&Tensor, &Tensor),
        fixed: &Fixed<'_>,
        (site, attention): (Site, &mut dyn SelfAttention),
        halfway: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Tensor> {
        let [shift_a, scale_a, gate_a, shift_f, scale_f, gate_f] = vectors(six)?;
        let y =
            self.self_attention(&x, (&scale_a, &shift_a), fixed.rope, (site, &mut *attention))?;
        let x = gated_add(x, &y, Some(&gate_a))?;
        halfway()?;
        let y = self.cross_attention(&x, text, fixed.key_bias, (site, attention))?;
        let x = gated_add(x, &y, None)?;
        let rows =
            ffn_rows(x.dim(1)?, self.ffn_in.out_features(), self.compute, x.device().is_cuda());
        let y = self.feed_forward(&x, (&scale_f, &shift_f), rows)?;
        Ok(gated_add(x, &y, Some(&gate_f))?)
    }

    fn self_attention(
        &self,
        x: &Tensor,
        (scale, shift): (&Tensor, &Tensor),
        rope: &RopeTables,
        (site, attention): (Site, &mut dyn SelfAttention),
    ) -> Result<Tensor> {
        let layers = &self.this;
        let n = layer_norm_modulate(x, scale, shift, self.eps, self.compute)?;
        let (norm_q, norm_k) = (Some((&layers.norm_q, self.eps)), Some((&layers.norm_k, self.eps)));
        let q = norm_rope_heads(&layers.q.forward(&n)?, norm_q, self.heads, Some(rope))?;
        let k = norm_rope_heads(&layers.k.forward(&n)?, norm_k, self.heads, Some(rope))?;
        let v = norm_rope_heads(&layers.v.forward(&n)?, None, self.heads, None)?;
        drop(n);
        let y = attention.attend(site, &q, &k, &v)?;
        drop((q, k, v));
        Ok(layers.out.forward(&merge_heads(&y)?)?)
    }

    fn cross_attention(
        &self,
        x: &Tensor,
        (keys, values): (&Tensor, &Tensor),
        key_bias: Option<&Tensor>,
        (site, listener): (Site, &mut dyn SelfAttention),
    ) -> Result<Tensor> {
        let layers = &self.text;
        let n = layer_norm(x, &self.norm2.0, &self.norm2.1, self.eps, self.compute)?;
        let norm = Some((&layers.norm_q, self.eps));
        let q = norm_rope_heads(&layers.q.forward(&n)?, norm, self.heads, None)?;
        drop(n);
        listener.text_compared(site, &TextScores { q: &q, keys, key_bias })?;
        let y = attention(&q, keys, values, scale(q.dim(3)?), key_bias)?;
        drop(q);
        Ok(layers.out.forward(&merge_heads(&y)?)?)
    }

    /// In pieces of `rows` tokens, so that the inner activations stay small however long the clip is.
    fn feed_forward(
        &self,
        x: &Tensor,
        (scale, shift): (&Tensor, &Tensor),
        rows: usize,
    ) -> Result<Tensor> {
        let tokens = x.dim(1)?;
        let piece = |x: &Tensor| -> Result<Tensor> {
            let n = layer_norm_modulate(x, scale, shift, self.eps, self.compute)?;
            Ok(self.ffn_out.forward(&self.ffn_in.forward_with(&n, Activation::GeluTanh)?)?)
        };
        if rows >= tokens {
            return piece(x);
        }
        let pieces = (0..tokens)
            .step_by(rows)
            .map(|start| piece(&x.narrow(1, start, rows.min(tokens - start))?.contiguous()?))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&pieces, 1)?)
    }

    pub(super) fn bytes(&self) -> usize {
        self.this.bytes()
            + self.text.bytes()
            + self.ffn_in.bytes()
            + self.ffn_out.bytes()
            + 8 * self.norm2.0.elem_count()
    }
}

/// The rows of `[6, d]`, `[d]` each.
fn vectors(six: &Tensor) -> Result<[Tensor; 6]> {
    Ok([six.get(0)?, six.get(1)?, six.get(2)?, six.get(3)?, six.get(4)?, six.get(5)?])
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{build, tensor, weights, worst};
    use super::super::transformer_tensors;
    use super::*;

    #[test]
    fn the_feed_forward_in_pieces_is_the_feed_forward() {
        let config = TransformerConfig {
            num_attention_heads: 2,
            attention_head_dim: 8,
            ffn_dim: 48,
            num_layers: 1,
            text_dim: 8,
            freq_dim: 8,
            ..TransformerConfig::default()
        };
        let weights = weights(&transformer_tensors(&config));
        let (block, read) =
            build(&weights, DType::F32, |source| Block::new(source, "blocks.0", &config));
        assert_eq!(read, 26, "all but the table");
        let x = tensor(1, &[2, 23, 16]);
        let (scale, shift) = (tensor(2, &[16]), tensor(3, &[16]));
        let whole = block.feed_forward(&x, (&scale, &shift), 23).unwrap();
        for rows in [1, 7, 22] {
            let pieces = block.feed_forward(&x, (&scale, &shift), rows).unwrap();
            assert!(worst(&whole, &pieces) < 1e-6);
        }
        assert_eq!(ffn_rows(32_760, 8960, DType::BF16, false), 3744);
        assert_eq!(ffn_rows(32_760, 8960, DType::BF16, true), 32_760);
        assert_eq!(ffn_rows(2304, 1280, DType::BF16, false), 2304);
    }
}
