//! The channel norm on NVIDIA GPUs.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{DType, Result, Tensor, cuda::cudarc::driver::DeviceRepr};

use super::SMALLEST_LENGTH;
use crate::cuda::{Gpu, Image, Shape, short};

/// `Args` of `channel_norm.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Args {
    x: u64,
    gains: u64,
    out: u64,
    pixels: i64,
    channels: i32,
    silu: i32,
    smallest: f32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for Args {}

/// The kernel for `channels`, and the pixels that a block of 256 threads takes.
fn kernel(channels: usize, addresses: &[u64]) -> (&'static str, usize) {
    if !channels.is_multiple_of(8) || addresses.iter().any(|at| !at.is_multiple_of(16)) {
        return ("any", 8);
    }
    match channels / 8 {
        ..=16 => ("16", 64),
        17..=32 => ("32", 32),
        33..=64 => ("64", 16),
        65..=128 => ("128", 8),
        _ => ("any", 8),
    }
}

/// [`super::channel_norm`].
pub(super) fn channel_norm(gpu: &Gpu, x: &Tensor, gamma: &Tensor, silu: bool) -> Result<Tensor> {
    let x = x.contiguous()?;
    let channels = gamma.elem_count();
    let gains = (gamma.to_dtype(DType::F32)? * (channels as f64).sqrt())?;
    let result = gpu.room(x.dims(), x.dtype())?;
    let pixels = x.elem_count() / channels;
    let args = Args {
        x: gpu.address(&x)?,
        gains: gpu.address(&gains)?,
        out: gpu.address(&result)?,
        pixels: pixels as i64,
        channels: channels as i32,
        silu: i32::from(silu),
        smallest: SMALLEST_LENGTH,
    };
    let (kind, pixels_a_block) = kernel(channels, &[args.x, args.gains, args.out]);
    let name = format!("channel_norm_{}_{kind}", short(x.dtype()));
    let shape = Shape::flat(pixels.div_ceil(pixels_a_block) as u64, 256);
    // SAFETY: pixels and channels as told; every element of the result is written.
    unsafe { gpu.launch((Image::ChannelNorm, &name), shape, &args)? };
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::kernel;

    #[test]
    fn which_kernel_serves_how_many_channels() {
        assert_eq!(kernel(96, &[0]), ("16", 64));
        assert_eq!(kernel(192, &[0]), ("32", 32));
        assert_eq!(kernel(384, &[0]), ("64", 16));
        assert_eq!(kernel(1024, &[0]), ("128", 8));
        assert_eq!(kernel(1032, &[0]), ("any", 8));
        assert_eq!(kernel(12, &[0]), ("any", 8));
        assert_eq!(kernel(96, &[4]), ("any", 8));
    }
}
