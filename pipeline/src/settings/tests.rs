use serde_json::json;

use super::*;

/// A value just outside the bounds, where a kind has any.
fn outside(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Int { min, max, .. } => {
            let mut all = vec![json!(-1), json!(1.5), json!("1")];
            all.extend(min.checked_sub(1).map(Value::from));
            all.extend(max.checked_add(1).map(Value::from));
            all
        }
        Kind::Float { min, max } => vec![json!(min - 0.001), json!(max + 0.001), json!("1")],
        Kind::Choice(_) => vec![json!("no such word"), json!(1)],
        Kind::Text => vec![json!(1)],
        Kind::Form { .. } => vec![json!(1), json!("no such form")],
        Kind::Path => vec![json!(""), json!(1)],
        Kind::Bool => vec![json!(1), json!("maybe")],
    }
}

/// Values on the bounds.
fn inside(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Int { min, max, .. } => vec![json!(min), json!(max)],
        Kind::Float { min, max } => vec![json!(min), json!(max)],
        Kind::Choice(words) => words.iter().map(|w| json!(w)).collect(),
        Kind::Text => vec![json!("")],
        Kind::Form { expected, .. } => vec![json!(expected.split([' ', ',']).next().unwrap())],
        Kind::Path => vec![json!("a/b")],
        Kind::Bool => vec![json!(true), json!(false)],
    }
}

#[test]
fn every_row_holds_its_own_bounds() {
    for setting in SETTINGS {
        for value in inside(setting.kind) {
            assert!(setting.allows(&value), "{} should allow {value}", setting.key);
        }
        for value in outside(setting.kind) {
            assert!(!setting.allows(&value), "{} should refuse {value}", setting.key);
        }
    }
}

#[test]
fn one_has_a_unit_of_its_own() {
    let units =
        |key, numbers: [f64; 2]| numbers.map(|number| setting(key).unwrap().unit_of(number));
    assert_eq!(units("count", [1.0, 2.0]), ["clip", "clips"]);
    assert_eq!(units("fps", [1.0, 0.5]), ["frame a second", "frames a second"]);
    assert_eq!(units("guidance", [1.0, 2.0]), ["", ""]);
}

#[test]
fn keys_and_flags_are_unique_and_flags_are_the_keys_with_dashes() {
    let mut keys: Vec<_> = SETTINGS.iter().map(|s| s.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), SETTINGS.len());
    for setting in SETTINGS {
        assert_eq!(setting.flag, setting.key.replace('_', "-"));
        assert!(setting.help.ends_with('.'), "{}", setting.key);
    }
}

/// Every row names a field of the request, and every field has a row.
#[test]
fn the_table_and_the_request_are_the_same_list() {
    let mut filled = serde_json::Map::new();
    for setting in SETTINGS {
        filled.insert(setting.key.into(), inside(setting.kind).pop().unwrap());
    }
    let request: Request = serde_json::from_value(Value::Object(filled.clone())).unwrap();
    assert!(request.unknown.is_empty(), "rows without a field: {:?}", request.unknown);
    let Value::Object(written) = serde_json::to_value(&request).unwrap() else {
        panic!("not an object")
    };
    for key in written.keys().filter(|key| *key != "version") {
        assert!(setting(key).is_some(), "field without a row: {key}");
    }
}

#[test]
fn presets_are_within_bounds() {
    for setting in SETTINGS {
        let value = match setting.default {
            Preset::Absent(_) | Preset::Decided(_) => continue,
            Preset::Int(v) => json!(v),
            Preset::Text(v) => json!(v),
            Preset::Bool(v) => json!(v),
        };
        assert!(setting.allows(&value), "{} = {value}", setting.key);
    }
}

#[test]
fn a_bad_text_is_answered_with_the_bounds() {
    let parse = |key: &str, text: &str| setting(key).unwrap().parse(text);
    assert_eq!(parse("steps", "20"), Ok(json!(20)));
    assert_eq!(
        parse("steps", "0"),
        Err("expected a whole number from 1 to 1000, got \"0\"".into())
    );
    assert_eq!(
        parse("steps", "ten"),
        Err("expected a whole number from 1 to 1000, got \"ten\"".into())
    );
    assert_eq!(parse("guidance", "nan"), Err("expected a number from 0 to 50, got \"nan\"".into()));
    assert_eq!(parse("codec", "H264"), Ok(json!("h264")));
    assert!(parse("codec", "vp8").unwrap_err().contains("one of h264, h265"));
    assert_eq!(parse("seed", "18446744073709551615"), Ok(json!(u64::MAX)));
    assert_eq!(parse("save_frames", "on"), Ok(json!(true)));
}

#[test]
fn all_problems_of_a_request_are_told_at_once() {
    let request = Request {
        steps: Some(0),
        guidance: Some(99.0),
        codec: Some("vp8".into()),
        ..Request::default()
    };
    let told: Vec<String> = validate(&request).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "steps: expected a whole number from 1 to 1000, got 0",
            "guidance: expected a number from 0 to 50, got 99.0",
            "codec: expected one of h264, h265, av1, ffv1, prores, gif, webp, png, got \"vp8\"",
        ]
    );
    assert!(validate(&Request::default()).is_empty());
}

#[test]
fn sizes_are_read_as_people_write_them() {
    assert_eq!(parse_size("832x480"), Ok((832, 480)));
    assert_eq!(parse_size("480 × 832"), Ok((480, 832)));
    assert!(parse_size("832").unwrap_err().contains("832x480"));
    assert!(parse_size("4x480").unwrap_err().contains("from 16 to 16384"));
    assert!(parse_size("ax480").unwrap_err().contains("WIDTHxHEIGHT"));
}
