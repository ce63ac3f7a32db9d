//! `tessera tune`: finds the fastest settings that stay close enough to the dense run, and keeps them as presets.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde_json::{Map, Value};
use tessera_pipeline::machine::Machine;
use tessera_pipeline::plan::Plan;
use tessera_pipeline::request::Request;
use tessera_pipeline::settings::{SETTINGS, Section, Setting};
use tessera_pipeline::sparsity::registry::NAMES;
use tessera_pipeline::statistics::TimeBasis;
use tessera_pipeline::tune::{self, Floor, HELD_OUT_SHARE, Place, Preset, Spec, Tuned};
use tessera_pipeline::{Error, bundled, history};

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::generate::prompts;
use crate::interrupt::Interrupt;

/// Settings of clips that a search decides itself.
const DECIDED: &[&str] =
    &["prompt", "count", "out", "codec", "quality", "save_latents", "save_frames"];

/// What may be typed.
pub(crate) fn command() -> Command {
    let is_free = |row: &Setting| {
        let is_decided = DECIDED.contains(&row.key)
            || row.section == Section::Recording
            || row.section == Section::Sparsity;
        !is_decided || row.key == "plan"
    };
    Command::new("tune")
        .about("Finds the fastest settings that stay close to the dense run, and keeps them as presets")
        .long_about(
            "Finds the fastest settings that stay close to the dense run, and keeps them as presets.\n\n\
             Attention is made cheaper from safe to fast on a few prompts, until the floor gives way; what was found is then checked \
             on prompts that the search did not see. Three presets are kept for this model, size and device: exact (dense), balanced \
             (half of the allowed loss) and fast. `tessera generate … --tuned fast` and the window use them. Finished \
             clips are kept as figures: a search that was stopped goes on.",
        )
        .after_help(Exit::table())
        .arg(
            Arg::new("least")
                .long("floor")
                .value_name("METRIC=NUMBER")
                .default_value("ssim=.95")
                .help("The least closeness to the dense run: ssim, ms-ssim, psnr (dB) or latent-cosine")
                .value_parser(|text: &str| text.parse::<Floor>()),
        )
        .arg(
            Arg::new("method")
                .long("method")
                .value_name("NAME")
                .default_value("tessera")
                .help("The attention method, NAME or NAME/PRESET"),
        )
        .arg(
            Arg::new("by")
                .long("by")
                .value_name("TIME")
                .default_value("end-to-end")
                .help("Which time is to be short: end-to-end or attention")
                .value_parser(|text: &str| text.parse::<TimeBasis>()),
        )
        .arg(
            Arg::new("prompts-file")
                .long("prompts-file")
                .value_name("PATH")
                .help("One prompt a line; the bundled model's examples by default")
                .value_hint(ValueHint::FilePath),
        )
        .arg(count("prompts", "6", "The first so many prompts are searched on"))
        .arg(count("held-out", "6", "So many after them check what was found"))
        .arg(count("jobs", "1", "Clips made at once, each on an even share of the cores"))
        .arg(
            Arg::new("work")
                .long("work")
                .value_name("FOLDER")
                .help("Where finished figures are kept; a folder of the data folder by default")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath),
        )
        .arg(cli::json())
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .help("Shows no progress, only errors"),
        )
        .arg(cli::size())
        .args(SETTINGS.iter().filter(|row| is_free(row)).map(cli::flag))
}

fn count(name: &'static str, preset: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(preset)
        .help(help)
        .value_parser(value_parser!(u16))
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let data_dir = history::data_dir().ok_or_else(|| {
        Usage(format!("no folder for the presets: set {}", history::DATA_VARIABLE))
    })?;
    let spec = spec(matches, &data_dir)?;
    let interrupt = Interrupt::install()?;
    let quiet = matches.get_flag("quiet");
    let found = tune::tune(&spec, |progress| {
        if !quiet {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", progress.what);
        }
        !interrupt.asked()
    });
    let found = match found {
        Err(Error::Cancelled) => {
            let folder = spec.folder.display();
            writeln!(io::stderr(), "stopped; the same command goes on from {folder}")?;
            return Ok(Exit::Cancelled);
        }
        found => found?,
    };
    tune::save(&data_dir, &found)?;
    let mut out = io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        write!(out, "{}", told(&found))?;
        writeln!(out, "kept in {}", data_dir.join(tune::FILE).display())?;
    }
    Ok(Exit::Success)
}

