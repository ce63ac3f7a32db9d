//! The thread that has the history open: it finds rows, reads them, makes their pictures and writes stars and tags.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::{ColorImage, Context};
use tessera_pipeline::Error;
use tessera_pipeline::history::{History, Query, Row, Strip, is_damage};
use tessera_pipeline::receipt::Receipt;

use super::pace;

/// Errors are large; here they are boxed.
type Result<T> = std::result::Result<T, Box<Error>>;

/// Something to do.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Find what this line says.
    Find(String),
    /// Read these rows and their pictures.
    See(Vec<i64>),
    /// Star a run, or take its star.
    Star(i64, bool),
    /// Give a run these tags.
    Tags(i64, String),
    /// Forget a run, and remove this video when one is named.
    Forget(i64, Option<PathBuf>),
    /// Read all of a run.
    Receipt(i64),
}

/// What came of it.
pub(crate) enum Told {
    /// The numbers that a line found.
    Found(String, Vec<i64>),
    /// A row.
    Row(Box<Row>),
    /// A row that was given these tags, as it is now.
    Tagged(Box<Row>, String),
    /// Its picture: so many frames side by side.
    Thumb(i64, Arc<ColorImage>, usize),
    /// All of a run.
    Receipt(Box<Receipt>, PathBuf),
    /// Something to tell a person that is no failure.
    Note(String),
    /// The history cannot be used.
    None(String),
    /// One thing failed.
    Failed(String),
}

/// The way to the thread.
pub(crate) struct Archive {
    asks: Sender<Ask>,
    told: Receiver<Told>,
}

impl Archive {
    /// Opens the history of a folder on a thread of its own, which ends when this is dropped.
    pub(crate) fn open(folder: Option<PathBuf>, ctx: &Context) -> std::io::Result<Self> {
        let (asks, waiting) = bounded::<Ask>(1024);
        let (answers, told) = bounded(1024);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-history".into()).spawn(move || {
            let mut keeper = Keeper { folder, history: None, ctx, answers };
            for ask in waiting {
                let mut outcome = keeper.attend(&ask);
                if outcome.as_ref().is_err_and(|error| is_damage(error)) {
                    outcome = keeper.begin_anew().and_then(|()| keeper.attend(&ask));
                }
                if let Err(error) = outcome {
                    keeper.fail(&ask, &error);
                }
            }
        })?;
        Ok(Self { asks, told })
    }

    /// Asks for something; with a thousand asked already it is dropped.
    pub(crate) fn ask(&self, ask: Ask) {
        if self.asks.try_send(ask).is_err() {
            tracing::warn!("too much was asked of the history; one thing was dropped");
        }
    }

    /// What has come back.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }
}

/// What the thread has.
struct Keeper {
    folder: Option<PathBuf>,
    history: Option<History>,
    ctx: Context,
    answers: Sender<Told>,
}

impl Keeper {
    fn say(&self, told: Told) {
        if self.answers.send(told).is_ok() {
            pace::wake(&self.ctx);
        }
    }

    /// The open history; opened when it was not.
    fn history(&mut self) -> Result<&History> {
        if self.history.is_none() {
            let history = self.open(History::open)?;
            self.history = Some(history);
        }
        self.history.as_ref().ok_or_else(|| Error::Thread("the history is not open".into()).into())
    }

    fn open(&self, open: fn(&Path) -> tessera_pipeline::Result<History>) -> Result<History> {
        let folder = self.folder.as_deref().ok_or_else(|| Error::Unreadable {
            what: "history".into(),
            reason: "there is no home folder to keep it in; set TESSERA_DATA_DIR".into(),
        })?;
        let history = open(folder)?;
        if let Some(told) = history.told() {
            self.say(Told::Note(told));
        }
        Ok(history)
    }

    /// Opens the history again after it turned out to be damaged.
    fn begin_anew(&mut self) -> Result<()> {
        self.history = None;
        self.history = Some(self.open(History::open_anew)?);
        Ok(())
    }

    fn fail(&self, ask: &Ask, error: &Error) {
        let text = error.to_string();
        self.say(match ask {
            Ask::Find(_) => Told::None(text),
            _ => Told::Failed(text),
        });
    }

    fn attend(&mut self, ask: &Ask) -> Result<()> {
        let history = self.history()?;
        match ask {
            Ask::Find(line) => {
                let found = history.find(&Query::parse(line))?;
                self.say(Told::Found(line.clone(), found));
            }
            Ask::See(ids) => {
                let rows = history.rows(ids)?;
                for row in &rows {
                    self.say(Told::Row(Box::new(row.clone())));
                }
                for row in rows {
                    if let Some((image, frames)) = self.thumb(&row)? {
                        self.say(Told::Thumb(row.id, image, frames));
                    }
                }
            }
            Ask::Star(id, is_starred) => history.set_star(*id, *is_starred)?,
            Ask::Tags(id, tags) => {
                history.set_tags(*id, tags)?;
                let rows = history.rows(&[*id])?;
                for row in rows {
                    self.say(Told::Tagged(Box::new(row), tags.clone()));
                }
            }
            Ask::Forget(id, video) => {
                if let Some(video) = video {
                    std::fs::remove_file(video).map_err(Error::io(video))?;
                }
                history.remove(*id)?;
            }
            Ask::Receipt(id) => {
                let row = history.rows(&[*id])?.pop();
                if let (Some(receipt), Some(row)) = (history.receipt(*id)?, row) {
                    self.say(Told::Receipt(Box::new(receipt), row.video));
                }
            }
        }
        Ok(())
    }

    /// The picture of a run: the one that is kept, or one made of its video. A video that cannot be read has none.
    fn thumb(&mut self, row: &Row) -> Result<Option<(Arc<ColorImage>, usize)>> {
        let frames = row.request.as_ref().and_then(|request| request.frames);
        let history = self.history()?;
        let mut strip = history.strip(row.id).unwrap_or_default();
        if strip.is_none()
            && !row.is_gone
            && let Ok(Some(made)) = Strip::of_video(&row.video, frames.unwrap_or(1) as usize)
        {
            history.set_strip(row.id, &made)?;
            strip = Some(made);
        }
        let image = |strip: &Strip| Arc::new(ColorImage::from_rgb(strip.size, &strip.rgb));
        Ok(strip.map(|strip| (image(&strip), strip.frames)))
    }
}
