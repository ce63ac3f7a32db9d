//! What a person asks for, as typed: only the prompt is always there, all else may be left to the plan.
//!
//! Requests live long: in sidecars, in video files, in the history. So they carry a version, and keys that this build does not
//! know (written by a newer one, or by a plug-in) come back unchanged when the request is written again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::plan::files::is_folder;
use crate::{Error, Result};

/// The version that this build writes. It reads all up to this one.
pub const VERSION: u32 = 1;

/// One request. `None` leaves a setting to the plan; [`crate::settings::SETTINGS`] tells what each field means and may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Version of the format; a newer one than [`VERSION`] is refused.
    #[serde(deserialize_with = "known_version")]
    pub version: u32,
    /// What the clip shows.
    pub prompt: String,
    /// What it should not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative: Option<String>,
    /// Checkpoint folder; `None` is the bundled model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames of the clip, 4k + 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Frames shown in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Denoising steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Scale of classifier-free guidance; 1 or less is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// Shift of the noise schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_shift: Option<f64>,
    /// Name of the sampler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Seed of the starting noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How many clips, with seeds counting up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// A safetensors file to start from instead of noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_latents: Option<PathBuf>,
    /// Name of the self-attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Name of the method's preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Share of the dense work that sparse calls do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// Where levels end, for methods that go by cut-offs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<String>,
    /// Token order of sparse calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Levels that maps may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<String>,
    /// Level of blocks that were not selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// What stands for the size of a pooled group in its score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
    /// Dense steps at the start, as steps, share or noise level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<String>,
    /// Dense steps at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense_last: Option<u32>,
    /// Layers that stay dense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense_layers: Option<String>,
    /// Heads that stay dense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense_heads: Option<String>,
    /// When maps are estimated again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// See the own place in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_self: Option<bool>,
    /// See so many key blocks to either side of it in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_radius: Option<u32>,
    /// See the first latent frame in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_first_frame: Option<bool>,
    /// Share of a row's key blocks that is seen in full at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_full: Option<f64>,
    /// Use the prompt's maps without the prompt too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_branches: Option<bool>,
    /// Calibration plan file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PathBuf>,
    /// Fail rather than run otherwise than asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Bound on what is kept of maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_limit: Option<String>,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// `auto`, `f32` or `bf16`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// `auto`, `f32` or `bf16`, for the VAE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae_dtype: Option<String>,
    /// Run even when memory is predicted not to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_memory: Option<bool>,
    /// The video file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// Name of the codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// `draft`, `good`, `high`, `lossless` or 0 to 100 as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Keep the latents beside the finished video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_latents: Option<bool>,
    /// Write PNG frames too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_frames: Option<bool>,
    /// Record the run into this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
    /// Bytes that the recording may take, as text: `1G`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_limit: Option<String>,
    /// `none`, `f16` or `f32`: how a recording keeps the clip before each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_latents: Option<String>,
    /// `auto`, `all`, `none` or heads such as `3:0,3:1`, whose maps a recording keeps in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_heads: Option<String>,
    /// Keep these heads' attention, averaged over blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_attention: Option<bool>,
    /// Keep what these heads' levels were chosen by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_scores: Option<bool>,
    /// `none` or query tokens such as `0,4,7;2,4,7` whose attention is kept token by token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_rows: Option<String>,
    /// Keys that this build does not know, kept as they are.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            version: VERSION,
            prompt: String::new(),
            negative: None,
            model: None,
            width: None,
            height: None,
            frames: None,
            fps: None,
            steps: None,
            guidance: None,
            flow_shift: None,
            sampler: None,
            seed: None,
            count: None,
            initial_latents: None,
            attention: None,
            preset: None,
            density: None,
            thresholds: None,
            order: None,
            levels: None,
            floor: None,
            bias: None,
            warmup: None,
            dense_last: None,
            dense_layers: None,
            dense_heads: None,
            refresh: None,
            keep_self: None,
            keep_radius: None,
            keep_first_frame: None,
            least_full: None,
            share_branches: None,
            plan: None,
            strict: None,
            cache_limit: None,
            device: None,
            dtype: None,
            vae_dtype: None,
            override_memory: None,
            out: None,
            codec: None,
            quality: None,
            save_latents: None,
            save_frames: None,
            record: None,
            record_limit: None,
            record_latents: None,
            capture_heads: None,
            capture_attention: None,
            capture_scores: None,
            capture_rows: None,
            unknown: Map::new(),
        }
    }
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version == 0 || version > VERSION {
        return Err(de::Error::custom(format!(
            "this request has version {version}; this build of Tessera reads versions 1 to {VERSION}: use a newer Tessera"
        )));
    }
    Ok(version)
}

