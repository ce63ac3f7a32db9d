//! A checkpoint folder in diffusers' layout (wan.md §0), looked at without reading its weights.
//!
//! [`ModelFolder::open`] reads model_index.json, the configs, and of each safetensors file the header: a 29 GB folder is
//! known in well under a second. Either everything in it can be run, or all that is wrong is told at once.
//! [`inspect`] does the same and never refuses.

pub mod config;
mod fingerprint;
mod index;
mod inspect;
mod shards;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use config::{SchedulerClass, SchedulerConfig, TextConfig};
pub use index::ModelIndex;
pub use inspect::{Inspection, Part, inspect};
pub use shards::parse_index;

use crate::geometry::Geometry;
use crate::problems::{Problem, Problems};
use crate::wan::{self, TransformerConfig, VaeConfig};
use crate::weights::{self, Expected};
use crate::{Error, Result};
use shards::Shards;

/// Component → stem of its weight files' names.
const WEIGHTS: [(&str, &str); 3] = [
    ("text_encoder", "model"),
    ("transformer", "diffusion_pytorch_model"),
    ("vae", "diffusion_pytorch_model"),
];

/// A checkpoint folder that can be run.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    survey: Survey,
    transformer: TransformerConfig,
    vae: VaeConfig,
    text: TextConfig,
    scheduler: SchedulerConfig,
}

/// What was found in a folder, whether it can be run or not.
#[derive(Debug, Clone)]
struct Survey {
    path: PathBuf,
    index: Option<ModelIndex>,
    /// Component → its config as understood.
    configs: BTreeMap<String, serde_json::Value>,
    shards: BTreeMap<String, Shards>,
    fingerprint: String,
    problems: Problems,
    read: Option<(TransformerConfig, VaeConfig, TextConfig, SchedulerConfig)>,
}

