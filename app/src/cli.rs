//! The command line: what may be typed.
//!
//! The flags of `generate` and `resume` are the rows of `tessera_pipeline::settings::SETTINGS`: flag, range,
//! default, help and heading come from there, and a new setting is a new flag without a line here. Only
//! what is about running rather than about the clip (a file of prompts, a dry run, events) is named in
//! this file.

use clap::builder::{PossibleValuesParser, TypedValueParser as _, ValueParser};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, ValueHint};
use serde_json::{Map, Value};
use tessera_pipeline::resume;
use tessera_pipeline::settings::{Kind, Preset, SETTINGS, Section, Setting, parse_size};

use crate::exit::Exit;
use crate::methods;

/// Heading of the flags that are about running.
const RUNNING: &str = "Running";

/// The whole command line.
pub fn command() -> Command {
    Command::new("tessera")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Text to video, from a Wan checkpoint folder or the bundled model, on this machine alone. Without a command it opens the window, with `tessera FILE` on that clip or recording.")
        .after_help(Exit::table())
        .max_term_width(100)
        .subcommand(generate())
        .subcommand(resume_command())
        .subcommand(inspect())
        .subcommand(crate::history::command())
        .subcommand(doctor())
        .subcommand(crate::calibrate::command())
        .subcommand(methods::command())
        .subcommand(crate::replay::command())
        .subcommand(crate::export::command())
        .subcommand(crate::table::command())
        .subcommand(crate::measure::command())
        .subcommand(crate::tune::command())
        .subcommand(crate::sweep::command())
}

fn generate() -> Command {
    Command::new("generate")
        .about("Makes clips from a prompt, or from a file of prompts")
        .long_about(
            "Makes clips from a prompt, or from a file of prompts.\n\n\
             The path of each finished file is printed on standard output, everything else on standard \
             error. Every file carries its settings: `tessera inspect FILE` shows them, `--like FILE` \
             takes them again. Ctrl-C stops cleanly and says what was kept; a second one ends at once.",
        )
        .after_help(Exit::table())
        .args(SETTINGS.iter().map(flag))
        .arg(
            Arg::new("prompts-file")
                .long("prompts-file")
                .value_name("PATH")
                .help("One prompt a line; empty lines and lines that begin with # are left out; - is standard input")
                .help_heading(Section::Prompt.to_string())
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("like")
                .long("like")
                .value_name("PATH")
                .help("Takes every setting from a video or JSON file of Tessera's; flags beside it win")
                .help_heading(Section::Prompt.to_string())
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("tuned")
                .long("tuned")
                .value_name("NAME")
                .help("A preset that `tessera tune` made for this model, size and device: exact, balanced or fast; flags beside it win")
                .help_heading(Section::Sparsity.to_string())
                .value_parser(["exact", "balanced", "fast"]),
        )
        .group(ArgGroup::new("what").args(["prompt", "prompts-file", "like"]).multiple(true).required(true))
        .mut_arg("prompt", |arg| arg.conflicts_with("prompts-file"))
        .arg(size())
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Prints what would be done, with sizes, memory, time and files, and does none of it")
                .help_heading(RUNNING),
        )
        .args(running())
}

fn resume_command() -> Command {
    let settings = SETTINGS.iter().filter(|setting| resume::KEYS.contains(&setting.key));
    Command::new("resume")
        .about("Decodes saved latents: after a crash, or again with other output settings")
        .long_about(
            "Decodes saved latents: after a crash, or again with other output settings.\n\n\
             Latents are written before decoding starts, so whatever happened later, the denoising is not \
             lost. The settings inside the file are taken; flags beside it win.",
        )
        .after_help(Exit::table())
        .arg(
            Arg::new("latents")
                .value_name("LATENTS")
                .required(true)
                .num_args(1..)
                .help("Files that a run saved before it decoded")
                .value_parser(clap::value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::FilePath),
        )
        .args(settings.map(flag))
        .args(running())
}

fn inspect() -> Command {
    Command::new("inspect")
        .about("Says what a file or folder is: a model and what is wrong with it, or the settings in a video")
        .after_help(Exit::table())
        .arg(
            Arg::new("path")
                .value_name("PATH")
                .required(true)
                .help("A model folder, a video, saved latents, a calibration plan, a recording or a settings file")
                .value_parser(clap::value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::AnyPath),
        )
        .arg(json())
}

fn doctor() -> Command {
    Command::new("doctor")
        .about("Says what this machine can do: devices, memory, encoders that really open")
        .after_help(Exit::table())
        .arg(json())
}

