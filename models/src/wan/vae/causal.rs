//! Causal convolution over time, as a stream.
//!
//! A kernel of kt frames looks at a frame and the kt − 1 before it, zeros before the first. So the memory between two
//! pieces of a clip is the last kt − 1 *input* frames: step convolves [memory ++ x] without time padding and keeps the
//! end of that. The pieces' outputs, put together, are the whole clip's output bit for bit.

use candle_core::Tensor;
use tessera_kernels::conv::{Conv3d, Padding};

use super::super::source::Source;
use crate::Result;

/// A layer that takes a clip piece by piece, in order. What it must remember is apart from its weights, so that
/// several clips can stream through one model; a fresh state is the start of a clip.
pub(super) trait Streaming {
    /// What is remembered between pieces.
    type State: Default;

    /// The next piece x `[B, T, H, W, C]` of a clip: what the layer makes of it, given what came before. It is taken by
    /// value so that it is freed as soon as the layer is done with it: at the last stage a piece is hundreds of MB.
    fn step(&self, x: Tensor, state: &mut Self::State) -> Result<Tensor>;
}

/// The last frames that a convolution saw, oldest first; empty at the start of a clip, standing for zeros.
#[derive(Debug, Default)]
pub(super) struct Context {
    parts: Vec<Tensor>,
}

impl Context {
    /// What precedes x, `frames` frames in all, as parts in order.
    pub(super) fn before(&self, x: &Tensor, frames: usize) -> Result<Vec<Tensor>> {
        if frames == 0 || !self.parts.is_empty() {
            return Ok(self.parts.clone());
        }
        let mut shape = x.dims().to_vec();
        shape[1] = frames;
        Ok(vec![Tensor::zeros(shape, x.dtype(), x.device())?])
    }

    /// The last `frames` frames of `clip` (parts in order), copied where a view would keep more than itself alive.
    pub(super) fn end_of(clip: Vec<Tensor>, frames: usize) -> Result<Self> {
        let (mut parts, mut missing) = (Vec::new(), frames);
        for part in clip.into_iter().rev() {
            let count = part.dim(1)?;
            if missing == 0 {
                break;
            }
            let kept = if count > missing {
                part.narrow(1, count - missing, missing)?.force_contiguous()?
            } else {
                part
            };
            missing -= kept.dim(1)?;
            parts.push(kept);
        }
        parts.reverse();
        Ok(Self { parts })
    }
}

/// A convolution with "same" zeros around each frame and causal in time, stride 1.
#[derive(Debug)]
pub(super) struct CausalConv {
    conv: Conv3d,
    context: usize,
}

impl CausalConv {
    /// `name` of kernel [kt, k, k]; its weight says which.
    pub(super) fn new(source: &mut Source<'_>, name: &str, [kt, k]: [usize; 2]) -> Result<Self> {
        let conv = source.conv(name, [1, 1, 1], Padding::all(k / 2))?;
        Ok(Self { conv, context: kt - 1 })
    }
}

impl CausalConv {
    /// As [`Streaming::step`], with `residual` (of the result's shape) added before the result is rounded.
    pub(super) fn step_add(
        &self,
        x: Tensor,
        residual: &Tensor,
        state: &mut Context,
    ) -> Result<Tensor> {
        self.convolve(x, state, |clip| self.conv.forward_add(clip, residual))
    }

    fn convolve(
        &self,
        x: Tensor,
        state: &mut Context,
        forward: impl FnOnce(&[&Tensor]) -> candle_core::Result<Tensor>,
    ) -> Result<Tensor> {
        let mut clip = state.before(&x, self.context)?;
        clip.push(x);
        let y = forward(&clip.iter().collect::<Vec<_>>())?;
        *state = Context::end_of(clip, self.context)?;
        Ok(y)
    }
}

impl Streaming for CausalConv {
    type State = Context;

    fn step(&self, x: Tensor, state: &mut Context) -> Result<Tensor> {
        self.convolve(x, state, |clip| self.conv.forward(clip))
    }
}
