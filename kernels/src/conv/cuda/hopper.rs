//! Calls of `conv_hopper.cu`.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{DType, Result, bail, cuda::cudarc::driver::DeviceRepr};

use super::{
    Call, Phase, ends,
    plan::{HopperPlan, SLICE},
};
use crate::{
    conv::Geometry,
    cuda::{Image, Shape, TensorMap, limits, narrow_boxes},
};

/// Tensors that a clip may be in.
const PARTS: usize = 4;

/// `Maps` of `conv_hopper.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Maps {
    weight: TensorMap,
    parts: [TensorMap; PARTS],
}
// SAFETY: maps lie as the driver made them, as the kernel declares them.
unsafe impl DeviceRepr for Maps {}

/// `Args` of `conv_hopper.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Args {
    bias: u64,
    added: u64,
    out: u64,
    part_ends: [i32; PARTS],
    slices: i32,
    fold: i32,
    out_frames: i32,
    out_height: i32,
    out_width: i32,
    outputs: i32,
    frames_of_kernel: i32,
    columns_of_kernel: i32,
    stride_t: i32,
    top: i32,
    left: i32,
    scale: i32,
    place_y: i32,
    place_x: i32,
    tiles_x: i32,
    tiles_y: i32,
    tiles_n: i32,
    tiles: i32,
    stages: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for Args {}

/// With blocks of `of_block` outputs.
pub(super) fn convolve(call: &Call<'_>, phase: &Phase, of_block: usize) -> Result<()> {
    let Geometry { outputs, kernel: [kt, kh, kw], stride, padding, .. } = phase.geometry;
    let Some(plan) =
        HopperPlan::new(&phase.geometry, of_block, call.wide, call.clip.batch, call.output)
    else {
        bail!("conv3d: {:?} frames, rows and columns are more than one call makes", call.output);
    };
    let (parts, side) = (call.parts::<PARTS>()?, HopperPlan::SIDE);
    let weight = narrow_boxes(
        call.gpu.address(&phase.packed)?,
        DType::BF16,
        &[SLICE, of_block, phase.packed.elem_count() / (SLICE * of_block)],
        &[SLICE, of_block, kh],
    )?;
    let mut maps = Maps { weight, parts: [weight; PARTS] };
    for (part, map) in parts.iter().zip(&mut maps.parts) {
        let (batch, frames, height, width, _) = part.dims5()?;
        let sizes = [phase.channels, width, height, batch * frames, 1];
        let boxes = [SLICE, side, side + kh - 1, 1, 1];
        *map = narrow_boxes(call.gpu.address(part)?, DType::BF16, &sizes, &boxes)?;
    }
    let [of_frames, height, width] = call.output;
    let args = Args {
        bias: call.bias,
        added: call.added,
        out: call.result,
        part_ends: ends(&parts)?,
        slices: phase.slices as i32,
        fold: phase.fold as i32,
        out_frames: of_frames as i32,
        out_height: height as i32,
        out_width: width as i32,
        outputs: outputs as i32,
        frames_of_kernel: kt as i32,
        columns_of_kernel: kw as i32,
        stride_t: stride[0] as i32,
        top: padding.top as i32,
        left: padding.left as i32,
        scale: phase.scale as i32,
        place_y: phase.place[0] as i32,
        place_x: phase.place[1] as i32,
        tiles_x: plan.tiles[1] as i32,
        tiles_y: plan.tiles[0] as i32,
        tiles_n: plan.tiles[2] as i32,
        tiles: plan.all as i32,
        stages: plan.stages as i32,
    };
    let device = candle_core::Device::Cuda(call.gpu.device().clone());
    let multiprocessors = limits(&device)?.map_or(1, |limits| limits.multiprocessors);
    let shape = Shape {
        grid: [plan.all.min(multiprocessors) as u64, 1, 1],
        threads: HopperPlan::THREADS,
        shared_bytes: plan.shared_bytes,
    };
    // SAFETY: maps of the parts and the weight, which live until the launch; the tiles cover every pixel of the phase,
    // and a call's phases every pixel of the result.
    unsafe { call.gpu.launch_with((Image::ConvHopper, &plan.name), shape, Some(&maps), &args) }
}