impl Request {
    /// Reads a request from JSON; also takes a sidecar or a video's metadata, which hold it under `request`.
    /// `what` names the text in errors.
    pub fn from_json(text: &str, what: &str) -> Result<Self> {
        let unreadable = |reason: serde_json::Error| Error::Unreadable {
            what: what.into(),
            reason: reason.to_string(),
        };
        let mut value: Value = serde_json::from_str(text).map_err(unreadable)?;
        // A request of its own always has a prompt; what only holds one has not.
        let holds_one = value.get("prompt").is_none();
        if let Some(inner) = value.get_mut("request").filter(|inner| holds_one && inner.is_object())
        {
            value = inner.take();
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// Reads a request from a JSON file; see [`Request::from_json`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::from_json(&text, &path.display().to_string())
    }

    /// The request without what leaves the clip as it is: where it is written, and what is recorded of its making. Files that
    /// hold this are the same whether or not the run was recorded.
    #[must_use]
    pub fn clip_only(&self) -> Self {
        Self {
            out: None,
            record: None,
            record_limit: None,
            record_latents: None,
            capture_heads: None,
            capture_attention: None,
            capture_scores: None,
            capture_rows: None,
            ..self.clone()
        }
    }

    /// One request for each clip of `count`: seeds count up, and where a file was named each gets `-s<seed>` before the ending
    /// (in a folder the plan finds names).
    #[must_use]
    pub fn variations(&self) -> Vec<Self> {
        let count = self.count.unwrap_or(1);
        let first = self.seed.unwrap_or(0);
        (0..u64::from(count))
            .map(|index| {
                let seed = first.wrapping_add(index);
                let named = |path: &Option<PathBuf>| match (path, count) {
                    (Some(path), 2..) if !is_folder(path) => Some(with_seed(path, seed)),
                    (path, _) => path.clone(),
                };
                let (out, record) = (named(&self.out), named(&self.record));
                Self { seed: Some(seed), count: None, out, record, ..self.clone() }
            })
            .collect()
    }
}

/// `clip.mp4` → `clip-s7.mp4`.
fn with_seed(path: &Path, seed: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(ending) => format!("{stem}-s{seed}.{}", ending.to_string_lossy()),
        None => format!("{stem}-s{seed}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_survive_a_round_trip() {
        let text =
            r#"{"version":1,"prompt":"a ball","steps":3,"sparsity":{"density":0.15},"note":"hi"}"#;
        let request = Request::from_json(text, "test").unwrap();
        assert_eq!(request.steps, Some(3));
        assert_eq!(request.unknown.len(), 2);
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
    }

    #[test]
    fn a_newer_version_is_refused_with_what_to_do() {
        let error = Request::from_json(r#"{"version":7,"prompt":"a"}"#, "clip.mp4.json")
            .unwrap_err()
            .to_string();
        assert!(error.contains("clip.mp4.json"), "{error}");
        assert!(
            error.contains("version 7")
                && error.contains("versions 1 to 1")
                && error.contains("newer"),
            "{error}"
        );
    }

    #[test]
    fn a_sidecar_holds_its_request() {
        let request =
            Request::from_json(r#"{"version":9,"request":{"prompt":"x","seed":4}}"#, "s").unwrap();
        assert_eq!((request.prompt.as_str(), request.seed), ("x", Some(4)));
        assert!(Request::from_json("not json", "s").unwrap_err().to_string().starts_with("s: "));
        let text = r#"{"version":1,"prompt":"x","request":{"prompt":"another program's"}}"#;
        let request = Request::from_json(text, "s").unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text, "an unknown key of that name");
    }

    #[test]
    fn variations_count_seeds_up_and_never_share_a_file() {
        let request = Request {
            seed: Some(5),
            count: Some(3),
            out: Some("a/clip.mp4".into()),
            ..Request::default()
        };
        let all = request.variations();
        let seen: Vec<_> = all.iter().map(|r| (r.seed, r.out.clone())).collect();
        assert_eq!(
            seen,
            [
                (Some(5), Some("a/clip-s5.mp4".into())),
                (Some(6), Some("a/clip-s6.mp4".into())),
                (Some(7), Some("a/clip-s7.mp4".into())),
            ]
        );
        let one = Request { out: Some("clip.mp4".into()), ..Request::default() }.variations();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].out, Some("clip.mp4".into()));
    }
}
