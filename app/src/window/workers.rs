//! What takes longer than a frame of the window: planning, reading folders and files, decoding, asking for a file.
//!
//! Two threads: one plans, newest question first and after a pause in the typing; one does errands in their order. A dialog has a
//! thread while it is open. Answers come through one bounded channel, and each wakes the window.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::events::{FileRole, JobId};
use tessera_pipeline::files::write_atomically;
use tessera_pipeline::inspect;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::plan::{self, files};
use tessera_pipeline::receipt::Receipt;
use tessera_pipeline::request::Request;
use tessera_pipeline::video::Decoder;

use super::lens;
use super::models::{self, Model};
use super::pace;
use super::planning::{Answer, Question};
use super::player::{Film, Source};

/// How long the form must rest before it is planned.
const PAUSE: Duration = Duration::from_millis(150);
/// Bytes of frames that are kept of a clip; about 20 s at 720p.
const MOST_FILM_BYTES: usize = 1 << 30;

/// Something to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Decode a finished clip.
    Film { job: JobId, path: PathBuf, fps: f64 },
    /// Read what is beside a finished clip, so that it can be shown as a run that ended.
    Clip(PathBuf),
    /// Look for models beside these folders.
    Models(Vec<PathBuf>),
    /// Find out what a file is that was dropped: a recording is opened, of others the settings are taken.
    Dropped(PathBuf),
    /// Read the settings in a file.
    Settings(PathBuf),
    /// Find a name for the video of a clip whose turn it is, so that nothing is written over.
    Spare { job: JobId, request: Box<Request> },
    /// Ask for a clip again with all the steps that suit its model.
    FullSteps(Box<Request>),
    /// Copy a file.
    Copy { from: PathBuf, to: PathBuf },
    /// Show a folder in the system's file manager.
    Reveal(PathBuf),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A plan.
    Planned(Box<Answer>),
    /// A clip, decoded.
    Film(Result<Film, String>),
    /// A finished clip and its receipt.
    Clip(PathBuf, Box<Receipt>),
    /// Models that were found.
    Models(Vec<Model>),
    /// The settings in a file.
    Settings(PathBuf, Result<Box<Request>, String>),
    /// A clip that is to be made.
    Make(Box<Request>),
    /// A clip that can begin, and the name of its video that was taken.
    Spared { job: JobId, request: Box<Request>, taken: Option<PathBuf> },
    /// A recording that is to be opened.
    Recording(PathBuf),
    /// A file that a person chose.
    PickedFile(PathBuf),
    /// Clips that are to be compared.
    Compare(Vec<PathBuf>),
    /// A folder that a person chose.
    PickedFolder(PathBuf),
    /// How many pictures of so many are written of a view, with the file's name.
    Exporting(String, usize, usize),
    /// A view was written to here, was stopped, or why it could not be.
    Exported(Result<Option<PathBuf>, String>),
    /// A file was copied to here.
    Copied(PathBuf),
    /// Something failed, in words.
    Failed(String),
}

/// What a person is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pick {
    /// A model folder.
    Folder,
    /// A file with settings in it.
    Settings,
    /// A recording.
    Recording,
}

/// The threads and the way to them.
pub(crate) struct Workers {
    ctx: Context,
    questions: Latest<Question>,
    errands: Sender<Errand>,
    replies: Receiver<Reply>,
    answer: Sender<Reply>,
}

