//! Tensors as kernels see them: addresses of operands, room for results.
#![expect(unsafe_code, reason = "results are allocated unwritten")]

use candle_core::{
    CudaDevice, CudaStorage, Device, Result, Storage, Tensor, bail,
    cuda::{
        CudaDType,
        cudarc::driver::{DeviceRepr, LaunchConfig, ValidAsZeroBits},
    },
    op::BackpropOp,
};

use super::{address, limits, storage};

/// The GPU that a tensor is on, where our kernels run on it: sm_80 and later.
pub(crate) fn gpu(x: &Tensor) -> Result<Option<&CudaDevice>> {
    let Device::Cuda(device) = x.device() else { return Ok(None) };
    Ok(limits(x.device())?.filter(|limits| limits.capability >= (8, 0)).map(|_| device))
}

/// The address of a contiguous tensor of `T`, for launches on its device's stream while the tensor is held: whatever comes
/// later, its release included, is behind them on that one stream.
pub(crate) fn at<T: CudaDType + 'static>(x: &Tensor) -> Result<u64> {
    let (held, layout) = x.storage_and_layout();
    if !layout.is_contiguous() {
        bail!("cuda kernel: expected a contiguous tensor, got strides {:?}", layout.stride());
    }
    let stream = x.device().as_cuda_device()?.cuda_stream();
    Ok(address::<T>(storage(&held)?, layout, &stream)?.0)
}

/// A tensor that a kernel will write all of.
pub(crate) fn room<T: CudaDType + DeviceRepr>(
    device: &CudaDevice,
    shape: &[usize],
) -> Result<Tensor> {
    // SAFETY: what is read of it is written before, by a kernel on the same stream.
    let slice = unsafe { device.alloc::<T>(shape.iter().product()) }?;
    Ok(tensor(CudaStorage::wrap_cuda_slice(slice, device.clone()), shape))
}

/// A tensor of zeros.
pub(crate) fn zeros<T: CudaDType + DeviceRepr + ValidAsZeroBits>(
    device: &CudaDevice,
    shape: &[usize],
) -> Result<Tensor> {
    let slice = device.alloc_zeros::<T>(shape.iter().product())?;
    Ok(tensor(CudaStorage::wrap_cuda_slice(slice, device.clone()), shape))
}

fn tensor(storage: CudaStorage, shape: &[usize]) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// A kernel's grid, its threads a block and the shared memory that it is given besides its own.
pub(crate) fn config(grid: (usize, usize), threads: usize, shared_bytes: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (grid.0 as u32, grid.1 as u32, 1),
        block_dim: (threads as u32, 1, 1),
        shared_mem_bytes: shared_bytes as u32,
    }
}
