//! One finished clip of a table.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::events::Phase;
use crate::files::write_atomically;
use crate::metrics::Fidelity;
use crate::receipt::Receipt;
use crate::request::Request;
use crate::{Error, Result};

/// Version of the cells' files.
const VERSION: u32 = 2;

/// What one arm did with one prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Version of this format.
    pub version: u32,
    /// The arm's name.
    pub arm: String,
    /// The density that was asked for.
    pub asked: Option<f64>,
    /// The prompt.
    pub prompt: String,
    /// The resolved request.
    pub request: Request,
    /// Exact density of the sparse calls; `None` when there were none.
    pub density_sparse: Option<f64>,
    /// Exact density of all calls, dense ones counted as 1.
    pub density: f64,
    /// Wall time in the self-attention, estimates included.
    pub attention_seconds: f64,
    /// The part of it that estimated what to attend to.
    pub estimate_seconds: f64,
    /// Wall time of all steps.
    pub denoise_seconds: f64,
    /// Wall time of the clip without loading: text, steps, decoding, encoding.
    pub clip_seconds: f64,
    /// Against the dense clip of the same prompt and seed.
    pub fidelity: Fidelity,
    /// Cosine of the latents to the dense run's after each step.
    pub latent_cosine: Vec<f64>,
}

impl Cell {
    /// Puts together what the receipt and the comparison say.
    pub(super) fn new(
        (arm, asked): (&str, Option<f64>),
        receipt: &Receipt,
        fidelity: Fidelity,
        latent_cosine: Vec<f64>,
    ) -> Self {
        let calls = |sparse: bool| {
            receipt.attention.iter().filter(move |used| !sparse || used.mode != "dense")
        };
        let density = |sparse: bool| {
            let count: u64 = calls(sparse).map(|used| used.calls).sum();
            let sum: f64 = calls(sparse).map(|used| used.density_exact * used.calls as f64).sum();
            (count > 0).then(|| sum / count as f64)
        };
        let seconds = |of: &dyn Fn(Phase) -> bool| {
            receipt.phases.iter().filter(|time| of(time.phase)).map(|time| time.seconds).sum()
        };
        let estimate_seconds = calls(false).map(|used| used.estimate_seconds).sum();
        let attend: f64 = calls(false).map(|used| used.attend_seconds).sum();
        Self {
            version: VERSION,
            arm: arm.into(),
            asked,
            prompt: receipt.request.prompt.clone(),
            request: receipt.request.clip_only(),
            density_sparse: density(true),
            density: density(false).unwrap_or(1.0),
            attention_seconds: attend + estimate_seconds,
            estimate_seconds,
            denoise_seconds: seconds(&|phase| phase == Phase::Denoise),
            clip_seconds: seconds(&|phase| phase != Phase::Load),
            fidelity,
            latent_cosine,
        }
    }

    /// Writes the cell whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| unreadable(path, &error))?;
        Ok(write_atomically(path, |file| std::io::Write::write_all(file, text.as_bytes()))?)
    }

    /// Reads a cell; one of another version is as good as none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let cell: Self = serde_json::from_str(&text).map_err(|error| unreadable(path, &error))?;
        Ok((cell.version == VERSION).then_some(cell))
    }
}

/// Names a request among the files of a table: the same settings, weights and program give the same name.
pub(super) fn key(request: &Request, fingerprint: &str) -> Result<String> {
    let text = serde_json::to_string(&request.clip_only())
        .map_err(|error| unreadable(Path::new("request"), &error))?;
    let hash = Sha256::digest(format!("{}\n{fingerprint}\n{text}", crate::receipt::program()));
    let first = hash.iter().take(8).fold(0_u64, |name, byte| name << 8 | u64::from(*byte));
    Ok(format!("{first:016x}"))
}

fn unreadable(path: &Path, error: &serde_json::Error) -> Error {
    Error::Unreadable { what: path.display().to_string(), reason: error.to_string() }
}
