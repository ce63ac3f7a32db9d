//! Calls of `conv.cu`.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{DType, Result, Tensor, bail, cuda::cudarc::driver::DeviceRepr};

use super::{
    Call, Phase, ends,
    plan::{PARTS, Plan, SLICE, THREADS},
};
use crate::{
    conv::Geometry,
    cuda::{Gpu, Image, Shape},
};

/// `Args` of `conv.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Args {
    parts: [u64; PARTS],
    part_ends: [i32; PARTS],
    weight: u64,
    bias: u64,
    added: u64,
    out: u64,
    height: i32,
    width: i32,
    inputs: i32,
    slices: i32,
    fold: i32,
    out_frames: i32,
    out_height: i32,
    out_width: i32,
    outputs: i32,
    kernel: [i32; 3],
    stride: [i32; 3],
    top: i32,
    left: i32,
    scale: i32,
    place_y: i32,
    place_x: i32,
    tiles_x: i32,
    tiles_n: i32,
    halo_columns: i32,
    halo_pixels: i32,
    slabs: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for Args {}

/// `SplitArgs` of `conv.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct SplitArgs {
    x: u64,
    out: u64,
    chunks: i64,
    channels: i32,
    padded: i32,
    whole: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for SplitArgs {}

/// x `[B, T, H, W, C]` F32 as two 16-bit parts that add up to it, each with zeros up to whole slices of channels:
/// `[B, T, H, W, 2·padded]` BF16.
pub(super) fn split(gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, frames, height, width, channels) = x.dims5()?;
    let padded = channels.next_multiple_of(SLICE);
    let result = gpu.room(&[batch, frames, height, width, 2 * padded], DType::BF16)?;
    let at = gpu.address(&x)?;
    let chunks = x.elem_count() / channels * (padded / 8);
    let args = SplitArgs {
        x: at,
        out: gpu.address(&result)?,
        chunks: chunks as i64,
        channels: channels as i32,
        padded: padded as i32,
        whole: i32::from(channels.is_multiple_of(8) && at.is_multiple_of(16)),
    };
    let shape = Shape::flat(chunks.div_ceil(256) as u64, 256);
    // SAFETY: pixels and channels as told; every element of the result is written.
    unsafe { gpu.launch((Image::Conv, "conv_split"), shape, &args)? };
    Ok(result)
}

pub(super) fn convolve(call: &Call<'_>, phase: &Phase) -> Result<()> {
    let Geometry { outputs, kernel, stride, padding, .. } = phase.geometry;
    let Some(plan) = Plan::new(&phase.geometry, call.wide, call.clip.batch, call.output) else {
        bail!("conv3d: no block of a kernel {kernel:?} fits shared memory");
    };
    let parts = call.parts::<PARTS>()?;
    let mut addresses = [0; PARTS];
    for (part, address) in parts.iter().zip(&mut addresses) {
        *address = call.gpu.address(part)?;
    }
    let [of_frames, height, width] = call.output;
    let args = Args {
        parts: addresses,
        part_ends: ends(&parts)?,
        weight: call.gpu.address(&phase.packed)?,
        bias: call.bias,
        added: call.added,
        out: call.result,
        height: call.clip.height as i32,
        width: call.clip.width as i32,
        inputs: phase.channels as i32,
        slices: phase.slices as i32,
        fold: phase.fold as i32,
        out_frames: of_frames as i32,
        out_height: height as i32,
        out_width: width as i32,
        outputs: outputs as i32,
        kernel: kernel.map(|x| x as i32),
        stride: stride.map(|x| x as i32),
        top: padding.top as i32,
        left: padding.left as i32,
        scale: phase.scale as i32,
        place_y: phase.place[0] as i32,
        place_x: phase.place[1] as i32,
        tiles_x: plan.tiles[1] as i32,
        tiles_n: plan.tiles[2] as i32,
        halo_columns: plan.halo[1] as i32,
        halo_pixels: (plan.halo[0] * plan.halo[1]) as i32,
        slabs: plan.slabs as i32,
    };
    let shape = Shape { grid: plan.grid(), threads: THREADS, shared_bytes: plan.shared_bytes };
    // SAFETY: parts, weight and result of the sizes told; the tiles cover every pixel of the phase, and a call's phases
    // every pixel of the result.
    unsafe { call.gpu.launch((Image::Conv, &plan.name), shape, &args) }
}