impl Workers {
    /// Starts the threads; they end when this is dropped.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (questions, asked) = Latest::<Question>::channel();
        let (errands, waiting) = bounded::<Errand>(256);
        let (answer, replies) = bounded(256);
        let say = Say { ctx: ctx.clone(), replies: answer.clone() };
        let planner = say.clone();
        std::thread::Builder::new().name("tessera-plan".into()).spawn(move || {
            while let Ok(mut question) = asked.recv() {
                while let Ok(newer) = asked.recv_timeout(PAUSE) {
                    question = newer;
                }
                planner.say(Reply::Planned(Box::new(question.answer())));
            }
        })?;
        std::thread::Builder::new().name("tessera-errands".into()).spawn(move || {
            for errand in waiting {
                if let Some(reply) = errand.run() {
                    say.say(reply);
                }
            }
        })?;
        Ok(Self { ctx: ctx.clone(), questions, errands, replies, answer })
    }

    /// Asks for a plan; an earlier question that nobody began is forgotten.
    pub(crate) fn ask(&self, question: Question) {
        self.questions.put(question);
    }

    /// Gives an errand. With hundreds waiting already it is dropped.
    pub(crate) fn give(&self, errand: Errand) {
        if self.errands.try_send(errand).is_err() {
            tracing::warn!("too many errands wait; one was dropped");
        }
    }

    /// What has come back.
    pub(crate) fn replies(&self) -> Vec<Reply> {
        self.replies.try_iter().collect()
    }

    /// Lets a person choose where a copy of a clip goes, and copies it.
    pub(crate) fn save_as(&self, from: PathBuf) {
        let errands = self.errands.clone();
        let spawned = std::thread::Builder::new().name("tessera-dialog".into()).spawn(move || {
            let name = from.file_name().unwrap_or_default().to_string_lossy();
            let dialog = rfd::FileDialog::new().set_title("Save the clip as").set_file_name(name);
            if let Some(to) = dialog.save_file() {
                let _ = errands.send(Errand::Copy { from, to }); // without a window nobody waits for it
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for a dialog: {error}");
        }
    }

    /// Lets a person choose where a view goes, and writes it.
    pub(crate) fn export_as(&self, job: lens::export::Job) {
        self.export(job, |job| {
            let name = format!("{}.{}", job.name, job.endings()[0]);
            let mut dialog =
                rfd::FileDialog::new().set_title("Export the view as").set_file_name(name);
            for ending in job.endings() {
                dialog = dialog.add_filter(ending.to_uppercase(), &[ending]);
            }
            dialog.save_file()
        });
    }

    /// Writes a view to where `choose` says, on a thread of its own.
    pub(crate) fn export(
        &self,
        job: lens::export::Job,
        choose: impl FnOnce(&lens::export::Job) -> Option<PathBuf> + Send + 'static,
    ) {
        let say = Say { ctx: self.ctx.clone(), replies: self.answer.clone() };
        let spawned = std::thread::Builder::new().name("tessera-export".into()).spawn(move || {
            let Some(mut to) = choose(&job) else { return };
            if to.extension().is_none() {
                to.set_extension(job.endings()[0]);
            }
            let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let written = job.write(&to, &mut |done, of| {
                say.say(Reply::Exporting(name.clone(), done, of));
            });
            let failed = |error| format!("{}: not exported: {error}", to.display());
            let written = written.map_err(failed).map(|is_whole| is_whole.then(|| to.clone()));
            say.say(Reply::Exported(written));
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for an export: {error}");
        }
    }

    /// Lets a person choose clips to compare.
    pub(crate) fn pick_clips(&self) {
        let say = Say { ctx: self.ctx.clone(), replies: self.answer.clone() };
        let spawned = std::thread::Builder::new().name("tessera-dialog".into()).spawn(move || {
            if let Some(paths) = rfd::FileDialog::new().set_title("Clips to compare").pick_files() {
                say.say(Reply::Compare(paths));
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for a dialog: {error}");
        }
    }

    /// Lets a person choose a file or a folder.
    pub(crate) fn pick(&self, what: Pick) {
        let say = Say { ctx: self.ctx.clone(), replies: self.answer.clone() };
        let spawned = std::thread::Builder::new().name("tessera-dialog".into()).spawn(move || {
            let dialog = rfd::FileDialog::new();
            let reply = match what {
                Pick::Folder => {
                    dialog.set_title("Model folder").pick_folder().map(Reply::PickedFolder)
                }
                Pick::Settings => {
                    dialog.set_title("Open settings").pick_file().map(Reply::PickedFile)
                }
                Pick::Recording => {
                    dialog.set_title("Open recording").pick_file().map(Reply::Recording)
                }
            };
            if let Some(reply) = reply {
                say.say(reply);
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for a dialog: {error}");
        }
    }
}

/// How a thread answers.
#[derive(Clone)]
struct Say {
    ctx: Context,
    replies: Sender<Reply>,
}

impl Say {
    fn say(&self, reply: Reply) {
        if self.replies.send(reply).is_ok() {
            pace::wake(&self.ctx);
        }
    }
}

impl Errand {
    fn run(self) -> Option<Reply> {
        match self {
            Self::Film { job, path, fps } => {
                Some(Reply::Film(film(Source::Clip { job }, &path, fps)))
            }
            Self::Clip(path) => Some(clip(path)),
            Self::Models(added) => Some(Reply::Models(models::find(&added))),
            Self::Settings(path) => {
                let request = settings(&path);
                Some(Reply::Settings(path, request))
            }
            Self::Spare { job, mut request } => {
                let taken = files::spare_existing(&mut request);
                Some(Reply::Spared { job, request, taken })
            }
            Self::FullSteps(request) => Some(match plan::full_steps(&request) {
                Ok(request) => Reply::Make(Box::new(request)),
                Err(error) => Reply::Failed(error.to_string()),
            }),
            Self::Copy { from, to } => Some(match copy(&from, &to) {
                Ok(()) => Reply::Copied(to),
                Err(error) => Reply::Failed(format!("{}: not saved: {error}", to.display())),
            }),
            Self::Dropped(path) if lens::is_for_lens(&path) => Some(Reply::Recording(path)),
            Self::Dropped(path) => Self::Settings(path).run(),
            Self::Reveal(folder) => reveal(&folder).err().map(Reply::Failed),
        }
    }
}

/// The settings in a video, sidecar, latents file or recording.
fn settings(path: &Path) -> Result<Box<Request>, String> {
    let report = inspect::inspect(path).map_err(|error| error.to_string())?;
    report
        .request_here()
        .map(Box::new)
        .ok_or_else(|| format!("{}: there are no settings of Tessera's in it", path.display()))
}

/// Copies a file so that nothing half done ever has the new name.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let mut source = File::open(from).map_err(|error| error.to_string())?;
    let copied = write_atomically(to, |target| std::io::copy(&mut source, target).map(drop));
    copied.map_err(|error| error.to_string())
}

/// The receipt beside a clip. Of one without, the settings inside are what there is.
fn clip(path: PathBuf) -> Reply {
    if let Ok(mut receipt) = Receipt::read(&files::sidecar_of(&path)) {
        receipt.files.retain(|file| file.what != FileRole::Recording || file.path.is_file());
        return Reply::Clip(path, Box::new(receipt));
    }
    let request = settings(&path);
    Reply::Settings(path, request)
}

/// All frames of a video.
pub(crate) fn film(source: Source, path: &Path, fps: f64) -> Result<Film, String> {
    let decoder = Decoder::open(path).map_err(|error| error.to_string())?;
    let (width, height) = decoder.size();
    let size = [width as usize, height as usize];
    let most = MOST_FILM_BYTES / (size[0] * size[1] * 3).max(1);
    let mut frames = Vec::new();
    for frame in decoder.take(most) {
        let frame = frame.map_err(|error| error.to_string())?;
        if [frame.width as usize, frame.height as usize] != size {
            return Err(format!("{}: its frames are not all of one size", path.display()));
        }
        frames.push(frame.rgb.into());
    }
    Ok(Film { source, size, frames, fps })
}

/// Opens a folder with what the system opens folders with.
fn reveal(folder: &Path) -> Result<(), String> {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    std::process::Command::new(program)
        .arg(folder)
        .spawn()
        .map(drop)
        .map_err(|error| format!("{program} could not open {}: {error}", folder.display()))
}
