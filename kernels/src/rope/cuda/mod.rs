//! Norm, head split and rotation on NVIDIA GPUs, one pass over memory.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{Result, Tensor, cuda::cudarc::driver::DeviceRepr};

use super::RopeTables;
use crate::cuda::{Gpu, Image, Shape, Walk, short};

/// `RopeArgs` of `rope.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct RopeArgs {
    x: u64,
    out: u64,
    weight: u64,
    cos: u64,
    sin: u64,
    rows: i64,
    tokens: u32,
    heads: i32,
    width: i32,
    eps: f32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for RopeArgs {}

/// [`super::norm_rope_heads`].
pub(super) fn norm_rope_heads(
    gpu: &Gpu,
    x: &Tensor,
    norm: Option<(&Tensor, f64)>,
    heads: usize,
    rope: Option<&RopeTables>,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, tokens, row_width) = x.dims3()?;
    let width = row_width / heads;
    let contiguous = |x: Option<&Tensor>| x.map(Tensor::contiguous).transpose();
    let weight = contiguous(norm.map(|(weight, _)| weight))?;
    let (cos, sin) = (contiguous(rope.map(|r| &r.cos))?, contiguous(rope.map(|r| &r.sin))?);
    let result = gpu.room(&[batch, heads, tokens, width], x.dtype())?;
    let at = |x: &Option<Tensor>| x.as_ref().map_or(Ok(0), |x| gpu.address(x));
    let args = RopeArgs {
        x: gpu.address(&x)?,
        out: gpu.address(&result)?,
        weight: at(&weight)?,
        cos: at(&cos)?,
        sin: at(&sin)?,
        rows: (batch * tokens) as i64,
        tokens: tokens as u32,
        heads: heads as i32,
        width: width as i32,
        eps: norm.map_or(0.0, |(_, eps)| eps as f32),
    };
    let operands = [args.x, args.out, args.weight, args.cos, args.sin];
    let walk = Walk::new(row_width, width, &operands);
    let name = format!("rope_{}_{}", short(x.dtype()), walk.name());
    // As `rope_kept` of each number of chunks has it.
    let rows_a_block = [1, 8 / x.dtype().size_in_bytes(), 2, 1, 1][walk.kept];
    let shape = Shape::flat((batch * tokens).div_ceil(rows_a_block) as u64, walk.threads);
    // SAFETY: sizes as told; every element of the result is written.
    unsafe { gpu.launch((Image::Rope, &name), shape, &args)? };
    Ok(result)
}

/// `MergeArgs` of `rope.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct MergeArgs {
    x: u64,
    out: u64,
    rows: i64,
    tokens: u32,
    heads: i32,
    row: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for MergeArgs {}

/// [`super::merge_heads`].
pub(super) fn merge_heads(gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
    /// Tokens of a block.
    const ROWS: usize = 4;
    let x = x.contiguous()?;
    let (batch, heads, tokens, width) = x.dims4()?;
    let result = gpu.room(&[batch, tokens, heads * width], x.dtype())?;
    let (from, to) = (gpu.address(&x)?, gpu.address(&result)?);
    let unit = crate::cuda::unit(width * x.dtype().size_in_bytes(), &[from, to]);
    let row = width * x.dtype().size_in_bytes() / unit;
    let args = MergeArgs {
        x: from,
        out: to,
        rows: (batch * tokens) as i64,
        tokens: tokens as u32,
        heads: heads as i32,
        row: row as i32,
    };
    let threads = (heads * row).next_multiple_of(32).clamp(32, 256) as u32;
    let shape = Shape::flat((batch * tokens).div_ceil(ROWS) as u64, threads);
    let name = format!("merge_heads_{unit}");
    // SAFETY: sizes as told; every element of the result is written.
    unsafe { gpu.launch((Image::Rope, &name), shape, &args)? };
    Ok(result)
}
