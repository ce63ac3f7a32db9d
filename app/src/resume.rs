//! `tessera resume`: saved latents to a video, with other output settings where they are given.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgMatches;
use serde_json::Value;
use tessera_pipeline::events::Command;
use tessera_pipeline::resume::Changes;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::generate;
use crate::session::{self, Job};

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let changes: Changes = serde_json::from_value(Value::Object(cli::typed(matches)))
        .context("reading the settings")?;
    let files: Vec<PathBuf> = matches.get_many("latents").into_iter().flatten().cloned().collect();
    if let Some(out) =
        changes.out.as_ref().filter(|out| files.len() > 1 && !generate::names_a_folder(out))
    {
        return Err(Usage(format!(
            "--out {}: several clips cannot share one file; name a folder, with a / at its end if it is new",
            out.display()
        ))
        .into());
    }
    generate::refuse_existing(changes.out.as_ref(), matches)?;
    let count = files.len();
    let jobs = files.into_iter().enumerate().map(|(index, latents)| {
        let title = format!("clip {} of {count}: {}", index + 1, latents.display());
        let changes = Box::new(changes.clone());
        Job { title, start: Box::new(move |job| Command::Resume { job, latents, changes }) }
    });
    session::run(jobs.collect(), matches)
}
