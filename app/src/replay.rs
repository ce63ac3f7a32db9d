//! `tessera replay`: steps of a recorded run again, with other attention methods, and how far each is from dense attention.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde_json::{Map, Value};
use tessera_pipeline::files::write_atomically;
use tessera_pipeline::recording::{Recording, branch_of};
use tessera_pipeline::replay::{Arm, ArmReport, Call, Replay, Spec, Summary, Velocity, replay};
use tessera_pipeline::settings::{SETTINGS, Section, Setting};

use crate::cli;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::tenths::Tenths;

/// Settings of attention that a replay decides itself, or that --method says.
const DECIDED: &[&str] = &["attention", "preset", "warmup", "dense_last", "refresh"];
/// Other settings that it has.
const SHARED: &[&str] = &["model", "device", "dtype"];

/// What may be typed.
pub(crate) fn command() -> Command {
    let is_one = |row: &&Setting| is_given(row) || SHARED.contains(&row.key);
    Command::new("replay")
        .about("Runs single steps of a recording again with other attention methods and compares each with dense attention")
        .long_about(
            "Runs single steps of a recording again with other attention methods and compares each with dense attention.\n\n\
             Every head of every layer is compared on the same queries, keys and values: error is ‖O' - O‖ / ‖O‖ of the \
             head's output, recall the share of the softmax that the selected blocks hold. The forward goes on with the dense \
             output, so errors of layers do not mix; --propagate goes on with the method's. The step is always sparse and \
             its maps are fresh. Record with --record-latents f32; the model must be the recorded one.",
        )
        .after_help(Exit::table())
        .arg(cli::recording())
        .arg(
            Arg::new("step")
                .long("step")
                .value_name("N")
                .required(true)
                .action(ArgAction::Append)
                .value_delimiter(',')
                .help("Steps of the run, from 0: one, several (2,10,18) or several flags")
                .value_parser(value_parser!(usize)),
        )
        .arg(
            Arg::new("branch")
                .long("branch")
                .value_name("NAME")
                .default_value("both")
                .help("Which forwards of a guided step: cond, uncond or both")
                .value_parser(["cond", "uncond", "both"]),
        )
        .arg(
            Arg::new("method")
                .long("method")
                .value_name("METHOD")
                .action(ArgAction::Append)
                .help("A method, with settings of its own: psa, sol/wan2.1-1.3b, \"psa floor=7 density=0.2\"; as recorded by default")
                .value_parser(parse_method),
        )
        .arg(
            Arg::new("propagate")
                .long("propagate")
                .action(ArgAction::SetTrue)
                .help("Goes on with each method's output, a forward each, and tells the error of the model's answer"),
        )
        .arg(
            Arg::new("by")
                .long("by")
                .value_name("WHAT")
                .help("A line for each step, branch, layer or head of a layer, in place of one a method")
                .value_parser(["step", "branch", "layer", "head"]),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .value_name("PATH")
                .help("Writes every head of every call to this file; - is standard output, in place of the table")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .help("Shows no progress, only the table and errors"),
        )
        .args(SETTINGS.iter().filter(is_one).map(cli::flag))
}

/// Whether a setting of attention may be given to a method.
fn is_given(row: &Setting) -> bool {
    row.section == Section::Sparsity && !DECIDED.contains(&row.key)
}

/// Reads `NAME[/PRESET] [FLAG=VALUE …]`.
fn parse_method(text: &str) -> Result<Arm, String> {
    let mut words = text.split_whitespace();
    let mut arm = Arm::new(words.next().ok_or("expected the name of a method")?);
    for word in words {
        let (flag, value) = word.split_once('=').unwrap_or((word, "true"));
        let row = SETTINGS.iter().find(|row| is_given(row) && row.flag == flag);
        let row = row.ok_or_else(|| {
            let flags: Vec<_> =
                SETTINGS.iter().filter(|row| is_given(row)).map(|row| row.flag).collect();
            format!("expected settings such as floor=7 ({}), got \"{word}\"", flags.join(", "))
        })?;
        let value = row.parse(value).map_err(|reason| format!("{flag}: {reason}"))?;
        arm = arm.with(row.key, value);
    }
    arm.name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(arm)
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let path: &PathBuf = matches
        .get_one("recording")
        .ok_or_else(|| Usage(String::from("a recording is missing")))?;
    let recording = Recording::open(path)?;
    let spec = spec(matches, &recording);
    let interrupt = Interrupt::install()?;
    let mut shown = Tenths::new(matches.get_flag("quiet"));
    let replayed = replay(&recording, &spec, &mut |progress| {
        shown.show(progress.doing, progress.done, progress.of);
        !interrupt.asked()
    })?;
    if !replayed.is_exact {
        shown.say("The clips were recorded in f16: the forwards are of rounded clips, not those of the run (--record-latents f32 keeps them).");
    }
    for arm in &replayed.arms {
        for fallback in &arm.fallbacks {
            shown.say(&format!("{}: {fallback}", arm.name));
        }
    }
    let json = matches.get_one::<PathBuf>("json");
    if json.is_none_or(|path| path.as_os_str() != "-") {
        let by = matches.get_one::<String>("by").map(String::as_str);
        write!(io::stdout(), "{}", table(&replayed, by))?;
    }
    if let Some(path) = json {
        let text = serde_json::to_string(&replayed)? + "\n";
        if path.as_os_str() == "-" {
            write!(io::stdout(), "{text}")?;
        } else {
            write_atomically(path, |file| file.write_all(text.as_bytes()))?;
            shown.say(&format!("wrote {}", path.display()));
        }
    }
    Ok(Exit::Success)
}

