//! `tessera sweep`: a sweep file to a folder of results with a report, here or by tasks of a scheduler.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, ValueHint, value_parser};
use tessera_pipeline::machine::Machine;
use tessera_pipeline::sweep::{
    self, Estimate, Executor, Folder, Local, Manifest, Progress, Results, Role, Sweep, Told,
};
use tessera_pipeline::{Error, history};

use crate::exit::Exit;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::slurm;
use crate::text::{bytes, duration, plural};

/// What may be typed.
pub(crate) fn command() -> Command {
    let path = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FOLDER")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::DirPath)
    };
    Command::new("sweep")
        .about("Makes the same prompts and seeds with many settings, measures each clip against the dense one, and reports")
        .long_about(
            "Makes the same prompts and seeds with many settings, measures each clip against the dense one, and reports.\n\n\
             FILE (TOML) names what all clips share, the axes that vary and the prompts and seeds; the README shows one. \
             Every finished clip is kept in the folder at once, so a sweep that was stopped, killed or ran out of disk goes on \
             with the same command. The folder gets masters (FFV1), results as CSV, JSON and SQLite, and report.html, whose \
             path is printed on standard output.",
        )
        .after_help(Exit::table())
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .help("The sweep file")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath),
        )
        .arg(path("out").help("Where results go; the file's name without its ending, in the current folder, by default"))
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Prints the clips, time and disk that it would take, and makes nothing"),
        )
        .arg(
            Arg::new("executor")
                .long("executor")
                .value_name("NAME")
                .default_value("local")
                .value_parser(["local", "slurm"])
                .help("Who makes the clips: local, this machine; slurm, the tasks of a job array on nodes that share the folder"),
        )
        .arg(
            Arg::new("jobs")
                .long("jobs")
                .value_name("N")
                .default_value("1")
                .help("Clips made at once, each on an even share of the cores; times are only fair with 1")
                .value_parser(value_parser!(u16).range(1..)),
        )
        .arg(
            Arg::new("retry-failed")
                .long("retry-failed")
                .action(ArgAction::SetTrue)
                .help("Makes clips that failed again; otherwise they stay as failed rows"),
        )
        .arg(path("report").conflicts_with("file").help("Only makes the tables and the report of this folder anew"))
        .arg(path("work-in").hide(true).conflicts_with_all(["file", "report"]))
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .help("Shows no progress, only errors"),
        )
        .args(slurm::arguments())
        .group(ArgGroup::new("what").args(["file", "report", "work-in"]).required(true))
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    if let Some(folder) = matches.get_one::<PathBuf>("report") {
        return report(&Results::open(folder)?);
    }
    let interrupt = Interrupt::install()?;
    let quiet = matches.get_flag("quiet");
    if let Some(folder) = matches.get_one::<PathBuf>("work-in") {
        return work_in(folder, matches, &interrupt);
    }
    let file = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let sweep = Sweep::read(&file)?;
    let manifest = Manifest::new(&sweep)?;
    let folder = matches
        .get_one::<PathBuf>("out")
        .cloned()
        .unwrap_or_else(|| PathBuf::from(file.file_stem().unwrap_or_default()));
    if matches.get_flag("dry-run") {
        let finished = |planned: &sweep::Planned| {
            Folder::open(&folder).is_ok_and(|folder| folder.is_finished(&planned.key))
        };
        let estimate = Estimate::new(&manifest, &finished, &Machine::detect(), &history::rates())?;
        writeln!(io::stdout(), "{}", told(&manifest, &estimate))?;
        return Ok(Exit::Success);
    }
    if folder.is_file() {
        let told =
            format!("--out {}: expected a folder, got a file; name another", folder.display());
        return Err(Usage(told).into());
    }
    results(&sweep, &folder, matches, &interrupt, quiet)?
        .map_or(Ok(Exit::Cancelled), |results| report(&results))
}

/// The finished sweep; `None` when it was stopped. Also what `tessera table` does with its own.
pub(crate) fn results(
    sweep: &Sweep,
    path: &Path,
    matches: &ArgMatches,
    interrupt: &Interrupt,
    quiet: bool,
) -> anyhow::Result<Option<Results>> {
    let manifest = Manifest::new(sweep)?;
    let folder = Folder::prepare(path, &manifest)?;
    if matches.try_get_one::<bool>("retry-failed").is_ok_and(|on| on == Some(&true)) {
        let _alone = folder.alone()?;
        folder.forget_failures()?;
    }
    if !quiet {
        let estimate = Estimate::of(&folder, &Machine::detect(), &history::rates())?;
        writeln!(io::stderr(), "{}", told(&manifest, &estimate))?;
    }
    let executor = executor(sweep, matches)?;
    let outcome = sweep::run(sweep, path, &*executor, &listener(quiet, interrupt));
    match outcome {
        Err(Error::Cancelled) => {
            writeln!(io::stderr(), "stopped; the same command goes on from {}", path.display())?;
            Ok(None)
        }
        outcome => Ok(Some(outcome?)),
    }
}

