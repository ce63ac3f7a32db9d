//! One method of a replay and its settings.

use serde_json::{Map, Value};
use tessera_models::attention::Sequence;

use crate::attention::{Resolved, Subject, resolve};
use crate::request::Request;
use crate::settings::{self, Problem, SETTINGS, Section};
use crate::sparsity::options::fill;
use crate::{Error, Result};

/// One method with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// What reports call it.
    pub name: String,
    /// Settings of attention, by key ([`Section::Sparsity`]); others are not read.
    pub settings: Map<String, Value>,
}

impl Arm {
    /// A method, with its preset behind a slash where that is not the first: `psa` or `psa/wan2.1-1.3b-topk`.
    pub fn new(name: &str) -> Self {
        let (method, preset) = match name.split_once('/') {
            Some((method, preset)) => (method, Some(preset)),
            None => (name, None),
        };
        let mut arm = Self { name: name.into(), settings: Map::new() };
        arm.settings.insert("attention".into(), method.into());
        if let Some(preset) = preset {
            arm.settings.insert("preset".into(), preset.into());
        }
        arm
    }

    /// The attention of a request, as a recorded one.
    pub fn of(name: &str, request: &Request) -> Self {
        let mut settings = object(request);
        settings.retain(|key, _| is_of_attention(key));
        Self { name: name.into(), settings }
    }

    /// The same with a setting more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// The filled request of a replay: `base` with this method in place of its own.
    pub(super) fn request(&self, base: &Request, layers: usize) -> Result<Request> {
        let mut all = object(base);
        all.retain(|key, _| !is_of_attention(key));
        all.extend(self.settings.clone().into_iter().filter(|(key, _)| is_of_attention(key)));
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            what: format!("settings of {}", self.name),
            reason: error.to_string(),
        };
        let mut request: Request =
            serde_json::from_value(Value::Object(all)).map_err(unreadable)?;
        // The step is sparse and its maps are fresh, whatever a run would do there.
        request.warmup = Some("0".into());
        request.dense_last = Some(0);
        request.refresh = Some("1".into());
        let mut problems = settings::validate(&request);
        problems.extend(fill(&mut request, layers).err().unwrap_or_default());
        if problems.is_empty() { Ok(request) } else { Err(self.refused(problems)) }
    }

    /// What a filled request comes to; `None` for dense attention.
    pub(super) fn resolved(
        &self,
        request: &Request,
        (fingerprint, sequence, sigmas): (&str, Sequence, &[f64]),
    ) -> Result<Option<Resolved>> {
        let resolved = resolve(request, &Subject { fingerprint, sequence, sigmas });
        resolved.map_err(|error| match error {
            Error::Settings(problems) => self.refused(problems),
            error => error,
        })
    }

    /// Of several methods one has wrong settings: which.
    fn refused(&self, problems: Vec<Problem>) -> Error {
        let named = |mut problem: Problem| {
            problem.key = format!("{}: {}", self.name, problem.key);
            problem
        };
        Error::Settings(problems.into_iter().map(named).collect())
    }
}

fn is_of_attention(key: &str) -> bool {
    SETTINGS.iter().any(|row| row.section == Section::Sparsity && row.key == key)
}

fn object(request: &Request) -> Map<String, Value> {
    match serde_json::to_value(request) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}
