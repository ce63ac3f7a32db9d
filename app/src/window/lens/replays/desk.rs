//! The thread that replays steps: one at a time, told how far it is, stopped by a flag.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::Error;
use tessera_pipeline::recording::Recording;
use tessera_pipeline::replay::{Arm, Progress, Replay, Spec, replay};

use crate::window::pace;

/// News that may wait; progress beyond them is left out.
const UNREAD: usize = 64;

/// A step to replay.
#[derive(Debug)]
pub(crate) struct Job {
    /// Counts up.
    pub(crate) number: u64,
    /// The recording.
    pub(crate) path: PathBuf,
    /// The step, from 0.
    pub(crate) step: usize,
    /// The method with its settings.
    pub(crate) arm: Arm,
    /// Folders that may hold the recorded weights, where they are not at their old place.
    pub(crate) models: Vec<PathBuf>,
    /// Set to stop.
    pub(crate) cancel: Arc<AtomicBool>,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Told {
    /// Its number.
    pub(crate) number: u64,
    /// What.
    pub(crate) news: News,
}

/// What there is to tell.
#[derive(Debug)]
pub(crate) enum News {
    /// How far it is.
    Progress(Progress),
    /// What it found; the error is for people.
    Done(Result<Box<Replay>, String>),
    /// It was stopped.
    Cancelled,
}

/// The way to the thread; dropping it ends it with the job at hand.
pub(crate) struct Desk {
    jobs: Sender<Job>,
    told: Receiver<Told>,
}

impl Desk {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (jobs, inbox) = bounded::<Job>(1);
        let (outbox, told) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-replay".into()).spawn(move || {
            for job in inbox {
                let number = job.number;
                let news = work(&job, &mut |progress| {
                    let told = Told { number, news: News::Progress(progress) };
                    if outbox.try_send(told).is_ok() {
                        pace::wake(&ctx);
                    }
                });
                if outbox.send(Told { number, news }).is_err() {
                    break;
                }
                pace::wake(&ctx);
            }
        })?;
        Ok(Self { jobs, told })
    }

    /// Gives it a job; false when one waits already.
    pub(crate) fn begin(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    /// What has come back.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }
}

/// A panic is told as a failure, and the thread goes on with the next job.
fn work(job: &Job, tell: &mut dyn FnMut(Progress)) -> News {
    let answer = std::panic::catch_unwind(AssertUnwindSafe(|| replayed(job, tell)));
    match answer {
        Ok(Ok(replay)) => News::Done(Ok(Box::new(replay))),
        Ok(Err(error)) if error.is_cancelled() => News::Cancelled,
        Ok(Err(error)) => News::Done(Err(words(&error))),
        Err(_) => News::Done(Err(
            "The replay ended with an internal fault; the log of the terminal tells more.".into(),
        )),
    }
}

/// Replays with the first folder that holds the recorded weights: the run's own, then those that are known here.
fn replayed(job: &Job, tell: &mut dyn FnMut(Progress)) -> Result<Replay, Box<Error>> {
    let recording = Recording::open(&job.path).map_err(Box::new)?;
    let own = recording.meta().request.model.clone();
    let is_gone = own.as_ref().is_some_and(|folder| !folder.is_dir());
    let mut models: Vec<Option<PathBuf>> = if is_gone { Vec::new() } else { vec![None] };
    models.extend(job.models.iter().cloned().map(Some));
    if is_gone {
        models.push(own); // for what it says when no other one will do
    }
    let mut first = None;
    for model in models {
        let spec = Spec {
            arms: vec![job.arm.clone()],
            steps: vec![job.step],
            model,
            device: Some("auto".into()),
            ..Spec::default()
        };
        let mut watch = |progress| {
            tell(progress);
            !job.cancel.load(Ordering::Relaxed)
        };
        match replay(&recording, &spec, &mut watch) {
            Err(error @ Error::OtherModel { .. }) => {
                first.get_or_insert(Box::new(error));
            }
            Err(Error::Model(error)) if is_gone && first.is_some() => {
                tracing::debug!("the recorded model folder: {error}");
            }
            answer => return answer.map_err(Box::new),
        }
    }
    Err(first.unwrap_or(Box::new(Error::Cancelled)))
}

/// An error for people, and what to do in a window.
fn words(error: &Error) -> String {
    match error {
        Error::OtherModel { model, expected, .. } => format!(
            "None of the known folders holds the weights of {model} that this was recorded with (fingerprint {expected}): File ▸ Add model folder… adds the one that does."
        ),
        Error::Model(error) => format!(
            "{error}. If the model is elsewhere, File ▸ Add model folder… makes it known here."
        ),
        error => error.to_string(),
    }
}