/// Who makes the clips.
fn executor(sweep: &Sweep, matches: &ArgMatches) -> anyhow::Result<Box<dyn Executor>> {
    let jobs = usize::from(matches.get_one::<u16>("jobs").copied().unwrap_or(1));
    // `tessera table` has no such flag.
    let name = matches.try_get_one::<String>("executor").ok().flatten();
    if name.is_some_and(|name| name == "slurm") {
        return Ok(Box::new(slurm::executor(sweep, matches, jobs)?));
    }
    Ok(Box::new(Local { jobs }))
}

/// A task of a scheduler: works in a folder beside others until nothing is left.
fn work_in(path: &Path, matches: &ArgMatches, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let folder = Folder::open(path)?;
    let _beside_others = folder.together()?;
    let jobs = usize::from(matches.get_one::<u16>("jobs").copied().unwrap_or(1));
    sweep::work(&folder, jobs, &listener(matches.get_flag("quiet"), interrupt))?;
    Ok(Exit::Success)
}

/// Makes the report and says where it is. Failed clips are told by the exit code too.
pub(crate) fn report(results: &Results) -> anyhow::Result<Exit> {
    let path = sweep::remake_report(results)?;
    writeln!(io::stdout(), "{}", path.display())?;
    let made = results.cells().filter(|cell| cell.made().is_some()).count();
    let failed = results.cells().filter(|cell| cell.made().is_none()).count();
    if failed > 0 {
        writeln!(
            io::stderr(),
            "{} failed; the report names them, --retry-failed makes them again",
            plural(failed as u64, "clip")
        )?;
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::of_batch(made, &vec![Exit::Partial; failed]) })
}

/// Shows each clip as it is finished, and stops when Ctrl-C was pressed.
fn listener(quiet: bool, interrupt: &Interrupt) -> impl Fn(&Progress) -> bool + Sync {
    let last = Mutex::new(());
    move |progress: &Progress| {
        if !quiet && let Told::Notice(text) = &progress.event {
            let _one_at_a_time = last.lock();
            let _ = writeln!(io::stderr(), "{text}");
        }
        if !quiet && let Told::Finished { arm, error, .. } = &progress.event {
            let _one_at_a_time = last.lock();
            let left = progress.seconds_left.map_or(String::new(), |seconds| {
                format!("; about {} left", duration((seconds * 1000.0) as u64))
            });
            let failed = error.as_ref().map_or(String::new(), |error| format!(" failed: {error}"));
            // With standard error closed there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "{} of {}: {arm}{failed}{left}",
                progress.finished,
                progress.of
            );
        }
        !interrupt.asked()
    }
}

/// What a sweep comes to, before it starts.
fn told(manifest: &Manifest, estimate: &Estimate) -> String {
    let sweep = &manifest.sweep;
    let compared = manifest.arms.iter().filter(|arm| arm.role == Role::Compared).count();
    let left = estimate.clips - estimate.finished;
    let found = if estimate.finished == 0 {
        String::new()
    } else {
        format!(", {} finished already", estimate.finished)
    };
    let guess = if estimate.is_measured {
        "by earlier runs here"
    } else {
        "a guess: there are no runs to go by"
    };
    let mut text = format!(
        "{}: {} ({} × {} × {} beside dense, {}){found}\n{left} to make: about {} ({guess}), {} of disk",
        sweep.title,
        plural(estimate.clips as u64, "clip"),
        plural(sweep.prompts.len() as u64, "prompt"),
        plural(sweep.seeds.len() as u64, "seed"),
        plural(compared as u64, "arm"),
        plural(u64::from(sweep.repeats), "dense repeat"),
        duration((estimate.seconds * 1000.0) as u64),
        bytes(estimate.bytes),
    );
    for (arm, reason) in &estimate.refused {
        // Writing to a String cannot fail.
        let _ = write!(text, "\ncannot be made: {arm}: {}", reason.replace('\n', "; "));
    }
    text
}
