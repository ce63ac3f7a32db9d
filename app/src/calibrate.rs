//! `tessera calibrate`: a few prompts through the dense model, and what they teach about its heads as a plan file.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde_json::Value;
use tessera_pipeline::bundled;
use tessera_pipeline::request::Request;
use tessera_pipeline::settings::SETTINGS;
use tessera_pipeline::sparsity::calibration::{
    GROUPS, OrderBy, PROMPTS, PlanFile, Spec, calibrate,
};

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::generate;
use crate::interrupt::Interrupt;
use crate::tenths::Tenths;
use crate::text::{bytes, duration};

/// Settings of a clip that a calibration has too.
const SHARED: &[&str] = &[
    "negative",
    "width",
    "height",
    "frames",
    "steps",
    "guidance",
    "flow_shift",
    "sampler",
    "seed",
    "model",
    "device",
    "dtype",
    "override_memory",
];
/// Prompts, unless more or fewer are asked for.
const COUNT: usize = 3;
/// Ending of a plan's name.
const ENDING: &str = "plan.safetensors";

/// What may be typed.
pub(crate) fn command() -> Command {
    let settings = SETTINGS.iter().filter(|setting| SHARED.contains(&setting.key));
    Command::new("calibrate")
        .about("Learns from a few prompts how a model's heads attend, and writes a plan file for --plan")
        .long_about(
            "Learns from a few prompts how a model's heads attend, and writes a plan file for --plan.\n\n\
             The prompts are run densely, twice, at the size that the plan is for, and some steps are looked at: the \
             token order in which each head's attention is most block-sparse, the mean mass of its blocks there, the \
             static patterns that fit it, how far it looks, and its share of a budget. The methods paro, sparse-vdit \
             and moa, and `--order calibrated`, need a plan. A plan holds for one model at one size; \
             `tessera inspect PLAN` shows it.",
        )
        .after_help(Exit::table())
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("PATH")
                .help(format!("The file to write; MODEL-TOKENS.{ENDING} by default"))
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("overwrite")
                .long("overwrite")
                .action(ArgAction::SetTrue)
                .help("Replaces the file if there is one"),
        )
        .arg(
            Arg::new("prompts-file")
                .long("prompts-file")
                .value_name("PATH")
                .help("One prompt a line; the bundled model's examples, or neutral ones, by default")
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("prompts")
                .long("prompts")
                .value_name("N")
                .default_value(COUNT.to_string())
                .help("Only the first so many of them")
                .value_parser(value_parser!(usize)),
        )
        .arg(
            Arg::new("groups")
                .long("groups")
                .value_name("N")
                .default_value(GROUPS.to_string())
                .help("Groups of timesteps that have masks of their own; the last is the second half of the steps")
                .value_parser(value_parser!(usize)),
        )
        .arg(
            Arg::new("order-by")
                .long("order-by")
                .value_name("NAME")
                .default_value("loss")
                .help("What orders are chosen by: loss (least expected error of tessera's maps, of eight orders), mass (fewest blocks for 95 % of it, of the same) or paro (PARO's metric, of six)")
                .value_parser(|text: &str| text.parse::<OrderBy>()),
        )
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .help("Shows no progress, only errors"),
        )
        .args(settings.map(cli::flag))
        .arg(cli::size())
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let settings = cli::typed(matches);
    let base: Request =
        serde_json::from_value(Value::Object(settings)).context("reading the settings")?;
    let prompts = prompts(&base, matches)?;
    let order_by = matches.get_one("order-by").copied().unwrap_or(OrderBy::Loss);
    let groups = matches.get_one("groups").copied().unwrap_or(GROUPS);
    let asked = matches.get_one::<PathBuf>("to");
    if let Some(taken) = asked.filter(|path| path.exists() && !matches.get_flag("overwrite")) {
        return Err(Usage(format!(
            "--to {}: the file exists; choose another name, or add --overwrite to replace it",
            taken.display()
        ))
        .into());
    }

    let interrupt = Interrupt::install()?;
    let mut shown = Tenths::new(matches.get_flag("quiet"));
    let spec = Spec { base, prompts, groups, order_by };
    let started = Instant::now();
    let plan = calibrate(&spec, &mut |progress| {
        shown.show(progress.doing, progress.done, progress.of);
        !interrupt.asked()
    })?;
    let path = asked.cloned().unwrap_or_else(|| name(&plan));
    plan.write(&path)?;
    let size = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
    shown.say(&format!(
        "wrote {} ({}) in {}",
        path.display(),
        bytes(size),
        duration(started.elapsed().as_millis() as u64)
    ));
    shown.say(plan.to_string().trim_end());
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(Exit::Success)
}

/// The prompts of the file that was named, or the ones that suit the model.
fn prompts(base: &Request, matches: &ArgMatches) -> anyhow::Result<Vec<String>> {
    let count = matches.get_one::<usize>("prompts").copied().unwrap_or(COUNT);
    let is_bundled = base.model.as_deref().is_none_or(bundled::is_bundled);
    let all = match matches.get_one::<String>("prompts-file") {
        Some(path) => generate::prompts(path)?,
        None if is_bundled => generate::prompts(&bundled::prompts()?.display().to_string())?,
        None => PROMPTS.map(String::from).to_vec(),
    };
    if count == 0 {
        return Err(Usage(String::from("--prompts: expected at least 1, got 0")).into());
    }
    Ok(all.into_iter().take(count).collect())
}

/// A name that says what the plan is for, and that no file has yet.
fn name(plan: &PlanFile) -> PathBuf {
    let grid = plan.grid;
    let stem = format!("{}-{}x{}x{}", plan.model, grid.frames, grid.rows, grid.cols);
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let names = std::iter::once(stem.clone()).chain(numbered);
    let mut paths = names.map(|name| PathBuf::from(format!("{name}.{ENDING}")));
    paths.find(|path| !path.exists()).unwrap_or_default()
}
