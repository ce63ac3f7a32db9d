//! The house rules that a compiler does not hold: which crate may use which, and how long a file may get.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate → crates of ours that it may depend on (DESIGN §2). The tests crate may use all.
const ALLOWED_EDGES: &[(&str, &[&str])] = &[
    ("tessera-kernels", &[]),
    ("tessera-models", &["tessera-kernels"]),
    ("tessera-pipeline", &["tessera-kernels", "tessera-models"]),
    ("tessera", &["tessera-pipeline"]),
    ("tessera-tests", &["tessera", "tessera-kernels", "tessera-models", "tessera-pipeline"]),
];

/// Crate → what its sentence says it never knows. A name bans the package and everything that begins with it and a dash.
const BANNED: &[(&str, &[&str])] = &[
    ("tessera-kernels", &["safetensors", "tokenizers", "ffmpeg-next", "eframe", "egui"]),
    ("tessera-models", &["ffmpeg-next", "eframe", "egui", "crossbeam-channel", "tokio"]),
    ("tessera-pipeline", &["eframe", "egui", "clap", "indicatif"]),
    ("tessera", &["candle-core", "candle-nn", "ffmpeg-next", "safetensors"]),
];

/// A file is one idea. Past this many lines it needs splitting; tables and test files are counted like all others.
const MOST_LINES: usize = 600;

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Direct dependencies by crate of ours, development ones left out: a test may reach further than what ships.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace_root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .unwrap();
    metadata
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

#[test]
fn crates_use_only_the_crates_below_them() {
    let dependencies = dependencies();
    assert_eq!(
        dependencies.keys().map(String::as_str).collect::<Vec<_>>(),
        {
            let mut names: Vec<_> = ALLOWED_EDGES.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            names
        },
        "a crate came or went: say in ALLOWED_EDGES and DESIGN §2 what it is for"
    );
    for (name, allowed) in ALLOWED_EDGES {
        for used in dependencies[*name].iter().filter(|used| used.starts_with("tessera")) {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} uses {used}; it may use only {allowed:?}"
            );
        }
    }
}

#[test]
fn crates_do_not_know_what_their_sentence_excludes() {
    let dependencies = dependencies();
    for (name, banned) in BANNED {
        for used in &dependencies[*name] {
            let hit = banned.iter().find(|b| used == *b || used.starts_with(&format!("{b}-")));
            assert!(hit.is_none(), "{name} uses {used}, which its sentence in DESIGN §2 excludes");
        }
    }
}

#[test]
fn every_crate_opens_with_its_sentence() {
    for (folder, sentence) in [
        ("kernels", "Tensor operations that candle lacks"),
        ("models", "Checkpoint folder in, tensors out"),
        ("pipeline", "Request → Plan → Run"),
        ("app", "The window and the command line"),
        ("tests", "What crosses crates"),
    ] {
        let file = workspace_root().join(folder).join("src/lib.rs");
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//!") && first.contains(sentence),
            "{} must open with the folder's sentence (\"{sentence}…\"), found: {first}",
            file.display()
        );
    }
}

#[test]
fn files_stay_small() {
    fn visit(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != "goldens") {
                    visit(&path, found);
                }
            } else if path
                .extension()
                .is_some_and(|e| e == "rs" || e == "cu" || e == "cuh" || e == "py")
            {
                let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                if lines > MOST_LINES {
                    found.push(format!("{} ({lines})", path.display()));
                }
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["kernels", "models", "pipeline", "app", "tests", "assets", "fuzz"] {
        let folder = workspace_root().join(folder);
        if folder.is_dir() {
            visit(&folder, &mut found);
        }
    }
    assert!(found.is_empty(), "over {MOST_LINES} lines: {found:#?}");
}
