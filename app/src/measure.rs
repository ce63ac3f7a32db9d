//! `tessera measure`: how far a clip is from another, the dense run. Measuring is pipeline's; this prints it.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use tessera_pipeline::metrics::{Lpips, measure};

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;

/// What may be typed.
pub(crate) fn command() -> Command {
    let path = |name: &'static str, shown: &'static str, help: &'static str| {
        Arg::new(name)
            .value_name(shown)
            .required(true)
            .help(help)
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::AnyPath)
    };
    Command::new("measure")
        .about("Measures how far a clip is from another of the same prompt and seed, such as the dense run")
        .long_about(
            "Measures how far a clip is from another of the same prompt and seed, such as the dense run.\n\n\
             PSNR, SSIM, MS-SSIM, flicker, VIF, and LPIPS where its weights are named; frames are paired by index. Of recordings \
             also the latents after each step. A distance says nothing of how good either clip is. docs/metrics.md \
             defines each figure.",
        )
        .after_help(Exit::table())
        .arg(path("clip", "CLIP", "A video, a folder of PNG frames, or a recording"))
        .arg(path("reference", "REFERENCE", "What it is compared with"))
        .arg(
            Arg::new("align")
                .long("align")
                .action(ArgAction::SetTrue)
                .help("Resamples to the reference's size, undoes a shift by some frames, leaves out frames without a partner"),
        )
        .arg(
            Arg::new("lpips")
                .long("lpips")
                .value_name("FILE")
                .help("Weights of LPIPS with AlexNet (docs/metrics.md says how to make the file)")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath),
        )
        .arg(cli::json())
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let path = |name: &str| {
        let path = matches.get_one::<PathBuf>(name);
        path.ok_or_else(|| Usage(format!("the path of the {name} is missing")))
    };
    let lpips = match matches.get_one::<PathBuf>("lpips") {
        Some(path) => Some(Lpips::load(path)?),
        None => None,
    };
    let (clip, reference) = (path("clip")?, path("reference")?);
    let report = measure(clip, reference, matches.get_flag("align"), lpips.as_ref())?;
    let mut out = io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(Exit::Success)
}
