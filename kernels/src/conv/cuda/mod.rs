//! The convolution on NVIDIA GPUs. `plan` says which kernel serves a call and how it is cut into blocks, and needs no GPU;
//! `portable` and `hopper` call them. F32 operands are split in two 16-bit parts, of which three products are made: an error of
//! 2⁻¹⁷, a five-hundredth of BF16's, at three times its cost.

use candle_core::{DType, Error, Result, Tensor, bail};

use super::{Clip, Geometry, Padding};
use crate::cuda::{Gpu, limits};

mod hopper;
mod plan;
mod portable;

use plan::{Design, Plan, SLICE};

/// Whether the kernel has room for a block of this convolution's pixels.
pub(super) fn serves(geometry: &Geometry) -> bool {
    Plan::new(geometry, true, 1, [1, 1, 1]).is_some()
}

/// One convolution, or the four of an upsampling, packed for the kernel.
#[derive(Debug)]
pub(super) struct Weights {
    phases: Vec<Phase>,
    /// F32 operands and results.
    wide: bool,
    bias: Option<Tensor>, // [O] F32
}

/// A convolution whose results are every `scale`-th pixel from `place` on.
#[derive(Debug)]
struct Phase {
    /// `[tiles, kt, slices, kh·kw, N, 32]` BF16; on Hopper columns of the kernel come before its rows, kw·kh.
    packed: Tensor,
    design: Design,
    geometry: Geometry,
    /// Of the tensors that the kernel reads.
    channels: usize,
    /// Slices of channels that are summed, and the one from which they begin anew.
    slices: usize,
    fold: usize,
    scale: usize,
    place: [usize; 2],
}

impl Phase {
    /// `weight` `[O, I, kt, kh, kw]` F32.
    fn new(
        weight: &Tensor,
        geometry: Geometry,
        wide: bool,
        scale: usize,
        place: [usize; 2],
    ) -> Result<Self> {
        let (outputs, inputs, kt, kh, kw) = weight.dims5()?;
        let padded = inputs.next_multiple_of(SLICE);
        let geometry = if wide { Geometry { inputs: padded, ..geometry } } else { geometry };
        let capability = limits(weight.device())?.map_or((8, 0), |limits| limits.capability);
        let design = Design::new(&geometry, capability);
        let tile = design.outputs(&geometry);
        let tiles = outputs.div_ceil(tile);
        let mut weight = weight.pad_with_zeros(0, 0, tiles * tile - outputs)?.pad_with_zeros(
            1,
            0,
            padded - inputs,
        )?;
        let fold = padded / SLICE;
        let (channels, slices) = if wide {
            let high = weight.to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
            let low = (&weight - &high)?;
            weight = Tensor::cat(&[&high, &low, &high], 1)?;
            (2 * padded, 3 * fold)
        } else {
            (inputs.next_multiple_of(8), fold)
        };
        if matches!(design, Design::Hopper { .. }) {
            weight = weight.transpose(3, 4)?;
        }
        let packed = weight
            .contiguous()?
            .reshape((tiles, tile, slices, SLICE, kt, kh * kw))?
            .permute((0, 4, 2, 5, 1, 3))?
            .contiguous()?
            .to_dtype(DType::BF16)?;
        Ok(Self { packed, design, geometry, channels, slices, fold, scale, place })
    }
}

impl Weights {
    /// As [`super::Conv3d::new`] takes them.
    pub(super) fn plain(
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: &Geometry,
        compute: DType,
    ) -> Result<Self> {
        let wide = compute == DType::F32;
        let phase = Phase::new(&weight.to_dtype(DType::F32)?, *geometry, wide, 1, [0, 0])?;
        Ok(Self { phases: vec![phase], wide, bias: of_bias(bias)? })
    }

