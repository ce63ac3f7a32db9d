//! Makes the cells of a table, prompt by prompt, so that a machine that grows slower does so for every method alike.

use std::path::{Path, PathBuf};

use tessera_models::folder::ModelFolder;

use super::cell::{self, Cell};
use super::{Arm, REFERENCE, REPEAT, Spec};
use crate::engine::{Engine, Options};
use crate::error::FailureKind;
use crate::events::{Command, EventKind, JobId};
use crate::metrics::{Pictures, cosine, fidelity};
use crate::plan::files::sidecar_of;
use crate::receipt::Receipt;
use crate::recording::Recording;
use crate::request::Request;
use crate::video::Decoder;
use crate::{Error, Result, bundled};

/// What is told before each clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Clips done or found done.
    pub done: usize,
    /// Clips of the table.
    pub of: usize,
    /// The method at hand.
    pub arm: String,
    /// The prompt at hand.
    pub prompt: String,
}

/// A table's clips.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Every finished clip, the dense ones too.
    pub cells: Vec<Cell>,
    /// Arms that cannot be run with these settings.
    pub refused: Vec<Refused>,
}

/// An arm that was refused, such as a density below what its forced keeps cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The arm, with its density.
    pub arm: String,
    /// What was expected, and what was asked for.
    pub reason: String,
}

/// Makes every cell that is not there yet and returns all. An arm whose settings are refused is left out and named. `tell` hears of each; `false` from it stops
/// between two clips with [`Error::Cancelled`]. What is finished stays in the folder.
pub fn run(spec: &Spec, mut tell: impl FnMut(&Progress) -> bool) -> Result<Outcome> {
    std::fs::create_dir_all(&spec.folder).map_err(Error::io(&spec.folder))?;
    let model = spec.base.model.clone().map_or_else(bundled::model, Ok)?;
    let fingerprint = ModelFolder::open(&model)?.fingerprint().to_owned();
    let mut arms = vec![Arm::dense(REPEAT)];
    arms.extend(spec.arms.iter().cloned());
    let of = spec.prompts.len() * (arms.len() + 1);
    let mut bench = Bench { spec, fingerprint, engine: None, jobs: 0, refusal: None };
    let mut refused: Vec<Refused> = Vec::new();
    let mut cells = Vec::with_capacity(of);
    for prompt in &spec.prompts {
        let mut say = |arm: &str, done: usize| {
            let told = Progress { done, of, arm: arm.into(), prompt: prompt.clone() };
            if tell(&told) { Ok(()) } else { Err(Error::Cancelled) }
        };
        say(REFERENCE, cells.len())?;
        let reference = bench.reference(prompt)?;
        cells.push(reference.cell.clone());
        let mut pictures = None;
        for arm in &arms {
            say(&arm.name, cells.len())?;
            match bench.cell(arm, prompt, &reference, &mut pictures) {
                Ok(cell) => cells.push(cell),
                Err(error) => {
                    let Some(reason) = bench.refusal.take() else { return Err(error) };
                    let density = arm.density.map_or(String::new(), |d| format!(" at {d}"));
                    let arm = Refused { arm: format!("{}{density}", arm.name), reason };
                    if !refused.contains(&arm) {
                        refused.push(arm);
                    }
                }
            }
        }
    }
    Ok(Outcome { cells, refused })
}

/// The dense clip of a prompt.
struct Reference {
    cell: Cell,
    video: PathBuf,
}

struct Bench<'a> {
    spec: &'a Spec,
    fingerprint: String,
    engine: Option<Engine>,
    jobs: u64,
    /// Why the last clip's settings were refused.
    refusal: Option<String>,
}

