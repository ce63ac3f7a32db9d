//! `tessera doctor`: what this machine can do, found by trying. The findings are pipeline's; this prints them.

use std::io::{self, Write as _};

use clap::ArgMatches;
use tessera_pipeline::doctor::doctor;

use crate::exit::Exit;

/// Runs the subcommand. The code tells a script whether a clip can be made here.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let report = doctor();
    let mut out = io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.model.problem.is_some() {
        Exit::Model
    } else if report.is_well() {
        Exit::Success
    } else {
        Exit::Output
    })
}
