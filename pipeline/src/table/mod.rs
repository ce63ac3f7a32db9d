//! The table of methods: the same prompts and seed with every method at the same densities, each clip against the dense one.
//!
//! A [`Spec`] says what is run, `run` makes its cells on one or more engines and keeps each finished one in a folder, so
//! that a table that was stopped goes on where it was; [`Summary`] puts medians over the prompts beside each other.

mod bench;
mod cell;
mod report;
mod run;
mod summary;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::request::Request;

pub use cell::Cell;
pub use report::{cells_csv, csv, json, markdown};
pub use run::{Outcome, Progress, Refused, run};
pub use summary::{Row, Summary};

/// Name of the arm that every other is compared with.
pub const REFERENCE: &str = "dense";
/// Name of the second dense run: what it differs from the first by is the noise of the measurement.
pub const REPEAT: &str = "dense, again";

/// What a table compares.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Settings of every clip: model, size, steps, number format, calibration plan.
    pub base: Request,
    /// One clip a prompt.
    pub prompts: Vec<String>,
    /// The methods; [`REFERENCE`] and [`REPEAT`] are run beside them.
    pub arms: Vec<Arm>,
    /// Where finished cells and the reference clips are kept.
    pub folder: PathBuf,
    /// Clips that are made at once, each on an even share of the cores.
    pub jobs: usize,
}

/// One method at one density.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The method, with its preset where that is not the first: `psa` or `psa/wan2.1-1.3b-topk`.
    pub name: String,
    /// The exact density that is asked for.
    pub density: Option<f64>,
    /// Further settings of its requests, by key.
    pub settings: Map<String, Value>,
}

impl Arm {
    /// A method (with `/preset` when not the first) at a density.
    pub fn new(name: &str, density: f64) -> Self {
        Self { name: name.into(), density: Some(density), settings: Map::new() }
    }

    fn dense(name: &str) -> Self {
        Self { name: name.into(), density: None, settings: Map::new() }
    }

    /// The request of this arm for a prompt.
    fn request(&self, base: &Request, prompt: &str) -> crate::Result<Request> {
        let mut settings = match serde_json::to_value(base) {
            Ok(Value::Object(settings)) => settings,
            _ => Map::new(),
        };
        settings.insert("prompt".into(), prompt.into());
        if let Some(density) = self.density {
            let (method, preset) = match self.name.split_once('/') {
                Some((method, preset)) => (method, Some(preset)),
                None => (self.name.as_str(), None),
            };
            settings.insert("attention".into(), method.into());
            settings.insert("density".into(), density.into());
            if let Some(preset) = preset {
                settings.insert("preset".into(), preset.into());
            }
            settings.extend(self.settings.clone());
        } else {
            settings.insert("attention".into(), "dense".into());
            settings.remove("plan");
        }
        serde_json::from_value(Value::Object(settings)).map_err(|error| crate::Error::Unreadable {
            what: format!("settings of {}", self.name),
            reason: error.to_string(),
        })
    }
}
