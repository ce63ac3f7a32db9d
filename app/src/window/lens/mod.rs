//! The Lens: what attention looked at and what was skipped, of any recording, one cursor for all views.
//!
//! ```text
//!   open, drop, tessera FILE ─┐
//!   a run and its events ─────┴► Ask {path, cursor} ──► Reader (a thread) ──► Found ──► Lens ──► views
//! ```
//!
//! [`Subject`] is what is small and held for the whole run, [`Detail`] what is large of the one head that is looked at. The reader
//! reads and paints; here pixels become textures when they come, and views draw them.

#[cfg(test)]
mod bench;
pub(crate) mod brush;
pub(crate) mod cuts;
mod detail;
pub(crate) mod export;
mod heads;
mod known;
mod live;
mod map;
pub(crate) mod mass;
mod order;
mod pixels;
mod plate;
mod reader;
pub(crate) mod replays;
mod scores;
mod subject;
mod timeline;
pub(crate) mod view;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use eframe::egui::{Color32, Context};
use tessera_pipeline::palette;
use tessera_pipeline::recording::Held;
use tessera_pipeline::sparsity::Mode;

pub(crate) use brush::Brush;
pub(crate) use cuts::Cutting;
use detail::{Detail, Scores};
use live::Live;
pub(crate) use live::recorded;
use pixels::{Picture, Pixels};
pub(crate) use reader::{Ask, Found, Reader};
use replays::Replaying;
pub(crate) use subject::{Look, Measure, Subject};

use super::cursor::Cursor;

/// The colour of dense calls in the timeline: they are no map at all.
const DENSE: [u8; 3] = [0x6b, 0x70, 0x7a];

/// Which picture of the head is large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Face {
    /// Its level map.
    #[default]
    Map,
    /// What the map was made from.
    Scores,
    /// The order of its tokens.
    Order,
    /// Where query tokens look.
    Brush,
    /// Where words act.
    Words,
    /// The step once more, with other settings.
    Replay,
}

impl Face {
    /// Whether it lies over the frames of the clip.
    pub(crate) fn has_frames(self) -> bool {
        matches!(self, Self::Brush | Self::Words)
    }
}

/// What heads are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// As they are in the model.
    #[default]
    Model,
    /// By a number, the largest first.
    By(Measure),
}

/// What stands in the cell of a head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Cell {
    /// A small picture of its map.
    #[default]
    Picture,
    /// A number.
    Number(Measure),
}

/// What a view of the Lens may ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// Open a recording.
    Open(PathBuf),
    /// Show this picture.
    Face(Face),
    /// Show what changed since the step before, or do not.
    Changes(bool),
    /// Sort heads.
    Sort(Sort),
    /// Show this in the cells.
    Cell(Cell),
    /// Do this with the query brush.
    Brush(brush::Wish),
    /// Do this with the cut-offs.
    Cuts(cuts::Wish),
    /// Do this with the replay of a step.
    Replay(replays::Wish),
}

/// Textures of what is shown.
#[derive(Default)]
pub(crate) struct Pictures {
    timeline: Option<Picture>,
    sheet: Option<Picture>,
    map: Option<Picture>,
    changes: Option<Picture>,
    attention: Option<Picture>,
    scores: Option<Picture>,
    raster: Option<Picture>,
    frames: Option<Picture>,
}

/// The file that is to be shown.
#[derive(Debug, Clone)]
struct Wanted {
    path: PathBuf,
    /// Counts how often it was to be read.
    revision: u64,
    /// Whether it is still being written.
    grows: bool,
    /// Whether a person opened it, and is to be shown a step in which something was left out.
    seeks_sparse: bool,
}

/// All state of the Lens.
#[derive(Default)]
pub(crate) struct Lens {
    /// The file that is to be shown.
    wanted: Option<Wanted>,
    asked: Option<Ask>,
    subject: Option<Arc<Subject>>,
    detail: Option<Box<Detail>>,
    pictures: Pictures,
    /// The branch that the timeline is painted of.
    timeline_of: Option<usize>,
    /// The run that it goes along with.
    live: Live,
    /// Whether the newest step of a run that goes on is looked at.
    pub(crate) follows: bool,
    /// Whether steps may have come that nobody has looked at.
    has_news: bool,
    /// The picture that is large.
    pub(crate) face: Face,
    /// Whether the map shows what changed.
    pub(crate) changes: bool,
    /// How heads are sorted.
    pub(crate) sort: Sort,
    /// What is in their cells.
    pub(crate) cell: Cell,
    /// The bundled recordings that were found.
    pub(crate) examples: Vec<PathBuf>,
    /// The query brush.
    pub(crate) brush: Brush,
    /// The cut-offs of levels, and what moving them would do.
    pub(crate) cuts: Cutting,
    /// What is being exported: the file's name, pictures done, pictures.
    pub(crate) exporting: Option<(String, usize, usize)>,
    /// Set to stop every export that goes on.
    stops_exports: Arc<AtomicBool>,
    /// The replay of a step.
    pub(crate) replays: Replaying,
    /// Which retained masses were asked for, and those that came.
    asked_mass: Option<mass::Ask>,
    mass: Option<mass::Mass>,
    uploads: u64,
}

