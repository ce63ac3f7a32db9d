//! The one table of settings. Flags, ranges, help texts, validation and window controls all come from it.
//!
//! A row's `key` is the serde name of the field of [`crate::request::Request`] that it describes, so a request can be built,
//! checked and shown without naming any setting in code: parse each typed text with [`Setting::parse`], put it under its key.

mod sparse;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::request::Request;
pub use table::SETTINGS;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name of the request's field.
    pub key: &'static str,
    /// Name of the flag, without dashes.
    pub flag: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What happens when it is not given.
    pub default: Preset,
    /// One or two full sentences.
    pub help: &'static str,
    /// Heading under which it is shown.
    pub section: Section,
    /// Unit of the number, in words; empty when it has none.
    pub unit: &'static str,
}

/// Headings, in the order they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What to show.
    Prompt,
    /// How large and how long.
    Size,
    /// How it is sampled.
    Sampling,
    /// What self-attention leaves out.
    Sparsity,
    /// Which model, where and how precisely.
    Machine,
    /// What is written.
    Output,
    /// What is kept of how the clip was made.
    Recording,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prompt => "Prompt",
            Self::Size => "Size",
            Self::Sampling => "Sampling",
            Self::Sparsity => "Attention",
            Self::Machine => "Model and machine",
            Self::Output => "Output",
            Self::Recording => "Recording",
        })
    }
}

/// The values that a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number from `min` to `max`; `step` is what one click of a control changes, no rule.
    Int {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// One click.
        step: u64,
    },
    /// A number from `min` to `max`.
    Float {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A text of a certain form.
    Form {
        /// The form in words.
        expected: &'static str,
        /// Whether a text has it.
        matches: fn(&str) -> bool,
    },
    /// A file or folder.
    Path,
    /// On or off.
    Bool,
}

/// What a setting is when it is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// Nothing: the setting does not act. The text says what happens instead.
    Absent(&'static str),
    /// It depends on the model or on other settings; the plan decides. The text says how.
    Decided(&'static str),
    /// This number.
    Int(u64),
    /// This text or word.
    Text(&'static str),
    /// On or off.
    Bool(bool),
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(text) | Self::Decided(text) | Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bool(true) => f.write_str("on"),
            Self::Bool(false) => f.write_str("off"),
        }
    }
}

impl fmt::Display for Kind {
    /// What is expected, as an error or a help line says it: "a whole number from 1 to 1000".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { min, max: u64::MAX, .. } => write!(f, "a whole number from {min} up"),
            Self::Int { min, max, .. } => write!(f, "a whole number from {min} to {max}"),
            Self::Float { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Text => f.write_str("a text"),
            Self::Form { expected, .. } => f.write_str(expected),
            Self::Path => f.write_str("a path"),
            Self::Bool => f.write_str("true or false"),
        }
    }
}

impl Setting {
    /// The unit as it stands behind a number: "clip" behind 1, "clips" behind any other.
    pub fn unit_of(&self, number: f64) -> String {
        let (first, rest) = self.unit.split_at(self.unit.find(' ').unwrap_or(self.unit.len()));
        let first = if number == 1.0 { first.strip_suffix('s').unwrap_or(first) } else { first };
        format!("{first}{rest}")
    }

    /// Reads a typed text into the value that a request holds under [`Setting::key`]. The error says what is allowed.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let wrong = || format!("expected {}, got \"{text}\"", self.kind);
        let value = match self.kind {
            Kind::Int { .. } => Value::from(text.trim().parse::<u64>().ok().ok_or_else(wrong)?),
            Kind::Float { .. } => Value::from(text.trim().parse::<f64>().ok().ok_or_else(wrong)?),
            Kind::Choice(_) | Kind::Form { .. } => Value::from(text.trim().to_lowercase()),
            Kind::Text | Kind::Path => Value::from(text),
            Kind::Bool => match text.trim().to_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Value::from(true),
                "false" | "off" | "no" | "0" => Value::from(false),
                _ => return Err(wrong()),
            },
        };
        if self.allows(&value) { Ok(value) } else { Err(wrong()) }
    }

    /// Whether a value is of the right kind and within bounds.
    pub fn allows(&self, value: &Value) -> bool {
        match self.kind {
            Kind::Int { min, max, .. } => value.as_u64().is_some_and(|v| (min..=max).contains(&v)),
            Kind::Float { min, max } => value.as_f64().is_some_and(|v| (min..=max).contains(&v)),
            Kind::Choice(words) => value.as_str().is_some_and(|v| words.contains(&v)),
            Kind::Text => value.is_string(),
            Kind::Form { matches, .. } => value.as_str().is_some_and(matches),
            Kind::Path => value.as_str().is_some_and(|v| !v.is_empty()),
            Kind::Bool => value.is_boolean(),
        }
    }
}

/// What is wrong with one setting of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The setting's key.
    pub key: String,
    /// What is expected.
    pub expected: String,
    /// What was given.
    pub got: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.key, self.expected, self.got)
    }
}

impl Problem {
    /// A problem with the setting `key`.
    pub fn new(key: &str, expected: impl Into<String>, got: impl fmt::Display) -> Self {
        Self { key: key.into(), expected: expected.into(), got: got.to_string() }
    }
}

/// The row of a key.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Everything in a request that the table does not allow. What only a model can judge (legal sizes) is the plan's.
pub fn validate(request: &Request) -> Vec<Problem> {
    let Ok(Value::Object(given)) = serde_json::to_value(request) else {
        return vec![Problem::new(
            "request",
            "an object",
            "something that cannot be written as JSON (a path that is not text?)",
        )];
    };
    SETTINGS
        .iter()
        .filter_map(|setting| {
            let value = given.get(setting.key)?;
            (!setting.allows(value))
                .then(|| Problem::new(setting.key, setting.kind.to_string(), value))
        })
        .collect()
}

/// Reads "832x480" (or with × or *) as (width, height) in pixels.
pub fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("expected WIDTHxHEIGHT such as 832x480, got \"{text}\"");
    let (width, height) = text.split_once(['x', 'X', '×', '*']).ok_or_else(wrong)?;
    let read = |key: &str, part: &str| -> Result<u32, String> {
        let number =
            part.trim().parse::<u64>().map_err(|error| format!("{} ({error})", wrong()))?;
        match setting(key) {
            Some(row) if !row.allows(&Value::from(number)) => {
                Err(format!("{key}: expected {}, got {number}", row.kind))
            }
            _ => Ok(number as u32),
        }
    };
    Ok((read("width", width)?, read("height", height)?))
}
