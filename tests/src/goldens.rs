//! Reading `tests/goldens`: tensors by name, numbers by JSON path, and where the tiny checkpoints lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use serde_json::Value;

/// The tiny checkpoints: head widths 12, 64 and 128 (`tests/reference/folders.py` says how they differ).
pub const FOLDERS: [&str; 3] = ["tiny", "tiny64", "tiny128"];

/// `tests/goldens`.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

/// The checkpoint folder of one of [`FOLDERS`].
pub fn checkpoint(name: &str) -> PathBuf {
    root().join(name).join("checkpoint")
}

/// A golden JSON file, by its path under `tests/goldens`.
pub fn json(path: &str) -> Result<Value> {
    let file = root().join(path);
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// The tensors of one golden file.
pub struct Goldens {
    path: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Goldens {
    /// Reads a safetensors file, by its path under `tests/goldens`.
    pub fn read(path: &str) -> Result<Self> {
        let file = root().join(path);
        let tensors = candle_core::safetensors::load(&file, &Device::Cpu)
            .with_context(|| file.display().to_string())?;
        Ok(Self { path: path.to_owned(), tensors: tensors.into_iter().collect() })
    }

    /// One tensor.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("{} has no {name}", self.path))
    }

    /// All of them, by name.
    pub fn all(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The tensor, or nothing.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }
}

/// The fields of a JSON object, in the order of the file (sorted: `store.py` sorts).
pub fn entries(value: &Value) -> Result<impl Iterator<Item = (&str, &Value)>> {
    Ok(value
        .as_object()
        .context("a JSON object")?
        .iter()
        .map(|(name, value)| (name.as_str(), value)))
}

/// A field that must be a number.
pub fn number(value: &Value, field: &str) -> Result<f64> {
    value[field].as_f64().with_context(|| format!("a number in {field}, got {}", value[field]))
}

/// A field that must be a string.
pub fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("a string in {field}, got {}", value[field]))
}
