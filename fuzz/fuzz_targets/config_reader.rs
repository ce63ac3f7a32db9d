//! Configs of a model folder: no text makes the reader panic, and what it accepts it accepts again.
//!
//! Input: one byte that chooses the config, then its text.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use tessera_models::folder::config::{Config, read};
use tessera_models::folder::{ModelIndex, SchedulerConfig, TextConfig};
use tessera_models::wan::{TransformerConfig, VaeConfig};

mod same;

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match choice % 5 {
        0 => again::<TransformerConfig>(text),
        1 => again::<VaeConfig>(text),
        2 => again::<TextConfig>(text),
        3 => again::<SchedulerConfig>(text),
        _ => drop(ModelIndex::parse(text)),
    }
});

/// An accepted config, written out, is accepted as the same.
fn again<C: Config + Debug>(text: &str) {
    let Ok(first) = read::<C>("config.json", text) else { return };
    let mut value = serde_json::to_value(&first).expect("a config is JSON");
    // A folder may leave the class out, and the config then holds none; no folder writes "none" down.
    value
        .as_object_mut()
        .expect("a config is an object")
        .retain(|key, value| key != C::CLASS.0 || !value.is_null());
    let written = value.to_string();
    match read::<C>("config.json", &written) {
        Ok(second) => {
            let [first, second] = [&first, &second]
                .map(|config| serde_json::to_value(config).expect("a config is JSON"));
            assert!(same::is_same(&first, &second), "{first} became {second}");
        }
        Err(problems) => panic!("{written} was accepted and is refused: {problems:?}"),
    }
}
