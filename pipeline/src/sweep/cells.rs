//! From a sweep to its clips: the arms, the dense clip that each is compared with, and the order in which they are made.
//!
//! A block is one prompt and seed with one dense clip: that clip first, then its repeats and the arms. Where the machine drifts
//! (warms up, gets other work), late clips are slower than early ones; so every second block runs its arms backwards, and
//! each pair of blocks begins at another arm. Over the blocks no arm is early or late.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tessera_models::folder::ModelFolder;

use super::file::{Axis, Excluded, Sweep};
use crate::request::Request;
use crate::settings::{Problem, SETTINGS, Section, Setting, setting};
use crate::{Error, Result, bundled, receipt};

/// Version of [`Manifest`].
const VERSION: u32 = 1;
/// Name of the dense arm.
const DENSE: &str = "dense";

/// All clips of a sweep, and what they are compared by. It lies in the sweep's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// The program that planned the clips.
    pub program: String,
    /// Names the set of clips: equal sweeps of equal weights have equal names.
    pub digest: String,
    /// What was asked for.
    pub sweep: Sweep,
    /// What is compared.
    pub arms: Vec<Arm>,
    /// The clips, in the order that they are made.
    pub cells: Vec<Planned>,
}

/// Settings that clips of every prompt and seed are made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// What tells it from the others: `psa, density 0.25`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The settings that it has beside those of all clips, by key.
    pub settings: Map<String, Value>,
    /// Index of the dense arm that it is compared with; its own for that one.
    pub reference: usize,
}

/// What an arm is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Dense: others are compared with it.
    Reference,
    /// Dense again, the n-th time: what it differs from the reference by is the noise of the measurement.
    Repeat(u32),
    /// What is being compared.
    Compared,
}

/// One clip to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Names the clip and its files: the same settings, weights and program give the same name.
    pub key: String,
    /// Index of its arm.
    pub arm: usize,
    /// What is asked for.
    pub request: Request,
    /// Key of the dense clip that it is compared with; its own for that one.
    pub reference: String,
}

impl Planned {
    /// The seed of the clip.
    pub fn seed(&self) -> u64 {
        self.request.seed.unwrap_or_default()
    }
}

impl Manifest {
    /// Plans the clips of a sweep; reads the models' configs for their fingerprints, and no weights.
    ///
    /// # Errors
    /// [`Error::Settings`] for a sweep without prompts, seeds or arms; a model folder or plan file that cannot be read.
    pub fn new(sweep: &Sweep) -> Result<Self> {
        let problem =
            |key: &str, what: &str| Error::Settings(vec![Problem::new(key, what, "none")]);
        if sweep.prompts.is_empty() {
            return Err(problem("prompts", "at least one prompt"));
        }
        if sweep.seeds.is_empty() {
            return Err(problem("seeds", "at least one seed"));
        }
        let arms = arms(sweep);
        if arms.len() == 1 {
            return Err(problem(
                "axes",
                "an axis with a value other than dense attention, or repeats",
            ));
        }
        let mut named = Named::default();
        let mut cells = Vec::new();
        let references: Vec<usize> =
            (0..arms.len()).filter(|index| arms[*index].role == Role::Reference).collect();
        let blocks = sweep.prompts.len() * sweep.seeds.len() * references.len();
        let clips = sweep
            .prompts
            .iter()
            .flat_map(|prompt| sweep.seeds.iter().map(move |seed| (prompt, *seed)));
        let places =
            clips.flat_map(|clip| references.iter().map(move |reference| (clip, *reference)));
        for (block, ((prompt, seed), reference)) in places.enumerate() {
            let mut plan = |index: usize, dense: Option<&str>| -> Result<Planned> {
                let request = request(sweep, &arms[index], prompt, seed)?;
                let key = named.key(&request, arms[index].role)?;
                let reference = dense.map_or_else(|| key.clone(), str::to_owned);
                Ok(Planned { key, arm: index, request, reference })
            };
            let dense = plan(reference, None)?;
            let key = dense.key.clone();
            cells.push(dense);
            let others: Vec<usize> = (0..arms.len())
                .filter(|index| *index != reference && arms[*index].reference == reference)
                .collect();
            for index in turned(&others, block, blocks) {
                cells.push(plan(index, Some(&key))?);
            }
        }
        let mut keys: Vec<_> = cells.iter().map(|cell| cell.key.as_str()).collect();
        keys.sort_unstable();
        let digest = short_hash(&keys.join("\n"));
        let program = receipt::program();
        Ok(Self { version: VERSION, program, digest, sweep: sweep.clone(), arms, cells })
    }