impl Lens {
    /// What is looked at.
    pub(crate) fn subject(&self) -> Option<&Subject> {
        self.subject.as_deref()
    }

    /// The large things of the head that is looked at; of the head before until they have come.
    pub(crate) fn detail(&self) -> Option<&Detail> {
        self.detail.as_deref()
    }

    /// Whether a file is being opened.
    pub(crate) fn is_opening(&self) -> bool {
        let shown = self.subject.as_ref().map(|subject| &subject.path);
        self.wanted.as_ref().is_some_and(|wanted| shown != Some(&wanted.path))
    }

    /// Opens a recording; what was open stays until it has been read.
    pub(crate) fn open(&mut self, path: PathBuf) {
        let revision = self.wanted.as_ref().map_or(0, |wanted| wanted.revision + 1);
        let wanted = Wanted { path, revision, grows: false, seeks_sparse: false };
        (self.wanted, self.follows) = (Some(wanted), false);
    }

    /// Opens a recording at a step in which something was left out.
    pub(crate) fn open_where_sparse(&mut self, path: PathBuf) {
        self.open(path);
        if let Some(wanted) = &mut self.wanted {
            wanted.seeks_sparse = true;
        }
    }

    /// Does what a view asked for; opening a file is not for the Lens alone.
    pub(crate) fn apply(&mut self, wish: Wish) {
        match wish {
            Wish::Open(path) => self.open(path),
            Wish::Face(face) => self.face = face,
            Wish::Changes(changes) => self.changes = changes,
            Wish::Sort(sort) => self.sort = sort,
            Wish::Cell(cell) => self.cell = cell,
            Wish::Brush(wish) => self.brush.apply(wish),
            Wish::Cuts(wish) => self.cuts.apply(wish),
            Wish::Replay(_) => {} // needs the form and the desk: done by `replays::apply`
        }
    }

    /// What the reader is to be asked, when that is something new.
    pub(crate) fn ask(&mut self, cursor: Cursor) -> Option<Ask> {
        let Wanted { path, revision, grows, .. } = self.wanted.clone()?;
        // A frame or token that moves is no other map.
        let Cursor { step, branch, layer, head, .. } = cursor;
        let cursor = Cursor { step, branch, layer, head, ..Cursor::default() };
        let ask = Ask { path, revision, grows, cursor };
        (self.asked.as_ref() != Some(&ask)).then(|| self.asked.insert(ask).clone())
    }

    /// What the desk of the brush is to be asked while the brush is on show, when that is something new.
    pub(crate) fn ask_brush(&mut self, cursor: Cursor) -> Option<brush::Ask> {
        let subject = self.subject.as_deref().filter(|_| self.face.has_frames())?;
        let (look, tokens) = (subject.look(cursor), self.brush.tokens(subject, cursor));
        let (path, revision) = self.version(subject)?;
        self.brush.ask(brush::Ask { path, revision, look, tokens })
    }

    /// The file that is open, and a number that is another one when it is to be opened anew: what grows, when a step has
    /// come and not whenever a call has.
    fn version(&self, subject: &Subject) -> Option<(PathBuf, u64)> {
        let wanted = self.wanted.as_ref().filter(|wanted| wanted.path == subject.path)?;
        let newest = subject.newest_step() as u64;
        Some((wanted.path.clone(), if wanted.grows { newest } else { wanted.revision }))
    }

    /// What is to be measured with the model, when somebody asked for it.
    pub(crate) fn measure(&mut self, cursor: Cursor) -> Option<brush::Measure> {
        let subject = self.subject.clone()?;
        let tokens = self.brush.tokens(&subject, cursor);
        self.brush.measure(subject.path.clone(), subject.look(cursor), tokens)
    }

    /// Takes in what the desk of the brush found; the error is for people.
    pub(crate) fn take_brush(&mut self, ctx: &Context, told: brush::Told) -> Result<(), String> {
        let Some(subject) = self.subject.clone() else { return Ok(()) };
        self.brush.take(ctx, &subject.path, told)
    }

    /// Moves the frames of the brush on while it `is_shown`; answers with the frame for the cursor when it is another one.
    pub(crate) fn play(&mut self, ctx: &Context, cursor: Cursor, is_shown: bool) -> Option<usize> {
        let is_on = is_shown && self.subject.is_some() && self.face.has_frames();
        if is_on { self.brush.tick(ctx, cursor) } else { None }
    }

