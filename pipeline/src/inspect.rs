//! What a file or folder is: a model, a video of ours, saved latents, a calibration plan, a sidecar, a recording.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use tessera_models::folder;
pub use tessera_models::folder::{Inspection, Part};

use crate::bundled;
use crate::latents::{self, Description};
use crate::plan::files::sidecar_of;
use crate::receipt::{Embedded, Receipt};
use crate::recording::{Recording, RecordingReport};
use crate::request::Request;
use crate::sparsity::calibration::PlanFile;
use crate::video::{self, Decoder};
use crate::{Error, Result};

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Report {
    /// A checkpoint folder, usable or not.
    Model(Box<Inspection>),
    /// A video or a folder of frames.
    Video(Box<VideoReport>),
    /// Saved latents.
    Latents(Box<LatentsReport>),
    /// What a calibration found.
    Plan(Box<PlanFile>),
    /// A receipt beside a video.
    Sidecar(Box<Receipt>),
    /// A request as JSON.
    Request(Box<Request>),
    /// A recorded run, finished or not.
    Recording(Box<RecordingReport>),
}

/// A video.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoReport {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u64,
    /// The settings inside it, when they are ours.
    pub embedded: Option<Embedded>,
    /// The text inside it, when it is another program's.
    pub comment: Option<String>,
    /// Whether a sidecar lies beside it.
    pub has_sidecar: bool,
}

/// A latents file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatentsReport {
    /// `[1, C, T, h, w]`.
    pub shape: Vec<usize>,
    /// What is told about them; `None` for another program's file.
    pub description: Option<Description>,
}

impl Report {
    /// The request inside, to run again.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::Model(_) | Self::Plan(_) => None,
            Self::Video(video) => video.embedded.as_ref().map(|embedded| &embedded.request),
            Self::Latents(latents) => {
                latents.description.as_ref().map(|description| &description.request)
            }
            Self::Sidecar(receipt) => Some(&receipt.request),
            Self::Request(request) => Some(request),
            Self::Recording(recording) => Some(&recording.run.request),
        }
    }

    /// The fingerprint of the model that it was made with, where it is told.
    fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Model(_) | Self::Plan(_) | Self::Request(_) => None,
            Self::Video(video) => {
                video.embedded.as_ref().map(|embedded| embedded.fingerprint.as_str())
            }
            Self::Latents(latents) => {
                latents.description.as_ref().map(|description| description.fingerprint.as_str())
            }
            Self::Sidecar(receipt) => Some(&receipt.model.fingerprint),
            Self::Recording(recording) => Some(&recording.run.model.fingerprint),
        }
    }

    /// The request inside, to run on this machine: where the bundled model has the weights that it was made with and the folder
    /// that it names is not here, it names none.
    pub fn request_here(&self) -> Option<Request> {
        let mut request = self.request()?.clone();
        let is_gone = request.model.as_ref().is_some_and(|folder| !folder.is_dir());
        if is_gone && self.fingerprint().is_some_and(bundled::has_fingerprint) {
            request.model = None;
        }
        Some(request)
    }
}

/// Looks at a path. A folder with a model index, or without pictures, is taken for a model and never refused: what is wrong
/// with it is in the report.
pub fn inspect(path: &Path) -> Result<Report> {
    let kind = std::fs::metadata(path).map_err(Error::io(path))?;
    let ending =
        path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    if kind.is_dir() {
        let is_model = path.join("model_index.json").exists() || path.join("transformer").is_dir();
        if is_model || !has_pictures(path) {
            return Ok(Report::Model(Box::new(folder::inspect(path))));
        }
        return video(path);
    }
    if Recording::is_one(path) || matches!(ending.as_str(), "tessera" | "partial") {
        return Ok(Report::Recording(Box::new(Recording::open(path)?.report()?)));
    }
    match ending.as_str() {
        "safetensors" if PlanFile::is_one(path) => {
            Ok(Report::Plan(Box::new(PlanFile::read(path)?)))
        }
        "safetensors" => {
            let saved = latents::read(path)?;
            let report = LatentsReport {
                shape: saved.latents.dims().to_vec(),
                description: saved.description,
            };
            Ok(Report::Latents(Box::new(report)))
        }
        "json" => {
            Receipt::read(path).map(|receipt| Report::Sidecar(Box::new(receipt))).or_else(|_| {
                // Not a receipt; a bare request has fewer fields and its own error names what is wrong.
                Request::read(path).map(|request| Report::Request(Box::new(request)))
            })
        }
        _ => video(path),
    }
}

fn has_pictures(folder: &Path) -> bool {
    let is_png = |entry: std::fs::DirEntry| {
        entry.path().extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
    };
    std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.filter_map(std::result::Result::ok).any(is_png))
}

