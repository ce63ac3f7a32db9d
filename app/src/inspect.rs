//! `tessera inspect`: what a file or folder is. Looking is pipeline's; this prints what was seen.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use tessera_pipeline::inspect::{Report, inspect};
use tessera_pipeline::request::Request;

use crate::exit::Exit;
use crate::failure::Usage;

/// Runs the subcommand. A model that cannot be used ends with the code for one.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let path: &PathBuf =
        matches.get_one("path").ok_or_else(|| Usage(String::from("a path is missing")))?;
    let report = inspect(path)?;
    let mut out = io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(match report {
        Report::Model(model) if !model.problems.is_empty() => Exit::Model,
        _ => Exit::Success,
    })
}

/// The request inside a video, latents, sidecar or settings file.
pub(crate) fn request_of(path: &Path) -> anyhow::Result<Request> {
    let report = inspect(path)?;
    report.request().cloned().ok_or_else(|| {
        Usage(format!(
            "{}: no settings of Tessera's are in it; `tessera inspect` shows what is",
            path.display()
        ))
        .into()
    })
}
