//! What this machine has: memory that may still be used, cores, kernels, GPUs.

mod memory;
mod meter;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use tessera_kernels::cpu::{Level, level};

use crate::{Error, Result};
pub use memory::{LIMIT_VARIABLE, Memory, parse_bytes};
pub use meter::{Meter, Reading};

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
    pub gpus: Vec<String>,
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
        Self {
            memory: Memory::detect(),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            kernels: level().name().into(),
            gpus: gpus(),
            warnings: memory::misread_limit().into_iter().collect(),
        }
    }

    /// The name of the device that a setting means here: `cpu` or `cuda:N`.
    pub fn device(&self, setting: &str) -> Result<String> {
        let missing = |reason: &str| Error::Device {
            asked: setting.into(),
            reason: reason.into(),
            available: std::iter::once("cpu".to_owned())
                .chain((0..self.gpus.len()).map(|index| format!("cuda:{index}")))
                .collect::<Vec<_>>()
                .join(", "),
        };
        match DeviceChoice::parse(setting)
            .ok_or_else(|| missing("there is no device of this name"))?
        {
            DeviceChoice::Auto if self.gpus.is_empty() => Ok("cpu".into()),
            DeviceChoice::Auto => Ok("cuda:0".into()),
            DeviceChoice::Cpu => Ok("cpu".into()),
            DeviceChoice::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(missing("this build has no CUDA (feature `cuda`)"))
            }
            DeviceChoice::Cuda(index) if index < self.gpus.len() => Ok(format!("cuda:{index}")),
            DeviceChoice::Cuda(_) => Err(missing("there is no such GPU")),
        }
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
        Some(DeviceChoice::Cuda(index)) => Ok(Device::new_cuda(index)?),
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

#[cfg(feature = "cuda")]
fn gpus() -> Vec<String> {
    // candle numbers what the driver shows; a machine has at most a handful.
    (0..16)
        .map_while(|index| Device::new_cuda(index).ok().map(|_| format!("cuda:{index}")))
        .collect()
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Vec<String> {
    Vec::new()
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
            warnings: Vec::new(),
        }
    }

    #[test]
    fn devices_are_named_and_missing_ones_are_told() {
        assert_eq!(small().device("auto").unwrap(), "cpu");
        assert_eq!(small().device("cpu").unwrap(), "cpu");
        let error = small().device("cuda:3").unwrap_err().to_string();
        assert!(error.contains("cuda:3") && error.contains("available: cpu"), "{error}");
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
