//! How busy the machine is now, for a person who watches a run.

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::Memory;
use super::nvidia::{GpuReading, Nvidia};

/// What a meter read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Share of all cores that any program kept busy since the last reading, 0 to 1.
    pub cpu: f64,
    /// Cores.
    pub cores: usize,
    /// Bytes of main memory that this program has.
    pub own_bytes: u64,
    /// Bytes that may still be taken, as plans count them.
    pub available_bytes: u64,
    /// NVIDIA's GPUs, whether this program uses them or not; none without their driver.
    #[serde(default)]
    pub gpus: Vec<GpuReading>,
}

/// Reads again and again. Each reading looks back to the last one, so let a second pass between two.
#[derive(Debug)]
pub struct Meter {
    system: System,
    pid: Pid,
    nvidia: Option<Nvidia>,
}

impl Meter {
    /// A meter for this program; `None` where the system does not tell.
    pub fn new() -> Option<Self> {
        let (mut system, pid) = (System::new().ok()?, sysinfo::get_current_pid().ok()?);
        system.refresh_cpu_usage();
        Some(Self { system, pid, nvidia: Nvidia::open() })
    }

    /// Reads now.
    pub fn read(&mut self) -> Reading {
        self.system.refresh_cpu_usage();
        let own = ProcessesToUpdate::Some(&[self.pid]);
        let what = ProcessRefreshKind::nothing().with_memory();
        self.system.refresh_processes_specifics(own, true, what);
        Reading {
            cpu: f64::from(self.system.global_cpu_usage() / 100.0).clamp(0.0, 1.0),
            cores: self.system.cpus().len(),
            own_bytes: self.system.process(self.pid).map_or(0, sysinfo::Process::memory),
            available_bytes: Memory::detect().available,
            gpus: self.nvidia.as_ref().map(Nvidia::read).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn work_and_memory_are_seen() {
        let mut meter = Meter::new().unwrap();
        let before = meter.read();
        let taken = vec![1u8; 64 << 20];
        let start = Instant::now();
        let mut sum = 0u64;
        while start.elapsed() < Duration::from_millis(400) {
            sum = taken.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
        }
        let after = meter.read();
        assert!(sum > 0 && after.cpu > 0.0 && after.cores >= 1, "{after:?}");
        assert!(after.own_bytes >= before.own_bytes + (60 << 20), "{before:?} {after:?}");
        assert!(after.available_bytes > 0);
    }
}
