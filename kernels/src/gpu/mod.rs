//! The NVIDIA GPUs of this machine: what they are, opening one, its memory, and time on its stream.
//!
//! Everything of a device runs on one stream, in the order in which it was asked for, whichever thread asks; but for copies
//! to the host that nothing waits for, a [`Fetch`] each.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use candle_core::{Device, Result};

#[cfg(feature = "cuda")]
mod cuda;
mod fetch;
#[cfg(feature = "cuda")]
mod side;

pub use fetch::Fetch;

/// One GPU, as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// N of `cuda:N`.
    pub index: usize,
    /// The product, "NVIDIA H200".
    pub name: String,
    /// Compute capability, (9, 0) for Hopper.
    pub capability: (i32, i32),
    /// All of its memory.
    pub total_bytes: u64,
    /// What this process could have of it now; `None` while the device is not open.
    pub free_bytes: Option<u64>,
}

/// Why there is no GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// This build has no CUDA.
    NotBuilt,
    /// The driver is missing, or too old for this build; its words.
    Driver(String),
    /// The driver shows no device.
    Device,
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("this build has no CUDA (feature `cuda`)"),
            Self::Driver(what) => write!(f, "NVIDIA's driver does not answer ({what})"),
            Self::Device => f.write_str("NVIDIA's driver shows no GPU"),
        }
    }
}

/// The GPUs that the driver shows, by index. No device is opened for it.
pub fn list() -> std::result::Result<Vec<Gpu>, Absent> {
    #[cfg(feature = "cuda")]
    return cuda::list();
    #[cfg(not(feature = "cuda"))]
    Err(Absent::NotBuilt)
}

/// The newest CUDA that the driver knows, as (major, minor).
pub fn driver() -> Option<(u32, u32)> {
    #[cfg(feature = "cuda")]
    return cuda::driver();
    #[cfg(not(feature = "cuda"))]
    None
}

/// GPU `index`, the same device each time: kernels are loaded and libraries started once.
pub fn open(index: usize) -> Result<Device> {
    #[cfg(feature = "cuda")]
    return cuda::open(index);
    #[cfg(not(feature = "cuda"))]
    candle_core::bail!("cuda:{index}: {}", Absent::NotBuilt)
}

/// Bytes of a GPU that this process could still have: what the driver has, and what its own freed tensors left.
pub fn free_bytes(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    return cuda::free_bytes(device);
    #[cfg(not(feature = "cuda"))]
    None.filter(|_: &u64| device.is_cuda())
}

/// Most bytes that this process's tensors took of a GPU at once, since [`forget_peak`].
pub fn peak_bytes(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    return cuda::peak_bytes(device);
    #[cfg(not(feature = "cuda"))]
    None.filter(|_: &u64| device.is_cuda())
}

/// Begins [`peak_bytes`] anew.
pub fn forget_peak(device: &Device) {
    #[cfg(feature = "cuda")]
    cuda::forget_peak(device);
    #[cfg(not(feature = "cuda"))]
    let _ = device;
}

/// Hands memory of freed tensors back to the driver, for other programs or for blocks that do not fit between.
pub fn trim(device: &Device) {
    #[cfg(feature = "cuda")]
    cuda::trim(device);
    #[cfg(not(feature = "cuda"))]
    let _ = device;
}

/// The attention kernel for BF16 heads of `width` on a GPU of this compute capability; `None` where candle's operations run.
pub fn attention_kernel(capability: (i32, i32), width: usize) -> Option<&'static str> {
    crate::pyramid::cuda::kernel(capability, width)
}

/// A moment in the work of a device: on a GPU when the stream comes by, on the CPU now.
#[derive(Debug)]
pub struct Moment(When);

#[derive(Debug)]
enum When {
    Host(Instant),
    #[cfg(feature = "cuda")]
    Stream(cuda::Event),
}

impl Moment {
    /// The moment after everything that `device` was asked for so far.
    pub fn on(device: &Device) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if let Some(event) = cuda::Event::record(device)? {
            return Ok(Self(When::Stream(event)));
        }
        let _ = device;
        Ok(Self(When::Host(Instant::now())))
    }

    /// Waits for the moment; an error is what the device failed with.
    pub fn wait(&self) -> Result<()> {
        match &self.0 {
            When::Host(_) => Ok(()),
            #[cfg(feature = "cuda")]
            When::Stream(event) => event.wait(),
        }
    }

    /// The time from this to a later moment of the same device, for which it waits.
    pub fn until(&self, later: &Self) -> Result<Duration> {
        match (&self.0, &later.0) {
            (When::Host(from), When::Host(to)) => Ok(to.saturating_duration_since(*from)),
            #[cfg(feature = "cuda")]
            (When::Stream(from), When::Stream(to)) => from.until(to),
            #[cfg(feature = "cuda")]
            _ => candle_core::bail!("moments of two devices have no time between them"),
        }
    }
}

/// Keeps who gives work to a GPU a few marks ahead of it at most: progress is then true, and a cancel soon done.
#[derive(Debug)]
pub struct Pace {
    ahead: usize,
    marks: VecDeque<Moment>,
}

impl Pace {
    /// At most `ahead` marks.
    pub fn new(ahead: usize) -> Self {
        Self { ahead, marks: VecDeque::new() }
    }

    /// Marks the work so far, and waits until the device is no more than `ahead` marks behind.
    pub fn mark(&mut self, device: &Device) -> Result<()> {
        self.marks.push_back(Moment::on(device)?);
        while self.marks.len() > self.ahead {
            if let Some(mark) = self.marks.pop_front() {
                mark.wait()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_moments_too() {
        let first = Moment::on(&Device::Cpu).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let second = Moment::on(&Device::Cpu).unwrap();
        second.wait().unwrap();
        assert!(first.until(&second).unwrap() >= Duration::from_millis(2));
        assert_eq!(second.until(&first).unwrap(), Duration::ZERO);
        let mut pace = Pace::new(1);
        for _ in 0..3 {
            pace.mark(&Device::Cpu).unwrap();
        }
        assert_eq!(pace.marks.len(), 1);
    }

    #[test]
    fn hopper_and_ampere_have_kernels_and_turing_has_none() {
        assert_eq!(attention_kernel((9, 0), 128), Some("pyramid_bf16_d128"));
        assert_eq!(attention_kernel((8, 6), 64), Some("portable_pyramid_bf16_d64"));
        assert_eq!(attention_kernel((9, 0), 96), None);
        assert_eq!(attention_kernel((7, 5), 64), None);
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so() {
        assert_eq!(list(), Err(Absent::NotBuilt));
        assert!(open(0).unwrap_err().to_string().contains("feature `cuda`"));
        assert_eq!(free_bytes(&Device::Cpu), None);
    }
}