    /// Nearest ×2 and `weight` `[O, I, 3, 3]`, as four convolutions of the source: see `upsample`.
    pub(super) fn doubling(
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: &Geometry,
        compute: DType,
    ) -> Result<Self> {
        let wide = compute == DType::F32;
        let weight = weight.to_dtype(DType::F32)?;
        // Two taps of parity p along `dim`: {w₀, w₁ + w₂} or {w₀ + w₁, w₂}.
        let folded = |weight: &Tensor, dim: usize, parity: usize| -> Result<Tensor> {
            let at = |i| weight.narrow(dim, i, 1);
            let (first, last) = if parity == 0 {
                (at(0)?, (at(1)? + at(2)?)?)
            } else {
                ((at(0)? + at(1)?)?, at(2)?)
            };
            Tensor::cat(&[first, last], dim)
        };
        let phase = |[py, px]: [usize; 2]| {
            let taps = folded(&folded(&weight, 2, py)?, 3, px)?.unsqueeze(2)?;
            let padding = Padding { top: 1 - py, bottom: py, left: 1 - px, right: px };
            let geometry = Geometry { kernel: [1, 2, 2], padding, ..*geometry };
            Phase::new(&taps, geometry, wide, 2, [py, px])
        };
        let phases = [[0, 0], [0, 1], [1, 0], [1, 1]].into_iter().map(phase);
        Ok(Self { phases: phases.collect::<Result<_>>()?, wide, bias: of_bias(bias)? })
    }

    /// Convolves the frames, taken as one clip, to `output` frames, rows and columns before the scale.
    pub(super) fn forward(
        &self,
        frames: &[&Tensor],
        clip: Clip,
        output: [usize; 3],
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Some(gpu) = frames.first().and_then(|frames| Gpu::of(frames)) else {
            bail!("conv3d: the weights are on a GPU, the frames are not");
        };
        let part = |part: &&Tensor| {
            if self.wide { portable::split(&gpu, part) } else { whole(&gpu, part) }
        };
        let parts = frames.iter().map(part).collect::<Result<Vec<_>>>()?;
        let added = added.map(Tensor::contiguous).transpose()?;
        let misaligned = |x: &Tensor| Ok::<_, Error>(!gpu.address(x)?.is_multiple_of(16));
        let added = match added {
            Some(added) if misaligned(&added)? => Some(added.force_contiguous()?),
            added => added,
        };
        let [of_frames, height, width] = output;
        let (scale, outputs) =
            self.phases.first().map_or((1, 0), |phase| (phase.scale, phase.geometry.outputs));
        let shape = [clip.batch, of_frames, scale * height, scale * width, outputs];
        let dtype = if self.wide { DType::F32 } else { DType::BF16 };
        let result = gpu.room(&shape, dtype)?;
        let call = Call {
            gpu: &gpu,
            wide: self.wide,
            parts: &parts,
            clip,
            output,
            bias: self.bias.as_ref().map_or(Ok(0), |bias| gpu.address(bias))?,
            added: added.as_ref().map_or(Ok(0), |added| gpu.address(added))?,
            result: gpu.address(&result)?,
        };
        for phase in &self.phases {
            match phase.design {
                Design::Portable => portable::convolve(&call, phase)?,
                Design::Hopper { outputs } => hopper::convolve(&call, phase, outputs)?,
            }
        }
        Ok(result)
    }
}

/// What the phases of one call share.
struct Call<'a> {
    gpu: &'a Gpu,
    wide: bool,
    /// Contiguous, of whole chunks of eight channels, at addresses of whole 16 bytes.
    parts: &'a [Tensor],
    clip: Clip,
    output: [usize; 3],
    bias: u64,
    added: u64,
    result: u64,
}

impl Call<'_> {
    /// The parts, or all as one where they are more than a launch takes.
    fn parts<const MOST: usize>(&self) -> Result<Vec<Tensor>> {
        if self.parts.len() <= MOST {
            return Ok(self.parts.to_vec());
        }
        Ok(vec![Tensor::cat(self.parts, 1)?])
    }
}

/// The frames up to and with each part.
fn ends<const MOST: usize>(parts: &[Tensor]) -> Result<[i32; MOST]> {
    let (mut ends, mut end) = ([0; MOST], 0);
    for (part, of_end) in parts.iter().zip(&mut ends) {
        end += part.dim(1)? as i32;
        *of_end = end;
    }
    Ok(ends)
}

/// x `[B, T, H, W, C]` as kernels take it: contiguous, with zeros up to whole chunks of eight channels.
fn whole(gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
    let missing = x.dim(4)?.next_multiple_of(8) - x.dim(4)?;
    let x = if missing > 0 { x.pad_with_zeros(4, 0, missing)? } else { x.clone() };
    let x = x.contiguous()?;
    if gpu.address(&x)?.is_multiple_of(16) { Ok(x) } else { x.force_contiguous() }
}

fn of_bias(bias: Option<&Tensor>) -> Result<Option<Tensor>> {
    bias.map(|bias| bias.to_dtype(DType::F32)?.contiguous()).transpose()
}
