//! model_index.json: which classes a checkpoint is made of, held against the classes that exist here (wan.md §0).

use std::collections::BTreeMap;

use serde_json::Value;

use super::config::{object, shown};
use crate::problems::Problem;

/// The file's name in the checkpoint folder.
pub(super) const FILE: &str = "model_index.json";

/// Component → library and classes that can be run.
const REGISTRY: &[(&str, &str, &[&str])] = &[
    ("scheduler", "diffusers", &super::config::CLASSES),
    ("text_encoder", "transformers", &["UMT5EncoderModel"]),
    (
        "tokenizer",
        "transformers",
        // All of them are the same tokenizer.json; transformers renames its wrapper now and then.
        &["T5TokenizerFast", "T5Tokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"],
    ),
    ("transformer", "diffusers", &["WanTransformer3DModel"]),
    ("vae", "diffusers", &["AutoencoderKLWan"]),
];

/// The pipeline class that can be run.
const PIPELINE: &str = "WanPipeline";

/// A checked model_index.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIndex {
    /// The pipeline's class.
    pub class: String,
    /// Component → library and class, of the components that are used.
    pub components: BTreeMap<String, (String, String)>,
}

impl ModelIndex {
    /// Reads the text of a model_index.json. A pure function.
    ///
    /// # Errors
    /// Everything in it that cannot be run: another pipeline, a second expert, an unknown class, a missing component.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let map = object(FILE, text)?;
        match map.get("_class_name").and_then(Value::as_str) {
            Some(PIPELINE) => {}
            other => {
                let got = map.get("_class_name").map_or("nothing".to_owned(), shown);
                let advice = match other {
                    Some("WanImageToVideoPipeline") => "image-to-video is not supported yet",
                    Some(_) => "only Wan text-to-video checkpoints are supported",
                    None => "this is not a diffusers checkpoint folder",
                };
                return Err(vec![Problem::new(FILE, "_class_name", PIPELINE, got).advice(advice)]);
            }
        }
        let mut problems = unsupported(&map);
        let mut components = BTreeMap::new();
        for &(name, library, classes) in REGISTRY {
            let expected = format!("[\"{library}\", \"{}\"]", classes.join("\" or \""));
            let pair = map.get(name).and_then(Value::as_array).map(Vec::as_slice);
            if let Some([Value::String(found), Value::String(class)]) = pair
                && found == library
                && classes.contains(&class.as_str())
            {
                components.insert(name.to_owned(), (found.clone(), class.clone()));
            } else {
                let got = map.get(name).map_or("nothing".to_owned(), shown);
                problems.push(Problem::new(FILE, name, expected, got));
            }
        }
        for (key, value) in &map {
            let known = components.contains_key(key) || key.starts_with('_');
            if !known && value.is_array() && !absent(value) && problems.is_empty() {
                tracing::warn!(file = FILE, key, "unknown component, ignored");
            }
        }
        if problems.is_empty() {
            Ok(Self { class: PIPELINE.to_owned(), components })
        } else {
            Err(problems)
        }
    }

    /// The class of a component, or nothing when there is no such component.
    pub fn class_of(&self, component: &str) -> Option<&str> {
        self.components.get(component).map(|(_, class)| class.as_str())
    }
}

/// Diffusers writes an absent component as null or as a pair of nulls.
fn absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(Value::is_null),
        _ => false,
    }
}

/// What marks the models of the family that are not text-to-video with one transformer.
fn unsupported(map: &serde_json::Map<String, Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, expected: &str, advice: &str| {
        if let Some(value) = map.get(key)
            && !absent(value)
            && *value != Value::Bool(false)
        {
            problems.push(Problem::new(FILE, key, expected, shown(value)).advice(advice));
        }
    };
    let experts = "two experts (Wan 2.2 A14B) are not supported yet";
    refuse("transformer_2", "null", experts);
    refuse("boundary_ratio", "null", experts);
    refuse("expand_timesteps", "false", "Wan 2.2 TI2V-5B is not supported yet");
    refuse("image_encoder", "null", "image-to-video is not supported yet");
    problems
}