impl Bench<'_> {
    /// The dense clip, made unless it is there; its pictures stay in the folder.
    fn reference(&mut self, prompt: &str) -> Result<Reference> {
        let arm = Arm::dense(REFERENCE);
        let (key, request) = self.request(&arm, prompt)?;
        let (path, video) = (self.file(&key, "json"), self.file(&key, "mkv"));
        if video.is_file()
            && recording_of(&video).is_file()
            && let Some(cell) = Cell::read(&path)?
        {
            return Ok(Reference { cell, video });
        }
        let receipt = self.generate(request, &video)?;
        let pictures = pictures(&video)?;
        let same = fidelity(&pictures, &pictures)?;
        let recording = recording_of(&video);
        let cosines = cosines(&recording, &recording)?;
        let cell = Cell::new((&arm.name, arm.density), &receipt, same, cosines);
        cell.save(&path)?;
        Ok(Reference { cell, video })
    }

    /// An arm's clip against the dense one, made unless its figures are there. `shown` keeps the dense pictures between arms.
    fn cell(
        &mut self,
        arm: &Arm,
        prompt: &str,
        reference: &Reference,
        shown: &mut Option<Pictures>,
    ) -> Result<Cell> {
        let (key, request) = self.request(arm, prompt)?;
        // The repeat asks for the same clip as the reference, and is another cell.
        let path =
            self.file(&if arm.name == REPEAT { format!("{key}-again") } else { key }, "json");
        if let Some(cell) = Cell::read(&path)? {
            return Ok(cell);
        }
        let expected = match shown {
            Some(pictures) => pictures,
            None => shown.insert(pictures(&reference.video)?),
        };
        let video = self.spec.folder.join("clip.mkv");
        let receipt = self.generate(request, &video)?;
        let compared = fidelity(&pictures(&video)?, expected)?;
        let cosines = cosines(&recording_of(&video), &recording_of(&reference.video))?;
        for file in [sidecar_of(&video), recording_of(&video), video] {
            std::fs::remove_file(&file).map_err(Error::io(&file))?;
        }
        let cell = Cell::new((&arm.name, arm.density), &receipt, compared, cosines);
        cell.save(&path)?;
        Ok(cell)
    }

    fn request(&self, arm: &Arm, prompt: &str) -> Result<(String, Request)> {
        let request = arm.request(&self.spec.base, prompt)?;
        Ok((cell::key(&request, &self.fingerprint)?, request))
    }

    fn file(&self, key: &str, ending: &str) -> PathBuf {
        self.spec.folder.join(format!("{key}.{ending}"))
    }

    /// One clip into `video`, lossless. The engine's first clip is made twice: its time holds what later ones find warm.
    fn generate(&mut self, request: Request, video: &Path) -> Result<Receipt> {
        let request = Request {
            out: Some(video.to_path_buf()),
            codec: Some("ffv1".into()),
            quality: Some("lossless".into()),
            save_latents: Some(false),
            save_frames: Some(false),
            record: Some(recording_of(video)),
            record_latents: Some("f32".into()),
            capture_heads: Some("none".into()),
            ..request
        };
        if self.engine.is_none() {
            self.engine = Some(Engine::start_with(Options { data_dir: None, machine: None })?);
            self.wait(request.clone())?;
        }
        self.wait(request)
    }

    fn wait(&mut self, request: Request) -> Result<Receipt> {
        let engine =
            self.engine.as_ref().ok_or_else(|| Error::Thread("there is no engine".into()))?;
        self.jobs += 1;
        let job = JobId(self.jobs);
        let command = Command::Generate { job, request: Box::new(request.clone()) };
        engine.commands.send(command).map_err(gone)?;
        loop {
            let event = engine.events.recv().map_err(gone)?;
            match event.kind {
                EventKind::Finished { receipt } if event.job == job => return Ok(*receipt),
                EventKind::Failed { error, kind, .. } if event.job == job => {
                    self.refusal = (kind == FailureKind::Input).then(|| error.clone());
                    let what = request.attention.unwrap_or_else(|| REFERENCE.into());
                    return Err(Error::Unreadable { what, reason: error });
                }
                EventKind::Cancelled { .. } if event.job == job => return Err(Error::Cancelled),
                _ => {}
            }
        }
    }
}

fn gone(error: impl std::fmt::Display) -> Error {
    Error::Thread(format!("the engine's thread has ended ({error})"))
}

/// Where the clip of `video` is recorded, step by step.
fn recording_of(video: &Path) -> PathBuf {
    video.with_extension("recording")
}

/// Cosine of one recording's clip to another's after each step.
fn cosines(recorded: &Path, reference: &Path) -> Result<Vec<f64>> {
    let (ours, dense) = (Recording::open(recorded)?, Recording::open(reference)?);
    let after = (1..=ours.meta().steps()).map_while(|step| {
        let pair = ours.latents(step).and_then(|a| Ok(a.here().zip(dense.latents(step)?.here())));
        pair.transpose()
    });
    after.map(|pair| pair.and_then(|(a, b)| cosine(&a, &b))).collect()
}

/// All frames of a video.
fn pictures(video: &Path) -> Result<Pictures> {
    let decoder = Decoder::open(video)?;
    let (width, height) = decoder.size();
    let frames = decoder
        .map(|frame| Ok(frame?.rgb))
        .collect::<std::result::Result<Vec<_>, crate::video::VideoError>>()?;
    Ok(Pictures { width: width as usize, height: height as usize, frames })
}
