//! Whether a clip fits: weights that are in memory in each phase, what a phase needs beside them, and the refusal.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cost::Bytes;
use super::{PlannedPhase, Settled};
use crate::events::Phase;
use crate::machine::Machine;

/// The program itself, its libraries and thread stacks.
const PROGRAM: u64 = 80 << 20;
/// What kernels and libraries keep on a GPU beside tensors.
const CONTEXT: u64 = 600 << 20;
/// Decoded frames that wait for the video encoder, and what the encoder looks ahead, in frames.
const FRAMES_IN_ENCODER: u64 = 64;

/// What a forward and a decoding take beyond the tensors that the models count: packed operands, what the allocator keeps, the
/// video encoder beside it. Measured with the bundled model on two cores (2026-11-23), all peaks in decoding: 279 to 282 MB at
/// 256x256x33, 472 to 510 MB at 384x384x9, 890 to 956 MB at 640x480x9; these margins put the plans just above the largest.
const DENOISE_MARGIN: f64 = 1.15;
const DECODE_MARGIN: f64 = 1.3;

/// Peak bytes by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peaks {
    pub(super) encode_text: u64,
    pub(super) load: u64,
    pub(super) denoise: u64,
    pub(super) decode: u64,
    pub(super) encode_video: u64,
}

/// The text encoder is gone before the transformer comes; the transformer stays for the next clip.
pub(super) fn peaks(bytes: &Bytes, settled: &Settled) -> Peaks {
    let frame = (settled.size.width * settled.size.height) as u64 * 3;
    let encoder = frame * FRAMES_IN_ENCODER.min(settled.size.frames as u64);
    // On a GPU the program's own memory is elsewhere, and frames go to the encoder through the host.
    let is_gpu = settled.device != "cpu";
    let (program, encoder) = if is_gpu { (CONTEXT, 0) } else { (PROGRAM, encoder) };
    let resident = program + bytes.transformer + bytes.decoder;
    Peaks {
        encode_text: program + bytes.encode_text,
        load: resident + bytes.transformer / 50, // one tensor as read, before it is converted and packed
        denoise: resident + (bytes.denoise as f64 * DENOISE_MARGIN) as u64,
        decode: resident + (bytes.decode as f64 * DECODE_MARGIN) as u64 + encoder,
        encode_video: resident + encoder,
    }
}

/// What memory a plan takes and whether there is enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// Bytes at the worst moment.
    pub peak_bytes: u64,
    /// The phase of that moment.
    pub peak_phase: Phase,
    /// Bytes there are.
    pub available_bytes: u64,
    /// Why it will not do; `None` when it will.
    pub refusal: Option<Refusal>,
}

/// A plan that does not fit, with the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Bytes at the worst moment.
    pub needed: u64,
    /// Bytes there are.
    pub available: u64,
    /// The phase of the worst moment.
    pub phase: Phase,
    /// Every phase's peak.
    pub phases: Vec<(Phase, u64)>,
    /// What would help, full sentences.
    pub advice: String,
}

impl MemoryPlan {
    pub(super) fn new(phases: &[PlannedPhase], machine: &Machine, settled: &Settled) -> Self {
        let worst = phases.iter().max_by_key(|phase| phase.peak_bytes);
        let (needed, phase) =
            worst.map_or((0, Phase::Load), |worst| (worst.peak_bytes, worst.phase));
        let available = machine.available_on(&settled.device);
        let refusal = (needed > available).then(|| Refusal {
            needed,
            available,
            phase,
            phases: phases.iter().map(|phase| (phase.phase, phase.peak_bytes)).collect(),
            advice: advice(phase, settled),
        });
        Self { peak_bytes: needed, peak_phase: phase, available_bytes: available, refusal }
    }
}

fn advice(phase: Phase, settled: &Settled) -> String {
    let mut ways = Vec::new();
    if matches!(phase, Phase::Denoise | Phase::Decode | Phase::EncodeVideo) {
        ways.push("a smaller size or fewer frames");
    }
    let is_f32 = settled.dtype == candle_core::DType::F32;
    if phase != Phase::Decode && is_f32 {
        ways.push("dtype bf16, which halves the weights");
    }
    if phase == Phase::Decode && settled.vae_dtype == candle_core::DType::F32 {
        ways.push("vae-dtype bf16");
    }
    ways.push(if settled.device == "cpu" {
        "closing other programs"
    } else {
        "closing other programs on the GPU, device cpu"
    });
    format!("What helps: {}; --override-memory runs it anyway.", ways.join(", "))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "This clip needs about {} of memory at its peak ({}) and {} are available.",
            bytes(self.needed),
            self.phase,
            bytes(self.available)
        )?;
        let phases: Vec<_> =
            self.phases.iter().map(|(phase, peak)| format!("{phase} {}", bytes(*peak))).collect();
        write!(f, " By phase: {}. {}", phases.join(", "), self.advice)
    }
}

/// Bytes for people: "512 MB", "29.4 GB" (powers of 1000).
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}
