//! The norms and sums on NVIDIA GPUs.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{DType, Result, Tensor, cuda::cudarc::driver::DeviceRepr};

use crate::cuda::{Gpu, Image, Shape, Walk, short};

/// A norm: (x − mean, or x) / √(mean square of that + eps) · gain + offset.
pub(super) struct Norm<'a> {
    /// Whether the mean is taken away.
    pub(super) centred: bool,
    pub(super) eps: f64,
    /// `[1, C]` or `[B, C]` F32.
    pub(super) gains: &'a Tensor,
    /// Whether a gain of g multiplies by 1 + g.
    pub(super) above_one: bool,
    /// As `gains`.
    pub(super) offsets: Option<&'a Tensor>,
}

/// `NormArgs` of `norm.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct NormArgs {
    x: u64,
    out: u64,
    gains: u64,
    offsets: u64,
    rows: i64,
    rows_a_sample: u32,
    width: i32,
    gain_step: i32,
    offset_step: i32,
    eps: f32,
    centred: i32,
    above: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for NormArgs {}

/// Applies the norm to the last dimension of x; vectors, when one for each sample, follow its first dimension.
pub(super) fn norm(gpu: &Gpu, x: &Tensor, norm: &Norm<'_>, out: DType) -> Result<Tensor> {
    let x = x.contiguous()?;
    let width = x.dims().last().copied().unwrap_or(1);
    let rows = x.elem_count() / width;
    let result = gpu.room(x.dims(), out)?;
    let gains = norm.gains.contiguous()?;
    let offsets = norm.offsets.map(Tensor::contiguous).transpose()?;
    let samples = |vectors: &Tensor| vectors.elem_count() / width;
    let most = samples(&gains).max(offsets.as_ref().map_or(1, samples));
    let step = |vectors: &Tensor| if samples(vectors) > 1 { width as i32 } else { 0 };
    let args = NormArgs {
        x: gpu.address(&x)?,
        out: gpu.address(&result)?,
        gains: gpu.address(&gains)?,
        offsets: offsets.as_ref().map_or(Ok(0), |offsets| gpu.address(offsets))?,
        rows: rows as i64,
        rows_a_sample: (rows / most).max(1) as u32,
        width: width as i32,
        gain_step: step(&gains),
        offset_step: offsets.as_ref().map_or(0, step),
        eps: norm.eps as f32,
        centred: i32::from(norm.centred),
        above: i32::from(norm.above_one),
    };
    let walk = Walk::new(width, width, &[args.x, args.out, args.gains, args.offsets]);
    let name = format!("norm_{}_{}_{}", short(x.dtype()), short(out), walk.name());
    // As `norm_kept` of one chunk has it.
    let rows_a_block = if walk.kept == 1 { 2 } else { 1 };
    let blocks = rows.div_ceil(rows_a_block) as u64;
    // SAFETY: rows and vectors as told; every element of the result is written.
    unsafe { gpu.launch((Image::Norm, &name), Shape::flat(blocks, walk.threads), &args)? };
    Ok(result)
}

/// `AddArgs` of `norm.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct AddArgs {
    x: u64,
    y: u64,
    gates: u64,
    out: u64,
    rows: i64,
    rows_a_sample: u32,
    width: i32,
    gate_step: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for AddArgs {}

/// x + gate·y in x's dtype; gate `[1, C]` or `[B, C]` F32, or nothing.
pub(super) fn gated_add(
    gpu: &Gpu,
    x: &Tensor,
    y: &Tensor,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    /// Rows of a block.
    const ROWS: usize = 4;
    let (x, y) = (x.contiguous()?, y.contiguous()?);
    let gates = gate.map(Tensor::contiguous).transpose()?;
    let width = x.dims().last().copied().unwrap_or(1).max(1);
    let rows = x.elem_count() / width;
    let samples = gates.as_ref().map_or(1, |gates| gates.elem_count() / width);
    let result = gpu.room(x.dims(), x.dtype())?;
    let args = AddArgs {
        x: gpu.address(&x)?,
        y: gpu.address(&y)?,
        gates: gates.as_ref().map_or(Ok(0), |gates| gpu.address(gates))?,
        out: gpu.address(&result)?,
        rows: rows as i64,
        rows_a_sample: (rows / samples).max(1) as u32,
        width: width as i32,
        gate_step: if samples > 1 { width as i32 } else { 0 },
    };
    let walk = Walk::new(width, width, &[args.x, args.y, args.gates, args.out]);
    let name = format!("add_{}_{}_e{}", short(x.dtype()), short(y.dtype()), walk.elements);
    let shape = Shape::flat(rows.div_ceil(ROWS) as u64, walk.threads.min(256));
    // SAFETY: rows and gates as told; every element of the result is written.
    unsafe { gpu.launch((Image::Norm, &name), shape, &args)? };
    Ok(result)
}
