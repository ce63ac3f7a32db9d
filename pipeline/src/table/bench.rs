//! One worker of a table: an engine of its own, the dense clips of the prompts, and each method's clip against them.

use std::path::{Path, PathBuf};

use super::cell::{self, Cell};
use super::{Arm, REFERENCE, REPEAT, Spec};
use crate::engine::{Engine, Options};
use crate::error::FailureKind;
use crate::events::{Command, EventKind, JobId};
use crate::metrics::{Pictures, fidelity, latent_distances};
use crate::plan::files::sidecar_of;
use crate::receipt::Receipt;
use crate::recording::Recording;
use crate::request::Request;
use crate::{Error, Result};

/// The dense clip of a prompt.
pub(super) struct Reference {
    /// Its figures.
    pub(super) cell: Cell,
    /// Its pictures, lossless.
    video: PathBuf,
}

/// What came of one arm and one prompt.
pub(super) enum Made {
    /// The figures.
    Cell(Box<Cell>),
    /// The settings were refused: what was expected, and what was asked for.
    Refused(String),
}

/// A worker.
pub(super) struct Bench<'a> {
    spec: &'a Spec,
    fingerprint: &'a str,
    /// Tells the workers' files apart.
    number: usize,
    /// Cores of its engine; `None` takes all.
    threads: Option<usize>,
    engine: Option<Engine>,
    jobs: u64,
    /// Why the last clip's settings were refused.
    refusal: Option<String>,
    /// The dense pictures that were compared with last, and their file.
    shown: Option<(PathBuf, Pictures)>,
}

impl<'a> Bench<'a> {
    /// Worker `number` of a table for the model of this fingerprint.
    pub(super) fn new(
        spec: &'a Spec,
        fingerprint: &'a str,
        number: usize,
        threads: Option<usize>,
    ) -> Self {
        Self {
            spec,
            fingerprint,
            number,
            threads,
            engine: None,
            jobs: 0,
            refusal: None,
            shown: None,
        }
    }

    /// The dense clip, made unless it is there; its pictures stay in the folder.
    pub(super) fn reference(&mut self, prompt: &str) -> Result<Reference> {
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
        let pictures = Pictures::read(&video)?;
        let same = fidelity(&pictures, &pictures)?;
        let recording = recording_of(&video);
        let cosines = cosines(&recording, &recording)?;
        let cell = Cell::new((&arm.name, arm.density), &receipt, same, cosines);
        cell.save(&path)?;
        Ok(Reference { cell, video })
    }

    /// An arm's clip against the dense one, made unless its figures are there.
    pub(super) fn cell(&mut self, arm: &Arm, prompt: &str, reference: &Reference) -> Result<Made> {
        let (key, request) = self.request(arm, prompt)?;
        // The repeat asks for the same clip as the reference, and is another cell.
        let path =
            self.file(&if arm.name == REPEAT { format!("{key}-again") } else { key }, "json");
        if let Some(cell) = Cell::read(&path)? {
            return Ok(Made::Cell(Box::new(cell)));
        }
        let video = self.spec.folder.join(format!("clip-{}.mkv", self.number));
        let receipt = match self.generate(request, &video) {
            Ok(receipt) => receipt,
            Err(error) => return self.refusal.take().map(Made::Refused).ok_or(error),
        };
        let compared = fidelity(&Pictures::read(&video)?, self.shown(&reference.video)?)?;
        let cosines = cosines(&recording_of(&video), &recording_of(&reference.video))?;
        for file in [sidecar_of(&video), recording_of(&video), video] {
            std::fs::remove_file(&file).map_err(Error::io(&file))?;
        }
        let cell = Cell::new((&arm.name, arm.density), &receipt, compared, cosines);
        cell.save(&path)?;
        Ok(Made::Cell(Box::new(cell)))
    }

    /// The pictures of a dense clip, read anew when it is another than the last.
    fn shown(&mut self, video: &Path) -> Result<&Pictures> {
        let kept = self.shown.take().filter(|(path, _)| path == video);
        let shown = match kept {
            Some(shown) => shown,
            None => (video.to_path_buf(), Pictures::read(video)?),
        };
        Ok(&self.shown.insert(shown).1)
    }

    fn request(&self, arm: &Arm, prompt: &str) -> Result<(String, Request)> {
        let request = arm.request(&self.spec.base, prompt)?;
        Ok((cell::key(&request, self.fingerprint)?, request))
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
            let options = Options { data_dir: None, machine: None, threads: self.threads };
            self.engine = Some(Engine::start_with(options)?);
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
    let steps = latent_distances(&Recording::open(recorded)?, &Recording::open(reference)?)?;
    Ok(steps.iter().map_while(|step| step.cosine).collect())
}
