//! What kernels on NVIDIA GPUs share: the embedded fatbinaries, the device's limits, calls over contiguous tensors, tensor maps.
#![expect(
    unsafe_code,
    reason = "the driver is told addresses and shapes; each use says why they hold"
)]

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use candle_core::{
    CudaDevice, CudaStorage, Device, Layout, Result, Storage, bail,
    cuda::{
        CudaDType, WrapErr,
        cudarc::{
            driver::{CudaFunction, CudaModule, CudaStream, DevicePtr, SyncOnDrop, sys},
            nvrtc::Ptx,
        },
    },
};

use crate::ran::{self, Via};

mod call;
mod operand;
mod plan;
mod tensor_map;

pub(crate) use call::{Gpu, config, launch_config};
pub(crate) use operand::{address_of, at, gpu, room, zeros};
pub(crate) use plan::{Shape, Walk, short, unit};
pub(crate) use tensor_map::{Boxes, TensorMap, narrow_boxes};

/// A fatbinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Image {
    ChannelNorm,
    Conv,
    ConvHopper,
    Density,
    Epilogue,
    Gather,
    Hopper,
    Keep,
    Ladder,
    Lists,
    Losses,
    Norm,
    Pool,
    Portable,
    Products,
    Rope,
    Rows,
    Runs,
    Spreads,
}

impl Image {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::ChannelNorm => include_bytes!(concat!(env!("OUT_DIR"), "/channel_norm.fatbin")),
            Self::Conv => include_bytes!(concat!(env!("OUT_DIR"), "/conv.fatbin")),
            Self::ConvHopper => include_bytes!(concat!(env!("OUT_DIR"), "/conv_hopper.fatbin")),
            Self::Density => include_bytes!(concat!(env!("OUT_DIR"), "/density.fatbin")),
            Self::Epilogue => include_bytes!(concat!(env!("OUT_DIR"), "/epilogue.fatbin")),
            Self::Gather => include_bytes!(concat!(env!("OUT_DIR"), "/gather.fatbin")),
            Self::Hopper => include_bytes!(concat!(env!("OUT_DIR"), "/hopper.fatbin")),
            Self::Keep => include_bytes!(concat!(env!("OUT_DIR"), "/keep.fatbin")),
            Self::Ladder => include_bytes!(concat!(env!("OUT_DIR"), "/ladder.fatbin")),
            Self::Lists => include_bytes!(concat!(env!("OUT_DIR"), "/lists.fatbin")),
            Self::Losses => include_bytes!(concat!(env!("OUT_DIR"), "/losses.fatbin")),
            Self::Norm => include_bytes!(concat!(env!("OUT_DIR"), "/norm.fatbin")),
            Self::Pool => include_bytes!(concat!(env!("OUT_DIR"), "/pool.fatbin")),
            Self::Portable => include_bytes!(concat!(env!("OUT_DIR"), "/portable.fatbin")),
            Self::Products => include_bytes!(concat!(env!("OUT_DIR"), "/products.fatbin")),
            Self::Rope => include_bytes!(concat!(env!("OUT_DIR"), "/rope.fatbin")),
            Self::Rows => include_bytes!(concat!(env!("OUT_DIR"), "/rows.fatbin")),
            Self::Runs => include_bytes!(concat!(env!("OUT_DIR"), "/runs.fatbin")),
            Self::Spreads => include_bytes!(concat!(env!("OUT_DIR"), "/spreads.fatbin")),
        }
    }
}

/// Modules that were loaded, by device.
type Loaded = HashMap<(candle_core::cuda::DeviceId, Image), Arc<CudaModule>>;
static LOADED: LazyLock<Mutex<Loaded>> = LazyLock::new(Mutex::default);

/// A kernel of a fatbinary, which is loaded once per device.
pub(crate) fn function(device: &CudaDevice, image: Image, name: &str) -> Result<CudaFunction> {
    ran::count(name, Via::Own);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let module = if let Some(module) = loaded.get(&(device.id(), image)) {
        module.clone()
    } else {
        let binary = Ptx::from_binary(image.bytes().to_vec());
        let module = device.cuda_stream().context().load_module(binary).w()?;
        loaded.insert((device.id(), image), module.clone());
        module
    };
    module.load_function(name).w()
}

/// Raises the shared memory that blocks of a kernel may ask for.
pub(crate) fn allow_shared(function: &CudaFunction, bytes: usize) -> Result<()> {
    use sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as MOST;
    function.set_attribute(MOST, bytes as i32).w()
}

/// What the tile choice asks of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Compute capability.
    pub(crate) capability: (i32, i32),
    pub(crate) multiprocessors: usize,
    /// Bytes of shared memory that a block of threads may have.
    pub(crate) shared_bytes: usize,
}

/// The limits of a GPU; nothing for another device.
pub(crate) fn limits(device: &Device) -> Result<Option<Limits>> {
    use sys::CUdevice_attribute_enum as Attribute;
    let Device::Cuda(device) = device else {
        return Ok(None);
    };
    let stream = device.cuda_stream();
    let of = |attribute| stream.context().attribute(attribute).w();
    Ok(Some(Limits {
        capability: (
            of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: of(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
        shared_bytes: of(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?
            as usize,
    }))
}

/// The GPU's side of a tensor's storage.
pub(crate) fn storage(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("cuda kernel: every operand must be on the same GPU"),
    }
}

/// The address of a contiguous tensor's first element, for reading on `stream` until the second value is dropped.
pub(crate) fn address<'a, T: CudaDType + 'static>(
    storage: &'a CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(u64, SyncOnDrop<'a>)> {
    let (address, held) = storage.as_cuda_slice::<T>()?.device_ptr(stream);
    Ok((address + (layout.start_offset() * size_of::<T>()) as u64, held))
}
