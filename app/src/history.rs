//! `tessera history`: finished runs, found by the same words and conditions as in the window. Finding is pipeline's; this prints.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tessera_pipeline::Error;
use tessera_pipeline::history::{self, History, Query, Row, keys};
use tessera_pipeline::inspect::Report;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::text::{duration, plural, shorten};

/// Runs that are listed unless more are asked for.
const LISTED: &str = "20";

/// What may be typed.
pub(crate) fn command() -> Command {
    Command::new("history")
        .about("Lists, searches, shows and forgets finished runs")
        .after_help(Exit::table())
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("Lists runs, the newest first")
                .long_about(format!(
                    "Lists runs, the newest first.\n\n\
                     Words are looked for in prompts, negative prompts, tags, models and methods, by their beginnings. Conditions \
                     compare a setting: steps>=20, sampler=euler, starred=yes, tag=\"two words\" (=, !=, <, <=, >, >=). All must \
                     hold. Conditions may be on: {}.",
                    keys().collect::<Vec<_>>().join(", ")
                ))
                .arg(
                    Arg::new("query")
                        .value_name("QUERY")
                        .num_args(0..)
                        .help("Words and conditions, all of which must fit: red ball \"steps>=20\"; all runs by default"),
                )
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_name("N")
                        .default_value(LISTED)
                        .help("Most runs to list; 0 lists all")
                        .value_parser(value_parser!(usize)),
                )
                .arg(cli::json()),
        )
        .subcommand(
            Command::new("show")
                .about("Shows all that is known of a run: what was asked, what ran, its files")
                .arg(id().help("Its number, as `tessera history list` tells"))
                .arg(cli::json()),
        )
        .subcommand(
            Command::new("remove")
                .about("Forgets runs; their files stay")
                .arg(id().num_args(1..).help("Their numbers, as `tessera history list` tells"))
                .arg(
                    Arg::new("with-video")
                        .long("with-video")
                        .action(ArgAction::SetTrue)
                        .help("Deletes their videos too"),
                ),
        )
}

fn id() -> Arg {
    Arg::new("id").value_name("ID").required(true).value_parser(value_parser!(i64))
}

/// Runs the subcommand. Nothing is made where there is no history.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let folder = history::data_dir().ok_or_else(|| {
        Usage("there is no home folder to keep a history in; set TESSERA_DATA_DIR".into())
    })?;
    let history = History::open_if_there(&folder)?;
    if let Some(told) = history.as_ref().and_then(History::told) {
        writeln!(io::stderr(), "{told}")?;
    }
    match matches.subcommand() {
        Some(("show", matches)) => show(history.as_ref(), matches),
        Some(("remove", matches)) => remove(history.as_ref(), matches),
        Some((_, matches)) => list(history.as_ref(), matches),
        None => Ok(Exit::Usage), // clap asks for one
    }
}

fn list(history: Option<&History>, matches: &ArgMatches) -> anyhow::Result<Exit> {
    let words: Vec<&str> =
        matches.get_many::<String>("query").into_iter().flatten().map(String::as_str).collect();
    let query = Query::parse(&words.join(" "));
    if let Some(problem) = query.problems.first() {
        return Err(Usage(problem.clone()).into());
    }
    let found = match history {
        Some(history) => history.find(&query)?,
        None => Vec::new(),
    };
    let most = match matches.get_one::<usize>("limit") {
        Some(0) | None => found.len(),
        Some(limit) => found.len().min(*limit),
    };
    let rows = match history {
        Some(history) => history.rows(&found[..most])?,
        None => Vec::new(),
    };
    let mut out = io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(Exit::Success);
    }
    for row in &rows {
        writeln!(out, "{}", line(row))?;
    }
    let count = plural(found.len() as u64, "run");
    if rows.len() < found.len() {
        writeln!(io::stderr(), "{} of {count}; --limit 0 lists all", rows.len())?;
    } else if rows.is_empty() {
        writeln!(io::stderr(), "{count}")?;
    }
    Ok(Exit::Success)
}

/// A run in one line: number, star, when, how long, method, prompt, tags, where.
fn line(row: &Row) -> String {
    let star = if row.is_starred { '*' } else { ' ' };
    let tags = if row.tags.is_empty() { String::new() } else { format!("  # {}", row.tags) };
    let video = row.video.display();
    let place = if row.is_gone { format!("{video} (gone)") } else { video.to_string() };
    format!(
        "{:>5} {star} {}  {:>11}  {:<10}  {:<48}  {place}{tags}",
        row.id,
        row.finished,
        duration((row.seconds * 1000.0) as u64),
        row.method,
        shorten(&row.prompt, 48)
    )
}

fn show(history: Option<&History>, matches: &ArgMatches) -> anyhow::Result<Exit> {
    let id = *matches.get_one::<i64>("id").ok_or_else(|| Usage("a number is missing".into()))?;
    let (history, row) = found(history, id)?;
    let receipt = history.receipt(id)?;
    let mut out = io::stdout().lock();
    if matches.get_flag("json") {
        let all = serde_json::json!({ "run": row, "receipt": receipt });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(Exit::Success);
    }
    writeln!(
        out,
        "run        {id}, {}{}",
        row.finished,
        if row.is_starred { ", starred" } else { "" }
    )?;
    if !row.tags.is_empty() {
        writeln!(out, "tags       {}", row.tags)?;
    }
    if row.is_gone {
        writeln!(out, "gone       {}", row.video.display())?;
    }
    if let Some(receipt) = receipt {
        write!(out, "{}", Report::Sidecar(Box::new(receipt)))?;
    }
    Ok(Exit::Success)
}

/// Forgets all of them or, when one is not there, none.
fn remove(history: Option<&History>, matches: &ArgMatches) -> anyhow::Result<Exit> {
    let ids = matches.get_many::<i64>("id").into_iter().flatten();
    let rows = ids.map(|id| found(history, *id)).collect::<anyhow::Result<Vec<_>>>()?;
    for (history, row) in rows {
        if matches.get_flag("with-video") {
            remove_file(&row.video)?;
        }
        history.remove(row.id)?;
        writeln!(io::stderr(), "forgot {}: {}", row.id, shorten(&row.prompt, 60))?;
    }
    Ok(Exit::Success)
}

/// Deletes a file; one that is not there any more is as good as deleted.
fn remove_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error).into()),
        _ => Ok(()),
    }
}

fn found(history: Option<&History>, id: i64) -> anyhow::Result<(&History, Row)> {
    let missing =
        || Usage(format!("there is no run {id}; `tessera history list` tells which there are"));
    let history = history.ok_or_else(missing)?;
    let row = history.rows(&[id])?.pop().ok_or_else(missing)?;
    Ok((history, row))
}
