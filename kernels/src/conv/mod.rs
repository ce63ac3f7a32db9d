//! Channels-last convolution over frames, zeros outside a frame in space:
//!
//! `y[t, h, w, o] = b[o] + Σ x[t·st + dt, h·sh + dh − top, w·sw + dw − left, i] · W[o, i, dt, dh, dw]`
//!
//! Time is never padded: the caller puts the context frames first, so that a stream keeps kt − 1 of them between
//! calls. Work: 2·pixels·O·I·kt·kh·kw FLOP. The weight is packed once; no column matrix of the clip is built.
//!
//! Measured as in [`crate::linear`], 3×3×3: F32 88 (16 channels, 256²) to 103 (64, 32²) GFLOP/s, BF16 129 to 218.

use candle_core::{DType, Device, Result, Tensor, bail};
use half::bf16;

use crate::{
    check,
    cpu::{Level, level},
};

mod cpu;
mod cpu_band;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, not(feature = "cuda")))]
#[path = "cuda/plan.rs"]
#[expect(dead_code, reason = "tested without a GPU; only launches use the rest")]
mod cuda_plan;
mod reference;
#[cfg(test)]
mod tests;
mod upsample;

pub use upsample::UpsampleConv2x;

/// Rows and columns of zeros around each frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same number of rows and columns on every side.
    pub fn all(pixels: usize) -> Self {
        Self { top: pixels, bottom: pixels, left: pixels, right: pixels }
    }
}

/// What a convolution does, apart from its weights.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    inputs: usize,
    outputs: usize,
    /// kt, kh, kw.
    kernel: [usize; 3],
    /// st, sh, sw.
    stride: [usize; 3],
    padding: Padding,
}

impl Geometry {
    /// Frames, rows and columns of the output for `frames` frames of `height`×`width`, or an error that says what is
    /// too small.
    fn output(&self, frames: usize, height: usize, width: usize) -> Result<[usize; 3]> {
        let Padding { top, bottom, left, right } = self.padding;
        let padded = [frames, height + top + bottom, width + left + right];
        for (axis, name) in ["frames", "rows", "columns"].into_iter().enumerate() {
            if padded[axis] < self.kernel[axis] {
                bail!(
                    "conv3d: a kernel of {} {name} needs as many with padding, got {}: time takes its context from the caller",
                    self.kernel[axis],
                    padded[axis]
                );
            }
        }
        Ok(std::array::from_fn(|axis| (padded[axis] - self.kernel[axis]) / self.stride[axis] + 1))
    }
}

/// A convolution whose weight is packed for one compute dtype, on one device.
#[derive(Debug)]
pub struct Conv3d {
    kind: Kind,
    geometry: Geometry,
    compute: DType,
    device: Device,
}

#[derive(Debug)]
enum Kind {
    Reference(reference::Weights),
    Cpu(cpu::Weights),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Weights),
}

impl Conv3d {
    /// Packs `weight` `[O, I, kt, kh, kw]` and `bias` `[O]` (any float dtype, on the device that the layer will run on)
    /// for activations of dtype `compute`. `stride` is [st, sh, sw], each at least 1.
    pub fn new(
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: [usize; 3],
        padding: Padding,
        compute: DType,
    ) -> Result<Self> {
        check::compute_dtype("conv3d", compute)?;
        let (outputs, inputs, kt, kh, kw) = weight.dims5()?;
        if weight.elem_count() == 0 || stride.contains(&0) {
            bail!("conv3d: weight {:?} and stride {stride:?} must have no zero", weight.dims());
        }
        if let Some(bias) = bias {
            check::shape("conv3d", "bias", bias, &[outputs])?;
        }
        let geometry = Geometry { inputs, outputs, kernel: [kt, kh, kw], stride, padding };
        let kind = match (level(), compute) {
            #[cfg(feature = "cuda")]
            _ if weight.device().is_cuda() && cuda::serves(&geometry) => {
                Kind::Cuda(cuda::Weights::plain(weight, bias, &geometry, compute)?)
            }
            (level, _) if !weight.device().is_cpu() || level == Level::Reference => {
                Kind::Reference(reference::Weights::new(weight, bias, compute)?)
            }
            (level, DType::F32) => {
                Kind::Cpu(cpu::Weights::plain::<f32>(level, weight, bias, &geometry)?)
            }
            (level, _) => Kind::Cpu(cpu::Weights::plain::<bf16>(level, weight, bias, &geometry)?),
        };
        Ok(Self { kind, geometry, compute, device: weight.device().clone() })
    }

    /// Convolves `frames`, taken as one clip in the given order without copying, context first.
    ///
    /// Each is `[B, Tᵢ, H, W, I]` in the compute dtype; returns `[B, (ΣTᵢ − kt)/st + 1, H', W', O]` in it.
    pub fn forward(&self, frames: &[&Tensor]) -> Result<Tensor> {
        self.run(frames, None)
    }

    /// As [`Conv3d::forward`], plus `residual`, of the result's shape and dtype, rounded once.
    pub fn forward_add(&self, frames: &[&Tensor], residual: &Tensor) -> Result<Tensor> {
        self.run(frames, Some(residual))
    }

    fn run(&self, frames: &[&Tensor], added: Option<&Tensor>) -> Result<Tensor> {
        let clip = Clip::new("conv3d", frames, self.geometry.inputs, self.compute, &self.device)?;
        let output = self.geometry.output(clip.frames, clip.height, clip.width)?;
        if let Some(added) = added {
            let [t, h, w] = output;
            check::shape(
                "conv3d",
                "residual",
                added,
                &[clip.batch, t, h, w, self.geometry.outputs],
            )?;
            check::dtype("conv3d", "residual", added, self.compute)?;
        }
        match (&self.kind, self.compute) {
            #[cfg(feature = "cuda")]
            (Kind::Cuda(weights), _) => weights.forward(frames, clip, output, added),
            (Kind::Reference(weights), compute) => {
                weights.forward(frames, &self.geometry, output, added)?.to_dtype(compute)
            }
            (Kind::Cpu(weights), DType::F32) => {
                weights.forward::<f32>(frames, clip, &self.geometry, output, added)
            }
            (Kind::Cpu(weights), _) => {
                weights.forward::<bf16>(frames, clip, &self.geometry, output, added)
            }
        }
    }
}

/// The shape of the frames of a call taken together.
#[derive(Clone, Copy, Debug)]
struct Clip {
    batch: usize,
    frames: usize,
    height: usize,
    width: usize,
}

impl Clip {
    fn new(
        op: &str,
        frames: &[&Tensor],
        channels: usize,
        compute: DType,
        device: &Device,
    ) -> Result<Self> {
        let Some(first) = frames.first() else { bail!("{op}: no frames given") };
        let (batch, _, height, width, _) = first.dims5()?;
        let mut total = 0;
        for part in frames {
            let count = part.dim(1)?;
            check::shape(op, "frames", part, &[batch, count, height, width, channels])?;
            check::dtype(op, "frames", part, compute)?;
            if !part.device().same_device(device) {
                bail!(
                    "{op}: the weights are on {:?}, `frames` on {:?}",
                    device.location(),
                    part.device().location()
                );
            }
            total += count;
        }
        Ok(Self { batch, frames: total, height, width })
    }
}