    /// Reads what [`Manifest::save`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let unreadable =
            |reason: String| Error::Unreadable { what: path.display().to_string(), reason };
        let read: Self =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if read.version != VERSION {
            let reason = format!(
                "expected version {VERSION} of a sweep's plan, got {}; use the Tessera that made it",
                read.version
            );
            return Err(unreadable(reason));
        }
        Ok(read)
    }

    /// Writes the plan whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        super::folder::save_json(self, path)
    }

    /// The arm of a clip.
    pub fn arm(&self, cell: &Planned) -> &Arm {
        &self.arms[cell.arm]
    }
}

/// Whether a dense clip may have another value of this setting than the clip that is compared with it.
pub(super) fn may_differ_in_reference(row: &Setting) -> bool {
    !matches!(row.section, Section::Sparsity | Section::Size)
}

/// The arms: of every point of every axis, with the dense arm of each that is not there yet before it.
fn arms(sweep: &Sweep) -> Vec<Arm> {
    let points = product(&sweep.axes);
    let points = points.into_iter().filter(|point| !is_excluded(point, &sweep.excluded));
    let mut arms: Vec<Arm> = Vec::new();
    let mut compared: Vec<Map<String, Value>> = Vec::new();
    for mut point in points {
        let attention = point.get("attention").or(sweep.settings.get("attention"));
        if attention.and_then(Value::as_str).unwrap_or(DENSE) == DENSE {
            point.retain(|key, _| !is_of_sparsity(key)); // sparse settings do nothing in a dense clip
        }
        let mut dense = point.clone();
        dense.retain(|key, _| !is_of_sparsity(key));
        dense.extend(sweep.reference.clone());
        let reference =
            arms.iter().position(|arm| arm.role == Role::Reference && arm.settings == dense);
        let reference = reference.unwrap_or_else(|| {
            let index = arms.len();
            let name = name(&dense_method(), &dense, sweep);
            arms.push(Arm {
                name: name.clone(),
                role: Role::Reference,
                settings: dense.clone(),
                reference: index,
            });
            for time in 1..=sweep.repeats {
                let again = if time == 1 { "again".into() } else { format!("again {time}") };
                let name = format!("{name}, {again}");
                arms.push(Arm {
                    name,
                    role: Role::Repeat(time),
                    settings: dense.clone(),
                    reference: index,
                });
            }
            index
        });
        let is_dense =
            point.keys().all(|key| !is_of_sparsity(key)) && attention_of(&point, sweep) == DENSE;
        if (is_dense && point == arms[reference].settings) || compared.contains(&point) {
            continue;
        }
        let method = if is_dense { dense_method() } else { Map::new() };
        let name = name(&method, &point, sweep);
        arms.push(Arm { name, role: Role::Compared, settings: point.clone(), reference });
        compared.push(point);
    }
    arms
}

fn dense_method() -> Map<String, Value> {
    Map::from_iter([("attention".into(), DENSE.into())])
}

fn attention_of<'a>(point: &'a Map<String, Value>, sweep: &'a Sweep) -> &'a str {
    let attention = point.get("attention").or(sweep.settings.get("attention"));
    attention.and_then(Value::as_str).unwrap_or(DENSE)
}

fn is_of_sparsity(key: &str) -> bool {
    setting(key).is_some_and(|row| row.section == Section::Sparsity)
}

/// Every point of each axis with every point of the others; the last axis varies fastest.
fn product(axes: &[Axis]) -> Vec<Map<String, Value>> {
    axes.iter().fold(vec![Map::new()], |points, axis| {
        let with = |point: &Map<String, Value>| {
            axis.points
                .iter()
                .map(|own| {
                    let mut point = point.clone();
                    point.extend(own.clone());
                    point
                })
                .collect::<Vec<_>>()
        };
        points.iter().flat_map(with).collect()
    })
}

