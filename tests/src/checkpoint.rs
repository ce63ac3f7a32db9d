//! Changed copies of a checkpoint folder: other dtypes, other cuts into shards, or one deliberate mistake.
//!
//! A mutation test needs a model that is wrong in one known way. Most mistakes that a port can make have a twin among the weights (swapping
//! the halves of an output is swapping the halves of the weight's rows), so the product needs no hooks: its correct code, run on the
//! mistaken weights, gives what the mistaken code would give on the correct ones.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use tempfile::TempDir;

/// A copy of a checkpoint in a temporary folder, which goes when this is dropped.
pub struct Copy {
    dir: TempDir,
}

impl Copy {
    /// Copies the folder file by file.
    pub fn of(checkpoint: &Path) -> Result<Self> {
        let dir = TempDir::new()?;
        copy_tree(checkpoint, dir.path())?;
        Ok(Self { dir })
    }

    /// The copy's folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// All tensors of `component` ("transformer", "vae", "text_encoder"), from one file or from shards.
    pub fn tensors(&self, component: &str) -> Result<BTreeMap<String, Tensor>> {
        let mut all = BTreeMap::new();
        for file in self.weight_files(component)? {
            all.extend(candle_core::safetensors::load(file, &Device::Cpu)?);
        }
        Ok(all)
    }

    /// Replaces the weights of `component`: cast to `dtype`, in `shards` files (1 = the bare file without an index).
    pub fn write(
        &self,
        component: &str,
        tensors: &BTreeMap<String, Tensor>,
        dtype: DType,
        shards: usize,
    ) -> Result<()> {
        for file in self.weight_files(component)? {
            fs::remove_file(file)?;
        }
        let folder = self.path().join(component);
        let stem = if component == "text_encoder" { "model" } else { "diffusion_pytorch_model" };
        let index = folder.join(format!("{stem}.safetensors.index.json"));
        if index.exists() {
            fs::remove_file(&index)?;
        }
        let mut files: Vec<HashMap<String, Tensor>> = vec![HashMap::new(); shards];
        let mut weight_map = serde_json::Map::new();
        let mut total = 0;
        for (i, (name, tensor)) in tensors.iter().enumerate() {
            // Round-robin: neighbours in a block lie in different files, which no loader may mind.
            let tensor = tensor.to_dtype(dtype)?.contiguous()?;
            total += tensor.elem_count() * dtype.size_in_bytes();
            weight_map.insert(name.clone(), json!(shard_name(stem, i % shards, shards)));
            files[i % shards].insert(name.clone(), tensor);
        }
        for (i, part) in files.iter().enumerate() {
            candle_core::safetensors::save(part, folder.join(shard_name(stem, i, shards)))?;
        }
        if shards > 1 {
            let text = json!({ "metadata": { "total_size": total }, "weight_map": weight_map })
                .to_string();
            write_text(&index, &text)?;
        }
        Ok(())
    }

    /// Changes tensors of `component` in place, in F32: `change` sees every name and answers with a new tensor or none.
    /// Fails when nothing changed, so that a renamed tensor cannot make a mutation test idle.
    pub fn mutate(
        &self,
        component: &str,
        mut change: impl FnMut(&str, &Tensor) -> Result<Option<Tensor>>,
    ) -> Result<()> {
        let mut tensors = self.tensors(component)?;
        let mut changed = 0;
        for (name, tensor) in &mut tensors {
            if let Some(new) = change(name, tensor)? {
                *tensor = new;
                changed += 1;
            }
        }
        anyhow::ensure!(changed > 0, "the mutation of {component} changed no tensor");
        self.write(component, &tensors, DType::F32, 1)
    }

    /// The safetensors files of `component`, sorted.
    fn weight_files(&self, component: &str) -> Result<Vec<PathBuf>> {
        let folder = self.path().join(component);
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn shard_name(stem: &str, index: usize, of: usize) -> String {
    if of == 1 {
        format!("{stem}.safetensors")
    } else {
        format!("{stem}-{:05}-of-{of:05}.safetensors", index + 1)
    }
}

/// Text into a temporary folder; nobody reads half of it.
fn write_text(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(fs::File::create(path)?.write_all(text.as_bytes())?)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Swaps the two halves of `tensor` along `axis`: the twin of reading [second, first] where [first, second] is meant.
pub fn swap_halves(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let half = tensor.dim(axis)? / 2;
    Ok(Tensor::cat(&[tensor.narrow(axis, half, half)?, tensor.narrow(axis, 0, half)?], axis)?)
}

/// Reorders `axis` of `tensor` by `order` (new position → old position).
pub fn reorder(tensor: &Tensor, axis: usize, order: &[u32]) -> Result<Tensor> {
    Ok(tensor.index_select(&Tensor::new(order, &Device::Cpu)?, axis)?)
}
