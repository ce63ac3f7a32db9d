//! The convolution in plain candle operations, on any device: one product for each tap of the kernel.

use candle_core::{DType, Result, Tensor};

use super::{Geometry, Padding};
use crate::ran::{self, Via};

/// The weight as one `[I, O]` matrix a tap, and the bias in F32.
#[derive(Debug)]
pub(super) struct Weights {
    taps: Vec<Tensor>, // kt·kh·kw of [I, O]
    bias: Option<Tensor>,
}

impl Weights {
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, compute: DType) -> Result<Self> {
        let (outputs, inputs, kt, kh, kw) = weight.dims5()?;
        // Rounded to the compute dtype, then held in F32: sums over taps are F32.
        let weight = weight.to_dtype(compute)?.to_dtype(DType::F32)?;
        let by_tap =
            weight.reshape((outputs, inputs, kt * kh * kw))?.permute((2, 1, 0))?.contiguous()?;
        let taps = (0..kt * kh * kw).map(|tap| by_tap.get(tap)).collect::<Result<_>>()?;
        let bias = bias.map(|b| b.to_dtype(DType::F32)).transpose()?;
        Ok(Self { taps, bias })
    }

    /// F32, not yet rounded to the compute dtype.
    pub(super) fn forward(
        &self,
        frames: &[&Tensor],
        geometry: &Geometry,
        output: [usize; 3],
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Padding { top, bottom, left, right } = geometry.padding;
        let clip = Tensor::cat(frames, 1)?.to_dtype(DType::F32)?;
        let clip = clip.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?;
        ran::note(clip.device(), "conv", Via::Candle);
        let batch = clip.dim(0)?;
        let pixels = batch * output.iter().product::<usize>();
        let [kt, kh, kw] = geometry.kernel;
        let mut sums: Option<Tensor> = None;
        for (tap, weight) in self.taps.iter().enumerate() {
            let at = [tap / (kh * kw) % kt, tap / kw % kh, tap % kw];
            let mut seen = clip.clone();
            for axis in 0..3 {
                seen = every(&seen, axis + 1, at[axis], geometry.stride[axis], output[axis])?;
            }
            let part = seen.contiguous()?.reshape((pixels, geometry.inputs))?.matmul(weight)?;
            sums = Some(match sums {
                Some(sums) => (sums + part)?,
                None => part,
            });
        }
        let Some(mut sums) = sums else { candle_core::bail!("conv3d: a kernel without taps") };
        if let Some(bias) = &self.bias {
            sums = sums.broadcast_add(bias)?;
        }
        let [t, h, w] = output;
        let sums = sums.reshape((batch, t, h, w, geometry.outputs))?;
        match added {
            Some(added) => sums + added.to_dtype(DType::F32)?,
            None => Ok(sums),
        }
    }
}

/// `count` entries of dimension `dim` of `x`, from `start`, `step` apart.
fn every(x: &Tensor, dim: usize, start: usize, step: usize, count: usize) -> Result<Tensor> {
    if step == 1 {
        return x.narrow(dim, start, count);
    }
    let indices: Vec<u32> = (0..count).map(|i| (start + i * step) as u32).collect();
    x.contiguous()?.index_select(&Tensor::from_vec(indices, count, x.device())?, dim)
}
