//! Reads a config file: class defaults for missing keys, a warning for unknown ones, and everything wrong at once.
//!
//! Serde alone stops at the first wrong field and does not say which it is. Here each key is tried alone against the
//! config's type, so that a file with three wrong fields makes three problems that name them. The keys that the type
//! knows are those of its serialised default.

mod scheduler;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use scheduler::CLASSES;
pub use scheduler::{SchedulerClass, SchedulerConfig};
pub use text::TextConfig;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problems::Problem;
use crate::wan::{TransformerConfig, VaeConfig};

/// A config type that [`read`] can fill. `#[serde(default)]` on the type gives missing keys their class default.
pub trait Config: Default + Serialize + DeserializeOwned {
    /// The key that names the class, and the names it may have. The key itself may be missing.
    const CLASS: (&'static str, &'static [&'static str]);
    /// Known keys that change nothing here; all others that the type lacks are warned about.
    const IGNORED: &'static [&'static str];
    /// What of the values, each of the right kind, cannot be run.
    fn problems(&self, file: &str) -> Vec<Problem>;
}

impl Config for TransformerConfig {
    const CLASS: (&'static str, &'static [&'static str]) =
        ("_class_name", &["WanTransformer3DModel"]);
    const IGNORED: &'static [&'static str] = &[];
    fn problems(&self, file: &str) -> Vec<Problem> {
        Self::problems(self, file)
    }
}

impl Config for VaeConfig {
    const CLASS: (&'static str, &'static [&'static str]) = ("_class_name", &["AutoencoderKLWan"]);
    // The two factors follow from the stages; folders of Wan 2.1 do not have them.
    const IGNORED: &'static [&'static str] =
        &["clip_output", "dropout", "scale_factor_spatial", "scale_factor_temporal"];
    fn problems(&self, file: &str) -> Vec<Problem> {
        Self::problems(self, file)
    }
}

/// The most that a whole number in a config may be, by field. Lists of tensors are made from these numbers before any
/// tensor is looked at, so a damaged one must not ask for a million blocks.
const CEILINGS: &[(&str, u64)] = &[
    ("attention_head_dim", 1024),
    ("base_dim", 8192),
    ("d_kv", 1024),
    ("decoder_base_dim", 8192),
    ("dim_mult", 64),
    ("num_attention_heads", 512),
    ("num_heads", 1024),
    ("num_layers", 1000),
    ("num_res_blocks", 64),
    ("patch_size", 64),
    ("z_dim", 1024),
];

/// The ceiling of every other field.
const CEILING: u64 = 1 << 24;

/// Reads the text of a config file; `file` is what problems name. A pure function.
///
/// # Errors
/// Every field of the wrong kind, or, when there is none, everything that the config's own check refuses.
pub fn read<C: Config>(file: &str, text: &str) -> Result<C, Vec<Problem>> {
    let map = object(file, text)?;
    let defaults = match serde_json::to_value(C::default()) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let mut problems = Vec::new();
    let (class_key, classes) = C::CLASS;
    if let Some(found) = map.get(class_key)
        && !found.as_str().is_some_and(|name| classes.contains(&name))
    {
        problems.push(Problem::new(file, class_key, classes.join(" or "), shown(found)));
    }
    let mut kept = Map::new();
    for (key, value) in map {
        if !defaults.contains_key(&key) {
            if !key.starts_with('_') && key != class_key && !C::IGNORED.contains(&key.as_str()) {
                tracing::warn!(file, key, "unknown config key, ignored");
            }
            continue;
        }
        if let Some(problem) = alone::<C>(file, &key, &value).or_else(|| high(file, &key, &value)) {
            problems.push(problem);
        } else {
            kept.insert(key, value);
        }
    }
    match serde_json::from_value::<C>(Value::Object(kept)) {
        Ok(config) if problems.is_empty() => {
            problems = config.problems(file);
            if problems.is_empty() { Ok(config) } else { Err(problems) }
        }
        Ok(_) => Err(problems),
        Err(error) => {
            problems.push(Problem::new(file, "", "a config of this class", error.to_string()));
            Err(problems)
        }
    }
}

/// Parses `text` as one JSON object.
pub(super) fn object(file: &str, text: &str) -> Result<Map<String, Value>, Vec<Problem>> {
    match serde_json::from_str(text).or_else(|error| match plain(text) {
        Some(plain) => serde_json::from_str(&plain),
        None => Err(error),
    }) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(vec![Problem::new(file, "", "a JSON object", shown(&other))]),
        Err(error) => Err(vec![Problem::new(file, "", "a JSON object", format!("text: {error}"))]),
    }
}

/// Python writes infinities and NaN as bare words, which JSON does not have; every `DPMSolverMultistepScheduler` saved by
/// diffusers has `"lambda_min_clipped": -Infinity`. They become null. Nothing when there are none outside strings.
fn plain(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut found) = (text, false);
    while let Some(next) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word));
        let taken = if let Some(word) = word {
            found = true;
            out.push_str("null");
            word.len()
        } else if next == '"' {
            let end = string_end(rest);
            out.push_str(&rest[..end]);
            end
        } else {
            out.push(next);
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    found.then_some(out)
}

/// Bytes of the string that `text` begins with, both quotes included; all of it when the string does not end.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Tries one key alone: the problem names it, and says what serde would have taken.
fn alone<C: Config>(file: &str, key: &str, value: &Value) -> Option<Problem> {
    let single = Map::from_iter([(key.to_owned(), value.clone())]);
    let error = serde_json::from_value::<C>(Value::Object(single)).err()?.to_string();
    let expected = match error.rsplit_once("expected ").map(|(_, expected)| expected) {
        Some("usize" | "u64") => "a whole number from 0 on",
        Some("f64") => "a number",
        Some("a boolean") => "true or false",
        Some("a sequence") => "a list",
        Some(other) => other,
        None => error.as_str(),
    };
    Some(Problem::new(file, key, expected, shown(value)))
}

fn high(file: &str, key: &str, value: &Value) -> Option<Problem> {
    let most = CEILINGS.iter().find(|(name, _)| *name == key).map_or(CEILING, |(_, most)| *most);
    let over = |value: &Value| value.as_u64().is_some_and(|number| number > most);
    let found = over(value) || value.as_array().is_some_and(|items| items.iter().any(over));
    found.then(|| Problem::new(file, key, format!("at most {most}"), shown(value)))
}

/// The value as JSON, cut when long: a person must see what the file says, not all of it.
pub(crate) fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        text
    } else {
        text.chars().take(MOST).chain("…".chars()).collect()
    }
}