fn spec(matches: &ArgMatches, data_dir: &std::path::Path) -> anyhow::Result<Spec> {
    let settings = cli::typed(matches);
    let base: Request =
        serde_json::from_value(Value::Object(settings)).context("reading the settings")?;
    let number =
        |name: &str| usize::from(matches.get_one::<u16>(name).copied().unwrap_or_default());
    let path = match matches.get_one::<String>("prompts-file") {
        Some(path) => path.clone(),
        None => bundled::prompts()?.display().to_string(),
    };
    let all = prompts(&path)?;
    let (searched, held_out) = (number("prompts"), number("held-out"));
    if searched < 2 || all.len() < searched + held_out {
        return Err(Usage(format!(
            "{path}: expected 2 prompts to search on at least, and {} in all for --prompts {searched} --held-out {held_out}, got {}",
            searched + held_out,
            all.len()
        ))
        .into());
    }
    let method = matches.get_one::<String>("method").cloned().unwrap_or_default();
    let name = method.split('/').next().unwrap_or_default();
    if !NAMES.contains(&name) || name == "dense" {
        return Err(Usage(format!(
            "--method: expected a sparse method (`tessera methods` lists them), got \"{name}\""
        ))
        .into());
    }
    let floor = matches.get_one::<Floor>("least").copied();
    let floor = floor.ok_or_else(|| Usage(String::from("--floor is missing")))?;
    let folder = match matches.get_one::<PathBuf>("work") {
        Some(folder) => folder.clone(),
        None => tune::work_folder(data_dir, &base)?,
    };
    Ok(Spec {
        prompts: all[..searched].to_vec(),
        held_out: all[searched..searched + held_out].to_vec(),
        by: matches.get_one::<TimeBasis>("by").copied().unwrap_or_default(),
        jobs: number("jobs").max(1),
        base,
        method,
        floor,
        folder,
    })
}

/// The presets in words.
fn told(found: &Tuned) -> String {
    let mut text = format!(
        "{} at {}, {} steps, {} prompts; time over the dense run's, {}\n",
        found.model,
        found.place,
        found.steps,
        found.prompts,
        match found.by {
            TimeBasis::EndToEnd => "end to end",
            TimeBasis::Attention => "attention alone",
        }
    );
    for preset in &found.presets {
        text += &line(preset);
    }
    text
}

fn line(preset: &Preset) -> String {
    let settings: Vec<String> = preset
        .settings
        .iter()
        .map(|(key, value)| {
            let flag = key.replace('_', "-");
            value
                .as_str()
                .map_or_else(|| format!("--{flag} {value}"), |text| format!("--{flag} {text}"))
        })
        .collect();
    let (time, close) = (preset.time, preset.closeness);
    let held = preset.held_out.map_or(String::new(), |held| {
        let share = held.clips as f64 / held.of.max(1) as f64;
        let verdict = if share < HELD_OUT_SHARE { ": too few, search on more prompts" } else { "" };
        format!(
            "          held-out prompts: {} of {} hold the floor{verdict}\n",
            held.clips, held.of
        )
    });
    format!(
        "{:<9} {}\n          time {:.2} [{:.2}, {:.2}], {} {:.4} [{:.4}, {:.4}], floor {:.4}\n{held}",
        preset.name,
        settings.join(" "),
        time.median,
        time.low,
        time.high,
        preset.floor.metric.name(),
        close.median,
        close.low,
        close.high,
        preset.floor.least
    )
}

/// Puts the settings of a tuned preset among `settings`, where they were not `typed`. The preset must have been tuned for the
/// model, size and device that the settings come to.
pub(crate) fn with_preset(
    name: &str,
    typed: &Map<String, Value>,
    settings: &mut Map<String, Value>,
) -> anyhow::Result<()> {
    let request: Request =
        serde_json::from_value(Value::Object(settings.clone())).context("reading the settings")?;
    let tuned = match history::data_dir() {
        Some(folder) => tune::load(&folder)?,
        None => Vec::new(),
    };
    let plan = Plan::resolve_with(&request, &Machine::detect(), &history::rates())?;
    let place = Place::of(&plan);
    let found = tune::find(&tuned, &place).ok_or_else(|| {
        let known: Vec<_> =
            tuned.iter().map(|found| format!("{} at {}", found.model, found.place)).collect();
        let known = if known.is_empty() { "nothing yet".into() } else { known.join("; ") };
        Usage(format!(
            "--tuned {name}: expected presets for {} at {place}, got presets for {known}; `tessera tune` with the same settings makes them",
            plan.model.name
        ))
    })?;
    let preset = found.presets.iter().find(|preset| preset.name == name);
    for (key, value) in preset.into_iter().flat_map(|preset| &preset.settings) {
        if !typed.contains_key(key) {
            settings.insert(key.clone(), value.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(args: &[&str]) -> String {
        let all = ["tune"].iter().chain(args);
        match command().try_get_matches_from(all) {
            Err(error) => error.to_string(),
            Ok(matches) => spec(&matches, std::path::Path::new("/data")).unwrap_err().to_string(),
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused_in_words() {
        for (args, word) in [
            (&["--floor", "quality=.9"][..], "one of ssim"),
            (&["--floor", "ssim=95"], "below 1"),
            (&["--method", "psaa"], "psaa"),
            (&["--method", "dense"], "sparse method"),
            (&["--prompts", "1"], "expected 2 prompts"),
            (&["--held-out", "9999"], "9999"),
            (&["--by", "cpu"], "end-to-end or attention"),
            (&["--density", "0.5"], "--density"),
        ] {
            let told = refusal(args);
            assert!(told.contains(word), "{args:?}: {told}");
        }
        let matches = command().try_get_matches_from(["tune", "--steps=4"]).unwrap();
        let first = spec(&matches, std::path::Path::new("/data")).unwrap();
        let matches =
            command().try_get_matches_from(["tune", "--steps=4", "--floor=psnr=30"]).unwrap();
        let second = spec(&matches, std::path::Path::new("/data")).unwrap();
        assert_eq!(first.folder, second.folder, "another floor goes on from the same clips");
        assert!(first.prompts.iter().all(|prompt| !first.held_out.contains(prompt)));
    }
}