fn is_excluded(point: &Map<String, Value>, rules: &[Excluded]) -> bool {
    let matches = |(key, values): &(String, Vec<Value>)| {
        point.get(key).is_some_and(|value| values.contains(value))
    };
    rules.iter().any(|rule| rule.iter().all(matches))
}

/// What varies, in the order of the settings: `psa, density 0.25`. The method stands by its name alone.
fn name(first: &Map<String, Value>, settings: &Map<String, Value>, sweep: &Sweep) -> String {
    let told = |row: &Setting| {
        let value = first.get(row.key).or_else(|| settings.get(row.key));
        // Without an axis over the method, it is named all the same: an arm is not called by its density alone.
        let value =
            value.or_else(|| sweep.settings.get(row.key).filter(|_| row.key == "attention"))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(if row.key == "attention" {
            text
        } else {
            format!("{} {text}", row.key.replace('_', " "))
        })
    };
    let mut rows: Vec<&Setting> = SETTINGS.iter().collect();
    rows.sort_by_key(|row| row.key != "attention");
    let parts: Vec<_> = rows.into_iter().filter_map(told).collect();
    if parts.is_empty() { DENSE.into() } else { parts.join(", ") }
}

/// What is asked of the engine for a clip.
fn request(sweep: &Sweep, arm: &Arm, prompt: &str, seed: u64) -> Result<Request> {
    let mut settings = sweep.settings.clone();
    if arm.role != Role::Compared {
        settings.retain(|key, _| !is_of_sparsity(key));
    }
    settings.extend(arm.settings.clone());
    if attention_of(&settings, sweep) == DENSE || arm.role != Role::Compared {
        settings.retain(|key, _| !is_of_sparsity(key));
        settings.insert("attention".into(), DENSE.into());
    }
    settings.insert("prompt".into(), prompt.into());
    settings.insert("seed".into(), seed.into());
    serde_json::from_value(Value::Object(settings)).map_err(|error| Error::Unreadable {
        what: format!("settings of {}", arm.name),
        reason: error.to_string(),
    })
}

/// The arms of a block in its order; see the head of this file.
fn turned(arms: &[usize], block: usize, blocks: usize) -> Vec<usize> {
    let mut order = arms.to_vec();
    if !order.is_empty() {
        let pairs = blocks.div_ceil(2).max(1);
        order.rotate_left((block / 2 * arms.len() / pairs) % arms.len());
        if block % 2 == 1 {
            order.reverse();
        }
    }
    order
}

/// Names clips, and remembers what was read for it.
#[derive(Default)]
struct Named {
    fingerprints: BTreeMap<Option<PathBuf>, String>,
    files: BTreeMap<PathBuf, String>,
}

impl Named {
    /// A hash of the settings, the weights, the files that settings name, and this program.
    fn key(&mut self, request: &Request, role: Role) -> Result<String> {
        let fingerprint = if let Some(known) = self.fingerprints.get(&request.model) {
            known.clone()
        } else {
            let path = request.model.clone().map_or_else(bundled::model, Ok)?;
            let found = ModelFolder::open(&path)?.fingerprint().to_owned();
            self.fingerprints.insert(request.model.clone(), found.clone());
            found
        };
        let mut content = vec![receipt::program(), fingerprint];
        // Where these lie says nothing of the clip.
        let mut request = Request { model: None, ..request.clip_only() };
        for path in [request.plan.take(), request.initial_latents.take()].into_iter().flatten() {
            content.push(self.file(&path)?);
        }
        content.push(serde_json::to_string(&request).map_err(|error| Error::Unreadable {
            what: "request".into(),
            reason: error.to_string(),
        })?);
        if let Role::Repeat(time) = role {
            content.push(format!("again {time}"));
        }
        Ok(short_hash(&content.join("\n")))
    }

    fn file(&mut self, path: &Path) -> Result<String> {
        if let Some(known) = self.files.get(path) {
            return Ok(known.clone());
        }
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let hash = format!("{:?}", Sha256::digest(bytes));
        self.files.insert(path.into(), hash.clone());
        Ok(hash)
    }
}

/// 16 hexadecimal digits.
fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    let first = hash.iter().take(8).fold(0_u64, |name, byte| name << 8 | u64::from(*byte));
    format!("{first:016x}")
}
