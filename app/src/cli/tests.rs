//! Every flag of the table parses, is bounded and is helped; what contradicts itself is refused.

use clap::error::ErrorKind;
use tessera_pipeline::request::Request;
use tessera_pipeline::sparsity::registry::METHODS;

use super::*;

/// The typed settings of `generate`, or clap's refusal.
fn generate_with(args: &[&str]) -> Result<Map<String, Value>, clap::Error> {
    let all = ["tessera", "generate"].iter().chain(args);
    let matches = command().try_get_matches_from(all)?;
    let (_, matches) = matches.subcommand().expect("generate");
    Ok(typed(matches))
}

fn refusal(args: &[&str]) -> clap::Error {
    generate_with(args).expect_err("these arguments must not parse")
}

/// A value that the row allows, as it would be typed.
fn sample(setting: &Setting) -> String {
    match setting.kind {
        Kind::Int { min, .. } => min.to_string(),
        Kind::Float { max, .. } => max.to_string(),
        Kind::Choice(words) => words[words.len() - 1].to_owned(),
        Kind::Bool => String::from("true"),
        Kind::Path => String::from("some/path"),
        Kind::Text => String::from("a text"),
        Kind::Form { expected, .. } => match setting.default {
            Preset::Text(word) => word.to_owned(),
            // What is expected begins with an example.
            _ => expected.split([' ', ',']).next().expect("a word").to_owned(),
        },
    }
}

#[test]
fn clap_finds_the_command_consistent() {
    command().debug_assert();
}

#[test]
fn every_setting_parses_and_lands_in_the_request() {
    for setting in SETTINGS.iter().filter(|setting| setting.key != "prompt") {
        let flag = format!("--{}={}", setting.flag, sample(setting));
        let given =
            generate_with(&["a prompt", &flag]).unwrap_or_else(|error| panic!("{flag}: {error}"));
        assert_eq!(given["prompt"], "a prompt");
        let request: Request =
            serde_json::from_value(Value::Object(given.clone())).expect(setting.key);
        assert!(request.unknown.is_empty(), "{} is no field of the request", setting.key);
        let back = serde_json::to_value(&request).expect("a request is JSON");
        let same = back[setting.key] == given[setting.key]
            || back[setting.key].as_f64() == given[setting.key].as_f64();
        assert!(same, "{}: {} became {}", setting.key, given[setting.key], back[setting.key]);
    }
}

#[test]
fn a_number_out_of_range_is_refused_with_its_bounds() {
    for setting in SETTINGS {
        let (low, high, wrong) = match setting.kind {
            Kind::Int { min, max, .. } if max < u64::MAX => {
                (min.to_string(), max.to_string(), max + 1)
            }
            Kind::Float { min, max } => (min.to_string(), max.to_string(), max as u64 + 1),
            _ => continue,
        };
        let message = refusal(&["a prompt", &format!("--{}={wrong}", setting.flag)]).to_string();
        for part in [setting.flag, &low, &high, &wrong.to_string()] {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }
}

#[test]
fn a_negative_number_is_a_value_and_not_a_flag() {
    let message = refusal(&["a prompt", "--steps", "-3"]).to_string();
    assert!(message.contains("from 1 to 1000"), "{message}");
}

#[test]
fn a_word_that_is_no_choice_is_refused_with_the_choices() {
    for setting in SETTINGS {
        let Kind::Choice(words) = setting.kind else { continue };
        let message = refusal(&["a prompt", &format!("--{}=nonsense", setting.flag)]).to_string();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
    }
}

#[test]
fn switches_take_no_word_from_the_prompt() {
    let given =
        generate_with(&["--save-frames", "true love", "--save-latents=off"]).expect("it parses");
    assert_eq!(given["prompt"], "true love");
    assert_eq!(given["save_frames"], true);
    assert_eq!(given["save_latents"], false);
}

#[test]
fn size_is_width_and_height_at_once() {
    let given = generate_with(&["a prompt", "--size", "832x480"]).expect("it parses");
    assert_eq!((&given["width"], &given["height"]), (&Value::from(832), &Value::from(480)));
    assert!(refusal(&["a prompt", "--size=832"]).to_string().contains("832x480"));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for args in [
        &["a prompt", "--prompts-file=all.txt"][..],
        &["a prompt", "--size=64x64", "--width=64"],
        &["a prompt", "--size=64x64", "--height=64"],
    ] {
        assert_eq!(refusal(args).kind(), ErrorKind::ArgumentConflict, "{args:?}");
    }
}

#[test]
fn something_to_make_is_required() {
    assert_eq!(refusal(&["--steps=3"]).kind(), ErrorKind::MissingRequiredArgument);
}

#[test]
fn resume_changes_the_output_and_not_the_denoising() {
    let parse =
        |args: &[&str]| command().try_get_matches_from(["tessera", "resume"].iter().chain(args));
    assert!(parse(&["a.safetensors", "b.safetensors", "--codec=ffv1", "--out=x.mkv"]).is_ok());
    assert_eq!(
        parse(&["a.safetensors", "--steps=3"]).expect_err("fixed").kind(),
        ErrorKind::UnknownArgument
    );
    for key in resume::KEYS {
        assert!(SETTINGS.iter().any(|setting| setting.key == *key), "{key} is no setting");
    }
}

#[test]
fn the_help_is_what_it_was() {
    // The width of whoever's terminal runs the tests is no part of the help.
    let mut program = command().term_width(100);
    program.build();
    insta::assert_snapshot!("tessera", program.render_long_help());
    for name in [
        "generate",
        "resume",
        "inspect",
        "doctor",
        "methods",
        "calibrate",
        "replay",
        "export",
        "measure",
        "tune",
    ] {
        let subcommand = program.find_subcommand_mut(name).expect("a subcommand");
        insta::assert_snapshot!(name, without_methods(&subcommand.render_long_help().to_string()));
    }
}

/// A help without its list of methods, which grows with every policy and has a test of its own.
fn without_methods(help: &str) -> String {
    match (help.find("      --attention"), help.find("      --preset")) {
        (Some(start), Some(end)) => format!("{}{}", &help[..start], &help[end..]),
        _ => help.to_owned(),
    }
}

#[test]
fn every_method_is_helped() {
    let mut program = command().term_width(1000);
    let generate = program.find_subcommand_mut("generate").expect("a subcommand");
    // Long summaries are wrapped: words count, not where lines end.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = words(&generate.render_long_help().to_string());
    for method in METHODS {
        assert!(help.contains(&words(method.summary)), "{} has no line", method.name);
    }
}
