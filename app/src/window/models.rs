//! Checkpoint folders that are on this machine: the bundled one, those a person added, those in the Hugging Face cache.
//!
//! Nothing is downloaded and nothing is copied; each folder gets the verdict of `inspect`.

use std::path::{Path, PathBuf};

use tessera_pipeline::bundled;
use tessera_pipeline::inspect::{Report, inspect};

/// Where a model was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// It comes with the program.
    Bundled,
    /// A person named its folder.
    Added,
    /// The Hugging Face cache.
    Cache,
}

/// A checkpoint folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    /// Where it was found.
    pub(crate) place: Place,
    /// What it is called.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Numbers in all weights.
    pub(crate) parameters: u64,
    /// Why it cannot be used; empty when it can.
    pub(crate) problems: Vec<String>,
}

impl Model {
    /// Its size and where it is from, in a few words.
    pub(crate) fn words(&self) -> String {
        let from = match self.place {
            Place::Bundled => "bundled",
            Place::Added => "added",
            Place::Cache => "Hugging Face cache",
        };
        format!("{}, {from}", parameters(self.parameters))
    }
}

/// 14178944 as "14 M parameters".
fn parameters(count: u64) -> String {
    match count {
        0 => "no weights".into(),
        1..1_000_000 => format!("{count} parameters"),
        1_000_000..1_000_000_000 => format!("{} M parameters", count / 1_000_000),
        _ => format!("{:.1} G parameters", count as f64 / 1e9),
    }
}

/// Looks for models. Reads folders and headers, never weights; for a worker's thread all the same.
pub(crate) fn find(added: &[PathBuf]) -> Vec<Model> {
    let mut found: Vec<(Place, String, PathBuf)> = Vec::new();
    if let Ok(path) = bundled::model() {
        found.push((Place::Bundled, "toybox".into(), path));
    }
    for path in added {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        found.push((Place::Added, name, path.clone()));
    }
    found.extend(cache().into_iter().flat_map(|hub| in_cache(&hub)));
    let model = |(place, name, path): (Place, String, PathBuf)| {
        let (parameters, problems) = match inspect(&path) {
            Ok(Report::Model(report)) => {
                (report.parameters, report.problems.iter().map(ToString::to_string).collect())
            }
            Ok(_) => (0, vec!["This is not a checkpoint folder.".to_owned()]),
            Err(error) => (0, vec![error.to_string()]),
        };
        Model { place, name, path, parameters, problems }
    };
    found.into_iter().map(model).collect()
}

/// The Hugging Face cache, by the rules of its own library: `HF_HUB_CACHE`, `HF_HOME/hub`, `~/.cache/huggingface/hub`.
fn cache() -> Option<PathBuf> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("HF_HUB_CACHE")
        .or_else(|| variable("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/huggingface/hub")))
}

/// Text-to-video folders of a cache: `models--ORG--NAME/snapshots/COMMIT`, the newest snapshot of each.
fn in_cache(hub: &Path) -> Vec<(Place, String, PathBuf)> {
    let mut found: Vec<_> = folders(hub)
        .into_iter()
        .filter_map(|repository| {
            let name =
                repository.file_name()?.to_str()?.strip_prefix("models--")?.replace("--", "/");
            let snapshots = folders(&repository.join("snapshots")).into_iter();
            let newest = snapshots.filter(|folder| is_wan(folder)).max_by_key(|folder| {
                std::fs::metadata(folder).and_then(|folder| folder.modified()).ok()
            })?;
            Some((Place::Cache, name, newest))
        })
        .collect();
    found.sort();
    found
}

/// Whether a model index says that this is one of ours; the cache holds much else.
fn is_wan(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("model_index.json"))
        .is_ok_and(|index| index.contains("WanTransformer3DModel"))
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_gives_its_wan_folders_and_nothing_else() {
        let hub = tempfile::tempdir().unwrap();
        let add = |repository: &str, index: &str| {
            let folder = hub.path().join(repository).join("snapshots/0123abcd");
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join("model_index.json");
            let write = |out: &mut std::fs::File| std::io::Write::write_all(out, index.as_bytes());
            tessera_pipeline::files::write_atomically(&file, |out| write(out)).unwrap();
        };
        add(
            "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers",
            r#"{"transformer":["diffusers","WanTransformer3DModel"]}"#,
        );
        add("models--gpt2", r#"{"_class_name":"GPT2"}"#);
        let found = in_cache(hub.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers");
    }

    #[test]
    fn the_bundled_model_is_there_and_a_wrong_folder_says_why_not() {
        let empty = tempfile::tempdir().unwrap();
        let found = find(&[empty.path().to_path_buf()]);
        assert_eq!(
            (found[0].place, found[0].words().as_str()),
            (Place::Bundled, "18 M parameters, bundled")
        );
        assert!(found[0].problems.is_empty(), "{:?}", found[0].problems);
        assert!(!found[1].problems.is_empty());
    }
}
