//! Makes one clip after another on an engine of its own, and compares each with its dense clip.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};

use super::cell::{Cell, Made, Outcome, VERSION};
use super::cells::Planned;
use super::folder::{Claim, Doing, Folder};
use crate::engine::{Engine, Options};
use crate::error::FailureKind;
use crate::events::{Command, EventKind, JobId, Phase};
use crate::files::write_atomically;
use crate::metrics::{LatentDistance, Pictures, fidelity, latent_distances};
use crate::plan::files::sidecar_of;
use crate::receipt::Receipt;
use crate::recording::Recording;
use crate::request::Request;
use crate::{Error, Result};

/// How often a worker looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// How often a clip's claim says that it is alive, when nothing else is new.
const ALIVE: Duration = Duration::from_secs(5);
/// Steps of the clip that warms an engine up.
const WARM_STEPS: u32 = 2;
/// Pixels of a thumbnail's longer side.
const THUMBNAIL_SIDE: u32 = 160;
/// JPEG quality of a thumbnail.
const THUMBNAIL_QUALITY: u8 = 80;

/// What came of a request: the receipt, or why there is none.
type Answer = std::result::Result<Receipt, (String, FailureKind)>;

/// One worker's engine, and the dense pictures that it compared with last.
pub(super) struct Maker<'a> {
    folder: &'a Folder,
    /// Cores of its engine; `None` takes all.
    threads: Option<usize>,
    engine: Option<Engine>,
    jobs: u64,
    /// What was run once, so that a timed clip finds it warm.
    warm: Vec<Request>,
    shown: Option<(String, Pictures)>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(folder: &'a Folder, threads: Option<usize>) -> Self {
        Self { folder, threads, engine: None, jobs: 0, warm: Vec::new(), shown: None }
    }

    /// Makes a claimed clip; its dense clip is finished, or it is one. `tell` hears how far it is; `false` from it stops.
    ///
    /// # Errors
    /// Only what ends the sweep: it was stopped, or nothing can be written. All else is the clip's own failure, and its row.
    pub(super) fn make(
        &mut self,
        planned: &Planned,
        claim: &mut Claim,
        tell: &dyn Fn(&Doing) -> bool,
    ) -> Result<Cell> {
        let mut noted: Option<(Doing, Instant)> = None;
        let mut hear = |doing: &Doing| {
            let is_news = |(last, at): &(Doing, Instant)| last != doing || at.elapsed() > ALIVE;
            if noted.as_ref().is_none_or(is_news) {
                claim.tell(doing);
                noted = Some((doing.clone(), Instant::now()));
            }
            tell(doing)
        };
        let outcome = match self.made(planned, &mut hear) {
            Ok(outcome) => outcome,
            Err(error) if error.is_cancelled() || error.kind() == FailureKind::Output => {
                return Err(error);
            }
            Err(error) => Outcome::Failed { kind: error.kind(), error: error.to_string() },
        };
        let arm = self.folder.manifest().arm(planned);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Cell {
            version: VERSION,
            key: planned.key.clone(),
            arm: arm.name.clone(),
            role: arm.role,
            settings: arm.settings.clone(),
            prompt: planned.request.prompt.clone(),
            seed: planned.seed(),
            reference: planned.reference.clone(),
            finished_at: now.map_or(0, |since| since.as_secs()),
            outcome,
        })
    }

    fn made(&mut self, planned: &Planned, hear: &mut dyn FnMut(&Doing) -> bool) -> Result<Outcome> {
        let is_reference = planned.reference == planned.key;
        if !is_reference && let Err((error, kind)) = self.reference(planned, hear)? {
            let error = format!("the dense clip that it is compared with failed: {error}");
            return Ok(Outcome::Failed { error, kind });
        }
        let receipt = match self.generate(&planned.request, &planned.key, hear)? {
            Ok(receipt) => receipt,
            Err((error, kind)) => return Ok(Outcome::Failed { error, kind }),
        };
        hear(&doing(Phase::Measure, 0, 1));
        let master = Folder::master(&planned.key, "mkv");
        let video = self.file(&master);
        let pictures = Pictures::read(&video)?;
        let thumbnail = Folder::master(&planned.key, "jpg");
        thumbnail_of(&pictures, &self.file(&thumbnail))?;
        let beside = sidecar_of(&master);
        let mut made = Made::new(receipt, [master, beside, thumbnail]);
        if is_reference {
            self.shown = Some((planned.key.clone(), pictures));
        } else {
            made.latents = self.latents(planned)?;
            made.fidelity = Some(fidelity(&pictures, self.shown(&planned.reference)?)?);
        }
        Ok(Outcome::Made(Box::new(made)))
    }

    /// Sees to it that the files of the dense clip are there. Its row is finished; its files may have been tidied away, and the
    /// same request makes the same ones.
    fn reference(
        &mut self,
        planned: &Planned,
        hear: &mut dyn FnMut(&Doing) -> bool,
    ) -> Result<std::result::Result<(), (String, FailureKind)>> {
        let dense = self.folder.manifest().cells.iter().find(|cell| cell.key == planned.reference);
        let (Some(dense), Some(cell)) = (dense, self.folder.cell(&planned.reference)?) else {
            return Ok(Err(("it is not there".into(), FailureKind::Internal)));
        };
        if let Outcome::Failed { error, kind } = cell.outcome {
            return Ok(Err((error, kind)));
        }
        let is_there = |ending| self.file(&Folder::master(&dense.key, ending)).is_file();
        if is_there("mkv") && (is_there("recording") || !self.wants_latents()) {
            return Ok(Ok(()));
        }
        Ok(self.generate(&dense.request, &dense.key, hear)?.map(|_| ()))
    }

    /// Distances of the latents; the clip's own recording has served its purpose then.
    fn latents(&self, planned: &Planned) -> Result<Vec<LatentDistance>> {
        if !self.wants_latents() {
            return Ok(Vec::new());
        }
        let path = |key: &str| self.file(&Folder::master(key, "recording"));
        let (own, dense) = (path(&planned.key), path(&planned.reference));
        let (own_steps, dense_steps) = (Recording::open(&own)?, Recording::open(&dense)?);
        // A clip of other steps than its dense one is at another noise level after each.
        let distances = if own_steps.meta().steps() == dense_steps.meta().steps() {
            latent_distances(&own_steps, &dense_steps)?
        } else {
            Vec::new()
        };
        drop(own_steps);
        std::fs::remove_file(&own).map_err(Error::io(&own))?;
        Ok(distances)
    }

    /// The pictures of a dense clip, read anew when it is another than the last.
    fn shown(&mut self, key: &str) -> Result<&Pictures> {
        let kept = self.shown.take().filter(|(shown, _)| shown == key);
        let shown = match kept {
            Some(shown) => shown,
            None => (key.to_owned(), Pictures::read(&self.file(&Folder::master(key, "mkv")))?),
        };
        Ok(&self.shown.insert(shown).1)
    }

    /// One clip into its master, lossless, on an engine that has made a clip like it before.
    fn generate(
        &mut self,
        asked: &Request,
        key: &str,
        hear: &mut dyn FnMut(&Doing) -> bool,
    ) -> Result<Answer> {
        let request = Request {
            out: Some(self.file(&Folder::master(key, "mkv"))),
            codec: Some("ffv1".into()),
            quality: Some("lossless".into()),
            save_latents: Some(false),
            save_frames: Some(false),
            record: self.wants_latents().then(|| self.file(&Folder::master(key, "recording"))),
            record_latents: Some("f16".into()),
            capture_heads: Some("none".into()),
            ..asked.clone()
        };
        self.warm_up(asked, &request, hear)?;
        self.wait(request, hear)
    }

    /// A short clip of the same size, number format and method, unless there was one: its time holds what later ones find in
    /// memory. What it cannot do, the clip itself will say.
    fn warm_up(
        &mut self,
        asked: &Request,
        request: &Request,
        hear: &mut dyn FnMut(&Doing) -> bool,
    ) -> Result<()> {
        let alike = Request {
            model: asked.model.clone(),
            width: asked.width,
            height: asked.height,
            frames: asked.frames,
            device: asked.device.clone(),
            dtype: asked.dtype.clone(),
            vae_dtype: asked.vae_dtype.clone(),
            attention: asked.attention.clone(),
            ..Request::default()
        };
        if self.warm.contains(&alike) {
            return Ok(());
        }
        let steps = Some(asked.steps.unwrap_or(WARM_STEPS).min(WARM_STEPS));
        let is_dense = asked.attention.as_deref().is_none_or(|attention| attention == "dense");
        let sparse = |value: &str| (!is_dense).then(|| value.to_owned());
        let short = Request {
            steps,
            warmup: sparse("0"),
            refresh: sparse("1"),
            dense_last: (!is_dense).then_some(0),
            ..request.clone()
        };
        self.warm.push(alike);
        self.wait(short, hear).map(|_| ())
    }

    fn wait(&mut self, request: Request, hear: &mut dyn FnMut(&Doing) -> bool) -> Result<Answer> {
        if self.engine.is_none() {
            let options = Options { data_dir: None, machine: None, threads: self.threads };
            self.engine = Some(Engine::start_with(options)?);
        }
        let engine =
            self.engine.as_ref().ok_or_else(|| Error::Thread("there is no engine".into()))?;
        self.jobs += 1;
        let job = JobId(self.jobs);
        engine
            .commands
            .send(Command::Generate { job, request: Box::new(request) })
            .map_err(gone)?;
        let mut now = doing(Phase::EncodeText, 0, 1);
        loop {
            let event = match engine.events.recv_timeout(POLL) {
                Ok(event) if event.job == job => Some(event.kind),
                Ok(_) => None,
                Err(error) if error.is_timeout() => None,
                Err(error) => return Err(gone(error)),
            };
            match event {
                Some(EventKind::PhaseStarted { phase, of }) => now = doing(phase, 0, of),
                Some(EventKind::Progress { phase, done, of, .. }) => now = doing(phase, done, of),
                Some(EventKind::Finished { receipt }) => return Ok(Ok(*receipt)),
                Some(EventKind::Failed { error, kind: FailureKind::Output, .. }) => {
                    return Err(Error::SweepStopped {
                        folder: self.folder.path().into(),
                        reason: error,
                    });
                }
                Some(EventKind::Failed { error, kind, .. }) => return Ok(Err((error, kind))),
                Some(EventKind::Cancelled { .. }) => return Err(Error::Cancelled),
                _ => {}
            }
            if !hear(&now) {
                engine.commands.send(Command::Cancel { job }).map_err(gone)?;
            }
        }
    }

    fn wants_latents(&self) -> bool {
        self.folder.manifest().sweep.latents
    }

    fn file(&self, relative: &Path) -> PathBuf {
        self.folder.path().join(relative)
    }
}

