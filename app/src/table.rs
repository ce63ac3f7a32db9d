//! `tessera table`: every method at the same densities, against the dense clips of the same prompts.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use tessera_pipeline::bundled;
use tessera_pipeline::files::write_atomically;
use tessera_pipeline::settings::{SETTINGS, Section, Setting};
use tessera_pipeline::sparsity::registry::NAMES;
use tessera_pipeline::sweep::{Summary, csv};
use tessera_pipeline::table;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::generate::prompts;
use crate::interrupt::Interrupt;
use crate::sweep;

/// Settings that the table itself decides for each clip.
const DECIDED: &[&str] = &[
    "prompt",
    "count",
    "attention",
    "preset",
    "density",
    "out",
    "codec",
    "quality",
    "save_latents",
    "save_frames",
];
/// Densities of a table, unless others are asked for.
const DENSITIES: &str = "0.5,0.25,0.12";

/// What may be typed.
pub(crate) fn command() -> Command {
    let is_decided =
        |row: &Setting| DECIDED.contains(&row.key) || row.section == Section::Recording;
    let settings = SETTINGS.iter().filter(|row| !is_decided(row));
    Command::new("table")
        .about("Compares every attention method at the same densities against dense clips")
        .long_about(
            "Compares every attention method at the same densities against dense clips.\n\n\
             Each prompt is made dense (twice: the second clip tells the noise of the measurement) and once with \
             every method at every density: a sweep, as `tessera sweep` runs it, in a folder of its own, so a table that was \
             stopped goes on. Writes a Markdown file, a CSV of the methods and one of the clips, and the sweep's report, \
             and prints their paths.",
        )
        .after_help(Exit::table())
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("PATH")
                .default_value("policies")
                .help("The files to write, without their endings")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::AnyPath),
        )
        .arg(
            Arg::new("work")
                .long("work")
                .value_name("FOLDER")
                .help("The sweep's folder; the name of --to with .sweep behind it by default")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath),
        )
        .arg(
            Arg::new("methods")
                .long("methods")
                .value_name("NAMES")
                .value_delimiter(',')
                .help("Methods, each a NAME or NAME/PRESET; all by default"),
        )
        .arg(
            Arg::new("densities")
                .long("densities")
                .value_name("NUMBERS")
                .value_delimiter(',')
                .default_value(DENSITIES)
                .help("Exact densities of the sparse calls")
                .value_parser(value_parser!(f64)),
        )
        .arg(
            Arg::new("prompts-file")
                .long("prompts-file")
                .value_name("PATH")
                .help("One prompt a line; the bundled model's examples by default")
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("prompts")
                .long("prompts")
                .value_name("N")
                .help("Only the first so many of them")
                .value_parser(value_parser!(usize)),
        )
        .arg(
            Arg::new("jobs")
                .long("jobs")
                .value_name("N")
                .default_value("1")
                .help("Clips made at once, each on an even share of the cores")
                .value_parser(value_parser!(u16).range(1..)),
        )
        .arg(
            Arg::new("preface")
                .long("preface")
                .value_name("TEXT")
                .help("What the Markdown file begins with: device, command, commit"),
        )
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .help("Shows no progress, only errors"),
        )
        .args(settings.map(cli::flag))
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let settings = cli::typed(matches);
    let out = matches.get_one::<PathBuf>("to").cloned().unwrap_or_default();
    let folder =
        matches.get_one::<PathBuf>("work").cloned().unwrap_or_else(|| out.with_extension("sweep"));
    let path = match matches.get_one::<String>("prompts-file") {
        Some(path) => path.clone(),
        None => bundled::prompts()?.display().to_string(),
    };
    let count = matches.get_one::<usize>("prompts").copied().unwrap_or(usize::MAX);
    let prompts: Vec<String> = prompts(&path)?.into_iter().take(count).collect();
    let methods: Vec<&str> = match matches.get_many::<String>("methods") {
        Some(names) => names.map(String::as_str).collect(),
        None => NAMES.iter().copied().filter(|name| *name != "dense").collect(),
    };
    let densities: Vec<f64> =
        matches.get_many::<f64>("densities").into_iter().flatten().copied().collect();
    if let Some(wrong) = densities.iter().find(|density| !(0.0..=1.0).contains(*density)) {
        return Err(Usage(format!("--densities: expected numbers from 0 to 1, got {wrong}")).into());
    }
    let sweep = table::sweep(&settings, &methods, &densities, prompts);

    let interrupt = Interrupt::install()?;
    let Some(results) =
        sweep::results(&sweep, &folder, matches, &interrupt, matches.get_flag("quiet"))?
    else {
        return Ok(Exit::Cancelled);
    };
    let summary = Summary::new(&results);
    let preface = matches.get_one::<String>("preface").cloned().unwrap_or_default();
    write(&out.with_extension("md"), &table::markdown(&results, &summary, &preface))?;
    write(&out.with_extension("csv"), &table::csv(&summary))?;
    write(&out.with_extension("clips.csv"), &csv(&results))?;
    sweep::report(&results)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(())
}
