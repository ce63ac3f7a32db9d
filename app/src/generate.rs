//! `tessera generate`: from what was typed to one job a clip.
//!
//! ```text
//! --like FILE → settings ┐
//! flags ─────────────────┴→ one request ─ prompts × count → one request a clip, each with its own file → jobs
//! ```

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ArgMatches;
use serde_json::{Map, Value};
use tessera_pipeline::events::Command;
use tessera_pipeline::inspect as report;
use tessera_pipeline::machine::Machine;
use tessera_pipeline::plan::Plan;
use tessera_pipeline::request::Request;
use tessera_pipeline::{Error, history};

use crate::cli;
use crate::exit::Exit;
use crate::failure::{self, Usage};
use crate::inspect;
use crate::session::{self, Job};
use crate::text::shorten;
use crate::tune;

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let requests = requests(matches)?;
    if matches.get_flag("dry-run") {
        return dry_run(&requests, matches.contains_id("events"));
    }
    refuse_existing(requests.iter().filter_map(|request| request.out.as_ref()), matches)?;
    let count = requests.len();
    let jobs = requests
        .into_iter()
        .enumerate()
        .map(|(index, request)| job(index + 1, count, request))
        .collect();
    session::run(jobs, matches)
}

/// One request a clip, each with its seed and, where a file was named, its own file.
fn requests(matches: &ArgMatches) -> anyhow::Result<Vec<Request>> {
    let mut settings = match matches.get_one::<String>("like") {
        Some(path) => settings_of(Path::new(path))?,
        None => Map::new(),
    };
    let typed = cli::typed(matches);
    settings.extend(typed.clone());
    if let Some(name) = matches.get_one::<String>("tuned") {
        tune::with_preset(name, &typed, &mut settings)?;
    }
    let base: Request =
        serde_json::from_value(Value::Object(settings)).context("reading the settings")?;

    let prompts = match matches.get_one::<String>("prompts-file") {
        Some(path) => prompts(path)?,
        None => vec![base.prompt.clone()],
    };
    if prompts.iter().any(|prompt| prompt.trim().is_empty()) {
        return Err(Usage(String::from(
            "the prompt is empty: say what the clip shows, such as \"a red ball bouncing on a blue floor\"",
        ))
        .into());
    }
    if let Some(out) = base.out.as_ref().filter(|out| prompts.len() > 1 && !names_a_folder(out)) {
        return Err(Usage(format!(
            "--out {}: several prompts cannot share one file; name a folder, with a / at its end if it is new",
            out.display()
        ))
        .into());
    }
    Ok(prompts
        .into_iter()
        .flat_map(|prompt| Request { prompt, ..base.clone() }.variations())
        .collect())
}

/// The settings inside a video, sidecar or request, without the names of the files that it wrote; a request has written none.
fn settings_of(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let has_written = !matches!(report::inspect(path)?, report::Report::Request(_));
    let request = inspect::request_of(path)?;
    let mut settings = match serde_json::to_value(request)? {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    if has_written {
        settings.remove("out");
        settings.remove("record");
    }
    Ok(settings)
}

/// Whether this path is a folder to put files into: there as one, or written with a slash at its end.
pub(crate) fn names_a_folder(path: &Path) -> bool {
    path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator)
}

/// The prompts of a file, one a line; `-` is standard input.
pub(crate) fn prompts(path: &str) -> anyhow::Result<Vec<String>> {
    let text = if path == "-" {
        io::read_to_string(io::stdin()).map_err(Error::io(Path::new("standard input")))?
    } else {
        std::fs::read_to_string(path).map_err(Error::io(Path::new(path)))?
    };
    let prompts = split(&text);
    if prompts.is_empty() {
        return Err(Usage(format!(
            "--prompts-file {path}: expected one prompt a line, got no line with a prompt in it"
        ))
        .into());
    }
    Ok(prompts)
}

