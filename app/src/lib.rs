//! The window and the command line; all they change goes through pipeline's commands, all they show comes from pipeline's events.
//!
//! The binary is `main.rs`: parse, run, exit code. Everything else is here, one file an idea: [`cli`] is what
//! may be typed, `generate`, `resume`, `inspect`, `history`, `doctor`, `measure`, `tune`, `sweep` and `table` are the subcommands, `session` runs jobs on the
//! engine and shows their events through `progress` or `jsonl`, [`exit`] is what a script learns. `window` is the window.
//!
//! Standard output carries results alone (paths of finished files, a plan, a report, events when asked
//! for); everything that is for eyes goes to standard error.

mod calibrate;
pub mod cli;
mod doctor;
pub mod exit;
mod export;
mod failure;
mod generate;
mod history;
mod inspect;
mod interrupt;
mod jsonl;
mod measure;
mod methods;
mod progress;
mod replay;
mod resume;
mod session;
mod slurm;
mod sweep;
mod table;
mod tenths;
mod text;
mod tune;
mod window;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

use clap::error::{ContextKind, ErrorKind};
pub use failure::{exit_code, is_broken_pipe, message};

use crate::exit::Exit;

/// Parses the arguments, the program's name first, and does what they say.
///
/// The error is for [`message`] and [`exit_code`]; what went wrong inside a job has been shown by then and is in the
/// returned [`Exit`].
pub fn run(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<Exit> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = cli::command();
    if let [_, file] = args.as_slice()
        && command.find_subcommand(file).is_none()
        && is_to_open(Path::new(file))
    {
        return window::open(Some(Path::new(file)));
    }
    let matches = match command.try_get_matches_from_mut(args) {
        Ok(matches) => matches,
        Err(refusal) => {
            refusal.print()?;
            if is_unquoted(&refusal) {
                writeln!(io::stderr(), "\ntip: a prompt of several words needs quotes around it")?;
            }
            return Ok(if refusal.use_stderr() { Exit::Usage } else { Exit::Success });
        }
    };
    match matches.subcommand() {
        Some(("generate", matches)) => generate::run(matches),
        Some(("resume", matches)) => resume::run(matches),
        Some(("inspect", matches)) => inspect::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("history", matches)) => history::run(matches),
        Some(("calibrate", matches)) => calibrate::run(matches),
        Some(("methods", matches)) => methods::run(matches),
        Some(("export", matches)) => export::run(matches),
        Some(("replay", matches)) => replay::run(matches),
        Some(("table", matches)) => table::run(matches),
        Some(("measure", matches)) => measure::run(matches),
        Some(("tune", matches)) => tune::run(matches),
        Some(("sweep", matches)) => sweep::run(matches),
        _ => window::open(None),
    }
}

/// Whether the only argument is to be opened: a file that is there, or one that is named as recordings are.
fn is_to_open(path: &Path) -> bool {
    path.is_file() || path.extension().is_some_and(|ending| ending == "recording")
}

/// Whether clap stumbled over a bare word, as in `tessera generate a red ball`.
fn is_unquoted(refusal: &clap::Error) -> bool {
    let word = refusal.get(ContextKind::InvalidArg).map(ToString::to_string);
    refusal.kind() == ErrorKind::UnknownArgument && word.is_some_and(|word| !word.starts_with('-'))
}
