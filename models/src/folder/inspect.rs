//! What a checkpoint folder holds, for a person or a program to look at; made from headers alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::problems::Problem;
use crate::text::{TOKENIZER_ADVICE, TOKENIZER_FILE, largest_id};

/// A checkpoint folder looked at, usable or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The folder.
    pub folder: PathBuf,
    /// The folder's own name.
    pub name: String,
    /// The pipeline's class; empty when the model index cannot be read.
    pub class: String,
    /// The components, in the order scheduler, text_encoder, tokenizer, transformer, vae.
    pub parts: Vec<Part>,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all safetensors files.
    pub bytes: u64,
    /// See [`super::ModelFolder::fingerprint`]; empty when the folder cannot be used.
    pub fingerprint: String,
    /// Why the folder cannot be used; empty when it can.
    pub problems: Vec<Problem>,
}

/// One component of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// "transformer", "vae", …
    pub component: String,
    /// The library that the class is from.
    pub library: String,
    /// The class.
    pub class: String,
    /// Its safetensors files, relative to the folder.
    pub files: Vec<String>,
    /// Bytes of those files.
    pub bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Element type → numbers stored in it.
    pub dtypes: BTreeMap<String, u64>,
    /// The config as understood: class defaults filled in, unknown keys dropped. Null when there is none.
    pub config: serde_json::Value,
}

/// Looks at a folder without refusing it: what is wrong is in [`Inspection::problems`]. The tokenizer's ids are looked at
/// too, which is left out where a folder is opened to be run: whoever makes the tokenizer refuses them then.
pub fn inspect(folder: &Path) -> Inspection {
    let mut survey = super::survey(folder);
    let vocabulary = survey.read.as_ref().map(|(_, _, text, _)| text.vocab_size);
    let problem = vocabulary.and_then(|vocabulary| tokenizer_problem(folder, vocabulary));
    if let Some(problem) = problem {
        survey.problems.push(problem);
        survey.fingerprint.clear();
    }
    survey.inspection()
}

/// What is wrong with the tokenizer of an encoder that has rows for `vocabulary` ids. A missing one is told elsewhere.
fn tokenizer_problem(folder: &Path, vocabulary: usize) -> Option<Problem> {
    let text = std::fs::read_to_string(folder.join(TOKENIZER_FILE)).ok()?;
    match largest_id(&text) {
        Ok(largest) if largest < vocabulary => None,
        Ok(largest) => {
            let expected =
                format!("token ids below {vocabulary}, as vocab_size in text_encoder/config.json");
            let problem = Problem::new(TOKENIZER_FILE, "", expected, largest.to_string());
            Some(problem.advice("the tokenizer is of another model"))
        }
        Err(error) => {
            let problem = Problem::new(TOKENIZER_FILE, "", "a tokenizer", error);
            Some(problem.advice(TOKENIZER_ADVICE))
        }
    }
}

impl super::Survey {
    /// What was found, as numbers.
    pub(super) fn inspection(&self) -> Inspection {
        let parts: Vec<_> = self
            .index
            .iter()
            .flat_map(|index| &index.components)
            .map(|(component, (library, class))| self.part(component, library, class))
            .collect();
        Inspection {
            folder: self.path.clone(),
            name: self.name(),
            class: self.index.as_ref().map(|index| index.class.clone()).unwrap_or_default(),
            parameters: parts.iter().map(|part| part.parameters).sum(),
            bytes: parts.iter().map(|part| part.bytes).sum(),
            fingerprint: self.fingerprint.clone(),
            problems: self.problems.list.clone(),
            parts,
        }
    }

    /// The folder's own name, or all of the path where it has none.
    pub(super) fn name(&self) -> String {
        // "." and "models/.." have no name of their own; the resolved path has.
        let resolved = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let shown = resolved.file_name().unwrap_or(resolved.as_os_str());
        shown.to_string_lossy().into_owned()
    }

    fn part(&self, component: &str, library: &str, class: &str) -> Part {
        let mut part = Part {
            component: component.to_owned(),
            library: library.to_owned(),
            class: class.to_owned(),
            files: Vec::new(),
            bytes: 0,
            tensors: 0,
            parameters: 0,
            dtypes: BTreeMap::new(),
            config: self.configs.get(component).cloned().unwrap_or_default(),
        };
        for shard in self.shards.get(component).into_iter().flat_map(|shards| &shards.files) {
            part.files.push(shard.file.clone());
            part.bytes += shard.bytes;
            for entry in shard.header.tensors.values() {
                let numbers = entry.elements() as u64;
                part.tensors += 1;
                part.parameters += numbers;
                *part.dtypes.entry(entry.dtype.to_string()).or_default() += numbers;
            }
        }
        part
    }
}