fn video(path: &Path) -> Result<Report> {
    let text = video::read_metadata(path)?;
    let embedded = text.as_deref().and_then(|text| serde_json::from_str::<Embedded>(text).ok());
    let mut report = VideoReport {
        width: 0,
        height: 0,
        frames: 0,
        comment: if embedded.is_some() { None } else { text },
        embedded,
        has_sidecar: sidecar_of(path).is_file(),
    };
    for frame in Decoder::open(path)? {
        let frame = frame?;
        (report.width, report.height) = (frame.width, frame.height);
        report.frames += 1;
    }
    Ok(Report::Video(Box::new(report)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write_model(f, model),
            Self::Video(video) => {
                writeln!(
                    f,
                    "video      {}x{}, {} frames",
                    video.width, video.height, video.frames
                )?;
                if let Some(embedded) = &video.embedded {
                    writeln!(
                        f,
                        "made by    {} with {} ({})",
                        embedded.program, embedded.model, embedded.fingerprint
                    )?;
                    write_request(f, &embedded.request)?;
                } else if let Some(comment) = &video.comment {
                    writeln!(f, "comment    {comment}")?;
                } else {
                    writeln!(f, "settings   none inside")?;
                }
                writeln!(f, "sidecar    {}", if video.has_sidecar { "beside it" } else { "none" })
            }
            Self::Latents(latents) => {
                writeln!(f, "latents    {:?}", latents.shape)?;
                let Some(description) = &latents.description else {
                    return writeln!(f, "made by    another program");
                };
                writeln!(
                    f,
                    "made by    {} with {} ({})",
                    description.program, description.model, description.fingerprint
                )?;
                if let Some(denoised) = description.denoised {
                    writeln!(f, "partial    its run was stopped after {denoised}")?;
                }
                write_request(f, &description.request)
            }
            Self::Plan(plan) => write!(f, "{plan}"),
            Self::Sidecar(receipt) => write_receipt(f, receipt),
            Self::Request(request) => write_request(f, request),
            Self::Recording(recording) => {
                write!(f, "{recording}")?;
                write_request(f, &recording.run.request)
            }
        }
    }
}

fn write_model(f: &mut fmt::Formatter<'_>, model: &Inspection) -> fmt::Result {
    let bytes = crate::plan::bytes;
    writeln!(f, "model      {} ({})", model.name, model.class)?;
    writeln!(f, "folder     {}", model.folder.display())?;
    writeln!(f, "size       {} parameters, {}", grouped(model.parameters), bytes(model.bytes))?;
    if !model.fingerprint.is_empty() {
        writeln!(f, "known as   {}", model.fingerprint)?;
    }
    for part in &model.parts {
        write!(f, "  {:<14}{}", part.component, part.class)?;
        if part.tensors > 0 {
            let dtypes: Vec<&str> = part.dtypes.keys().map(String::as_str).collect();
            write!(
                f,
                ", {} parameters in {} tensors, {}, {}",
                grouped(part.parameters),
                part.tensors,
                bytes(part.bytes),
                dtypes.join("+")
            )?;
        }
        writeln!(f)?;
    }
    if model.problems.is_empty() {
        return writeln!(f, "usable     yes");
    }
    writeln!(f, "usable     no:")?;
    model.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
}

fn write_request(f: &mut fmt::Formatter<'_>, request: &Request) -> fmt::Result {
    let Ok(serde_json::Value::Object(map)) = serde_json::to_value(request) else { return Ok(()) };
    for (key, value) in map.iter().filter(|(key, _)| *key != "version") {
        let shown = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        writeln!(f, "  {key:<18}{shown}")?;
    }
    Ok(())
}

fn write_receipt(f: &mut fmt::Formatter<'_>, receipt: &Receipt) -> fmt::Result {
    let ran = &receipt.ran_on;
    writeln!(f, "clip       {}, {} tokens", receipt.size, receipt.grid.tokens())?;
    writeln!(
        f,
        "made by    {} with {} ({})",
        receipt.program, receipt.model.name, receipt.model.fingerprint
    )?;
    writeln!(
        f,
        "on         {}, {} (VAE {}), {} kernels, {} cores",
        ran.device, ran.dtype, ran.vae_dtype, ran.kernels, ran.cores
    )?;
    for phase in &receipt.phases {
        writeln!(
            f,
            "  {:<18}{:.2} s (planned {:.2} s)",
            phase.phase, phase.seconds, phase.planned_seconds
        )?;
    }
    for used in &receipt.attention {
        writeln!(
            f,
            "attention  {}, {}, steps {}..{}, layers {}..{}, heads {}..{}, density {}",
            used.name,
            used.mode,
            used.steps[0],
            used.steps[1],
            used.layers[0],
            used.layers[1],
            used.heads[0],
            used.heads[1],
            used.density_exact
        )?;
    }
    for line in receipt.fallbacks.iter().chain(&receipt.warnings) {
        writeln!(f, "note       {line}")?;
    }
    for file in &receipt.files {
        writeln!(f, "file       {} ({})", file.path.display(), crate::plan::bytes(file.bytes))?;
    }
    write_request(f, &receipt.request)
}

/// 14178944 as "14,178,944".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_is_usable_and_says_so() {
        let report = inspect(&bundled::model().unwrap()).unwrap();
        let text = report.to_string();
        assert!(
            text.contains("usable     yes") && text.contains("WanTransformer3DModel"),
            "{text}"
        );
        assert!(text.contains("14,178,944"), "{text}");
    }

    #[test]
    fn a_folder_that_is_no_model_is_told_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = inspect(folder.path()).unwrap().to_string();
        assert!(text.contains("usable     no"), "{text}");
        assert!(inspect(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn a_clip_of_the_bundled_model_is_made_again_where_its_folder_was_another() {
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/recordings/psa.mp4");
        let report = inspect(&clip).unwrap();
        let named = report.request().unwrap().model.clone().unwrap();
        assert!(!named.is_dir(), "a path from another folder: {}", named.display());
        let here = report.request_here().unwrap();
        assert_eq!(here, Request { model: None, ..report.request().unwrap().clone() });
    }
}
