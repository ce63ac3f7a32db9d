//! Measuring: a step of the run again with its model, for the exact rows of query tokens and for where words act.
//!
//! It takes seconds to minutes and has a thread of its own, tells how far it is and can be stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use eframe::egui::{ColorImage, Context};
use tessera_pipeline::capture::LatentFormat;
use tessera_pipeline::gaze::Gaze;
use tessera_pipeline::palette::Scale;
use tessera_pipeline::recording::{Held, Recording};
use tessera_pipeline::replay::{Looked, Looking, look};

use super::Token;
use super::desk::{Gazed, Told};
use super::overlay::{self, Painted, Tiles};
use crate::window::lens::subject::{Look, Subject};
use crate::window::pace;

/// What is to be measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measure {
    /// The recording.
    pub(crate) path: PathBuf,
    /// Where.
    pub(crate) look: Look,
    /// Query tokens; none measures words alone.
    pub(crate) tokens: Vec<Token>,
    /// Whether words are those of the head alone.
    pub(crate) of_head: bool,
}

/// A measurement at work.
#[derive(Debug, Clone)]
pub(crate) struct Working {
    /// Tells it from others.
    pub(crate) id: u64,
    /// Of what.
    pub(crate) measure: Measure,
    /// What it does now, how many parts of it are done, and its parts.
    pub(crate) progress: (&'static str, usize, usize),
    /// Set to stop it.
    pub(crate) is_stopped: Arc<AtomicBool>,
}

/// A word and where it acts.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Of each video token's cross-attention the part that it gets, `[T, rows, columns]`.
    pub(crate) shares: Vec<f32>,
    /// Of each latent frame's, the mean.
    pub(crate) of_frames: Vec<f32>,
    /// Painted.
    pub(crate) image: ColorImage,
}

/// All words at a place.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) look: Look,
    pub(crate) of_head: bool,
    pub(crate) all: Vec<Word>,
    pub(crate) tiles: Tiles,
}

/// Why nothing can be measured of a run, if nothing can.
pub(crate) fn refusal(subject: &Subject) -> Option<String> {
    let has_latents = subject.meta.capture.latents != LatentFormat::None;
    (!has_latents).then(|| {
        "The clip before this step was not recorded. Record latents, under Recording in Studio, keeps what a step needs to be run again."
            .into()
    })
}

/// Starts a measurement; it tells into `outbox`.
pub(super) fn start(
    id: u64,
    measure: Measure,
    (outbox, ctx): (Sender<Told>, Context),
) -> std::io::Result<Working> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let working = Working {
        id,
        measure: measure.clone(),
        progress: ("model", 0, 1),
        is_stopped: Arc::clone(&is_stopped),
    };
    std::thread::Builder::new().name("tessera-measure".into()).spawn(move || {
        let say = |told| {
            if outbox.send(told).is_ok() {
                pace::wake(&ctx);
            }
        };
        let mut tell = |doing, done, of| {
            // Progress that nobody has read yet is no loss.
            if outbox.try_send(Told::Measuring(id, (doing, done, of))).is_ok() {
                pace::wake(&ctx);
            }
            !is_stopped.load(Ordering::Relaxed)
        };
        match run(&measure, &mut tell, &say) {
            Err(error) if !is_stopped.load(Ordering::Relaxed) => {
                say(Told::Measured(id, Some(error)));
            }
            _ => say(Told::Measured(id, None)),
        }
    })?;
    Ok(working)
}

fn run(
    measure: &Measure,
    tell: &mut dyn FnMut(&'static str, usize, usize) -> bool,
    say: &dyn Fn(Told),
) -> Result<(), String> {
    let words = |error: tessera_pipeline::Error| error.to_string();
    let recording = Recording::open(&measure.path).map_err(words)?;
    let subject = Subject::read(&recording)?;
    let (place, head) = (subject.place(measure.look), measure.look.head);
    let looking = Looking {
        step: place.step,
        branch: place.site.branch,
        layer: place.site.layer,
        head,
        tokens: measure.tokens.clone(),
        words_of_head: measure.of_head,
    };
    let looked = look(&recording, &looking, &mut |progress| {
        tell(progress.doing, progress.done, progress.of)
    })
    .map_err(words)?;
    if !measure.tokens.is_empty() {
        let rows = (measure.tokens.as_slice(), looked.rows.as_slice());
        let gaze = Gaze::measured(&recording, place, head, rows).map_err(words)?;
        let painted = Held::Here(Painted::of(gaze));
        let gazed = Gazed { look: measure.look, tokens: measure.tokens.clone(), painted };
        say(Told::Gaze(measure.path.clone(), Box::new(gazed)));
    }
    say(Told::Words(measure.path.clone(), Box::new(painted(&subject, measure, looked))));
    Ok(())
}

fn painted(subject: &Subject, measure: &Measure, looked: Looked) -> Words {
    let grid = subject.meta.grid;
    let plane = grid.rows * grid.cols;
    let tiles = Tiles::new(grid.frames, [grid.cols, grid.rows]);
    let words = looked.words.into_iter().map(|word| {
        let sums = overlay::of_frames(&word.shares, plane);
        Word {
            of_frames: sums.into_iter().map(|sum| sum / plane.max(1) as f32).collect(),
            image: overlay::heat(&tiles, &word.shares, Scale::linear(&word.shares)),
            text: word.text,
            shares: word.shares,
        }
    });
    Words { look: measure.look, of_head: measure.of_head, all: words.collect(), tiles }
}
