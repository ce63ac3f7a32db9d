//! Launches of kernels over contiguous tensors.
//!
//! All work of a device is on its one stream. So an address stays good without events: a tensor that is dropped after
//! the launch is freed on that stream behind the kernel.

use std::sync::Arc;

use candle_core::{
    CudaDevice, DType, Result, Tensor,
    cuda::{
        WrapErr,
        cudarc::driver::{CudaStream, DeviceRepr, LaunchConfig, PushKernelArg},
    },
};

use super::{Image, Shape, allow_shared, function, operand};

/// A kernel's grid, its threads a block and the shared memory that it is given besides its own.
pub(crate) fn config(
    grid: (usize, usize),
    threads: usize,
    shared_bytes: usize,
) -> Result<LaunchConfig> {
    launch_config(&Shape::new(grid, threads, shared_bytes), "cuda kernel")
}

/// What the driver is told of a launch of the kernel `name`.
pub(crate) fn launch_config(shape: &Shape, name: &str) -> Result<LaunchConfig> {
    let ([x, y, z], threads) = shape.checked(name)?;
    Ok(LaunchConfig {
        grid_dim: (x, y, z),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: shape.shared_bytes as u32,
    })
}

/// A GPU and its stream.
pub(crate) struct Gpu {
    device: CudaDevice,
    stream: Arc<CudaStream>,
}

impl Gpu {
    /// The GPU that holds `x`; nothing where it is elsewhere.
    pub(crate) fn of(x: &Tensor) -> Option<Self> {
        let device = x.device().as_cuda_device().ok()?.clone();
        let stream = device.cuda_stream();
        Some(Self { device, stream })
    }

    /// Its driver's side.
    pub(crate) fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// The address of the first element of `x`, which must be contiguous and on a GPU.
    pub(crate) fn address(&self, x: &Tensor) -> Result<u64> {
        operand::address_of(x, &self.stream)
    }

    /// Room for a result. The kernel that is launched next on it must write every element.
    pub(crate) fn room(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        operand::room_of(&self.device, shape, dtype)
    }

    /// Launches a kernel that takes one struct.
    ///
    /// # Safety
    ///
    /// `args` is laid out as the kernel's parameter, and its addresses are of tensors on this GPU of the sizes that it
    /// tells, alive until the launch returns.
    pub(crate) unsafe fn launch<A: DeviceRepr>(
        &self,
        kernel: (Image, &str),
        shape: Shape,
        args: &A,
    ) -> Result<()> {
        // SAFETY: by the caller's promise.
        unsafe { self.launch_with(kernel, shape, None::<&u64>, args) }
    }

    /// As [`Gpu::launch`], for a kernel that takes tensor maps before its struct.
    ///
    /// # Safety
    ///
    /// As [`Gpu::launch`].
    pub(crate) unsafe fn launch_with<M: DeviceRepr, A: DeviceRepr>(
        &self,
        (image, name): (Image, &str),
        shape: Shape,
        maps: Option<&M>,
        args: &A,
    ) -> Result<()> {
        if shape.is_empty() {
            return Ok(());
        }
        let config = launch_config(&shape, name)?;
        let function = function(&self.device, image, name)?;
        if shape.shared_bytes > 48 << 10 {
            allow_shared(&function, shape.shared_bytes)?;
        }
        let mut launch = self.stream.launch_builder(&function);
        if let Some(maps) = maps {
            launch.arg(maps);
        }
        launch.arg(args);
        // SAFETY: by the caller's promise.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }
}
