//! Which view of the Lens is exported, and under which name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tessera_pipeline::export::{Overlay, Replayed, Under, View, export_view};
use tessera_pipeline::gaze::Reading;
use tessera_pipeline::palette::Scale;
use tessera_pipeline::recording::{Held, Place, Recording};

use super::brush::{Brush, latent_of, shown_word};
use super::replays::Replaying;
use super::{Face, Lens, Subject};
use crate::window::cursor::Cursor;

/// Which view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The large one.
    Face,
    /// The timeline.
    Timeline,
    /// The grid of heads.
    Heads,
}

/// A view that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    recording: PathBuf,
    view: View,
    /// What its file is called unless a person says otherwise, without the ending.
    pub(crate) name: String,
    stop: Arc<AtomicBool>,
}

impl Job {
    /// The endings that its file may have.
    pub(crate) fn endings(&self) -> &'static [&'static str] {
        self.view.endings()
    }

    /// Writes it, and says whether it was: an export that is stopped leaves nothing. The error is for people.
    pub(crate) fn write(
        &self,
        to: &Path,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<bool, String> {
        let recording = Recording::open(&self.recording).map_err(|error| error.to_string())?;
        let mut heard = |done, of| {
            tell(done, of);
            !self.stop.load(Ordering::Relaxed)
        };
        match export_view(&recording, &self.view, to, &mut heard) {
            Ok(()) => Ok(true),
            Err(error) if error.is_cancelled() => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Lens {
    /// Why the large view cannot be exported, if it cannot.
    pub(crate) fn export_refusal(&self, cursor: Cursor) -> Option<&'static str> {
        let Some(subject) = self.subject() else { return Some("No recording is open.") };
        let is_there = match self.face {
            Face::Map | Face::Scores | Face::Order => return None,
            Face::Replay => self.replays.found().is_some(),
            Face::Brush => matches!(self.brush.seen(), Held::Here(_)),
            Face::Words => shown_word(&self.brush, subject.look(cursor)).is_some(),
        };
        match (is_there, self.face) {
            (true, _) => None,
            (false, Face::Words) => Some("No word is chosen, or it was not measured here."),
            (false, Face::Replay) => Some("No step has been replayed."),
            (false, _) => Some("No query token is chosen, or nothing is known of where it looks."),
        }
    }

    /// The view that would be exported; the error says in words why there is none.
    pub(crate) fn export(&self, which: Which, cursor: Cursor) -> Result<Job, String> {
        if let Some(why) = self.export_refusal(cursor).filter(|_| which == Which::Face) {
            return Err(why.into());
        }
        let subject = self.subject().ok_or("No recording is open.")?;
        let look = subject.look(cursor);
        let (place, head) = (subject.place(look), look.head);
        let view = match (which, self.face) {
            (Which::Timeline, _) => View::Timeline(place),
            (Which::Heads, _) => View::Heads(place),
            (Which::Face, Face::Map) => View::Map(place, head),
            (Which::Face, Face::Scores) => View::Scores(place, head),
            (Which::Face, Face::Order) => View::Order(place, head),
            (Which::Face, Face::Brush) => gaze(subject, &self.brush)?,
            (Which::Face, Face::Replay) => replayed(&self.replays, place)?,
            (Which::Face, Face::Words) => word(subject, &self.brush, cursor)?,
        };
        let stem = subject.name();
        let stem = stem.rsplit_once('.').map_or(stem.as_str(), |(stem, _)| stem);
        let of_head = format!("step{}-layer{}-head{head}", look.step + 1, look.layer);
        let name = match which {
            Which::Timeline => format!("{stem}-timeline"),
            Which::Heads => format!("{stem}-heads-step{}", look.step + 1),
            Which::Face if self.face == Face::Replay => {
                let step = self.replays.found().map_or(look.step, |found| found.step);
                format!("{stem}-replay-step{}", step + 1)
            }
            Which::Face => format!("{stem}-{}-{of_head}", view.name()),
        };
        let (recording, stop) = (subject.path.clone(), Arc::clone(&self.stops_exports));
        Ok(Job { recording, view, name, stop })
    }

    /// Stops every export that goes on; later ones are not meant.
    pub(crate) fn stop_exports(&mut self) {
        std::mem::take(&mut self.stops_exports).store(true, Ordering::Relaxed);
    }
}

/// What the last replay found of every head.
fn replayed(replays: &Replaying, place: Place) -> Result<View, String> {
    let found = replays.found().ok_or("No step has been replayed.")?;
    let (replay, branch) = (Arc::clone(&found.replay), place.site.branch);
    Ok(View::Replay(Box::new(Replayed { replay, branch })))
}

/// What the chosen tokens look at.
fn gaze(subject: &Subject, brush: &Brush) -> Result<View, String> {
    let Held::Here(seen) = brush.seen() else {
        return Err("Nothing is known of where these tokens look.".into());
    };
    let named = |reading: Reading| Some((reading.name().to_owned(), seen.gaze.reading(reading)?));
    let readings: Vec<_> = Reading::ALL.into_iter().filter_map(named).collect();
    let shown = readings.iter().position(|(name, _)| name == brush.reading.name()).unwrap_or(0);
    let scale = Scale::log(&seen.gaze.truth);
    overlay(subject, brush, ("brush", readings, shown), scale)
}

/// Where the chosen word acts.
fn word(subject: &Subject, brush: &Brush, cursor: Cursor) -> Result<View, String> {
    let shown = shown_word(brush, subject.look(cursor));
    let (_, word) = shown.ok_or("The word was not measured here.")?;
    let kept = |c: &char| c.is_alphanumeric();
    let name = format!("word-{}", word.text.chars().filter(kept).collect::<String>());
    let shares = vec![("share".to_owned(), word.shares.clone())];
    overlay(subject, brush, (&name, shares, 0), Scale::linear(&word.shares))
}

fn overlay(
    subject: &Subject,
    brush: &Brush,
    (name, shares, shown): (&str, Vec<(String, Vec<f32>)>, usize),
    scale: Scale,
) -> Result<View, String> {
    let film = brush.player.film().ok_or("The frames have not come yet.")?;
    let grid = subject.meta.grid;
    let count = film.frames.len();
    Ok(View::Overlay(Box::new(Overlay {
        name: name.into(),
        grid,
        shares,
        shown,
        scale,
        under: Under { size: film.size, frames: film.frames.clone(), fps: film.fps },
        latents: (0..count).map(|frame| latent_of(frame, count, grid.frames)).collect(),
    })))
}
