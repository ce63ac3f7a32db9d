//! One view of a recording as one file: the picture as it is looked at, its numbers, or all its steps as a video.
//!
//! | view | picture | numbers (CSV a line each, NPZ) | video |
//! |---|---|---|---|
//! | timeline | steps × layers | density, mode and time of every call; `density` `[layers, steps]` | |
//! | heads | thumbnails, heads beside and layers below one another | density, retained mass of every head; `density` `[layers, heads]`, `thumbnails` | over steps |
//! | map | a block a cell | level of every pair of blocks; `levels` `[rows, columns]` | over steps |
//! | attention, scores | the same | value of every pair; `attention` or `scores` `[rows, columns]` | over steps |
//! | order | frames side by side, dark to light | place of every token; `order` `[S]` | |
//! | replay | error of every head, heads beside and layers below one another | error, recall and density of every head and the times of its call; `error`, `recall`, `density` `[layers, heads]` | |
//! | overlay | latent frames side by side | shares of every token; `[T, rows, columns]` each | over the clip's frames |
//!
//! The ending of the file says which: png, csv, npz, mp4. The file appears whole or not at all.

mod overlay;
mod replayed;
mod sheets;
#[cfg(test)]
mod tests;
mod writing;

pub use overlay::{Overlay, Under};
pub use replayed::Replayed;

use std::path::Path;

use crate::recording::{Held, Place, Recording};
use crate::video::Fps;
use crate::{Error, Result};
use sheets::Sheet;
use writing::{Ending, Film};

/// Steps that a video shows in a second.
const STEPS_PER_SECOND: f64 = 4.0;

/// One view.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// Steps × layers of a branch; the place's step and layer do not matter.
    Timeline(Place),
    /// All heads of a step and branch; the place's layer does not matter.
    Heads(Place),
    /// A head's level map.
    Map(Place, usize),
    /// Its attention averaged over blocks, or what its levels were chosen by where that was not recorded.
    Scores(Place, usize),
    /// The order of its tokens.
    Order(Place, usize),
    /// What a replay found.
    Replay(Box<Replayed>),
    /// What is laid over frames.
    Overlay(Box<Overlay>),
}

impl View {
    /// The stem of its files.
    pub fn name(&self) -> &str {
        match self {
            Self::Timeline(_) => "timeline",
            Self::Heads(_) => "heads",
            Self::Map(..) => "map",
            Self::Scores(..) => "attention",
            Self::Order(..) => "order",
            Self::Replay(_) => "replay",
            Self::Overlay(overlay) => &overlay.name,
        }
    }

    /// The endings that its files may have.
    pub fn endings(&self) -> &'static [&'static str] {
        match self {
            Self::Timeline(_) | Self::Order(..) | Self::Replay(_) => &["png", "csv", "npz"],
            _ => &["png", "csv", "npz", "mp4"],
        }
    }

    /// The same at another step; `None` where it has no steps.
    fn at_step(&self, step: usize) -> Option<Self> {
        let at = |place: &Place| Place { step, ..*place };
        match self {
            Self::Heads(place) => Some(Self::Heads(at(place))),
            Self::Map(place, head) => Some(Self::Map(at(place), *head)),
            Self::Scores(place, head) => Some(Self::Scores(at(place), *head)),
            Self::Timeline(_) | Self::Order(..) | Self::Replay(_) | Self::Overlay(_) => None,
        }
    }
}

/// Writes a view into the file `to`, in the format of its ending; a file of that name is replaced once the new one is whole.
/// `tell` hears how many of how many pictures a video has and stops with [`Error::Cancelled`] by answering false.
///
/// # Errors
/// [`Error::Unreadable`] for an ending that the view has not, and for what was not recorded or has been dropped.
pub fn export_view(
    recording: &Recording,
    view: &View,
    to: &Path,
    tell: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<()> {
    let ending = Ending::of(to).filter(|ending| view.endings().contains(&ending.name()));
    let Some(ending) = ending else {
        return Err(Error::Unreadable {
            what: to.display().to_string(),
            reason: format!("this view is written as {}", view.endings().join(", ")),
        });
    };
    match (ending, view) {
        (Ending::Mp4, View::Overlay(overlay)) => overlay.film(to, tell),
        (Ending::Mp4, _) => film(recording, view, to, tell),
        (_, View::Overlay(overlay)) => writing::still(&overlay.sheet(), ending, to),
        (_, View::Replay(replayed)) => writing::still(&here(replayed.sheet(), view)?, ending, to),
        _ => writing::still(&here(sheets::of(recording, view)?, view)?, ending, to),
    }
}

/// All steps of a view; those that were not recorded are left out.
fn film(
    recording: &Recording,
    view: &View,
    to: &Path,
    tell: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<()> {
    let steps = recording.meta().steps();
    let fps = rate(STEPS_PER_SECOND)?;
    let mut film = None;
    for step in 0..steps {
        if !tell(step, steps) {
            return Err(Error::Cancelled);
        }
        let Some(view) = view.at_step(step) else { continue };
        let Held::Here(sheet) = sheets::of(recording, &view)? else { continue };
        let picture = sheet.cells.enlarged();
        let film = match &mut film {
            Some(film) => film,
            none => none.insert(Film::create(to, picture.dimensions(), fps)?),
        };
        film.push(&picture)?;
    }
    match film {
        Some(film) => film.finish(),
        None => here::<Sheet>(Held::NotCaptured, view).map(drop),
    }
}

/// A rate that a video can have.
fn rate(fps: f64) -> Result<Fps> {
    Fps::from_decimal(fps).ok_or_else(|| Error::Unreadable {
        what: "frame rate".into(),
        reason: format!(
            "{fps} frames per second cannot be written; it must be above 0, and at most 1000"
        ),
    })
}

/// What is here, or why it is not.
fn here<T>(held: Held<T>, view: &View) -> Result<T> {
    let reason = match held {
        Held::Here(value) => return Ok(value),
        Held::Dropped => "the recording's byte limit dropped it; a higher record limit keeps more",
        Held::NotCaptured => {
            "it was not recorded; --capture-heads all with --capture-attention keeps more"
        }
    };
    Err(Error::Unreadable { what: view.name().into(), reason: reason.into() })
}
