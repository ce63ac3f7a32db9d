//! NVIDIA's GPUs as their driver sees them, whether this build can use them or not: read through the driver's management
//! library (NVML), which is loaded when it is asked for. Where there is no driver there is nothing to read.

use std::ffi::OsStr;

use nvml_wrapper::{Device, Nvml};
use serde::{Deserialize, Serialize};

/// The library's name where only the driver is installed; the other one comes with the developer's files.
const VERSIONED: &str = "libnvidia-ml.so.1";

/// How busy a GPU is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuReading {
    /// The product.
    pub name: String,
    /// Share of the last moment in which it computed, for any program, 0 to 1; `None` where that is not told.
    pub busy: Option<f64>,
    /// Bytes of its memory that any program has.
    pub used_bytes: u64,
    /// All of them.
    pub total_bytes: u64,
}

/// What the driver tells of itself and its GPUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// "580.95.05".
    pub version: String,
    /// In the driver's order, which CUDA's may differ from.
    pub gpus: Vec<GpuReading>,
}

/// The open library.
#[derive(Debug)]
pub(super) struct Nvidia(Nvml);

impl Nvidia {
    /// `None` without a driver.
    pub(super) fn open() -> Option<Self> {
        let opened = Nvml::init()
            .or_else(|_| Nvml::builder().lib_path(OsStr::new(VERSIONED)).init())
            .inspect_err(|error| tracing::debug!("NVIDIA's management library: {error}"));
        opened.ok().map(Self)
    }

    /// Every GPU that answers, now.
    pub(super) fn read(&self) -> Vec<GpuReading> {
        let count = self.0.device_count().unwrap_or(0);
        (0..count).filter_map(|index| reading(&self.0.device_by_index(index).ok()?)).collect()
    }

    fn version(&self) -> String {
        self.0.sys_driver_version().unwrap_or_else(|_| "unknown".into())
    }
}

fn reading(device: &Device<'_>) -> Option<GpuReading> {
    let memory = device.memory_info().ok()?;
    let busy = device.utilization_rates().ok().map(|rates| f64::from(rates.gpu.min(100)) / 100.0);
    let name = device.name().unwrap_or_else(|_| "NVIDIA GPU".into());
    Some(GpuReading { name, busy, used_bytes: memory.used, total_bytes: memory.total })
}

impl Driver {
    /// Asks the driver; `None` without one.
    pub fn ask() -> Option<Self> {
        let nvidia = Nvidia::open()?;
        Some(Self { version: nvidia.version(), gpus: nvidia.read() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_tells_makes_sense() {
        let has_driver = std::path::Path::new("/proc/driver/nvidia/version").is_file();
        let driver = Driver::ask();
        assert!(has_driver || driver.is_none(), "{driver:?}");
        for gpu in driver.into_iter().flat_map(|driver| driver.gpus) {
            assert!(gpu.total_bytes > 0 && gpu.used_bytes <= gpu.total_bytes, "{gpu:?}");
            assert!(gpu.busy.is_none_or(|busy| (0.0..=1.0).contains(&busy)), "{gpu:?}");
        }
    }
}
