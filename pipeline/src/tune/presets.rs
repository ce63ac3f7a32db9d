//! The presets that tuning found, in a file of the data folder: each for the model, size and device that it was found on.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Floor;
use crate::files::write_atomically;
use crate::plan::Plan;
use crate::request::Request;
use crate::statistics::{Interval, TimeBasis};
use crate::{Error, Result};

/// Name of the file in the data folder.
pub const FILE: &str = "presets.json";
/// Version of the file.
const VERSION: u32 = 1;

/// What a preset was found on, and may be used on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The model's fingerprint: its weights.
    pub fingerprint: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames of the clip.
    pub frames: u32,
    /// `cpu`, `cuda:0`.
    pub device: String,
}

impl Place {
    /// Where a planned clip would run.
    pub fn of(plan: &Plan) -> Self {
        let request = &plan.request;
        Self {
            fingerprint: plan.model.fingerprint.clone(),
            width: request.width.unwrap_or_default(),
            height: request.height.unwrap_or_default(),
            frames: request.frames.unwrap_or_default(),
            device: request.device.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}, {} frames, {}", self.width, self.height, self.frames, self.device)
    }
}

/// How many clips held the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Clips that did.
    pub clips: usize,
    /// Clips that were made.
    pub of: usize,
}

/// One named preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preset {
    /// `exact`, `balanced` or `fast`.
    pub name: String,
    /// The settings of attention, by key.
    pub settings: Map<String, Value>,
    /// The floor that it was chosen for.
    pub floor: Floor,
    /// Closeness to the dense clips of the search, by the floor's metric: the median with its interval.
    pub closeness: Interval,
    /// Time over the dense run's, paired by prompt: the median with its interval.
    pub time: Interval,
    /// Clips of the held-out prompts that hold the floor; `None` when none were made.
    pub held_out: Option<Kept>,
}

impl Preset {
    /// A request that holds these settings and nothing else; `None` for settings of a newer version.
    pub fn request(&self) -> Option<Request> {
        serde_json::from_value(Value::Object(self.settings.clone())).ok()
    }
}

/// What one search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The program that searched.
    pub program: String,
    /// The model's name.
    pub model: String,
    /// What the presets are for.
    pub place: Place,
    /// Denoising steps of the clips.
    pub steps: u32,
    /// Which time was judged.
    pub by: TimeBasis,
    /// Prompts of the search.
    pub prompts: usize,
    /// Exact, balanced, fast.
    pub presets: Vec<Preset>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    tuned: Vec<Tuned>,
}

/// All that was tuned; none without a file.
///
/// # Errors
/// A file that cannot be read, or of a newer version.
pub fn load(data_dir: &Path) -> Result<Vec<Tuned>> {
    let path = data_dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(&path)(error)),
    };
    let wrong = |reason: String| Error::Unreadable { what: path.display().to_string(), reason };
    let written: Written = serde_json::from_str(&text).map_err(|error| {
        wrong(format!("{error}; `tessera tune` makes it anew once the file is away"))
    })?;
    if written.version != VERSION {
        return Err(wrong(format!("version: expected {VERSION}, got {}", written.version)));
    }
    Ok(written.tuned)
}

/// Adds what a search found; what was found for the same place before makes room.
///
/// # Errors
/// The file cannot be read or written.
pub fn save(data_dir: &Path, found: &Tuned) -> Result<()> {
    std::fs::create_dir_all(data_dir).map_err(Error::io(data_dir))?;
    let mut tuned = load(data_dir)?;
    tuned.retain(|other| other.place != found.place);
    tuned.push(found.clone());
    let path = data_dir.join(FILE);
    let text =
        serde_json::to_string_pretty(&Written { version: VERSION, tuned }).map_err(|error| {
            Error::Unreadable { what: path.display().to_string(), reason: error.to_string() }
        })?;
    Ok(write_atomically(&path, |file| file.write_all(text.as_bytes()))?)
}

/// Where the clips of a search are kept in the data folder: those of the same settings share a folder, whatever the floor.
///
/// # Errors
/// Settings that JSON cannot hold.
pub fn work_folder(data_dir: &Path, base: &Request) -> Result<PathBuf> {
    let text = serde_json::to_string(base).map_err(|error| Error::Unreadable {
        what: "settings of the search".into(),
        reason: error.to_string(),
    })?;
    let hash = Sha256::digest(text);
    let name = hash.iter().take(8).fold(0_u64, |name, byte| name << 8 | u64::from(*byte));
    Ok(data_dir.join("tune").join(format!("{name:016x}")))
}

/// What was tuned for a place.
pub fn find<'a>(tuned: &'a [Tuned], place: &Place) -> Option<&'a Tuned> {
    tuned.iter().find(|found| found.place == *place)
}
