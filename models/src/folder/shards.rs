//! The safetensors files of one component: found, and their headers read and held against each other and the index file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path};

use serde_json::Value;

use super::config::{object, shown};
use crate::problems::Problem;
use crate::weights::convert::read_exact_at;
use crate::weights::header::{self, Entry, Header};

/// The longest JSON file that is read: the largest index of any public checkpoint is a thousandth of it.
const MOST_JSON: u64 = 64 << 20;

/// One safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Relative to the checkpoint folder, with forward slashes.
    pub(crate) file: String,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// What is in it.
    pub(crate) header: Header,
}

/// All safetensors files of one component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shards {
    pub(crate) files: Vec<Shard>,
}

impl Shards {
    /// Every tensor by name, with its file.
    pub(crate) fn tensors(&self) -> BTreeMap<String, (String, Entry)> {
        let entries = self.files.iter().flat_map(|shard| {
            let tensors = shard.header.tensors.iter();
            tensors.map(|(name, entry)| (name.clone(), (shard.file.clone(), entry.clone())))
        });
        entries.collect()
    }

    /// Finds the files of `component` (a folder in `folder`) whose names begin with `stem`, and reads their headers.
    /// What can be read is returned even where there are problems, for an inspection to show.
    pub(crate) fn find(
        folder: &Path,
        component: &str,
        stem: &str,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let whole = format!("{component}/{stem}.safetensors");
        let index = format!("{whole}.index.json");
        let (names, map) = if folder.join(&index).exists() {
            let parsed =
                read_json(folder, &index).and_then(|text| parse_index(&index, component, &text));
            match parsed {
                Ok(map) => {
                    let mut names: Vec<_> = map.values().cloned().collect();
                    names.sort_unstable();
                    names.dedup();
                    (names, Some(map))
                }
                Err(found) => {
                    problems.extend(found);
                    return Self::default();
                }
            }
        } else if folder.join(&whole).exists() {
            (vec![whole], None)
        } else {
            let problem = Problem::new(whole, "", "this file, or its .index.json", "neither");
            problems.push(problem.advice(advice_on(folder, component)));
            return Self::default();
        };
        let mut shards = Self::default();
        let before = problems.len();
        for file in names {
            match read_header(folder, &file) {
                Ok((bytes, header)) => shards.files.push(Shard { file, bytes, header }),
                Err(problem) => problems.push(problem),
            }
        }
        shards.note_twins(problems);
        if let Some(map) = map
            && problems.len() == before
        {
            shards.compare(&index, &map, problems);
        }
        shards
    }

    /// A tensor in two files: which one is meant cannot be known.
    fn note_twins(&self, problems: &mut Vec<Problem>) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for shard in &self.files {
            for name in shard.header.tensors.keys() {
                if let Some(first) = seen.insert(name, &shard.file) {
                    let got = format!("it here and in {first}");
                    problems.push(Problem::new(&shard.file, name, "each tensor in one file", got));
                }
            }
        }
    }

    /// The index file and the headers must tell the same.
    fn compare(&self, index: &str, map: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
        let tensors = self.tensors();
        for (name, file) in map {
            if tensors.get(name).is_none_or(|(actual, _)| actual != file) {
                let got = match tensors.get(name) {
                    Some((actual, _)) => format!("it in {actual}"),
                    None => "nothing".to_owned(),
                };
                problems.push(Problem::new(index, name, format!("the tensor in {file}"), got));
            }
        }
        for (name, (file, _)) in tensors {
            if !map.contains_key(&name) {
                let got = format!("only the tensor itself, in {file}");
                problems.push(Problem::new(index, name, "a line for each tensor", got));
            }
        }
    }
}

/// Reads the text of an index file into tensor → file (relative to the checkpoint folder). A pure function.
///
/// # Errors
/// Text that is not such an index, and every file name that could lead out of the component's folder.
pub fn parse_index(
    index: &str,
    component: &str,
    text: &str,
) -> Result<BTreeMap<String, String>, Vec<Problem>> {
    let object = object(index, text)?;
    let Some(Value::Object(map)) = object.get("weight_map") else {
        let got = object.get("weight_map").map_or("nothing".to_owned(), shown);
        return Err(vec![Problem::new(index, "weight_map", "tensor names with their files", got)]);
    };
    let mut problems = Vec::new();
    let mut files = BTreeMap::new();
    for (name, value) in map {
        match value.as_str().filter(|file| is_plain(file)) {
            Some(file) => {
                files.insert(name.clone(), format!("{component}/{file}"));
            }
            None => problems.push(
                Problem::new(
                    index,
                    name,
                    "the name of a .safetensors file beside it",
                    shown(value),
                )
                .advice("an index must not lead out of its folder"),
            ),
        }
    }
    if files.is_empty() && problems.is_empty() {
        problems.push(Problem::new(index, "weight_map", "at least one tensor", "none"));
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// A bare file name on every system: no separators of either kind, no drive, no `..`, nothing hidden.
fn is_plain(file: &str) -> bool {
    let mut components = Path::new(file).components();
    let one = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    one && !file.contains(['/', '\\', ':', '\0'])
        && !file.starts_with('.')
        && file.ends_with(".safetensors")
}

/// Reads a small text file of the checkpoint; what fails is a problem with that file.
pub(super) fn read_json(folder: &Path, file: &str) -> Result<String, Vec<Problem>> {
    let path = folder.join(file);
    let wrong = |got: String| vec![Problem::new(file, "", "a readable JSON file", got)];
    let length = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
    if length > MOST_JSON {
        return Err(wrong(format!("{length} bytes")));
    }
    std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))
}

fn read_header(folder: &Path, file: &str) -> Result<(u64, Header), Problem> {
    let wrong = |error: std::io::Error| {
        Problem::new(file, "", "a readable safetensors file", error.to_string())
    };
    let opened = File::open(folder.join(file)).map_err(wrong)?;
    let metadata = opened.metadata().map_err(wrong)?;
    if !metadata.is_file() {
        return Err(Problem::new(file, "", "a safetensors file", "a folder"));
    }
    let bytes = metadata.len();
    let mut head = vec![0; header::PREFIX.min(usize::try_from(bytes).unwrap_or(usize::MAX))];
    read_exact_at(&opened, &mut head, 0).map_err(wrong)?;
    let length = header::length(&head, bytes).map_err(|error| error.in_file(file))?;
    head.resize(header::PREFIX + length as usize, 0);
    read_exact_at(&opened, &mut head, 0).map_err(wrong)?;
    let header = header::parse(&head, bytes).map_err(|error| error.in_file(file))?;
    Ok((bytes, header))
}

/// Why the weights of a component may be missing.
fn advice_on(folder: &Path, component: &str) -> &'static str {
    let Ok(entries) = std::fs::read_dir(folder.join(component)) else {
        return "the component's folder is missing: the download may be incomplete";
    };
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    if names.any(|name| Path::new(&name).extension().is_some_and(|end| end == "bin")) {
        "pickled .bin weights are not read: take a safetensors checkpoint"
    } else {
        "the download may be incomplete"
    }
}
