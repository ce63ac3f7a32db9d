//! Copies to the host by a stream of their own on each GPU.
//!
//! The order of things: an event on the device's stream says when the tensor is there; the side stream waits for it and copies to
//! page-locked memory, which the GPU writes without the driver's help; an event behind the copy says when it is done. The tensor
//! and the memory are held until then. The tensor is released on the device's stream, behind whatever else there reads it.
#![expect(unsafe_code, reason = "copies between addresses; each says why they hold")]

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use candle_core::{
    CudaDevice, Device, Result, Tensor,
    cuda::{
        DeviceId, WrapErr,
        cudarc::driver::{CudaEvent, CudaStream, result, sys},
    },
};

use crate::cuda;

/// The least memory that is locked at once.
const LEAST_BYTES: usize = 4096;

/// The side stream of each device.
static STREAMS: LazyLock<Mutex<HashMap<DeviceId, Arc<CudaStream>>>> = LazyLock::new(Mutex::default);
/// Page-locked memory that is not in use, by its size. Locking waits for the whole device, so that memory is kept.
static FREE: LazyLock<Mutex<HashMap<usize, Vec<Locked>>>> = LazyLock::new(Mutex::default);

/// Page-locked memory.
#[derive(Debug)]
struct Locked {
    start: *mut c_void,
    bytes: usize,
}

// SAFETY: plain memory of the process, used by one owner at a time.
unsafe impl Send for Locked {}
// SAFETY: as above; shared references only read, after the copy is done.
unsafe impl Sync for Locked {}

impl Locked {
    /// Memory for `bytes`, whose context is current.
    fn take(bytes: usize) -> Result<Self> {
        let bytes = bytes.next_power_of_two().max(LEAST_BYTES);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = free.get_mut(&bytes).and_then(Vec::pop) {
            return Ok(known);
        }
        // SAFETY: what is read of it is copied there before.
        let start = unsafe { result::malloc_host(bytes, sys::CU_MEMHOSTALLOC_PORTABLE) }.w()?;
        Ok(Self { start, bytes })
    }

    fn give_back(self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(self.bytes).or_default().push(self);
    }
}

/// A tensor that is copied, or being so.
#[derive(Debug)]
pub(super) struct Copied {
    done: CudaEvent,
    memory: Option<Locked>,
    bytes: usize,
    source: Tensor,
}

impl Copied {
    pub(super) fn begin(x: &Tensor) -> Result<Self> {
        let source = x.contiguous()?;
        let device = source.device().as_cuda_device()?;
        let main = device.cuda_stream();
        main.context().bind_to_thread().w()?;
        let side = side(device)?;
        let bytes = source.elem_count() * source.dtype().size_in_bytes();
        let from = cuda::address_of(&source, &main)?;
        let memory = Locked::take(bytes)?;
        let no_times = Some(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        side.wait(&main.record_event(no_times).w()?).w()?;
        if bytes > 0 {
            // SAFETY: the memory has room for the tensor's bytes, and both live until `done`, for which whoever drops this
            // waits. Where an error below comes first, the memory is lost and never used again.
            let to = unsafe { std::slice::from_raw_parts_mut(memory.start.cast::<u8>(), bytes) };
            // SAFETY: as above; the tensor is contiguous, and there when the side stream is past the event.
            unsafe { result::memcpy_dtoh_async(to, from, side.cu_stream()) }.w()?;
        }
        let done = side.record_event(no_times).w()?;
        Ok(Self { done, memory: Some(memory), bytes, source })
    }

    pub(super) fn finish(&self) -> Result<Tensor> {
        self.done.synchronize().w()?;
        let (dtype, shape) = (self.source.dtype(), self.source.dims());
        let Some(memory) = self.memory.as_ref().filter(|_| self.bytes > 0) else {
            return Tensor::zeros(shape, dtype, &Device::Cpu);
        };
        // SAFETY: the copy is done, so that these bytes are written, and nothing writes them again before this is dropped.
        let bytes = unsafe { std::slice::from_raw_parts(memory.start.cast::<u8>(), self.bytes) };
        Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // Of a device that is lost nothing writes any more, or nobody can say: the memory is not used again.
        let is_over = self.done.synchronize().is_ok();
        if let Some(memory) = self.memory.take().filter(|_| is_over) {
            memory.give_back();
        }
    }
}

fn side(device: &CudaDevice) -> Result<Arc<CudaStream>> {
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stream) = streams.get(&device.id()) {
        return Ok(stream.clone());
    }
    let stream = device.cuda_stream().context().new_stream().w()?;
    streams.insert(device.id(), stream.clone());
    Ok(stream)
}
