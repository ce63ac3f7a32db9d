//! GPUs through the driver.
#![expect(unsafe_code, reason = "the driver's functions are foreign; each call says why it holds")]

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use candle_core::{
    Device, Result,
    cuda::{
        WrapErr,
        cudarc::driver::{CudaEvent, DriverError, result, sys},
    },
};
use sys::CUmemPool_attribute_enum as Attribute;

use super::{Absent, Gpu};

/// Devices that were opened, by index.
static OPEN: LazyLock<Mutex<HashMap<usize, Device>>> = LazyLock::new(Mutex::default);

pub(super) fn list() -> std::result::Result<Vec<Gpu>, Absent> {
    let of_driver = |error: DriverError| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Absent::Device,
        _ => Absent::Driver(error.to_string()),
    };
    result::init().map_err(of_driver)?;
    let count = result::device::get_count().map_err(of_driver)?;
    if count == 0 {
        return Err(Absent::Device);
    }
    (0..count).map(|index| of(index).map_err(of_driver)).collect()
}

fn of(index: i32) -> std::result::Result<Gpu, DriverError> {
    use sys::CUdevice_attribute_enum as Attribute;
    let device = result::device::get(index)?;
    // SAFETY: the driver itself gave this device.
    let (total, major, minor) = unsafe {
        (
            result::device::total_mem(device)?,
            result::device::get_attribute(
                device,
                Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            )?,
            result::device::get_attribute(
                device,
                Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )?,
        )
    };
    let index = index as usize;
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned();
    Ok(Gpu {
        index,
        name: result::device::get_name(device)?,
        capability: (major, minor),
        total_bytes: total as u64,
        free_bytes: open.as_ref().and_then(free_bytes),
    })
}

pub(super) fn driver() -> Option<(u32, u32)> {
    let mut version = 0;
    // SAFETY: the driver writes one number.
    let said = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    let version = u32::try_from(version).ok()?;
    (said == sys::CUresult::CUDA_SUCCESS && version > 0)
        .then_some((version / 1000, version % 1000 / 10))
}

pub(super) fn open(index: usize) -> Result<Device> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(&index) {
        return Ok(device.clone());
    }
    let device = Device::new_cuda_with_stream(index)?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: all work of this device is on its one stream, which orders every use and every release.
        unsafe { cuda.disable_event_tracking() };
        // Freed tensors stay with the process: otherwise each wait would hand them back, to be asked for again.
        set(&device, Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX);
    }
    open.insert(index, device.clone());
    Ok(device)
}

/// The memory pool that a device's tensors are from.
fn pool(device: &Device) -> Option<sys::CUmemoryPool> {
    let Device::Cuda(device) = device else { return None };
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().ok()?;
    let mut pool = std::ptr::null_mut();
    // SAFETY: the context's own device; the driver writes one handle.
    let said = unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()) };
    (said == sys::CUresult::CUDA_SUCCESS).then_some(pool)
}

fn set(device: &Device, attribute: Attribute, mut value: u64) {
    if let Some(pool) = pool(device) {
        // SAFETY: the attributes that are set here are 64-bit numbers. Where it is refused, memory is slower, not wrong.
        let _ = unsafe {
            sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut value).cast::<c_void>())
        };
    }
}

fn get(device: &Device, attribute: Attribute) -> Option<u64> {
    let pool = pool(device)?;
    let mut value = 0_u64;
    // SAFETY: the attributes that are asked for here are 64-bit numbers.
    let said =
        unsafe { sys::cuMemPoolGetAttribute(pool, attribute, (&raw mut value).cast::<c_void>()) };
    (said == sys::CUresult::CUDA_SUCCESS).then_some(value)
}

pub(super) fn free_bytes(device: &Device) -> Option<u64> {
    let Device::Cuda(cuda) = device else { return None };
    let (free, _) = cuda.cuda_stream().context().mem_get_info().ok()?;
    let reserved = get(device, Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT).unwrap_or(0);
    let used = get(device, Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT).unwrap_or(0);
    Some(free as u64 + reserved.saturating_sub(used))
}

pub(super) fn peak_bytes(device: &Device) -> Option<u64> {
    get(device, Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)
}

pub(super) fn forget_peak(device: &Device) {
    set(device, Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0);
}

pub(super) fn trim(device: &Device) {
    // What is freed on the stream is free only when the stream was there.
    if device.synchronize().is_ok()
        && let Some(pool) = pool(device)
    {
        // SAFETY: releases what no tensor uses.
        let _ = unsafe { sys::cuMemPoolTrimTo(pool, 0) };
    }
}

/// An event on a device's stream.
#[derive(Debug)]
pub(super) struct Event(CudaEvent);

impl Event {
    /// Nothing for a device without a stream.
    pub(super) fn record(device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        Ok(Some(Self(device.cuda_stream().record_event(flags).w()?)))
    }

    pub(super) fn wait(&self) -> Result<()> {
        self.0.synchronize().w()
    }

    pub(super) fn until(&self, later: &Self) -> Result<Duration> {
        self.wait()?;
        later.wait()?;
        let elapsed_ms = self.0.elapsed_ms(&later.0).w()?;
        Ok(Duration::from_secs_f64(f64::from(elapsed_ms.max(0.0)) / 1e3))
    }
}
