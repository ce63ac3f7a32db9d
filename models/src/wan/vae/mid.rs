//! The middle of encoder and decoder, at the latents' resolution: residual block, attention, residual block.
//!
//! The attention sees one frame at a time and all its positions: norm, linear to q, k, v of the full width C as a
//! single head, softmax(q·kᵀ/√C)·v, linear, added to what came in. Nothing mixes over time but the residual blocks.

use candle_core::{D, DType, Tensor};
use tessera_kernels::attention::{MAX_HEAD_WIDTH, attention};
use tessera_kernels::channel_norm::channel_norm;
use tessera_kernels::linear::Linear;

use super::super::source::Source;
use super::causal::Streaming;
use super::residual::Residual;
use crate::Result;
use crate::attention::scale;

/// Bytes of F32 scores at once where the head is wider than the kernels take: a 720p frame has 829 MB of them.
pub(crate) const SCORE_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub(super) struct Middle {
    first: Residual,
    attention: FrameAttention,
    second: Residual,
}

impl Middle {
    /// The mid block `at`, of `channels` channels.
    pub(super) fn new(source: &mut Source<'_>, at: &str, channels: usize) -> Result<Self> {
        let kept = [channels, channels];
        Ok(Self {
            first: Residual::new(source, &format!("{at}.resnets.0"), kept)?,
            attention: FrameAttention::new(source, &format!("{at}.attentions.0"), channels)?,
            second: Residual::new(source, &format!("{at}.resnets.1"), kept)?,
        })
    }
}

impl Streaming for Middle {
    type State = [<Residual as Streaming>::State; 2];

    fn step(&self, x: Tensor, [first, second]: &mut Self::State) -> Result<Tensor> {
        let x = self.first.step(x, first)?;
        self.second.step(self.attention.forward(&x)?, second)
    }
}

#[derive(Debug)]
struct FrameAttention {
    norm: Tensor, // [C] F32
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl FrameAttention {
    fn new(source: &mut Source<'_>, at: &str, channels: usize) -> Result<Self> {
        let norm = source.vector(&format!("{at}.norm.gamma"))?;
        let weight =
            source.tensor(&format!("{at}.to_qkv.weight"), source.compute)?.flatten_from(1)?;
        let bias = source.vector(&format!("{at}.to_qkv.bias"))?;
        // Three layers rather than one of 3C outputs, whose thirds would have to be copied apart at every call.
        let third = |i: usize| -> Result<Linear> {
            let weight = weight.narrow(0, i * channels, channels)?;
            let bias = bias.narrow(0, i * channels, channels)?;
            Ok(Linear::new(&weight, Some(&bias), source.compute)?)
        };
        let (q, k, v) = (third(0)?, third(1)?, third(2)?);
        Ok(Self { norm, q, k, v, out: source.linear(&format!("{at}.proj"))? })
    }

    /// x `[B, T, H, W, C]` → the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, frames, height, width, channels) = x.dims5()?;
        let n = channel_norm(x, &self.norm, false)?;
        let head = |layer: &Linear| -> Result<Tensor> {
            Ok(layer.forward(&n)?.reshape((batch * frames, 1, height * width, channels))?)
        };
        let (q, k, v) = (head(&self.q)?, head(&self.k)?, head(&self.v)?);
        let y = if channels <= MAX_HEAD_WIDTH {
            attention(&q, &k, &v, scale(channels), None)?
        } else {
            wide_attention(&q, &k, &v)?
        };
        let y = self.out.forward(&y.reshape((batch, frames, height, width, channels))?)?;
        Ok((x + y)?)
    }
}

/// softmax(q·kᵀ/√D)·v for heads of any width, some rows of scores at a time, F32 inside. q, k, v `[B, 1, S, D]`.
fn wide_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (_, _, tokens, width) = q.dims4()?;
    let keys = (k.to_dtype(DType::F32)?.transpose(2, 3)? * f64::from(scale(width)))?;
    let values = v.to_dtype(DType::F32)?;
    let rows = (SCORE_BYTES / (4 * tokens * q.dim(0)?)).clamp(1, tokens);
    let pieces = (0..tokens)
        .step_by(rows)
        .map(|start| {
            let q = q.narrow(2, start, rows.min(tokens - start))?.to_dtype(DType::F32)?;
            let scores = q.contiguous()?.matmul(&keys)?;
            let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            let sums = weights.sum_keepdim(D::Minus1)?;
            Ok(weights.matmul(&values)?.broadcast_div(&sums)?.to_dtype(v.dtype())?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&pieces, 2)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn wide_heads_agree_with_the_kernel() {
        let random = || Tensor::randn(0f32, 1.0, (2, 1, 37, 24), &Device::Cpu).unwrap();
        let (q, k, v) = (random(), random(), random());
        let wide = wide_attention(&q, &k, &v).unwrap();
        let kernel = attention(&q, &k, &v, scale(24), None).unwrap();
        let worst = (wide - kernel).unwrap().abs().unwrap().max_all().unwrap();
        assert!(worst.to_scalar::<f32>().unwrap() < 2e-6);
    }
}