/// JSON in place of text.
pub(crate) fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Prints JSON instead of text")
}

/// The recording that a command is about.
pub(crate) fn recording() -> Arg {
    Arg::new("recording")
        .value_name("RECORDING")
        .required(true)
        .help("A file that `tessera generate … --record FILE` made")
        .value_parser(clap::value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::FilePath)
}

/// Width and height in one flag.
pub(crate) fn size() -> Arg {
    Arg::new("size")
        .long("size")
        .value_name("WIDTHxHEIGHT")
        .help("Both at once, such as 832x480")
        .help_heading(Section::Size.to_string())
        .value_parser(parse_size)
        .conflicts_with_all(["width", "height"])
}

/// The flags that `generate` and `resume` share.
fn running() -> [Arg; 3] {
    [
        Arg::new("overwrite")
            .long("overwrite")
            .action(ArgAction::SetTrue)
            .help("Replaces the file that --out names, if there is one")
            .help_heading(RUNNING),
        Arg::new("events")
            .long("events")
            .value_name("FORMAT")
            .value_parser(["jsonl"])
            .help("Writes every event to standard output as one JSON object a line, in place of paths and bars")
            .help_heading(RUNNING),
        Arg::new("quiet")
            .long("quiet")
            .short('q')
            .action(ArgAction::SetTrue)
            .help("Shows no progress, only errors")
            .help_heading(RUNNING),
    ]
}

/// The flag of one setting; the prompt is the one that is typed without a flag.
pub(crate) fn flag(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.key)
        .help(setting.help)
        .long_help(long_help(setting))
        .help_heading(setting.section.to_string())
        .value_name(value_name(setting))
        .value_parser(parser(setting))
        .hide_possible_values(true);
    let arg = match setting.kind {
        Kind::Path => arg.value_hint(ValueHint::AnyPath),
        Kind::Choice(_) => arg.ignore_case(true),
        // Both `--save-frames` and `--save-frames=false`; never the word after it.
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Int { .. } | Kind::Float { .. } => arg.allow_negative_numbers(true),
        Kind::Text | Kind::Form { .. } => arg,
    };
    if setting.key == "prompt" { arg } else { arg.long(setting.flag) }
}

/// The help with what is allowed below it: `[a whole number from 1 to 1000 steps; default: what suits the model]`.
fn long_help(setting: &Setting) -> String {
    let mut allowed = setting.kind.to_string();
    if !setting.unit.is_empty() && matches!(setting.kind, Kind::Int { .. } | Kind::Float { .. }) {
        allowed = format!("{allowed} {}", setting.unit);
    }
    match (setting.kind, setting.default) {
        // That a text is a text needs no saying.
        (Kind::Text, Preset::Text("")) => setting.help.to_owned(),
        (_, preset) if setting.key == "attention" => {
            format!("{}\n{}[default: {preset}]", setting.help, methods::list())
        }
        (_, preset) => format!("{}\n[{allowed}; default: {preset}]", setting.help),
    }
}

fn value_name(setting: &Setting) -> &'static str {
    match setting.kind {
        Kind::Int { .. } => "N",
        Kind::Float { .. } => "X",
        Kind::Path => "PATH",
        Kind::Bool => "BOOL",
        Kind::Choice(_) => "NAME",
        Kind::Text if setting.key == "prompt" => "PROMPT",
        Kind::Text => "TEXT",
        Kind::Form { .. } => "VALUE",
    }
}

/// Reads what was typed into the JSON that the request holds, within the bounds of the table.
fn parser(setting: &'static Setting) -> ValueParser {
    match setting.kind {
        Kind::Choice(words) => {
            PossibleValuesParser::new(words).map(|word| Value::from(word.to_lowercase())).into()
        }
        _ => ValueParser::from(move |text: &str| setting.parse(text)),
    }
}

/// The settings that were typed, under their keys in the request.
pub(crate) fn typed(matches: &ArgMatches) -> Map<String, Value> {
    let mut given = Map::new();
    for setting in SETTINGS {
        // `resume` has only some of the flags; one that it lacks was not typed.
        if let Ok(Some(value)) = matches.try_get_one::<Value>(setting.key) {
            given.insert(setting.key.to_owned(), value.clone());
        }
    }
    if let Ok(Some(&(width, height))) = matches.try_get_one::<(u32, u32)>("size") {
        given.insert(String::from("width"), width.into());
        given.insert(String::from("height"), height.into());
    }
    given
}

#[cfg(test)]
mod tests;
