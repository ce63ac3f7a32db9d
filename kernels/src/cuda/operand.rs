//! Tensors as kernels see them: addresses of operands, room for results.
#![expect(unsafe_code, reason = "results are allocated unwritten")]

use std::sync::LazyLock;

use candle_core::{
    CudaDevice, CudaStorage, DType, Device, Result, Storage, Tensor, bail,
    cuda::{
        CudaDType, WrapErr,
        cudarc::driver::{
            CudaStream, DevicePtrMut, DeviceRepr, ValidAsZeroBits, result::memset_d8_async,
        },
    },
    op::BackpropOp,
};
use half::{bf16, f16};

use super::{address, limits, storage};

/// For tests: with `TESSERA_CUDA_POISON=1` results hold NaN until a kernel has written them.
static POISON: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("TESSERA_CUDA_POISON").is_some_and(|value| value == "1"));

/// The GPU that a tensor is on, where our kernels run on it: sm_80 and later.
pub(crate) fn gpu(x: &Tensor) -> Result<Option<&CudaDevice>> {
    let Device::Cuda(device) = x.device() else { return Ok(None) };
    Ok(limits(x.device())?.filter(|limits| limits.capability >= (8, 0)).map(|_| device))
}

/// The address of a contiguous tensor of `T`, for launches on its device's stream while the tensor is held: whatever comes
/// later, its release included, is behind them on that one stream.
pub(crate) fn at<T: CudaDType + 'static>(x: &Tensor) -> Result<u64> {
    on::<T>(x, &x.device().as_cuda_device()?.cuda_stream())
}

fn on<T: CudaDType + 'static>(x: &Tensor, stream: &CudaStream) -> Result<u64> {
    let (held, layout) = x.storage_and_layout();
    if !layout.is_contiguous() {
        bail!("cuda kernel: expected a contiguous tensor, got strides {:?}", layout.stride());
    }
    Ok(address::<T>(storage(&held)?, layout, stream)?.0)
}

/// [`at`] of a tensor of any dtype that kernels take.
pub(crate) fn address_of(x: &Tensor, stream: &CudaStream) -> Result<u64> {
    match x.dtype() {
        DType::F32 => on::<f32>(x, stream),
        DType::BF16 => on::<bf16>(x, stream),
        DType::F16 => on::<f16>(x, stream),
        DType::U32 => on::<u32>(x, stream),
        DType::U8 => on::<u8>(x, stream),
        DType::I64 => on::<i64>(x, stream),
        other => bail!("cuda kernel: no kernel takes {other:?}"),
    }
}

/// A tensor that a kernel will write all of.
pub(crate) fn room<T: CudaDType + DeviceRepr>(
    device: &CudaDevice,
    shape: &[usize],
) -> Result<Tensor> {
    // SAFETY: what is read of it is written before, by a kernel on the same stream.
    let mut slice = unsafe { device.alloc::<T>(shape.iter().product()) }?;
    if *POISON {
        let (bytes, stream) = (slice.len() * size_of::<T>(), device.cuda_stream());
        let (start, _held) = slice.device_ptr_mut(&stream);
        if bytes > 0 {
            // SAFETY: the room has that many bytes, and nothing else uses it yet.
            unsafe { memset_d8_async(start, 0xFF, bytes, stream.cu_stream()) }.w()?;
        }
    }
    Ok(tensor(CudaStorage::wrap_cuda_slice(slice, device.clone()), shape))
}

/// [`room`] for a result of any dtype that kernels write.
pub(super) fn room_of(device: &CudaDevice, shape: &[usize], dtype: DType) -> Result<Tensor> {
    match dtype {
        DType::F32 => room::<f32>(device, shape),
        DType::BF16 => room::<bf16>(device, shape),
        DType::F16 => room::<f16>(device, shape),
        DType::U32 => room::<u32>(device, shape),
        other => bail!("cuda kernel: no kernel writes {other:?}"),
    }
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
