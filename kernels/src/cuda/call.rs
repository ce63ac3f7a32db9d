//! Calls of kernels over contiguous tensors: addresses of operands, room for results, the launch.
//!
//! All work of a device is on its one stream. So an address stays good without events: a tensor that is dropped after
//! the launch is freed on that stream behind the kernel.

use std::sync::{Arc, LazyLock};

use candle_core::{
    CudaDevice, CudaStorage, DType, Result, Storage, Tensor,
    backend::BackendDevice,
    bail,
    cuda::{
        CudaDType, WrapErr,
        cudarc::driver::{CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg},
    },
    op::BackpropOp,
};
use half::{bf16, f16};

use super::{Image, allow_shared, function};

/// For tests: with `TESSERA_CUDA_POISON=1` results hold NaN until a kernel has written them.
static POISON: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("TESSERA_CUDA_POISON").is_some_and(|value| value == "1"));

/// Blocks, threads a block and bytes of shared memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) grid: [u64; 3],
    pub(crate) threads: u32,
    pub(crate) shared_bytes: usize,
}

impl Shape {
    /// Blocks in a row, without dynamic shared memory.
    pub(crate) fn flat(blocks: u64, threads: u32) -> Self {
        Self { grid: [blocks, 1, 1], threads, shared_bytes: 0 }
    }
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
        if !x.is_contiguous() {
            bail!("cuda kernel: an operand {:?} is not contiguous", x.dims());
        }
        let (storage, layout) = x.storage_and_layout();
        let storage = super::storage(&storage)?;
        let offset = (layout.start_offset() * x.dtype().size_in_bytes()) as u64;
        let start = match x.dtype() {
            DType::F32 => self.start::<f32>(storage)?,
            DType::BF16 => self.start::<bf16>(storage)?,
            DType::F16 => self.start::<f16>(storage)?,
            DType::U32 => self.start::<u32>(storage)?,
            other => bail!("cuda kernel: no kernel takes {other:?}"),
        };
        Ok(start + offset)
    }

    fn start<T: CudaDType + 'static>(&self, storage: &CudaStorage) -> Result<u64> {
        Ok(storage.as_cuda_slice::<T>()?.device_ptr(&self.stream).0)
    }

    /// Room for a result. The kernel that is launched next on it must write every element.
    pub(crate) fn room(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        // SAFETY: what is read of it was written before, by a kernel on the same stream.
        let storage = unsafe { self.device.alloc_uninit(&shape.into(), dtype)? };
        let room = Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false);
        if *POISON {
            self.poison(&room)?;
        }
        Ok(room)
    }

    /// Fills a result with NaN.
    fn poison(&self, room: &Tensor) -> Result<()> {
        use candle_core::cuda::cudarc::driver::result::memset_d8_async;
        let bytes = room.elem_count() * room.dtype().size_in_bytes();
        if bytes > 0 {
            // SAFETY: the room has that many bytes, and nothing else uses it yet.
            unsafe {
                memset_d8_async(self.address(room)?, 0xFF, bytes, self.stream.cu_stream()).w()?;
            }
        }
        Ok(())
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
        /// The most blocks along each axis of a grid.
        const MOST: [u64; 3] = [i32::MAX as u64, 65_535, 65_535];
        if shape.grid.contains(&0) {
            return Ok(());
        }
        if shape.grid.iter().zip(MOST).any(|(&blocks, most)| blocks > most) {
            bail!("{name}: {:?} blocks are more than a GPU takes in one launch", shape.grid);
        }
        let function = function(&self.device, image, name)?;
        if shape.shared_bytes > 48 << 10 {
            allow_shared(&function, shape.shared_bytes)?;
        }
        let config = LaunchConfig {
            grid_dim: (shape.grid[0] as u32, shape.grid[1] as u32, shape.grid[2] as u32),
            block_dim: (shape.threads, 1, 1),
            shared_mem_bytes: shape.shared_bytes as u32,
        };
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

/// Bytes that are copied at once, of rows of `bytes` at these addresses: 16, 4 or 2.
pub(crate) fn unit(bytes: usize, addresses: &[u64]) -> usize {
    let fits = |unit: usize| {
        bytes.is_multiple_of(unit) && addresses.iter().all(|at| at.is_multiple_of(unit as u64))
    };
    [16, 4].into_iter().find(|&unit| fits(unit)).unwrap_or(2)
}

/// The short name of a dtype in kernels' names.
pub(crate) fn short(dtype: DType) -> &'static str {
    if dtype == DType::F32 { "f32" } else { "bf16" }
}

/// How a kernel walks rows of `width` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Elements that a thread takes at once: 8, where every address is of whole 16 bytes, or fewer.
    pub(crate) elements: usize,
    /// Such chunks that a thread keeps in registers: 1, 2 or 4; 0 where the row is read again for each sum.
    pub(crate) kept: usize,
    pub(crate) threads: u32,
}

impl Walk {
    /// For rows at these addresses, whose parts of `unit` elements must not share a chunk.
    pub(crate) fn new(width: usize, unit: usize, addresses: &[u64]) -> Self {
        let whole = unit.is_multiple_of(8) && addresses.iter().all(|at| at.is_multiple_of(16));
        let elements = match unit {
            _ if whole => 8,
            unit if unit.is_multiple_of(2) => 2,
            _ => 1,
        };
        let chunks = width.div_ceil(elements);
        // A row of 1536 is a chunk for each of 192 threads.
        let kept = [1, 2, 4].into_iter().find(|kept| whole && chunks.div_ceil(*kept) <= 256);
        let kept = kept.or_else(|| (whole && chunks <= 4 * 1024).then_some(4)).unwrap_or(0);
        let threads = chunks.div_ceil(kept.max(1)).next_multiple_of(32);
        Self { elements, kept, threads: threads.min(if kept > 0 { 1024 } else { 256 }) as u32 }
    }

    /// What tells the kernel's instances apart.
    pub(crate) fn name(self) -> String {
        format!("e{}_k{}", self.elements, self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_copies() {
        assert_eq!(unit(256, &[0, 512]), 16);
        assert_eq!(unit(256, &[0, 8]), 4);
        assert_eq!(unit(20, &[0]), 4);
        assert_eq!(unit(6, &[0]), 2);
    }

    #[test]
    fn how_rows_are_walked() {
        let of = |width, unit, at| {
            let Walk { elements, kept, threads } = Walk::new(width, unit, &[at]);
            (elements, kept, threads)
        };
        assert_eq!(of(1536, 1536, 256), (8, 1, 192));
        assert_eq!(of(1536, 128, 16), (8, 1, 192));
        assert_eq!(of(5120, 128, 0), (8, 4, 160));
        assert_eq!(of(3072, 128, 0), (8, 2, 192));
        assert_eq!(of(8, 8, 0), (8, 1, 32));
        assert_eq!(of(32_768, 32_768, 0), (8, 4, 1024));
        assert_eq!(of(40_000, 40_000, 0), (8, 0, 256));
        assert_eq!(of(1536, 1536, 8), (2, 0, 256), "a view that starts amid 16 bytes");
        assert_eq!(of(60, 30, 0), (2, 0, 32));
        assert_eq!(of(7, 7, 0), (1, 0, 32));
    }
}
