//! The one place that goes from a tensor's name to its numbers.
//!
//! [`Weights::check`] compares all names, shapes and types of a component with what the model expects before any number
//! is read. Then tensors are read one at a time and converted on the way in, so that the peak is the converted weights
//! and a few MiB. Which type each tensor becomes is the caller's choice, name by name (wan.md §1.4).

pub(crate) mod convert;
pub mod header;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use crate::folder::ModelFolder;
use crate::problems::{Problem, Problems};
use crate::{Error, Result};
use header::Entry;

/// A tensor that a model needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its dimensions, slowest first.
    pub shape: Vec<usize>,
}

impl Expected {
    /// A tensor of this name and shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }
}

/// What is wrong with `tensors` (name → file and entry) against `expected`: missing, surplus, shape, type. A surplus
/// tensor is fine when its name contains one of `ignore`. `place` names the component where a tensor is missing.
pub fn compare(
    tensors: &BTreeMap<String, (String, Entry)>,
    place: &str,
    expected: &[Expected],
    ignore: &[&str],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wanted = std::collections::BTreeSet::new();
    for Expected { name, shape } in expected {
        wanted.insert(name.as_str());
        let Some((file, entry)) = tensors.get(name) else {
            problems.push(Problem::new(place, name, format!("a tensor {shape:?}"), "nothing"));
            continue;
        };
        if entry.shape != *shape {
            let got = format!("{:?}", entry.shape);
            problems.push(Problem::new(file, name, format!("shape {shape:?}"), got));
        }
        if convert::width(entry.dtype).is_none() {
            let problem = Problem::new(file, name, "F32, F16 or BF16", entry.dtype.to_string());
            problems.push(problem.advice("quantised checkpoints are not supported"));
        }
    }
    for (name, (file, entry)) in tensors {
        if !wanted.contains(name.as_str()) && !ignore.iter().any(|part| name.contains(part)) {
            let got = format!("a tensor {:?}", entry.shape);
            problems.push(
                Problem::new(file, name, "no tensor of this name", got)
                    .advice("the checkpoint is of another model than its config says"),
            );
        }
    }
    problems
}

/// The tensors of one component of a checkpoint, ready to be read.
#[derive(Debug)]
pub struct Weights {
    folder: PathBuf,
    component: String,
    files: BTreeMap<String, (PathBuf, File)>,
    tensors: BTreeMap<String, (String, Entry)>,
}

impl Weights {
    /// Opens the files of `component` ("transformer", "vae" or "text_encoder"); reads nothing.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be opened, [`Error::Argument`] when there is no such component with weights.
    pub fn open(folder: &ModelFolder, component: &str) -> Result<Self> {
        let Some(shards) = folder.shards(component) else {
            return Err(Error::argument("component", "one that has weights", component));
        };
        let mut files = BTreeMap::new();
        for shard in &shards.files {
            let path = folder.path().join(&shard.file);
            let file = File::open(&path).map_err(Error::io(&path))?;
            files.insert(shard.file.clone(), (path, file));
        }
        Ok(Self {
            folder: folder.path().to_path_buf(),
            component: component.to_owned(),
            files,
            tensors: shards.tensors(),
        })
    }

    /// Compares all tensors with what the model expects. Surplus ones whose name contains one of `ignore` are fine.
    ///
    /// # Errors
    /// [`Error::Folder`] with every missing or surplus tensor, wrong shape and type that cannot be read.
    pub fn check(&self, expected: &[Expected], ignore: &[&str]) -> Result<()> {
        let mut problems = Problems::new(&self.folder);
        problems.list = compare(&self.tensors, &self.component, expected, ignore);
        problems.into_result()
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The dimensions of a tensor, or `None` when there is none of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// Reads one whole tensor, converted to `dtype` (F32, BF16 or F16), onto `device`.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name or type, [`Error::Io`] when the file cannot be read.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let entry = self.entry(name)?;
        self.read(name, &[(0, entry.elements())], &entry.shape, dtype, device)
    }

    /// Reads rows `ids` of the tensor `name` [R, …], in that order and repeated as asked: [ids, …], converted to `dtype`.
    /// This is how a prompt's few embeddings are had without the table of a million.
    ///
    /// # Errors
    /// As [`Self::tensor`]; [`Error::Argument`] too for a row that is not there.
    pub fn rows(&self, name: &str, ids: &[u32], dtype: DType, device: &Device) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let Some((&rows, rest)) = entry.shape.split_first() else {
            return Err(Error::argument(name, "a tensor with rows", "a scalar"));
        };
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            return Err(Error::argument(name, format!("a row below {rows}"), id.to_string()));
        }
        let row: usize = rest.iter().product();
        let spans: Vec<_> = ids.iter().map(|&id| (id as usize * row, row)).collect();
        let shape: Vec<_> = std::iter::once(ids.len()).chain(rest.iter().copied()).collect();
        self.read(name, &spans, &shape, dtype, device)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let unknown = || Error::argument(format!("tensor of {}", self.component), "its name", name);
        self.tensors.get(name).map(|(_, entry)| entry).ok_or_else(unknown)
    }

    /// Reads `spans` (first element, count) of one tensor, one after the other.
    fn read(
        &self,
        name: &str,
        spans: &[(usize, usize)],
        shape: &[usize],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = match dtype {
            DType::F32 => Tensor::from_vec(self.elements::<f32>(name, spans)?, shape, &Device::Cpu),
            DType::BF16 => {
                Tensor::from_vec(self.elements::<bf16>(name, spans)?, shape, &Device::Cpu)
            }
            DType::F16 => Tensor::from_vec(self.elements::<f16>(name, spans)?, shape, &Device::Cpu),
            other => {
                return Err(Error::argument(name, "F32, BF16 or F16", format!("{other:?}")));
            }
        };
        Ok(tensor?.to_device(device)?)
    }

    fn elements<T: convert::Element>(
        &self,
        name: &str,
        spans: &[(usize, usize)],
    ) -> Result<Vec<T>> {
        let entry = self.entry(name)?;
        let (path, file) = self
            .tensors
            .get(name)
            .and_then(|(file, _)| self.files.get(file))
            .ok_or_else(|| Error::argument(name, "a file that holds it", "none"))?;
        let width = convert::width(entry.dtype).unwrap_or(1);
        let mut out = Vec::with_capacity(spans.iter().map(|(_, count)| count).sum());
        for &(first, count) in spans {
            let start = entry.start + (first * width) as u64;
            convert::read(file, start, count, entry.dtype, &mut out).map_err(Error::io(path))?;
        }
        Ok(out)
    }
}
