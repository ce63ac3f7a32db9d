//! What really ran, as opposed to what was asked: the sidecar beside every video.
//!
//! A fallback (to dense attention, to the CPU, to a slower kernel) is a line here, never silent. [`Embedded`] is the short form
//! inside the video file itself; it holds no times and no file names, so that the same request gives the same bytes.

mod json;

use std::path::Path;

use serde::{Deserialize, Serialize};
use tessera_models::geometry::{Grid, Size};

use crate::events::{Phase, WrittenFile};
use crate::files::write_atomically;
use crate::plan::{Plan, PlannedAttention, PlannedModel};
use crate::request::Request;
use crate::sparsity::Mode;
use crate::{Error, Result};

/// Version of [`Receipt`] and [`Embedded`].
pub const VERSION: u32 = 1;

/// This program and its version, as files name it.
pub fn program() -> String {
    format!("tessera {}", env!("CARGO_PKG_VERSION"))
}

/// One finished clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of this format.
    pub version: u32,
    /// The program that made the clip.
    pub program: String,
    /// The request with every default filled in; sending it again makes the clip again.
    pub request: Request,
    /// Which weights.
    pub model: PlannedModel,
    /// Pixels and frames.
    pub size: Size,
    /// `[1, C, T, h, w]` of the latents.
    pub latent_shape: [usize; 5],
    /// The video tokens.
    pub grid: Grid,
    /// Text tokens of the prompt.
    pub prompt_tokens: usize,
    /// Text tokens of the negative prompt; `None` without guidance.
    pub negative_tokens: Option<usize>,
    /// Where it ran.
    pub ran_on: RanOn,
    /// Which kernels, by ranges of layers.
    pub kernels: Vec<KernelUse>,
    /// Which attention, by ranges of steps, layers and heads; empty when nothing was denoised.
    pub attention: Vec<AttentionUse>,
    /// The settings of sparse attention as they were resolved; `None` for a dense run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<PlannedAttention>,
    /// Every attention call, in the order that they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<AttentionCall>,
    /// Time of each phase that ran.
    pub phases: Vec<PhaseTime>,
    /// Largest resident memory of the process so far, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// Most memory that tensors took of the GPU at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_device_bytes: Option<u64>,
    /// What the plan predicted for it.
    pub planned_peak_bytes: u64,
    /// What was still in memory from the job before.
    pub reused: Vec<String>,
    /// Everything that did not run as asked, full sentences.
    pub fallbacks: Vec<String>,
    /// Everything that was warned of.
    pub warnings: Vec<String>,
    /// How the video was written.
    pub video: VideoFacts,
    /// What is on disk now.
    pub files: Vec<WrittenFile>,
}

/// Where a clip ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanOn {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Number format of the transformer and the text encoder.
    pub dtype: String,
    /// Number format of the VAE.
    pub vae_dtype: String,
    /// Level of the CPU kernels.
    pub kernels: String,
    /// Threads that run at once.
    pub cores: u32,
    /// The GPU's product name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

/// A kernel over a range of layers `[first, end)` of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelUse {
    /// `text encoder`, `transformer` or `vae`.
    pub part: String,
    /// The layers.
    pub layers: [u64; 2],
    /// `linear`, `attention`, `norm`, `conv`, …
    pub kernel: String,
    /// Device, level and number format: `cpu/avx512bf16/bf16`. On a GPU the device and whose code ran: `cuda:0/tessera`,
    /// `/cublas`, or a fallback to `/candle` or `/host`.
    pub variant: String,
    /// How often it was called, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
}

/// Self-attention over ranges `[first, end)` of steps, layers and heads, both guidance branches. Where the branches differ,
/// the mode is that of the one that estimated, or else that used a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionUse {
    /// The method.
    pub name: String,
    /// `dense`, `fresh` (a map was estimated) or `cached` (an earlier map was used).
    pub mode: String,
    /// Steps.
    pub steps: [u64; 2],
    /// Layers.
    pub layers: [u64; 2],
    /// Heads.
    pub heads: [u64; 2],
    /// Calls.
    pub calls: u64,
    /// Share of the work that was asked for.
    pub density_nominal: f64,
    /// Share of the work that was done.
    pub density_exact: f64,
    /// Time in the attention itself.
    pub attend_seconds: f64,
    /// Time in estimating what to attend to.
    pub estimate_seconds: f64,
}

/// One self-attention: a step, a branch and a layer, all heads. Lists have a number for each head, to four digits; a dense
/// call has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionCall {
    /// The step, from 0.
    pub step: u64,
    /// `cond` (with the prompt) or `uncond`.
    pub branch: String,
    /// The layer, from 0.
    pub layer: u64,
    /// Which transformer of a model that has several.
    #[serde(default, skip_serializing_if = "is_first")]
    pub expert: u64,
    /// Dense, fresh (a map was estimated) or cached (an earlier one was used).
    pub mode: Mode,
    /// Density, each block counted as whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub density_nominal: Vec<f64>,
    /// Density by the keys that really were multiplied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub density_exact: Vec<f64>,
    /// Share of the softmax in blocks seen finer than the floor, where it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retained_mass: Vec<f64>,
    /// Time spent on choosing what to attend to. On a GPU by events on its stream, as below.
    pub estimate_ms: f64,
    /// Time in the attention itself.
    pub attention_ms: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_first(expert: &u64) -> bool {
    *expert == 0
}

/// How long a phase took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// Wall time.
    pub seconds: f64,
    /// What the plan predicted.
    pub planned_seconds: f64,
    /// Work in the plan's unit for this phase; 0 when it was skipped because its result was at hand.
    pub work: f64,
}

/// How the video was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// The codec.
    pub codec: String,
    /// The encoder that did it.
    pub encoder: String,
    /// Pixel format inside.
    pub pixel_format: String,
    /// Frames written.
    pub frames: u64,
}

/// What is written into the video file: enough to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// Version of this format.
    pub version: u32,
    /// The program that made the clip.
    pub program: String,
    /// The resolved request without `out` and what is recorded, and without `model` when that was the bundled one.
    pub request: Request,
    /// The model's name.
    pub model: String,
    /// Which weights.
    pub fingerprint: String,
}

impl Embedded {
    /// The short form for a plan.
    pub fn of(plan: &Plan) -> Self {
        let request = plan.request.clip_only();
        Self {
            version: VERSION,
            program: program(),
            request,
            model: plan.model.name.clone(),
            fingerprint: plan.model.fingerprint.clone(),
        }
    }

    /// As JSON, keys in a fixed order.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Unreadable {
            what: "settings to embed".into(),
            reason: error.to_string(),
        })
    }
}

impl Receipt {
    /// Writes the sidecar whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            what: "receipt".into(),
            reason: error.to_string(),
        };
        let mut text = json::lines(self).map_err(unreadable)?;
        text.push('\n');
        Ok(write_atomically(path, |file| std::io::Write::write_all(file, text.as_bytes()))?)
    }

    /// Reads a sidecar.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        serde_json::from_str(&text).map_err(|error| Error::Unreadable {
            what: path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Wall time of the job.
    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

/// Largest resident memory of this process so far, where the system tells.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}
