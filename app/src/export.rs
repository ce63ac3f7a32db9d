//! `tessera export`: a recording as arrays, tables, lines and pictures. Writing is pipeline's; this says what.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use tessera_pipeline::export::{Format, What, export};
use tessera_pipeline::recording::Recording;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::text::plural;

/// The word for everything.
const ALL: &str = "all";

/// What may be typed.
pub(crate) fn command() -> Command {
    let what = What::ALL.iter().map(|what| what.name()).chain([ALL]);
    let formats = Format::ALL.iter().map(|format| format.name()).chain([ALL]);
    Command::new("export")
        .about("Writes a recording as arrays, tables and pictures into a folder")
        .long_about(
            "Writes a recording as arrays, tables and pictures into a folder.\n\n\
             Arrays: latents, maps, scores, attention, tokens (what query tokens looked at), orders and thumbnails of maps, \
             one NPZ or safetensors file for each. Tables: steps, calls and heads as CSV or JSON lines. Events: JSON \
             lines. Pictures: PNG. Maps, scores and attention hold the heads that were pinned, tokens the query tokens that \
             were asked for, when the run was recorded (--capture-heads, --capture-scores, --capture-attention, \
             --capture-rows). Paths of what was written are printed.",
        )
        .after_help(Exit::table())
        .arg(cli::recording())
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("FOLDER")
                .required(true)
                .help("The folder to make; it must not be there yet, or be empty")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath),
        )
        .arg(
            Arg::new("what")
                .long("what")
                .value_name("NAMES")
                .default_value(ALL)
                .value_delimiter(',')
                .help("What of it")
                .value_parser(PossibleValuesParser::new(what)),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("NAMES")
                .default_value("npz,jsonl,csv")
                .value_delimiter(',')
                .help("How; png writes a picture for each array, which may be thousands")
                .value_parser(PossibleValuesParser::new(formats)),
        )
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .help("Says only what is wrong, beside the paths"),
        )
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let path = |name: &str| {
        let missing = || Usage(format!("the {name} is missing"));
        matches.get_one::<PathBuf>(name).ok_or_else(missing)
    };
    let recording = Recording::open(path("recording")?)?;
    let what = chosen(matches, "what", &What::ALL, What::named);
    let formats = chosen(matches, "format", &Format::ALL, Format::named);
    let interrupt = Interrupt::install()?;
    let done = export(&recording, (&what, &formats), path("to")?, &mut |_| !interrupt.asked())?;
    let mut err = io::stderr();
    for what in &what {
        let count = done.arrays.get(what).copied().unwrap_or(0);
        if count > 0 && !matches.get_flag("quiet") {
            writeln!(err, "{}: {}", what.name(), plural(count as u64, "array"))?;
        } else if count == 0 && !done.dropped.contains_key(what) && is_captured(*what) {
            writeln!(err, "{}: the recording has none", what.name())?;
        }
    }
    for (what, count) in &done.dropped {
        let count = plural(*count as u64, "array");
        writeln!(
            err,
            "{}: {count} dropped when the recording was at its limit; --record-limit keeps more",
            what.name()
        )?;
    }
    for file in &done.files {
        writeln!(io::stdout(), "{}", file.display())?;
    }
    Ok(Exit::Success)
}

/// Whether it is only there when a run was asked to keep it.
fn is_captured(what: What) -> bool {
    !matches!(what, What::Events | What::Summary | What::Orders)
}

/// The values of an argument, each once; `all` stands for all of them.
fn chosen<T: Copy + PartialEq>(
    matches: &ArgMatches,
    name: &str,
    all: &[T],
    named: fn(&str) -> Option<T>,
) -> Vec<T> {
    let words: Vec<&String> = matches.get_many(name).into_iter().flatten().collect();
    if words.iter().any(|word| *word == ALL) {
        return all.to_vec();
    }
    let mut chosen = Vec::new();
    for value in words.into_iter().filter_map(|word| named(word)) {
        if !chosen.contains(&value) {
            chosen.push(value);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_once_and_all_is_all() {
        let of = |args: &[&str]| {
            let args = ["export", "a.tessera", "--to", "x"].iter().chain(args);
            command().try_get_matches_from(args)
        };
        let matches = of(&["--what", "maps,latents,maps", "--format=all"]).unwrap();
        assert_eq!(chosen(&matches, "what", &What::ALL, What::named), [What::Maps, What::Latents]);
        assert_eq!(chosen(&matches, "format", &Format::ALL, Format::named), Format::ALL);
        let matches = of(&[]).unwrap();
        assert_eq!(chosen(&matches, "what", &What::ALL, What::named), What::ALL);
        let formats = chosen(&matches, "format", &Format::ALL, Format::named);
        assert_eq!(formats, [Format::Npz, Format::Jsonl, Format::Csv]);
        let wrong = of(&["--what", "mapz"]).unwrap_err().to_string();
        assert!(wrong.contains("mapz") && wrong.contains("attention"), "{wrong}");
        assert!(command().try_get_matches_from(["export", "a.tessera"]).is_err(), "no folder");
    }
}
