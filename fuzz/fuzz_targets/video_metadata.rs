//! Settings found in a video that anyone may have sent: parsed, checked against the table, written back unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tessera_pipeline::request::Request;
use tessera_pipeline::settings::validate;
use tessera_pipeline::video::metadata;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = metadata::parse(text);
    let Ok(request) = Request::from_json(text, "fuzz") else { return };
    assert!(parsed.is_ok(), "a request that is no settings text");
    // A request that is out of bounds is reported, never a panic.
    let problems = validate(&request);
    assert!(problems.iter().all(|problem| !problem.expected.is_empty()));
    // `request` is the key under which sidecars and videos hold a request, so inside one it is unwrapped again.
    if request.unknown.contains_key("request") {
        return;
    }
    let written = serde_json::to_string(&request).expect("a request is JSON");
    let again = Request::from_json(&written, "fuzz").expect("what we wrote we read");
    let [first, second] = [&request, &again].map(|request| serde_json::to_value(request).expect("a request is JSON"));
    assert!(is_same(&first, &second), "{first} became {second}");
});

/// Equality, but for the last digit of numbers longer than 15 digits: serde_json reads those loosely unless its
/// feature `float_roundtrip` is on.
fn is_same(first: &Value, second: &Value) -> bool {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) => {
            let pairs = first.iter().zip(second);
            first.len() == second.len() && pairs.into_iter().all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1))
        }
        (Value::Array(first), Value::Array(second)) => {
            first.len() == second.len() && first.iter().zip(second).all(|(a, b)| is_same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 4.0 * f64::EPSILON * a.abs(),
            _ => a == b,
        },
        _ => first == second,
    }
}
