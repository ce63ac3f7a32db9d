//! A copy of the bundled model that a test spoils in one place.
//!
//! Files are hard links where the file system allows it, so a copy costs nothing; every change goes
//! through `put`, which gives the name a new file and leaves the bundled one alone.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::studio::{assets, put};

/// The transformer's weights, relative to the model folder.
pub(crate) const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";

/// A model folder that belongs to one test.
pub(crate) struct Model {
    path: PathBuf,
}

/// One tensor of a safetensors file.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Model {
    pub(crate) fn copy_to(path: &Path) -> Self {
        copy(&assets().join("toybox/checkpoint"), path);
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes one JSON file of the folder.
    pub(crate) fn json(&self, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let path = self.path.join(name);
        let text = std::fs::read_to_string(&path).expect("the bundled model has this file");
        let mut value: Value = serde_json::from_str(&text).expect("the bundled model is valid");
        change(value.as_object_mut().expect("a config is an object"));
        put(&path, value.to_string().as_bytes());
    }

    /// Changes the tensors of the transformer.
    pub(crate) fn transformer(&self, change: impl FnOnce(&mut Vec<Tensor>)) {
        let path = self.path.join(TRANSFORMER);
        let mut tensors = read(&path);
        change(&mut tensors);
        put(&path, &write(&tensors));
    }

    /// Cuts the transformer's weights to a share of their length.
    pub(crate) fn truncate_transformer(&self, keep: f64) {
        let path = self.path.join(TRANSFORMER);
        let bytes = std::fs::read(&path).expect("the bundled model has weights");
        put(&path, &bytes[..(bytes.len() as f64 * keep) as usize]);
    }

    /// Replaces the transformer's single file by an index.
    pub(crate) fn index(&self, weight_map: &Map<String, Value>) {
        std::fs::remove_file(self.path.join(TRANSFORMER)).expect("the copy has weights");
        let index = json!({ "metadata": { "total_size": 1 }, "weight_map": weight_map });
        put(&self.path.join(format!("{TRANSFORMER}.index.json")), index.to_string().as_bytes());
    }
}

/// Reads a whole safetensors file: eight bytes of header length, a JSON header, the data.
pub(crate) fn read(path: &Path) -> Vec<Tensor> {
    let bytes = std::fs::read(path).expect("the file is there");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Map<String, Value> =
        serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let data = &bytes[8 + length..];
    header
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(name, entry)| {
            let number = |value: &Value| value.as_u64().expect("a number") as usize;
            let range = number(&entry["data_offsets"][0])..number(&entry["data_offsets"][1]);
            Tensor {
                name: name.clone(),
                dtype: entry["dtype"].as_str().expect("a dtype").to_owned(),
                shape: entry["shape"].as_array().expect("a shape").iter().map(number).collect(),
                bytes: data[range].to_vec(),
            }
        })
        .collect()
}

/// The bytes of a safetensors file that holds these tensors, one after the other.
pub(crate) fn write(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for tensor in tensors {
        let start = data.len();
        data.extend_from_slice(&tensor.bytes);
        header.insert(
            tensor.name.clone(),
            json!({ "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, data.len()] }),
        );
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes.extend(data);
    bytes
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the temporary folder takes folders");
    for entry in std::fs::read_dir(from).expect("the bundled model is in assets/").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if std::fs::hard_link(entry.path(), &target).is_err() {
            std::fs::copy(entry.path(), &target).expect("the temporary folder takes files");
        }
    }
}
