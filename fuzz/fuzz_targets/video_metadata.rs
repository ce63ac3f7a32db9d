//! Settings found in a video that anyone may have sent: parsed, checked against the table, written back unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_pipeline::request::Request;
use tessera_pipeline::settings::validate;
use tessera_pipeline::video::metadata;

mod same;

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
    let [first, second] =
        [&request, &again].map(|request| serde_json::to_value(request).expect("a request is JSON"));
    assert!(same::is_same(&first, &second), "{first} became {second}");
});
