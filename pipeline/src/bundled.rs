//! Where the bundled model is: `TESSERA_ASSETS`, beside the executable, or in the source tree that this was built from.

use std::path::{Path, PathBuf};

use tessera_models::folder::ModelFolder;

use crate::{Error, Result};

/// Names the folder that holds `toybox/`.
pub const ASSETS_VARIABLE: &str = "TESSERA_ASSETS";

/// The places that are looked at, in their order.
pub fn places() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os(ASSETS_VARIABLE).filter(|folder| !folder.is_empty()) {
        return vec![folder.into()]; // whoever names a folder wants that one or an error
    }
    let mut places = Vec::new();
    if let Ok(program) = std::env::current_exe() {
        let program = program.canonicalize().unwrap_or(program);
        if let Some(folder) = program.parent() {
            places.push(folder.join("assets"));
            places.push(folder.join("../share/tessera/assets"));
        }
    }
    places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets"));
    places
}

/// The bundled checkpoint folder.
pub fn model() -> Result<PathBuf> {
    Ok(toybox()?.join("checkpoint"))
}

/// The file of the bundled model's example prompts, one a line.
pub fn prompts() -> Result<PathBuf> {
    Ok(toybox()?.join("prompts.txt"))
}

/// The bundled recordings that are there, by name; none where nobody put any.
pub fn recordings() -> Vec<PathBuf> {
    let inside = |place: PathBuf| std::fs::read_dir(place.join("recordings")).ok();
    let Some(folder) = places().into_iter().find_map(inside) else { return Vec::new() };
    let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "recording"));
    files.sort();
    files
}

/// The bundled model's folder: checkpoint, card, example prompts.
fn toybox() -> Result<PathBuf> {
    let tried: Vec<PathBuf> = places().iter().map(|place| place.join("toybox")).collect();
    let is_there = |folder: &&PathBuf| folder.join("checkpoint/model_index.json").is_file();
    if let Some(found) = tried.iter().find(is_there) {
        return Ok(found.canonicalize().unwrap_or_else(|_| found.clone()));
    }
    let tried: Vec<String> = tried.iter().map(|folder| folder.display().to_string()).collect();
    Err(Error::Unreadable {
        what: "bundled model".into(),
        reason: format!(
            "not found in {}; set {ASSETS_VARIABLE} to the folder that holds toybox/, or name a model folder",
            tried.join(", ")
        ),
    })
}

/// Whether a folder is the bundled model's.
pub fn is_bundled(folder: &Path) -> bool {
    match (model(), folder.canonicalize()) {
        (Ok(bundled), Ok(folder)) => bundled == folder,
        _ => false,
    }
}

/// Whether the bundled model is the one with this fingerprint. Reads its headers.
pub fn has_fingerprint(fingerprint: &str) -> bool {
    let folder = model().ok().and_then(|folder| ModelFolder::open(&folder).ok());
    folder.is_some_and(|folder| folder.fingerprint() == fingerprint)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bundled_recordings_open_and_are_small() {
        let files = super::recordings();
        assert_eq!(files.len(), 2);
        let bytes: u64 = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
        assert!(bytes <= 4 << 20, "{bytes} bytes");
        for file in files {
            let recording = crate::recording::Recording::open(&file).unwrap();
            let report = recording.report().unwrap();
            assert_eq!(report.outcome, crate::recording::Outcome::Finished);
            assert!(report.dropped.is_empty());
        }
    }

    #[test]
    fn the_source_tree_has_it() {
        let folder = super::model().unwrap();
        assert!(folder.join("transformer/config.json").is_file());
        assert!(super::is_bundled(&folder));
        assert!(super::prompts().unwrap().is_file());
        assert!(!super::is_bundled(std::path::Path::new("/")));
    }
}
