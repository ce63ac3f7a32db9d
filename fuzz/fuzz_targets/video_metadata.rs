//! Settings found in a video that anyone may have sent: parsed, checked against the table, written back unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
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
    let written = serde_json::to_string(&request).expect("a request is JSON");
    let again = Request::from_json(&written, "fuzz").expect("what we wrote we read");
    assert_eq!(written, serde_json::to_string(&again).expect("a request is JSON"));
});