fn doing(phase: Phase, done: u64, of: u64) -> Doing {
    Doing { pid: std::process::id(), phase, done, of }
}

fn gone(error: impl std::fmt::Display) -> Error {
    Error::Thread(format!("the engine's thread has ended ({error})"))
}

/// The frame in the middle, small.
fn thumbnail_of(pictures: &Pictures, path: &Path) -> Result<()> {
    let frame = &pictures.frames[pictures.frames.len() / 2];
    let bytes =
        small_jpeg(frame, (pictures.width, pictures.height), THUMBNAIL_SIDE, THUMBNAIL_QUALITY)?;
    Ok(write_atomically(path, |file| std::io::Write::write_all(file, &bytes))?)
}

/// A frame (RGB, 3 bytes a pixel) as JPEG, scaled down to `side` pixels on its longer side.
pub(super) fn small_jpeg(
    rgb: &[u8],
    (width, height): (usize, usize),
    side: u32,
    quality: u8,
) -> Result<Vec<u8>> {
    let unreadable = |reason: String| Error::Unreadable { what: "frame".into(), reason };
    let (width, height) = (width as u32, height as u32);
    let picture = RgbImage::from_raw(width, height, rgb.to_vec()).ok_or_else(|| {
        unreadable(format!("expected {width}×{height} pixels, got {} bytes", rgb.len()))
    })?;
    let scale = (f64::from(side) / f64::from(width.max(height).max(1))).min(1.0);
    let scaled = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    let small = imageops::thumbnail(&picture, scaled(width), scaled(height));
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode_image(&small)
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(bytes)
}
