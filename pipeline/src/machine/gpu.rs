//! GPUs as plans and reports see them.

use serde::{Deserialize, Serialize};
use tessera_kernels::gpu;

/// Head widths that Wan models and their kin have.
const HEAD_WIDTHS: [usize; 2] = [64, 128];
/// What a device keeps for itself beside tensors: its context, the libraries' workspaces.
const CONTEXT: u64 = 1 << 30;

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// `cuda:N`.
    pub device: String,
    /// The product.
    pub name: String,
    /// Compute capability, "9.0".
    pub capability: String,
    /// All of its memory.
    pub total_bytes: u64,
    /// What a run could have of it; `None` while nobody has opened it.
    pub free_bytes: Option<u64>,
    /// The attention kernel of each head width.
    pub attention: Vec<HeadKernel>,
}

/// Which kernel attends with heads of a width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadKernel {
    /// D.
    pub head_width: usize,
    /// The kernel's name; `None` where candle's operations would run.
    pub kernel: Option<String>,
}

impl Gpu {
    /// Bytes that a run may take: what is free, or all but a context's share where that is not known yet.
    pub fn available_bytes(&self) -> u64 {
        self.free_bytes.unwrap_or_else(|| self.total_bytes.saturating_sub(CONTEXT))
    }
}

/// The GPUs, or why there are none.
pub(super) fn found() -> (Vec<Gpu>, Option<String>) {
    let gpu = |gpu: gpu::Gpu| {
        let (major, minor) = gpu.capability;
        let attention = HEAD_WIDTHS.map(|head_width| HeadKernel {
            head_width,
            kernel: gpu::attention_kernel(gpu.capability, head_width).map(Into::into),
        });
        Gpu {
            device: format!("cuda:{}", gpu.index),
            name: gpu.name,
            capability: format!("{major}.{minor}"),
            total_bytes: gpu.total_bytes,
            free_bytes: gpu.free_bytes,
            attention: attention.to_vec(),
        }
    };
    match gpu::list() {
        Ok(all) => (all.into_iter().map(gpu).collect(), None),
        Err(absent) => (Vec::new(), Some(absent.to_string())),
    }
}

/// What the driver knows.
pub(super) fn driver() -> Option<String> {
    gpu::driver().map(|(major, minor)| format!("{major}.{minor}"))
}
