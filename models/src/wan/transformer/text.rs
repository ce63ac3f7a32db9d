//! What the blocks take from a prompt, computed once for it: the keys and values of every cross-attention.
//!
//! The text encoder's rows go through linear → GELU(tanh) → linear, then each block's key and value projections. A
//! prompt is filled up to `padded_to` rows of zeros *before* that network, and no mask hides them, so all p padding rows
//! become one and the same key and value. They are kept as a single key whose score gets + ln p: e^(s + ln p) = p·e^s,
//! the same softmax with n + 1 keys in place of n + p.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::Activation;
use tessera_kernels::linear::Linear;

use super::super::source::Source;
use crate::text::TextRows;
use crate::{Error, Result};

/// The keys and values of one prompt in every block.
#[derive(Debug, Clone)]
pub struct TextContext {
    /// A block's keys and values, `[1, H, n + 1, D]` each in the compute dtype.
    pub(super) layers: Vec<(Tensor, Tensor)>,
    /// What is added to the keys' scores, `[n + 1]` F32; none when the prompt has no padding.
    pub(super) key_bias: Option<Tensor>,
}

impl TextContext {
    /// Keys of each cross-attention: the prompt's rows, and one for all its padding.
    pub fn keys(&self) -> usize {
        self.layers.first().and_then(|(keys, _)| keys.dim(2).ok()).unwrap_or(0)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        self.layers.iter().map(|(keys, values)| of(keys) + of(values)).sum()
    }
}

/// A prompt's rows with one row for all padding, and what the last key's score gets.
pub(super) fn folded(
    text: &TextRows,
    width: usize,
    device: &Device,
) -> Result<(Tensor, Option<Tensor>)> {
    let rows = text.rows.to_device(device)?.to_dtype(DType::F32)?;
    let count = match *rows.dims() {
        [count, w] if w == width && count > 0 && count <= text.padded_to => count,
        ref other => {
            let expected = format!("[1 to {}, {width}]", text.padded_to);
            return Err(Error::argument("text rows", expected, format!("{other:?}")));
        }
    };
    let padding = text.padded_to - count;
    if padding == 0 {
        return Ok((rows, None));
    }
    let rows = Tensor::cat(&[rows, Tensor::zeros((1, width), DType::F32, device)?], 0)?;
    let mut bias = vec![0f32; count + 1];
    bias[count] = (padding as f64).ln() as f32;
    Ok((rows, Some(Tensor::from_vec(bias, count + 1, device)?)))
}

/// The network between the text encoder and the blocks.
#[derive(Debug)]
pub(super) struct TextProjection {
    linear_1: Linear,
    linear_2: Linear,
    compute: DType,
}

impl TextProjection {
    pub(super) fn new(source: &mut Source<'_>) -> Result<Self> {
        let at = "condition_embedder.text_embedder";
        Ok(Self {
            linear_1: source.linear(&format!("{at}.linear_1"))?,
            linear_2: source.linear(&format!("{at}.linear_2"))?,
            compute: source.compute,
        })
    }

    /// `[n, text_dim]` F32 → `[1, n, d]` in the compute dtype.
    pub(super) fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let rows = rows.to_dtype(self.compute)?.unsqueeze(0)?;
        Ok(self.linear_2.forward(&self.linear_1.forward_with(&rows, Activation::GeluTanh)?)?)
    }

    pub(super) fn bytes(&self) -> usize {
        self.linear_1.bytes() + self.linear_2.bytes()
    }
}