    /// What the desk of the cut-offs is to be asked while they are on show, when that is something new.
    pub(crate) fn ask_cuts(&mut self, cursor: Cursor) -> Option<cuts::Ask> {
        let subject = self.subject.as_deref().filter(|_| self.face == Face::Scores)?;
        let (version, look) = (self.version(subject)?, subject.look(cursor));
        self.cuts.ask(version, look)
    }

    /// Takes in what the desk of the cut-offs found; the error is for people.
    pub(crate) fn take_cuts(&mut self, ctx: &Context, told: cuts::Told) -> Result<(), String> {
        let Some(subject) = self.subject.clone() else { return Ok(()) };
        self.cuts.take(ctx, &subject.path, told)
    }

    /// Takes in what the reader found; the error is for people.
    pub(crate) fn take(&mut self, ctx: &Context, found: Found) -> Result<(), String> {
        match found {
            Found::Subject(subject) => {
                self.has_news = true;
                let is_same = self.subject().is_some_and(|old| old.is_same_run(&subject));
                if !is_same {
                    (self.detail, self.pictures) = (None, Pictures::default());
                    self.brush.clear();
                    self.cuts.clear();
                    self.replays.clear();
                    (self.asked_mass, self.mass) = (None, None);
                }
                (self.subject, self.timeline_of) = (Some(subject), None);
            }
            Found::Refused(path, error) => {
                let shown = self.subject.as_ref().map(|subject| subject.path.clone());
                if self.wanted.as_ref().is_some_and(|wanted| wanted.path == path) {
                    let seeks_sparse = false;
                    self.wanted =
                        shown.map(|path| Wanted { path, revision: 0, grows: false, seeks_sparse });
                    self.asked = None;
                }
                return Err(error);
            }
            Found::Examples(examples) => self.examples = examples,
            Found::Failed(error) => return Err(error),
            Found::Sheet(sheet) => {
                self.pictures.sheet = self.load(ctx, "lens heads", Some(sheet.pixels));
            }
            Found::Detail(mut detail) => {
                self.pictures.map = self.load(ctx, "lens map", detail.map.take());
                self.pictures.changes = self.load(ctx, "lens changes", detail.changes.take());
                let pixels = |held: &mut Held<Scores>| match held {
                    Held::Here(scores) => scores.pixels.take(),
                    Held::Dropped | Held::NotCaptured => None,
                };
                let (attention, scores) =
                    (pixels(&mut detail.attention), pixels(&mut detail.scores));
                self.pictures.attention = self.load(ctx, "lens attention", attention);
                self.pictures.scores = self.load(ctx, "lens scores", scores);
                let walk = detail.walk.as_mut();
                let (raster, frames) =
                    walk.map_or((None, None), |walk| (walk.raster.take(), walk.frames.take()));
                self.pictures.raster = self.load(ctx, "lens raster", raster);
                self.pictures.frames = self.load(ctx, "lens frames", frames);
                self.detail = Some(detail);
            }
        }
        Ok(())
    }

    /// Sees to the picture of the timeline, which is of the branch that the cursor is in.
    pub(crate) fn tick(&mut self, ctx: &Context, cursor: Cursor) {
        let Some(subject) = self.subject.clone() else { return };
        let branch = subject.look(cursor).branch;
        if self.timeline_of == Some(branch) {
            return;
        }
        let (steps, layers) = (subject.meta.steps(), subject.meta.layers);
        let mut cells = Vec::with_capacity(steps * layers);
        for layer in 0..layers {
            for step in 0..steps {
                let call = subject.call(Look { step, branch, layer, head: 0 });
                let [r, g, b] = match call {
                    None => {
                        cells.push(Color32::TRANSPARENT);
                        continue;
                    }
                    Some(call) if call.mode == Mode::Dense => DENSE,
                    Some(call) => palette::heat(call.density().exact as f32),
                };
                cells.push(Color32::from_rgb(r, g, b));
            }
        }
        let pixels = Pixels::see_through([steps, layers], cells);
        self.pictures.timeline = self.load(ctx, "lens timeline", Some(pixels));
        self.timeline_of = Some(branch);
    }

    fn load(&mut self, ctx: &Context, name: &str, pixels: Option<Pixels>) -> Option<Picture> {
        self.uploads += u64::from(pixels.is_some());
        pixels.map(|pixels| Picture::load(ctx, name, pixels))
    }

    /// How often pixels were handed to the graphics device.
    #[cfg(test)]
    pub(crate) fn uploads(&self) -> u64 {
        self.uploads
    }
}

/// Whether a file is for the Lens: by its name, or because it says so.
pub(crate) fn is_for_lens(path: &Path) -> bool {
    Subject::is_named_so(path) || tessera_pipeline::recording::Recording::is_one(path)
}
