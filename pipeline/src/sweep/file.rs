//! A sweep as a person writes it: what all clips share, the axes that vary, what is left out, over which prompts and seeds.
//!
//! ```toml
//! version = 1
//! title = "Density and floor"
//! prompts = ["a red ball"]                # or { file = "prompts.txt", first = 4 }; the bundled model's examples without a file
//! seeds = [0, 1]                          # or { from = 0, to = 7 }
//! repeats = 1                             # further dense clips of each prompt and seed: the noise of the measurement
//! latents = true                          # also compare the latents after each step
//!
//! [settings]                              # of every clip
//! steps = 8
//!
//! [axes]                                  # every value of each with every value of the others
//! attention = ["tessera", "psa"]
//! density = { from = 0.1, to = 0.5, by = 0.2 }
//!
//! [paired]                                # an axis whose points are settings that go together
//! start = [{ warmup = "10%", refresh = 1 }, { warmup = "25%", refresh = 2 }]
//!
//! [[exclude]]                             # every setting equal, or one of those listed
//! attention = "psa"
//! density = [0.1]
//!
//! [reference]                             # where the dense clips differ from the clips compared with them; all else is equal
//! steps = 16
//!
//! [slurm]                                 # for --executor slurm; says nothing of the clips
//! tasks = 8
//! partition = "gpu"
//! time = "2:00:00"
//! gres = "gpu:1"
//! sbatch = ["--account=lab"]              # further options of sbatch
//! ```

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reading;
use crate::settings::{Section, Setting};
use crate::slurm::Options;
use crate::{Error, Result};

/// The version of the file that this build writes and reads.
pub const VERSION: u64 = 1;

/// Settings that the sweep itself decides for each clip, beside those of recording.
const DECIDED: &[&str] =
    &["prompt", "seed", "count", "out", "codec", "quality", "save_latents", "save_frames"];

/// What a sweep compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What the report is headed with.
    pub title: String,
    /// What the clips show.
    pub prompts: Vec<String>,
    /// The seeds that each prompt is made with.
    pub seeds: Vec<u64>,
    /// Dense clips beside the reference, of each prompt and seed.
    pub repeats: u32,
    /// Whether the latents are compared too, step by step. The dense clips' recordings then stay beside their masters.
    pub latents: bool,
    /// Settings of every clip, by key.
    pub settings: Map<String, Value>,
    /// What varies: the arms are every point of each axis with every point of the others.
    pub axes: Vec<Axis>,
    /// Arms that are left out: those whose settings are all among these.
    pub excluded: Vec<Excluded>,
    /// Where the dense clips differ from the clips that are compared with them.
    pub reference: Map<String, Value>,
    /// How tasks are asked of Slurm, when they are.
    #[serde(default, skip_serializing_if = "Options::is_empty")]
    pub slurm: Options,
}

/// One thing that varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The setting's key; of paired settings any name.
    pub name: String,
    /// The settings of each point, by key.
    pub points: Vec<Map<String, Value>>,
}

/// The settings of arms that are left out, each with the values that match.
pub type Excluded = Vec<(String, Vec<Value>)>;

impl Default for Sweep {
    /// One dense clip and its repeat; a builder begins with it.
    fn default() -> Self {
        Self {
            title: String::new(),
            prompts: Vec::new(),
            seeds: vec![0],
            repeats: 1,
            latents: true,
            settings: Map::new(),
            axes: Vec::new(),
            excluded: Vec::new(),
            reference: Map::new(),
            slurm: Options::default(),
        }
    }
}

impl Axis {
    /// An axis over the values of one setting.
    pub fn new(key: &str, values: impl IntoIterator<Item = Value>) -> Self {
        let point = |value| Map::from_iter([(key.to_owned(), value)]);
        Self { name: key.into(), points: values.into_iter().map(point).collect() }
    }

    /// The values, where this is an axis over one setting.
    pub fn values(&self) -> Option<Vec<&Value>> {
        let of = |point: &'_ Map<String, Value>| {
            (point.len() == 1).then(|| point.contains_key(&self.name))
        };
        let is_plain = self.points.iter().all(|point| of(point) == Some(true));
        is_plain.then(|| self.points.iter().filter_map(|point| point.get(&self.name)).collect())
    }
}

impl Sweep {
    /// Reads a sweep file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`Error::SweepFile`] names line and key of the first thing that is wrong, with what was expected.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&text, path)
    }

    /// As [`Sweep::read`], of a text; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        reading::sweep(text, path)
    }

    /// The file that reads as this sweep. Prompts of a file are written out.
    pub fn to_toml(&self) -> String {
        let mut text = format!("version = {VERSION}\n");
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "title = {}", quoted(&self.title));
        let prompts: Vec<_> =
            self.prompts.iter().map(|prompt| format!("  {},\n", quoted(prompt))).collect();
        let _ = writeln!(text, "prompts = [\n{}]", prompts.concat());
        let _ = writeln!(text, "seeds = {:?}", self.seeds);
        let _ = writeln!(text, "repeats = {}\nlatents = {}", self.repeats, self.latents);
        table(&mut text, "settings", &self.settings);
        let (plain, paired): (Vec<_>, Vec<_>) =
            self.axes.iter().partition(|axis| axis.values().is_some());
        if !plain.is_empty() {
            text.push_str("\n[axes]\n");
        }
        for axis in plain {
            let values: Vec<_> = axis.values().into_iter().flatten().map(written).collect();
            let _ = writeln!(text, "{} = [{}]", axis.name, values.join(", "));
        }
        if !paired.is_empty() {
            text.push_str("\n[paired]\n");
        }
        for axis in paired {
            let rows: Vec<_> =
                axis.points.iter().map(|point| format!("  {},\n", row(point))).collect();
            let _ = writeln!(text, "{} = [\n{}]", quoted(&axis.name), rows.concat());
        }
        for excluded in &self.excluded {
            text.push_str("\n[[exclude]]\n");
            for (key, values) in excluded {
                let values: Vec<_> = values.iter().map(written).collect();
                let _ = writeln!(text, "{key} = [{}]", values.join(", "));
            }
        }
        table(&mut text, "reference", &self.reference);
        table(&mut text, "slurm", &self.slurm.to_map());
        text
    }
}

/// Whether a setting may stand in a sweep file.
pub(super) fn may_vary(setting: &Setting) -> bool {
    setting.section != Section::Recording && !DECIDED.contains(&setting.key)
}

fn table(text: &mut String, name: &str, settings: &Map<String, Value>) {
    if settings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n[{name}]");
    for (key, value) in settings {
        let _ = writeln!(text, "{key} = {}", written(value));
    }
}

fn row(point: &Map<String, Value>) -> String {
    let fields: Vec<_> =
        point.iter().map(|(key, value)| format!("{key} = {}", written(value))).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// A scalar, as TOML writes it too.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}

/// JSON's escapes are TOML's, but for DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
