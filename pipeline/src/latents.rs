//! Latents on disk: the denoised clip before decoding, from which `resume` makes the video again.
//!
//! A safetensors file with one F32 tensor `latents` `[1, C, T, h, w]` in the model's space (zero mean, unit variance a channel),
//! and under the metadata key `tessera` a JSON text with the resolved request, the model's fingerprint and the sampler. One key,
//! because safetensors writes several in no fixed order, and the same request must give the same bytes.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::files::write_atomically;
use crate::plan::{Plan, Settled};
use crate::receipt::program;
use crate::request::Request;
use crate::{Error, Result};

/// Name of the tensor in our files.
const TENSOR: &str = "latents";
/// Key of our metadata.
const METADATA: &str = "tessera";
/// Larger files are not latents: 720p of 81 frames are 19 MB, the longest legal clip is below this.
const MOST_BYTES: u64 = 8 << 30;

/// What is told about saved latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this text; 1.
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// The request with every default filled in.
    pub request: Request,
    /// The model's name.
    pub model: String,
    /// The model's fingerprint: which weights these latents belong to.
    pub fingerprint: String,
    /// The sampler that made them.
    pub sampler: String,
    /// `[1, C, T, h, w]`.
    pub shape: [usize; 5],
    /// Of a run that was stopped, how far it came; `None` when it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denoised: Option<Denoised>,
}

/// How far denoising came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denoised {
    /// Steps that were finished.
    pub steps: usize,
    /// Steps that there should have been.
    pub of: usize,
}

impl Description {
    /// Of the finished latents of a run.
    pub(crate) fn of(plan: &Plan, settled: &Settled) -> Self {
        Self {
            version: 1,
            program: program(),
            // Where the video goes is no part of what the latents are; without it equal requests give equal files.
            request: plan.request.clip_only(),
            model: plan.model.name.clone(),
            fingerprint: plan.model.fingerprint.clone(),
            sampler: settled.sampler.name().into(),
            shape: plan.latent_shape,
            denoised: None,
        }
    }
}

impl fmt::Display for Denoised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} of {}", self.steps, self.of)
    }
}

/// A latents file's content.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `[1, C, T, h, w]`, F32, on the CPU.
    pub latents: Tensor,
    /// `None` for a file of another program.
    pub description: Option<Description>,
}

/// Saves latents whole or not at all (temporary name, fsync, rename).
pub fn save(path: &Path, latents: &Tensor, description: &Description) -> Result<()> {
    let values =
        latents.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let unreadable = |reason: String| Error::Latents { path: path.into(), reason };
    let text = serde_json::to_string(description).map_err(|error| unreadable(error.to_string()))?;
    let view = TensorView::new(Dtype::F32, latents.dims().to_vec(), &bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    let metadata = HashMap::from([(METADATA.to_owned(), text)]);
    let file = safetensors::serialize([(TENSOR, view)], Some(metadata))
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(write_atomically(path, |out| out.write_all(&file))?)
}

/// Reads latents: ours, or any safetensors file with a single floating-point tensor of four or five axes.
pub fn read(path: &Path) -> Result<Saved> {
    let wrong = |reason: String| Error::Latents { path: path.into(), reason };
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MOST_BYTES {
        return Err(wrong(format!("{size} bytes are too many for latents (at most {MOST_BYTES})")));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let not_ours = |error: safetensors::SafeTensorError| {
        wrong(format!("not a whole safetensors file: {error}"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(not_ours)?;
    let description = match header.metadata().as_ref().and_then(|map| map.get(METADATA)) {
        None => None,
        Some(text) => Some(describe(text).map_err(wrong)?),
    };
    let tensors = SafeTensors::deserialize(&bytes).map_err(not_ours)?;
    let names = tensors.names();
    let name = match names.as_slice() {
        [only] => *only,
        _ if names.contains(&TENSOR) => TENSOR,
        _ => {
            return Err(wrong(format!(
                "expected one tensor, or one named {TENSOR}; it has {}",
                names.len()
            )));
        }
    };
    let view = tensors.tensor(name).map_err(not_ours)?;
    let latents = tensor(&view).map_err(|reason| wrong(format!("tensor {name}: {reason}")))?;
    Ok(Saved { latents, description })
}

fn describe(text: &str) -> std::result::Result<Description, String> {
    serde_json::from_str(text).map_err(|error| format!("its metadata cannot be read: {error}"))
}

/// The view as F32 `[1, C, T, h, w]`.
fn tensor(view: &TensorView<'_>) -> std::result::Result<Tensor, String> {
    let shape: Vec<usize> = match view.shape() {
        [c, t, h, w] => vec![1, *c, *t, *h, *w],
        [1, _, _, _, _] => view.shape().to_vec(),
        other => {
            return Err(format!("expected shape [1, C, T, h, w] or [C, T, h, w], got {other:?}"));
        }
    };
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        other => return Err(format!("expected f32, f16, bf16 or f64, got {other:?}")),
    };
    let read = || -> candle_core::Result<(Tensor, bool)> {
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, &shape, &Device::Cpu)?
            .to_dtype(DType::F32)?;
        let finite = tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| value.is_finite());
        Ok((tensor, finite))
    };
    match read() {
        Ok((tensor, true)) => Ok(tensor),
        Ok((_, false)) => Err("it holds NaN or infinity".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
