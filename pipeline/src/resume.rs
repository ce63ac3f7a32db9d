//! Decode saved latents again, with another codec, frame rate, quality or number format: seconds of work instead of minutes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::latents::{self, Saved};
use crate::plan::files;
use crate::request::Request;
use crate::video::Codec;
use crate::{Error, Result};

/// What `resume` may change; `None` keeps what the latents' own request says. Names and values are those of [`Request`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// The checkpoint folder, when it has moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// Where to decode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Number format of the VAE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae_dtype: Option<String>,
    /// Frames a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// The video file; `None` makes a new one beside the latents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// Its codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Its quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Write PNG frames too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_frames: Option<bool>,
    /// Run even when memory is predicted not to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_memory: Option<bool>,
}

/// Settings that [`Changes`] has: the command line offers these rows of the table.
pub const KEYS: &[&str] = &[
    "model",
    "device",
    "vae_dtype",
    "fps",
    "out",
    "codec",
    "quality",
    "save_frames",
    "override_memory",
];

/// Reads a latents file of ours and the request that decodes it.
pub fn request(path: &Path, changes: &Changes) -> Result<(Saved, Request)> {
    let saved = latents::read(path)?;
    let Some(description) = &saved.description else {
        return Err(Error::Latents {
            path: path.into(),
            reason: "it was not saved by Tessera, so model and size are not known; generate with --initial-latents takes such files".into(),
        });
    };
    let mut request = description.request.clip_only();
    let Changes {
        model,
        device,
        vae_dtype,
        fps,
        out,
        codec,
        quality,
        save_frames,
        override_memory,
    } = changes.clone();
    request.model = model.or(request.model);
    request.device = device.or_else(|| Some("auto".into())); // the machine may be another one
    request.vae_dtype = vae_dtype.or(request.vae_dtype);
    request.fps = fps.or(request.fps);
    request.quality = quality.or(request.quality);
    request.save_frames = save_frames.or(Some(false));
    request.override_memory = override_memory.or(Some(false));
    request.initial_latents = None;
    request.codec = match (&codec, &out) {
        (None, Some(_)) => None, // the new file's ending decides
        (None, None) => request.codec,
        (codec, _) => codec.clone(),
    };
    request.out = match out {
        Some(out) => Some(out),
        None => Some(new_name(path, request.codec.as_deref())?),
    };
    Ok((saved, request))
}

/// A name beside the latents that nothing has yet.
fn new_name(latents: &Path, codec: Option<&str>) -> Result<PathBuf> {
    let codec = codec.map_or(Ok(Codec::H264), str::parse::<Codec>)?;
    let name = latents.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name
        .strip_suffix(".latents.safetensors")
        .or_else(|| name.strip_suffix(".safetensors"))
        .unwrap_or(&name);
    let folder = crate::files::folder_of(latents);
    let ending = codec.default_container().extension();
    let plain =
        folder.join(if ending.is_empty() { stem.to_owned() } else { format!("{stem}.{ending}") });
    // The latents themselves are in the way of `free_name`, so the plain name is tried first.
    Ok(if plain.exists() {
        files::free_name(folder, &format!("{stem}-again"), codec.default_container())
    } else {
        plain
    })
}
