//! What this machine has: memory that may still be used, cores, kernels, GPUs.

mod gpu;
mod memory;
mod meter;
mod nvidia;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use tessera_kernels::cpu::{Level, level};

use crate::{Error, Result};
pub use gpu::{Gpu, HeadKernel};
pub use memory::{LIMIT_VARIABLE, Memory, parse_bytes};
pub use meter::{Meter, Reading};
pub use nvidia::{Driver, GpuReading};

/// What plans are made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Main memory.
    pub memory: Memory,
    /// Threads that run at once.
    pub cores: u32,
    /// Name of the CPU kernels' level, lowered by `TESSERA_KERNELS` when that is set.
    pub kernels: String,
    /// GPUs that this build can use, by index.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_gpu: Option<String>,
    /// The newest CUDA that the GPUs' driver knows, "13.0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What was wrong while looking, full sentences; every plan repeats it.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A parsed value of the setting `device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU of a build with CUDA, otherwise the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl DeviceChoice {
    /// Reads `auto`, `cpu`, `cuda` or `cuda:N`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }
}

impl Machine {
    /// Looks at this machine.
    pub fn detect() -> Self {
        let (gpus, no_gpu) = gpu::found();
        Self {
            memory: Memory::detect(),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            kernels: level().name().into(),
            gpus,
            no_gpu,
            driver: gpu::driver(),
            warnings: memory::misread_limit().into_iter().collect(),
        }
    }

    /// The name of the device that a setting means here: `cpu` or `cuda:N`.
    pub fn device(&self, setting: &str) -> Result<String> {
        let missing = |reason: &str| Error::Device {
            asked: setting.into(),
            reason: reason.into(),
            available: std::iter::once("cpu".to_owned())
                .chain(self.gpus.iter().map(|gpu| gpu.device.clone()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        match DeviceChoice::parse(setting)
            .ok_or_else(|| missing("there is no device of this name"))?
        {
            DeviceChoice::Auto if self.gpus.is_empty() => Ok("cpu".into()),
            DeviceChoice::Auto => Ok("cuda:0".into()),
            DeviceChoice::Cpu => Ok("cpu".into()),
            DeviceChoice::Cuda(index) if index < self.gpus.len() => Ok(format!("cuda:{index}")),
            DeviceChoice::Cuda(_) => {
                Err(missing(self.no_gpu.as_deref().unwrap_or("there is no such GPU")))
            }
        }
    }

    /// The GPU of a name that [`Self::device`] gave; `None` for the CPU.
    pub fn gpu(&self, device: &str) -> Option<&Gpu> {
        self.gpus.iter().find(|gpu| gpu.device == device)
    }

    /// Bytes that a run on this device may take of its memory.
    pub fn available_on(&self, device: &str) -> u64 {
        self.gpu(device).map_or(self.memory.available, Gpu::available_bytes)
    }

    /// The number format that `auto` means for the transformer and the text encoder: bf16 where it is multiplied fast.
    pub fn dtype(&self, setting: &str, device: &str) -> DType {
        match setting {
            "f32" => DType::F32,
            "bf16" => DType::BF16,
            _ if device != "cpu" => DType::BF16,
            _ if level() >= Level::Avx512Bf16 => DType::BF16,
            _ => DType::F32,
        }
    }
}

/// Opens a device by the name that [`Machine::device`] gave.
pub fn open(device: &str) -> Result<Device> {
    match DeviceChoice::parse(device) {
        Some(DeviceChoice::Cuda(index)) => Ok(tessera_kernels::gpu::open(index)?),
        _ => Ok(Device::Cpu),
    }
}

/// The name of a number format in settings and receipts.
pub fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bf16",
        _ => "f32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Machine {
        Machine {
            memory: Memory { total: 8 << 30, available: 4 << 30, limit: None },
            cores: 2,
            kernels: "avx2".into(),
            gpus: Vec::new(),
            no_gpu: Some("this build has no CUDA (feature `cuda`)".into()),
            driver: None,
            warnings: Vec::new(),
        }
    }

    fn with_gpu() -> Machine {
        let gpu = Gpu {
            device: "cuda:0".into(),
            name: "NVIDIA H200".into(),
            capability: "9.0".into(),
            total_bytes: 150 << 30,
            free_bytes: Some(100 << 30),
            attention: Vec::new(),
        };
        Machine { gpus: vec![gpu], no_gpu: None, driver: Some("13.0".into()), ..small() }
    }

    #[test]
    fn devices_are_named_and_missing_ones_are_told() {
        assert_eq!(small().device("auto").unwrap(), "cpu");
        assert_eq!(small().device("cpu").unwrap(), "cpu");
        let error = small().device("cuda:3").unwrap_err().to_string();
        assert!(error.contains("cuda:3") && error.contains("available: cpu"), "{error}");
        assert!(error.contains("feature `cuda`"), "{error}");
        assert_eq!(with_gpu().device("auto").unwrap(), "cuda:0");
        assert_eq!(with_gpu().device("cuda").unwrap(), "cuda:0");
        let error = with_gpu().device("cuda:1").unwrap_err().to_string();
        assert!(error.contains("no such GPU") && error.contains("cpu, cuda:0"), "{error}");
        assert_eq!(with_gpu().available_on("cuda:0"), 100 << 30);
        assert_eq!(with_gpu().available_on("cpu"), 4 << 30);
        assert_eq!(DeviceChoice::parse("cuda:2"), Some(DeviceChoice::Cuda(2)));
        assert_eq!(DeviceChoice::parse("gpu"), None);
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let machine = Machine::detect();
        assert!(machine.cores >= 1);
        assert!(machine.memory.available > 0 && machine.memory.available <= machine.memory.total);
    }

    #[test]
    fn a_written_dtype_is_taken_and_a_gpu_gets_bf16() {
        assert_eq!(small().dtype("f32", "cpu"), DType::F32);
        assert_eq!(small().dtype("bf16", "cpu"), DType::BF16);
        assert_eq!(small().dtype("auto", "cuda:0"), DType::BF16);
    }
}