impl ModelFolder {
    /// Looks at a checkpoint folder.
    ///
    /// # Errors
    /// [`Error::Folder`] with everything that is wrong with it: unknown classes, config fields, missing or damaged files,
    /// tensors that are missing, surplus or of the wrong shape.
    pub fn open(path: &Path) -> Result<Self> {
        let mut survey = survey(path);
        match survey.read.take() {
            Some((transformer, vae, text, scheduler)) if survey.problems.is_empty() => {
                Ok(Self { survey, transformer, vae, text, scheduler })
            }
            _ => Err(Error::Folder(survey.problems)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.survey.path
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        self.survey.name()
    }

    /// The components' names.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.survey.index.iter().flat_map(|index| index.components.keys().map(String::as_str))
    }

    /// The diffusion transformer's sizes.
    pub fn transformer_config(&self) -> &TransformerConfig {
        &self.transformer
    }

    /// The autoencoder's sizes and the latents' statistics.
    pub fn vae_config(&self) -> &VaeConfig {
        &self.vae
    }

    /// The text encoder's sizes.
    pub fn text_config(&self) -> &TextConfig {
        &self.text
    }

    /// The noise schedule that the checkpoint was made for.
    pub fn scheduler_config(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    /// How pixels, latents and tokens relate in this model.
    ///
    /// # Errors
    /// [`Error::Config`] when the two configs make no geometry together.
    pub fn geometry(&self) -> Result<Geometry> {
        Geometry::new(&self.transformer, &self.vae)
    }

    /// What the folder holds.
    pub fn inspect(&self) -> Inspection {
        self.survey.inspection()
    }

    /// A name for the content, of 64 hex digits: SHA-256 over configs, tensor headers, lengths and sampled bytes.
    pub fn fingerprint(&self) -> &str {
        &self.survey.fingerprint
    }

    /// The weight files of a component, or `None` when it has none.
    pub(crate) fn shards(&self, component: &str) -> Option<&Shards> {
        self.survey.shards.get(component)
    }
}

/// Looks at everything, and goes on after each problem as far as that makes sense.
fn survey(path: &Path) -> Survey {
    let mut survey = Survey {
        path: path.to_path_buf(),
        index: None,
        configs: BTreeMap::new(),
        shards: BTreeMap::new(),
        fingerprint: String::new(),
        problems: Problems::new(path),
        read: None,
    };
    if !path.is_dir() {
        let got = if path.exists() { "a file" } else { "nothing, for it is not there" };
        let advice = "name the folder where it is now; without a name the bundled model is used";
        survey.problems.push(Problem::new("", "", "a checkpoint folder", got).advice(advice));
        return survey;
    }
    let mut texts = BTreeMap::new();
    let index = shards::read_json(path, index::FILE).and_then(|text| {
        let parsed = ModelIndex::parse(&text);
        texts.insert(index::FILE.to_owned(), text);
        parsed
    });
    match index {
        Ok(index) => survey.index = Some(index),
        Err(found) => {
            // Of another pipeline, every further problem would be noise.
            survey.problems.list = found;
            return survey;
        }
    }
    let transformer = survey.config("transformer", "config.json", &mut texts);
    let vae = survey.config("vae", "config.json", &mut texts);
    let text = survey.config("text_encoder", "config.json", &mut texts);
    let scheduler = survey.config("scheduler", "scheduler_config.json", &mut texts);
    if !path.join(crate::text::TOKENIZER_FILE).is_file() {
        let problem = Problem::new(crate::text::TOKENIZER_FILE, "", "the tokenizer", "no file");
        survey.problems.push(problem.advice(crate::text::TOKENIZER_ADVICE));
    }
    for (component, stem) in WEIGHTS {
        let found = Shards::find(path, component, stem, &mut survey.problems.list);
        survey.shards.insert(component.to_owned(), found);
    }
    if let Some(text) = &text {
        let names = survey.shards.get("text_encoder").map(Shards::tensors).unwrap_or_default();
        let wanted = crate::text::expected(text, |name| names.contains_key(name));
        survey.compare("text_encoder", &wanted, &crate::text::IGNORED);
    }
    if let Some(transformer) = &transformer {
        let wanted = wan::transformer_tensors(transformer);
        survey.compare("transformer", &wanted, wan::TRANSFORMER_IGNORED);
    }
    if let Some(vae) = &vae {
        survey.compare("vae", &wan::vae_tensors(vae), &[]);
    }
    if let (Some(transformer), Some(vae), Some(text), Some(scheduler)) =
        (transformer, vae, text, scheduler)
    {
        survey.problems.list.extend(disagreements(&transformer, &vae, &text));
        survey.read = Some((transformer, vae, text, scheduler));
    }
    if survey.problems.is_empty() {
        let texts = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        match fingerprint::of(path, texts, survey.shards.values()) {
            Ok(hex) => survey.fingerprint = hex,
            Err(error) => {
                survey.problems.push(Problem::new("", "", "readable files", error.to_string()));
            }
        }
    }
    survey
}

impl Survey {
    fn config<C: config::Config>(
        &mut self,
        component: &str,
        name: &str,
        texts: &mut BTreeMap<String, String>,
    ) -> Option<C> {
        let file = format!("{component}/{name}");
        let read = shards::read_json(&self.path, &file).and_then(|text| {
            let config = config::read::<C>(&file, &text);
            texts.insert(file.clone(), text);
            config
        });
        match read {
            Ok(config) => {
                let value = serde_json::to_value(&config).unwrap_or_default();
                self.configs.insert(component.to_owned(), value);
                Some(config)
            }
            Err(found) => {
                self.problems.list.extend(found);
                None
            }
        }
    }

    /// Holds a component's tensors against what the model needs, unless its files could not be read at all.
    fn compare(&mut self, component: &str, expected: &[Expected], ignore: &[&str]) {
        if let Some(shards) = self.shards.get(component).filter(|found| !found.files.is_empty()) {
            let found = weights::compare(&shards.tensors(), component, expected, ignore);
            self.problems.list.extend(found);
        }
    }
}

/// Where two configs do not fit together.
fn disagreements(
    transformer: &TransformerConfig,
    vae: &VaeConfig,
    text: &TextConfig,
) -> Vec<Problem> {
    let pairs = [
        ("in_channels", transformer.in_channels, vae.z_dim, "z_dim of the vae"),
        ("text_dim", transformer.text_dim, text.d_model, "d_model of the text encoder"),
    ];
    let wrong = pairs.iter().filter(|(_, ours, theirs, _)| ours != theirs);
    wrong
        .map(|(name, ours, theirs, whose)| {
            let expected = format!("{theirs}, as {whose}");
            Problem::new("transformer/config.json", *name, expected, ours.to_string())
                .advice("the components are of different models")
        })
        .collect()
}
