//! The flags of `tessera sweep` that are about Slurm.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use tessera_pipeline::slurm::{MOST_TASKS, Options, TASKS};
use tessera_pipeline::sweep::{Slurm, Sweep};

/// Heading of these flags.
const HEADING: &str = "With --executor slurm (each wins over the file's table [slurm])";

/// What may be typed.
pub(crate) fn arguments() -> [Arg; 5] {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).help_heading(HEADING)
    };
    [
        text("tasks", "N", "Tasks of the array, each of which makes clips until none is left")
            .long_help(format!(
                "Tasks of the array, each of which makes clips until none is left [default: {TASKS}]"
            ))
            .value_parser(value_parser!(u32).range(1..=i64::from(MOST_TASKS))),
        text("partition", "NAME", "Partition to run in"),
        text("time", "LIMIT", "Time limit of a task, such as 2:00:00"),
        text("gres", "LIST", "Devices of a task, such as gpu:1"),
        text("sbatch", "OPTION", "A further option of sbatch, such as --sbatch=--account=lab; may be given again")
            .action(ArgAction::Append)
            .allow_hyphen_values(true),
    ]
}

/// The executor that file and flags ask for.
pub(crate) fn executor(sweep: &Sweep, matches: &ArgMatches, jobs: usize) -> anyhow::Result<Slurm> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let typed = Options {
        tasks: matches.get_one("tasks").copied(),
        partition: text("partition"),
        time: text("time"),
        gres: text("gres"),
        sbatch: matches.get_many("sbatch").into_iter().flatten().cloned().collect(),
    };
    Ok(Slurm { options: typed.or(&sweep.slurm), program: std::env::current_exe()?, jobs })
}
