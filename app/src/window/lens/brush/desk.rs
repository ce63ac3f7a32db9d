//! The worker of the brush: told which tokens of which head are chosen, it answers with frames and with what is looked at.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::gaze::Gaze;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::recording::{Held, Recording};

use super::Token;
use super::measure::{self, Measure, Words, Working};
use super::overlay::Painted;
use super::reel::{self, Reel, Under};
use crate::window::lens::subject::{Look, Subject};
use crate::window::pace;

/// Answers that may wait; each wish has at most two.
const UNREAD: usize = 16;

/// What is wanted now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    /// The recording.
    pub(crate) path: PathBuf,
    /// Grows when the file has grown.
    pub(crate) revision: u64,
    /// The head at a step.
    pub(crate) look: Look,
    /// The query tokens.
    pub(crate) tokens: Vec<Token>,
}

/// What tokens look at.
#[derive(Debug)]
pub(crate) struct Gazed {
    pub(crate) look: Look,
    pub(crate) tokens: Vec<Token>,
    pub(crate) painted: Held<Painted>,
}

/// What was found, of which recording.
#[derive(Debug)]
pub(crate) enum Told {
    /// Frames to lay it over.
    Reel(PathBuf, Box<Reel>),
    /// What is looked at.
    Gaze(PathBuf, Box<Gazed>),
    /// Where words act.
    Words(PathBuf, Box<Words>),
    /// How far a measurement is: what it does, parts done, parts.
    Measuring(u64, (&'static str, usize, usize)),
    /// A measurement has ended; why, when it failed.
    Measured(u64, Option<String>),
    /// Something cannot be read, in words.
    Failed(String),
}

/// The way to the worker; dropping it ends its thread.
pub(crate) struct Desk {
    asks: Latest<Ask>,
    told: Receiver<Told>,
    outbox: Sender<Told>,
    ctx: Context,
    measured: AtomicU64,
}

impl Desk {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (asks, inbox) = Latest::<Ask>::channel();
        let (outbox, told) = bounded(UNREAD);
        let (wake, answers) = (ctx.clone(), outbox.clone());
        std::thread::Builder::new().name("tessera-brush".into()).spawn(move || {
            let mut hand = Hand { open: None, reel: None, serial: 0, outbox: answers, ctx: wake };
            for ask in inbox {
                if let Err(error) = hand.serve(ask) {
                    hand.open = None;
                    hand.say(Told::Failed(error));
                }
            }
        })?;
        Ok(Self { asks, told, outbox, ctx: ctx.clone(), measured: AtomicU64::new(0) })
    }

    /// Wants this; what was wanted before and nobody began is forgotten.
    pub(crate) fn ask(&self, ask: Ask) {
        self.asks.put(ask);
    }

    /// Starts a measurement on a thread of its own.
    pub(crate) fn measure(&self, measure: Measure) -> std::io::Result<Working> {
        let id = self.measured.fetch_add(1, Ordering::Relaxed);
        measure::start(id, measure, (self.outbox.clone(), self.ctx.clone()))
    }

    /// What has come back.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }
}

/// What the worker has in its hand.
struct Hand {
    /// With the revision that was read.
    open: Option<(Recording, Subject, u64)>,
    /// What the frames that were sent last are of.
    reel: Option<Under>,
    serial: u64,
    outbox: Sender<Told>,
    ctx: Context,
}

impl Hand {
    fn say(&self, told: Told) {
        if self.outbox.send(told).is_ok() {
            pace::wake(&self.ctx);
        }
    }

    fn serve(&mut self, ask: Ask) -> Result<(), String> {
        let is_there = |(recording, _, revision): &(Recording, Subject, u64)| {
            recording.path() == ask.path && *revision == ask.revision
        };
        if !self.open.as_ref().is_some_and(is_there) {
            let recording = Recording::open(&ask.path).map_err(|error| error.to_string())?;
            let subject = Subject::read(&recording)?;
            (self.open, self.reel) = (Some((recording, subject, ask.revision)), None);
        }
        let Some((recording, subject, _)) = &self.open else { return Ok(()) };
        // Choosing tokens is to be quick, frames may come after.
        let gazed = gaze(recording, subject, &ask)?;
        let has_frames = self
            .reel
            .as_ref()
            .is_some_and(|under| reel::depends_on(under).is_none_or(|step| step == ask.look.step));
        self.say(Told::Gaze(ask.path.clone(), Box::new(gazed)));
        if !has_frames {
            self.serial += 1;
            let reel = reel::find(recording, ask.look.step, self.serial);
            self.reel = Some(reel.under.clone());
            self.say(Told::Reel(ask.path, Box::new(reel)));
        }
        Ok(())
    }
}

fn gaze(recording: &Recording, subject: &Subject, ask: &Ask) -> Result<Gazed, String> {
    let (look, tokens) = (ask.look, ask.tokens.clone());
    if tokens.is_empty() {
        return Ok(Gazed { look, tokens, painted: Held::NotCaptured });
    }
    let gaze = Gaze::read(recording, subject.place(look), look.head, &tokens)
        .map_err(|error| error.to_string())?;
    Ok(Gazed { look, tokens, painted: gaze.map(Painted::of) })
}
