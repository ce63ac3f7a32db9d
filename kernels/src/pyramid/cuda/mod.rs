//! Pyramid attention on NVIDIA GPUs. `plan` says which kernel serves a call and how it is launched, and needs no GPU;
//! `launch` calls it.

#[cfg(feature = "cuda")]
mod args;
#[cfg(feature = "cuda")]
mod call;
#[cfg(feature = "cuda")]
mod launch;
#[cfg_attr(
    not(any(feature = "cuda", test)),
    expect(dead_code, reason = "without CUDA only the names of kernels are asked for")
)]
mod plan;

#[cfg(feature = "cuda")]
pub(crate) use launch::{attention, dense};

/// The name of the kernel for BF16 heads of `width` on a GPU of this compute capability.
pub(crate) fn kernel(capability: (i32, i32), width: usize) -> Option<&'static str> {
    let dtype = candle_core::DType::BF16;
    plan::Variant::choose(capability, dtype, width, false).map(|variant| variant.name)
}
