//! Captures: what is kept of a run while it goes on, in a [`crate::recording`].
//!
//! A [`Recorder`] belongs to a job and is told its events and the clip before each step; the [`Capture`] that it gives away
//! watches attention. Both only look: a clip has the same bytes with them and without. What is large is written by a thread
//! of its own; when that fails (a full disk) the run goes on and the job is told.

mod options;
mod probe;
mod scribe;
#[cfg(test)]
mod tests;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use crossbeam_channel::{Sender, bounded};
use tessera_kernels::gpu::Fetch;

use crate::events::{EventKind, FileRole, WrittenFile};
use crate::recording::{Cost, Meta, Outcome, Writer};
use crate::{Error, Result};
pub use options::{LatentFormat, Options};
pub(crate) use options::{are_heads, are_tokens, idle};
use scribe::Message;
pub use watcher::Capture;

/// Messages that may wait for the thread. A map of the largest model is 28 MB, so they are few.
const WAITING: usize = 16;

/// Writes down one run.
#[derive(Debug)]
pub struct Recorder {
    link: Arc<Link>,
    meta: Arc<Meta>,
    target: PathBuf,
    partial: PathBuf,
    thread: Option<JoinHandle<Result<Option<u64>>>>,
}

/// What the recorder, its capture and its thread share.
#[derive(Debug)]
struct Link {
    sender: Mutex<Option<Sender<Message>>>,
    began: Instant,
    /// Nanoseconds that the run waited for captures.
    spent: AtomicU64,
    /// Milliseconds of the steps so far.
    steps: AtomicU64,
    failure: Mutex<Option<String>>,
    /// One failure is told, not the thousand that follow from it.
    is_told: AtomicBool,
}

impl Link {
    /// Sends, waiting for room. A thread that has ended has told why.
    fn send(&self, message: Message) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sender) = sender {
            let _ = sender.send(message);
        }
    }

    fn at_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn spend(&self, time: Duration) {
        self.spent.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Keeps the first failure.
    fn fail(&self, error: &Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.to_string());
    }
}

impl Recorder {
    /// Begins the recording `target` of a run.
    pub fn start(target: &Path, meta: Meta) -> Result<Self> {
        let writer = Writer::create(target, &meta)?;
        let partial = writer.path().to_path_buf();
        let (sender, inbox) = bounded(WAITING);
        let link = Arc::new(Link {
            sender: Mutex::new(Some(sender)),
            began: Instant::now(),
            spent: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            failure: Mutex::new(None),
            is_told: AtomicBool::new(false),
        });
        let meta = Arc::new(meta);
        let (of_thread, of_run) = (Arc::clone(&meta), Arc::clone(&link));
        let thread = std::thread::Builder::new()
            .name("tessera-record".into())
            .spawn(move || {
                let outcome = scribe::work(writer, &of_thread, &inbox);
                if let Err(error) = &outcome {
                    of_run.fail(error);
                }
                outcome
            })
            .map_err(|error| {
                Error::Thread(format!("the recording's thread did not start: {error}"))
            })?;
        Ok(Self { link, meta, target: target.into(), partial, thread: Some(thread) })
    }

    /// What it is about.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The unfinished file: a [`crate::recording::Recording`] can be opened there while it grows.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// What watches attention for this recording.
    pub fn capture(&self) -> Capture {
        Capture::new(Arc::clone(&self.link), Arc::clone(&self.meta))
    }

    /// Something happened. Progress within a phase is left out: steps and phases tell what it was.
    pub fn event(&self, event: &EventKind) {
        if matches!(event, EventKind::Progress { .. }) {
            return;
        }
        if let EventKind::Step { elapsed_ms, .. } = event {
            self.link.steps.fetch_add(*elapsed_ms, Ordering::Relaxed);
        }
        self.link.send(Message::Event { at_ms: self.link.at_ms(), event: Box::new(event.clone()) });
    }

    /// The clip `[1, C, T, h, w]` before a step; after the last one, the number of steps.
    pub fn latents(&self, step: usize, latents: &Tensor) {
        if self.meta.capture.latents == LatentFormat::None {
            return;
        }
        let begun = Instant::now();
        match Fetch::begin(latents) {
            Ok(latents) => self.link.send(Message::Latents { step, latents }),
            Err(error) => self.link.fail(&error.into()),
        }
        self.link.spend(begun.elapsed());
    }

    /// Why recording has stopped or something could not be captured, once.
    pub fn take_failure(&self) -> Option<String> {
        let failure = self.link.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        (!self.link.is_told.swap(true, Ordering::Relaxed)).then_some(failure)
    }

    /// Ends the recording with the job's last event and gives it its name.
    pub fn finish(mut self, last: &EventKind) -> Result<WrittenFile> {
        let outcome = match last {
            EventKind::Cancelled { .. } => Outcome::Cancelled,
            EventKind::Failed { error, .. } => Outcome::Failed { error: error.clone() },
            _ => Outcome::Finished,
        };
        let cost = Cost {
            capture_seconds: self.link.spent.load(Ordering::Relaxed) as f64 / 1e9,
            steps_seconds: self.link.steps.load(Ordering::Relaxed) as f64 / 1e3,
            thread_seconds: 0.0,
        };
        let (at_ms, last) = (self.link.at_ms(), Box::new(last.clone()));
        self.link.send(Message::Finish { at_ms, last, outcome, cost });
        match self.end() {
            Ok(Some(bytes)) => {
                Ok(WrittenFile { what: FileRole::Recording, path: self.target.clone(), bytes })
            }
            Ok(None) => Err(Error::Thread("the recording's thread ended too early".into())),
            Err(error) => Err(error),
        }
    }

    /// Lets the thread write what waits, and hears how it ended.
    fn end(&mut self) -> Result<Option<u64>> {
        *self.link.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let Some(thread) = self.thread.take() else { return Ok(None) };
        let panicked = |_| Error::Thread("the recording's thread panicked".into());
        thread.join().map_err(panicked)?
    }
}

impl Drop for Recorder {
    /// A run that ended without a word leaves its recording under the unfinished name.
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("recording {}: {error}", self.partial.display());
        }
    }
}
