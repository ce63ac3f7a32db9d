//! What is being composed: values by the keys of pipeline's table of settings, and how the next seed is chosen.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tessera_pipeline::request::Request;
use tessera_pipeline::settings::{SETTINGS, Section, setting};

/// Settings that belong to one clip's files; another clip that takes its settings must not write over them.
const OWN_FILES: [&str; 2] = ["out", "record"];

/// Where the next seed comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeedMode {
    /// It stays.
    #[default]
    Fixed,
    /// Another one for every clip.
    Random,
    /// One more after every clip.
    Next,
}

impl SeedMode {
    /// All, with what they are called and what they mean.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Fixed, "Fixed", "The seed stays: the same settings give the same clip."),
        (
            Self::Random,
            "Random",
            "Every clip gets a new random seed, which is written into the field.",
        ),
        (Self::Next, "Count up", "Every clip gets the next seed."),
    ];
}

/// A request in the making. Only what a person gave is in it; all else is left to the plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Draft {
    given: Map<String, Value>,
    /// Where the next seed comes from.
    pub(crate) seed_mode: SeedMode,
}

impl Draft {
    /// The value that was given for a setting.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.given.get(key)
    }

    /// A text that was given; empty when none was.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Gives a setting a value, or leaves it to the plan.
    pub(crate) fn set(&mut self, key: &str, value: Option<Value>) {
        match value {
            Some(value) => self.given.insert(key.to_owned(), value),
            None => self.given.remove(key),
        };
    }

    /// Leaves everything but the prompts to the plan.
    pub(crate) fn clear(&mut self) {
        self.given.retain(|key, _| is_prompt(key));
    }

    /// Takes all settings of a clip, without the names of its files.
    pub(crate) fn take(&mut self, request: &Request) {
        if let Ok(Value::Object(mut given)) = serde_json::to_value(request) {
            given.remove("version");
            given.retain(|key, _| !OWN_FILES.contains(&key.as_str()));
            self.given = given;
        }
    }

    /// Takes the settings of attention of a clip, and leaves all others as they are.
    pub(crate) fn take_attention(&mut self, request: &Request) {
        if let Ok(Value::Object(mut given)) = serde_json::to_value(request) {
            for row in SETTINGS.iter().filter(|row| row.section == Section::Sparsity) {
                self.set(row.key, given.remove(row.key));
            }
        }
    }

    /// The request as it stands. A value that the table does not allow is left out of it and told in words.
    pub(crate) fn request(&self) -> (Request, Vec<String>) {
        let mut kept = self.given.clone();
        let mut wrong = Vec::new();
        for row in SETTINGS {
            if let Some(value) = self.given.get(row.key).filter(|value| !row.allows(value)) {
                let got = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                wrong.push(format!("{}: expected {}, got \"{got}\"", label(row.key), row.kind));
                kept.remove(row.key);
            }
        }
        let request = serde_json::from_value(Value::Object(kept)).unwrap_or_else(|error| {
            wrong.push(error.to_string());
            Request::default()
        });
        (request, wrong)
    }

    /// The requests of one press of Generate, one a clip, and moves the seed on for the next press.
    pub(crate) fn requests(&mut self, random: u64) -> Vec<Request> {
        if self.seed_mode == SeedMode::Random {
            self.set("seed", Some(random.into()));
        }
        let requests = self.request().0.variations();
        if self.seed_mode == SeedMode::Next {
            let last = requests.last().and_then(|request| request.seed).unwrap_or(0);
            self.set("seed", Some(last.wrapping_add(1).into()));
        }
        requests
    }
}

fn is_prompt(key: &str) -> bool {
    matches!(key, "prompt" | "negative" | "version")
}

/// The name of a setting for people: its key in words.
pub(crate) fn label(key: &str) -> String {
    let words = match key {
        "negative" => "negative prompt",
        "fps" => "frames a second",
        "out" => "file or folder",
        "count" => "clips",
        "dtype" => "number format",
        "vae_dtype" => "VAE number format",
        other => other,
    };
    let mut letters = words.replace('_', " ").chars().collect::<Vec<_>>();
    if let Some(first) = letters.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    letters.into_iter().collect()
}

/// What a setting is for, with its range: the text under the pointer.
pub(crate) fn help(key: &str) -> String {
    setting(key).map_or_else(String::new, |row| {
        let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
        format!("{}\n\nTakes {}{unit}. Default: {}.", row.help, row.kind, row.default)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(settings: &[(&str, Value)]) -> Draft {
        let mut draft = Draft::default();
        for (key, value) in settings {
            draft.set(key, Some(value.clone()));
        }
        draft
    }

    #[test]
    fn what_the_table_refuses_is_told_and_the_rest_goes_on() {
        let draft =
            draft(&[("prompt", "a ball".into()), ("steps", 0.into()), ("warmup", "soon".into())]);
        let (request, wrong) = draft.request();
        assert_eq!((request.prompt.as_str(), request.steps), ("a ball", None));
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].starts_with("Steps: expected a whole number from 1 to 1000"), "{wrong:?}");
    }

    #[test]
    fn seeds_stay_count_up_or_change() {
        let mut draft = draft(&[("seed", 5.into()), ("count", 3.into())]);
        let seeds = |draft: &mut Draft, random| {
            draft.requests(random).iter().filter_map(|request| request.seed).collect::<Vec<_>>()
        };
        assert_eq!(seeds(&mut draft, 9), [5, 6, 7]);
        draft.seed_mode = SeedMode::Next;
        assert_eq!(seeds(&mut draft, 9), [5, 6, 7]);
        assert_eq!(seeds(&mut draft, 9), [8, 9, 10]);
        draft.seed_mode = SeedMode::Random;
        assert_eq!(seeds(&mut draft, 40), [40, 41, 42]);
        assert_eq!(draft.get("seed"), Some(&Value::from(40)), "the seed that was used is shown");
    }

    #[test]
    fn attention_is_taken_alone() {
        let mut draft = draft(&[("steps", 9.into()), ("density", 0.5.into()), ("floor", 7.into())]);
        let attention = Some("psa".to_owned());
        draft.take_attention(&Request { attention, steps: Some(4), ..Request::default() });
        let (request, wrong) = draft.request();
        assert!(wrong.is_empty());
        assert_eq!((request.steps, request.attention.as_deref()), (Some(9), Some("psa")));
        assert_eq!((request.density, request.floor), (None, None));
    }

    #[test]
    fn settings_of_a_clip_come_without_its_files() {
        let request = Request {
            prompt: "a cube".into(),
            steps: Some(9),
            out: Some("mine.mp4".into()),
            ..Request::default()
        };
        let mut draft = Draft::default();
        draft.take(&request);
        assert_eq!(draft.request().0, Request { out: None, ..request });
        draft.clear();
        assert_eq!((draft.text("prompt"), draft.get("steps")), ("a cube", None));
    }
}