fn spec(matches: &ArgMatches, recording: &Recording) -> Spec {
    let typed = cli::typed(matches);
    let text = |key: &str| typed.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let common: Map<String, Value> =
        typed.iter().filter(|(key, _)| !SHARED.contains(&key.as_str())).map(clone).collect();
    let arms: Vec<Arm> = match matches.get_many::<Arm>("method") {
        Some(arms) => arms.cloned().collect(),
        None => vec![Arm::of("as recorded", &recording.meta().request)],
    };
    let own = |mut arm: Arm| {
        let mut settings = common.clone();
        settings.extend(std::mem::take(&mut arm.settings));
        if arm.name == "as recorded" {
            settings.extend(common.clone()); // what was typed now wins over what was recorded
        }
        Arm { settings, ..arm }
    };
    let branch = matches.get_one::<String>("branch").and_then(|name| branch_of(name));
    Spec {
        arms: arms.into_iter().map(own).collect(),
        steps: matches.get_many("step").into_iter().flatten().copied().collect(),
        branches: branch.into_iter().collect(),
        propagate: matches.get_flag("propagate"),
        model: text("model").map(PathBuf::from),
        device: text("device"),
        dtype: text("dtype"),
    }
}

fn clone((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// Heads of the columns.
const HEADS: [&str; 12] = [
    "method",
    "",
    "density",
    "error",
    "mean",
    "worst",
    "recall",
    "mean",
    "worst",
    "estimate",
    "attention",
    "dense ms",
];

/// The replay as a table: medians with means and worst heads, milliseconds of a call.
fn table(replayed: &Replay, by: Option<&str>) -> String {
    let mut rows = vec![HEADS.map(String::from).to_vec()];
    for arm in &replayed.arms {
        for (group, calls) in groups(arm, by) {
            let Some(summary) = Summary::of(&calls) else { continue };
            let mut row = vec![arm.name.clone(), group, format!("{:.4}", summary.density)];
            for spread in [summary.error, summary.recall] {
                row.extend([spread.median, spread.mean, spread.worst].map(|x| format!("{x:.4}")));
            }
            let times = [summary.estimate_ms, summary.attention_ms, summary.dense_ms];
            row.extend(times.map(|ms| format!("{ms:.2}")));
            rows.push(row);
        }
    }
    let velocity = |(arm, velocity): (&ArmReport, &Velocity)| {
        format!(
            "{}: velocity of step {}, {}: error {:.5}\n",
            arm.name, velocity.step, velocity.branch, velocity.error
        )
    };
    let all = replayed.arms.iter().flat_map(|arm| arm.velocities.iter().map(move |v| (arm, v)));
    aligned(&rows) + &all.map(velocity).collect::<String>()
}

/// A method's calls by what was asked for, each group with its name.
fn groups(arm: &ArmReport, by: Option<&str>) -> Vec<(String, Vec<Call>)> {
    let mut groups: Vec<(String, Vec<Call>)> = Vec::new();
    let mut add = |name: String, call: Call| match groups.iter_mut().find(|(n, _)| *n == name) {
        Some((_, calls)) => calls.push(call),
        None => groups.push((name, vec![call])),
    };
    for call in &arm.calls {
        match by {
            Some("step") => add(format!("step {}", call.step), call.clone()),
            Some("branch") => add(call.branch.into(), call.clone()),
            Some("layer") => add(format!("layer {}", call.layer), call.clone()),
            Some("head") => {
                for head in &call.heads {
                    let name = format!("{}:{}", call.layer, head.head);
                    add(name, Call { heads: vec![*head], ..call.clone() });
                }
            }
            _ => add(String::new(), call.clone()),
        }
    }
    groups
}

/// Rows in columns: the first two to the left, numbers to the right; columns that are empty throughout are left out.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0);
        let padded = cells.map(|(column, (cell, &width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_typed_with_settings_of_its_own() {
        let arm = parse_method("sol/first  floor=7 keep-self density=0.2").unwrap();
        assert_eq!(arm.name, "sol/first floor=7 keep-self density=0.2");
        assert_eq!(arm.settings["attention"], "sol");
        assert_eq!(arm.settings["preset"], "first");
        assert_eq!(arm.settings["floor"], 7);
        assert_eq!(arm.settings["keep_self"], true);
        assert_eq!(arm.settings["density"], 0.2);
        let told = |text: &str| parse_method(text).unwrap_err();
        assert!(told("").contains("name of a method"));
        assert!(told("psa flor=7").contains("floor") && told("psa flor=7").contains("flor=7"));
        assert!(told("psa warmup=3").contains("expected settings"), "a replay decides that");
        assert!(told("psa floor=9").contains("floor: "));
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["method", "", "n"], ["a", "", "1.25"], ["longer one", "", "12.5"]];
        let rows = rows.map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows), "method         n\na           1.25\nlonger one  12.5\n");
    }
}
