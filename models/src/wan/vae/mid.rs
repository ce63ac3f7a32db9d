//! The middle of encoder and decoder, at the latents' resolution: residual block, attention, residual block.
//!
//! The attention sees one frame at a time and all its positions: norm, linear to q, k, v of the full width C as a
//! single head, softmax(q·kᵀ/√C)·v, linear, added to what came in. Nothing mixes over time but the residual blocks.

use candle_core::Tensor;
use tessera_kernels::attention::attention;
use tessera_kernels::channel_norm::channel_norm;
use tessera_kernels::linear::Linear;
use tessera_kernels::norm::add;

use super::super::source::Source;
use super::causal::Streaming;
use super::residual::Residual;
use crate::Result;
use crate::attention::scale;

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
        let y = attention(&q, &k, &v, scale(channels), None)?;
        drop((q, k, v));
        let y = self.out.forward(&y.reshape((batch, frames, height, width, channels))?)?;
        Ok(add(x, &y)?)
    }
}
