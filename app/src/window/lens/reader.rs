//! The worker that reads recordings: told what is wanted now, it answers with as much as has changed. A newer wish takes the place
//! of one that nobody began.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::bundled;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::palette;
use tessera_pipeline::recording::{FULL_CELL, Recording};

use super::detail::Detail;
use super::pixels::Pixels;
use super::subject::{Look, Subject};
use crate::window::cursor::Cursor;
use crate::window::pace;

/// Answers that may wait; each wish has at most three. Nothing that was looked at is kept: the largest look (256 × 512 blocks with
/// attention and scores) is about 8 MB, so the Lens stays below 96 MiB, which `bench` holds.
const UNREAD: usize = 4;

/// What is wanted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The recording.
    pub(crate) path: PathBuf,
    /// Counts how often it was to be read.
    pub(crate) revision: u64,
    /// Whether it is still being written: it may not be there yet, and only what is new is read.
    pub(crate) grows: bool,
    /// Where everyone looks.
    pub(crate) cursor: Cursor,
}

/// Small pictures of all heads of a step: one sheet, heads beside and layers below one another.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// Painted.
    pub(crate) pixels: Pixels,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// The bundled recordings, once.
    Examples(Vec<PathBuf>),
    /// A recording was opened, or read again.
    Subject(Arc<Subject>),
    /// A file cannot be opened, in words.
    Refused(PathBuf, String),
    /// Thumbnails.
    Sheet(Sheet),
    /// What is large of a look.
    Detail(Box<Detail>),
    /// Something in an open file cannot be read, in words.
    Failed(String),
}

/// The way to the worker; dropping it ends its thread.
pub(crate) struct Reader {
    asks: Latest<Ask>,
    found: Receiver<Found>,
}

impl Reader {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (asks, inbox) = Latest::<Ask>::channel();
        let (outbox, found) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-lens".into()).spawn(move || {
            let mut desk = Desk { open: None, sheet: None, detail: None, outbox, ctx };
            desk.say(Found::Examples(bundled::recordings()));
            for ask in inbox {
                desk.serve(ask);
            }
        })?;
        Ok(Self { asks, found })
    }

    /// Wants this; what was wanted before and nobody began is forgotten.
    pub(crate) fn ask(&self, ask: Ask) {
        self.asks.put(ask);
    }

    /// What has come back.
    pub(crate) fn found(&self) -> Vec<Found> {
        self.found.try_iter().collect()
    }
}

/// A file that is being read.
struct Open {
    recording: Recording,
    subject: Arc<Subject>,
    /// The revision that was asked for.
    revision: u64,
    /// Counts how often there was something new.
    edition: u64,
}

/// What was sent, and whether more may come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent<T> {
    of: T,
    edition: u64,
    is_past: bool,
}

impl<T: PartialEq> Sent<T> {
    fn is_current(&self, of: &T, edition: u64) -> bool {
        self.of == *of && (self.is_past || self.edition == edition)
    }
}

/// What the worker has in its hands.
struct Desk {
    open: Option<Open>,
    /// Of which step and branch thumbnails were sent.
    sheet: Option<Sent<(usize, usize)>>,
    /// Of which look everything large was sent.
    detail: Option<Sent<Look>>,
    outbox: Sender<Found>,
    ctx: Context,
}

impl Desk {
    fn say(&self, found: Found) {
        if self.outbox.send(found).is_ok() {
            pace::wake(&self.ctx);
        }
    }

    fn serve(&mut self, ask: Ask) {
        let cursor = ask.cursor;
        if !self.bring(ask) {
            return;
        }
        let Some(Open { recording, subject, edition, .. }) = &self.open else { return };
        let (look, edition) = (subject.look(cursor), *edition);
        if !self.detail.is_some_and(|sent| sent.is_current(&look, edition)) {
            match Detail::read(recording, subject, look) {
                Ok(detail) => self.say(Found::Detail(Box::new(detail))),
                Err(error) => self.say(Found::Failed(error)),
            }
            self.detail = Some(Sent { of: look, edition, is_past: subject.is_past(look) });
        }
        let of = (look.step, look.branch);
        if !self.sheet.is_some_and(|sent| sent.is_current(&of, edition)) {
            match sheet(recording, subject, look) {
                Ok(sheet) => self.say(Found::Sheet(sheet)),
                Err(error) => self.say(Found::Failed(error)),
            }
            let last = Look { layer: subject.meta.layers.saturating_sub(1), ..look };
            self.sheet = Some(Sent { of, edition, is_past: subject.is_past(last) });
        }
    }

    /// Opens what is asked for, or reads on where it has grown; false when there is nothing to look at.
    fn bring(&mut self, ask: Ask) -> bool {
        let held = self.open.take().filter(|open| open.recording.path() == ask.path);
        match held {
            Some(open) if open.revision == ask.revision => self.open = Some(open),
            Some(mut open) if ask.grows => {
                // What cannot be read on is another run's by now, or was moved to its final name; the next ask opens it anew.
                let Ok(grown) = open.subject.grown(&open.recording) else { return false };
                open.revision = ask.revision;
                if let Some(subject) = grown.map(Arc::new) {
                    self.say(Found::Subject(Arc::clone(&subject)));
                    (open.subject, open.edition) = (subject, open.edition + 1);
                }
                self.open = Some(open);
            }
            _ => match open(&ask) {
                Ok((recording, subject)) => {
                    self.say(Found::Subject(Arc::clone(&subject)));
                    let revision = ask.revision;
                    self.open = Some(Open { recording, subject, revision, edition: 0 });
                    (self.sheet, self.detail) = (None, None);
                }
                Err(_) if ask.grows => return false, // its run has not begun it yet
                Err(error) => {
                    self.say(Found::Refused(ask.path, error));
                    return false;
                }
            },
        }
        true
    }
}

fn open(ask: &Ask) -> Result<(Recording, Arc<Subject>), String> {
    let recording = Recording::open(&ask.path).map_err(|error| error.to_string())?;
    let subject = Arc::new(Subject::read(&recording)?);
    Ok((recording, subject))
}

/// The thumbnails of all heads at a step.
fn sheet(recording: &Recording, subject: &Subject, look: Look) -> Result<Sheet, String> {
    let (layers, heads) = (subject.meta.layers, subject.meta.heads);
    let (mut cells, mut all) = ([1, 1], Vec::with_capacity(layers));
    for layer in 0..layers {
        let summary = recording.summary(subject.place(Look { layer, ..look }));
        let summary = summary.map_err(|error| error.to_string())?.here();
        if let Some(summary) = &summary {
            cells = [summary.rows, summary.columns];
        }
        all.push(summary);
    }
    let [rows, columns] = cells;
    let size = [heads * columns, layers * rows];
    let mut pixels = vec![palette::level(0); size[0] * size[1]];
    for (layer, summary) in all.iter().enumerate() {
        let Some(summary) = summary else { continue };
        for (head, thumbnail) in summary.thumbnails.iter().take(heads).enumerate() {
            // What is kept of too little for a step of sixteen is no nothing where no block is skipped.
            let is_whole = summary.counts.get(head).is_some_and(|counts| counts[0] == 0);
            let least = if is_whole { f32::MIN_POSITIVE } else { 0.0 };
            for (row, line) in thumbnail.chunks(columns).enumerate() {
                let start = (layer * rows + row) * size[0] + head * columns;
                for (pixel, cell) in pixels[start..].iter_mut().zip(line) {
                    *pixel = palette::kept((f32::from(*cell) / f32::from(FULL_CELL)).max(least));
                }
            }
        }
    }
    Ok(Sheet { pixels: Pixels::flat(size, pixels) })
}
