//! What kernels are passed, as their structs in `.cuh` and `.cu` lay it out. Addresses are the device's; 0 stands for none.
#![expect(unsafe_code, reason = "the driver copies these structs as they lie")]

use candle_core::cuda::cudarc::driver::DeviceRepr;

use super::plan::LEVELS;
use crate::cuda::TensorMap;

/// `Maps` of `hopper_tile.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Maps {
    pub(super) q: TensorMap,
    pub(super) k_tail: TensorMap,
    pub(super) v_tail: TensorMap,
    pub(super) k: [TensorMap; LEVELS],
    pub(super) v: [TensorMap; LEVELS],
}

/// `Operands` of `portable.cu`: levels by their number less one.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Operands {
    pub(super) q: u64,
    pub(super) k: [u64; LEVELS],
    pub(super) v: [u64; LEVELS],
    pub(super) padded: [i32; LEVELS],
}

/// `work::Args`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Args {
    pub(super) out: u64,
    pub(super) lse: u64,
    pub(super) items: u64,
    pub(super) counts: u64,
    pub(super) order: u64,
    pub(super) levels: u64,
    pub(super) bias: [u64; LEVELS],
    pub(super) counter: u64,
    pub(super) masked: i32,
    pub(super) heads: i32,
    pub(super) queries: i32,
    pub(super) keys: i32,
    pub(super) rows: i32,
    pub(super) columns: i32,
    pub(super) scale: f32,
}

/// `PoolArgs` of `pool.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct PoolArgs {
    pub(super) from: [u64; 2],
    pub(super) to: [[u64; LEVELS]; 2],
    pub(super) valid: u64,
    pub(super) keys: i32,
    pub(super) padded: [i32; LEVELS],
}

/// `BiasArgs` of `pool.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct BiasArgs {
    pub(super) bias: [u64; LEVELS],
    pub(super) valid: u64,
    pub(super) keys: i32,
    pub(super) mode: i32,
}

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl DeviceRepr for Maps {}
// SAFETY: as above.
unsafe impl DeviceRepr for Operands {}
// SAFETY: as above.
unsafe impl DeviceRepr for Args {}
// SAFETY: as above.
unsafe impl DeviceRepr for PoolArgs {}
// SAFETY: as above.
unsafe impl DeviceRepr for BiasArgs {}
