//! `tessera methods`: every attention method with its presets, its source and what differs from it.

use std::io::{self, Write as _};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use tessera_pipeline::sparsity::registry::{METHODS, Method, NAMES};

use crate::exit::Exit;

/// What may be typed.
pub(crate) fn command() -> Command {
    Command::new("methods")
        .about(
            "Lists the attention methods: presets, sources, what differs from the published ones",
        )
        .after_help(Exit::table())
        .arg(
            Arg::new("names")
                .value_name("NAME")
                .num_args(0..)
                .help("Only these methods")
                .value_parser(PossibleValuesParser::new(NAMES))
                .hide_possible_values(true),
        )
}

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<Exit> {
    let names: Vec<&String> = matches.get_many("names").unwrap_or_default().collect();
    let is_wanted =
        |method: &&Method| names.is_empty() || names.iter().any(|name| *name == method.name);
    let mut out = io::stdout().lock();
    for (index, method) in METHODS.iter().filter(is_wanted).enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        write!(out, "{gap}{}", told(method))?;
    }
    Ok(Exit::Success)
}

/// A line a method, as the help of `--attention` has it.
pub(crate) fn list() -> String {
    let line = |method: &Method| format!("- {}: {}\n", method.name, method.summary);
    let lines: String = METHODS.iter().map(line).collect();
    format!("{lines}`tessera methods` tells presets, sources and what differs from them.\n")
}

/// Everything about a method.
fn told(method: &Method) -> String {
    let mut lines = vec![
        method.name.to_owned(),
        format!("  {}", method.summary),
        format!("  source: {}", method.source),
    ];
    if !method.differs.is_empty() {
        lines.push(format!("  differs: {}", method.differs));
    }
    for (index, preset) in method.presets.iter().enumerate() {
        let mark = if index == 0 { " (default)" } else { "" };
        lines.push(format!("  --preset {}{mark}: {}", preset.name, preset.source));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_told_with_its_source_and_every_preset() {
        for method in METHODS {
            let text = told(method);
            assert!(text.contains(method.summary) && text.contains(method.source), "{text}");
            assert!(method.presets.iter().all(|preset| text.contains(preset.name)), "{text}");
        }
        let defaults = METHODS.iter().map(told).collect::<String>();
        let sparse = METHODS.iter().filter(|method| !method.presets.is_empty()).count();
        assert_eq!(defaults.matches("(default)").count(), sparse);
    }
}