/// The lines that hold a prompt: neither empty nor a remark. A byte order mark, as Windows editors write it, is no letter.
fn split(text: &str) -> Vec<String> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Prints every plan; a request that cannot be planned, or does not fit, does not hide the others.
fn dry_run(requests: &[Request], json: bool) -> anyhow::Result<Exit> {
    let machine = Machine::detect();
    let rates = history::rates();
    let mut out = io::stdout().lock();
    let mut planned = 0;
    let mut failures = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let plan = match Plan::resolve_with(request, &machine, &rates).map_err(anyhow::Error::from)
        {
            Ok(plan) => plan,
            Err(error) => {
                failures.push(failure::exit_code(&error));
                writeln!(io::stderr(), "tessera: {}", failure::message(&error))?;
                continue;
            }
        };
        if json {
            writeln!(out, "{}", serde_json::to_string(&plan)?)?;
        } else {
            let gap = if index > 0 { "\n" } else { "" };
            writeln!(out, "{gap}{}", plan.to_string().trim_end())?;
        }
        // The plan has said in its own words that it does not fit; the code says it to scripts.
        match plan.check_memory() {
            Ok(()) => planned += 1,
            Err(error) => failures.push(failure::exit_code(&error.into())),
        }
    }
    Ok(Exit::of_batch(planned, &failures))
}

/// A named file that is there already is somebody's work.
pub(crate) fn refuse_existing<'a>(
    outs: impl IntoIterator<Item = &'a PathBuf>,
    matches: &ArgMatches,
) -> Result<(), Usage> {
    if matches.get_flag("overwrite") {
        return Ok(());
    }
    match outs.into_iter().find(|out| out.is_file()) {
        None => Ok(()),
        Some(taken) => Err(Usage(format!(
            "--out {}: the file exists; choose another name, or add --overwrite to replace it",
            taken.display()
        ))),
    }
}

fn job(number: usize, count: usize, request: Request) -> Job {
    let seed = request.seed.unwrap_or_default();
    let title = format!("clip {number} of {count}, seed {seed}: {}", shorten(&request.prompt, 60));
    Job { title, start: Box::new(move |job| Command::Generate { job, request: Box::new(request) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requests of a command line.
    fn requests_of(args: &[&str]) -> anyhow::Result<Vec<Request>> {
        let all = ["tessera", "generate"].iter().chain(args);
        let matches = cli::command().try_get_matches_from(all)?;
        requests(matches.subcommand_matches("generate").expect("generate"))
    }

    #[test]
    fn prompts_are_lines_without_remarks() {
        let text = "\u{feff}a red ball\r\n\n  # a remark\n a blue cube \n";
        assert_eq!(split(text), ["a red ball", "a blue cube"]);
    }

    #[test]
    fn each_prompt_is_made_with_each_seed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("prompts.txt");
        tessera_pipeline::files::write_atomically(&path, |file| file.write_all(b"one\ntwo\n"))
            .expect("a file");
        let flag = format!("--prompts-file={}", path.display());
        let all = requests_of(&[&flag, "--count=2", "--seed=7"]).expect("valid");
        let seen: Vec<_> =
            all.iter().map(|request| (request.prompt.as_str(), request.seed)).collect();
        assert_eq!(seen, [("one", Some(7)), ("one", Some(8)), ("two", Some(7)), ("two", Some(8))]);
        let error = requests_of(&[&flag, "--out=clip.mp4"]).expect_err("two prompts, one file");
        assert!(error.to_string().contains("clip.mp4"), "{error}");
    }

    #[test]
    fn an_empty_prompt_is_refused_with_advice() {
        let error = requests_of(&["  "]).expect_err("nothing to show");
        assert!(error.to_string().contains("such as"), "{error}");
        assert_eq!(failure::exit_code(&error), Exit::Usage);
    }

    #[test]
    fn flags_win_over_the_settings_of_a_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("clip.json");
        let text =
            br#"{"version":1,"prompt":"a cat","steps":9,"seed":3,"out":"old.mp4","later":{"x":1}}"#;
        tessera_pipeline::files::write_atomically(&path, |file| file.write_all(text))
            .expect("a file");
        let all =
            requests_of(&[&format!("--like={}", path.display()), "--steps=4"]).expect("valid");
        assert_eq!(
            (all[0].prompt.as_str(), all[0].steps, all[0].seed),
            ("a cat", Some(4), Some(3))
        );
        let out = all[0].out.as_deref();
        assert_eq!(out, Some(Path::new("old.mp4")), "a request has written nothing yet");
        assert!(all[0].unknown.contains_key("later"));
    }
}
