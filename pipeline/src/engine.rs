//! The engine: a named thread that owns the device and the models, told by [`Command`]s, telling by [`Event`]s.
//!
//! Both channels are bounded. Commands are read between jobs, and during a job whenever it ticks (between transformer blocks,
//! VAE frame groups, text-encoder layers and tensors while loading): a `Cancel` acts there, a `Pause` before the next step or
//! frame group, all else waits its turn. A panic in a job becomes its `Failed` event; the thread drops what it held and goes on.

mod inbox;
mod job;
mod studio;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::ThreadPoolBuilder;

use crate::events::{Command, Event, EventKind, JobId};
use crate::latest::Latest;
use crate::machine::Machine;
use crate::preview::Preview;
use crate::{Error, Result, history};
use inbox::Inbox;
pub(crate) use job::Job;
pub(crate) use studio::{Rows, RowsKey, Studio};

/// Commands that may wait before a sender does.
const COMMANDS: usize = 1024;
/// Events that may wait before the engine does; progress is left out instead.
const EVENTS: usize = 4096;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the history; `None` keeps none.
    pub data_dir: Option<PathBuf>,
    /// The machine that plans are made for; `None` looks at this one before each job.
    pub machine: Option<Machine>,
    /// Cores that jobs may use; `None` takes all. Several engines at once would otherwise wait for each other.
    pub threads: Option<usize>,
}

impl Default for Options {
    /// The user's history and this machine.
    fn default() -> Self {
        Self { data_dir: history::data_dir(), machine: None, threads: None }
    }
}

/// A running engine. Dropping it cancels what runs and ends the thread.
#[derive(Debug)]
pub struct Engine {
    /// Where to send commands.
    pub commands: Sender<Command>,
    /// Where events come from. Whoever holds it must read it, or the engine waits when thousands are unread.
    pub events: Receiver<Event>,
    /// The newest preview of the job that runs, sent just before the step's event; an unread one is replaced.
    pub previews: Receiver<Preview>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts an engine with the user's history.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts an engine.
    pub fn start_with(options: Options) -> Result<Self> {
        let (commands, inbox) = bounded(COMMANDS);
        let (outbox, events) = bounded(EVENTS);
        let (latest, previews) = Latest::channel();
        let pool =
            options.threads.map(|threads| ThreadPoolBuilder::new().num_threads(threads).build());
        let pool = pool.transpose().map_err(not_started)?;
        let thread = std::thread::Builder::new()
            .name("tessera-engine".into())
            .spawn(move || {
                let outbox = (outbox, latest);
                match pool {
                    Some(pool) => {
                        pool.install(|| work(Inbox::new(inbox), &outbox, Studio::new(options)));
                    }
                    None => work(Inbox::new(inbox), &outbox, Studio::new(options)),
                }
            })
            .map_err(not_started)?;
        Ok(Self { commands, events, previews, thread: Some(thread) })
    }
}

fn not_started(error: impl std::fmt::Display) -> Error {
    Error::Thread(format!("the engine's thread did not start: {error}"))
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.events = crossbeam_channel::never(); // so that the engine never waits for a reader again
        self.commands = {
            let _ = self.commands.send(Command::Shutdown); // an error means that it has ended already
            bounded(1).0
        };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic outside a job has nobody left to tell
        }
    }
}

/// Where a job tells: every event, and the newest preview.
type Outbox = (Sender<Event>, Latest<Preview>);

/// The thread: one command after another until there are none.
fn work(mut inbox: Inbox, outbox: &Outbox, mut studio: Studio) {
    while let Some(command) = inbox.next() {
        match command {
            Command::Generate { job, request } => {
                attend(job, &mut inbox, outbox, &mut studio, |studio, job| {
                    crate::run::generate(studio, job, &request)
                });
            }
            Command::Resume { job, latents, changes } => {
                attend(job, &mut inbox, outbox, &mut studio, |studio, job| {
                    crate::run::resume(studio, job, &latents, &changes)
                });
            }
            Command::Cancel { job } => tell_cancelled(&outbox.0, job, inbox.was_waiting(job)),
            Command::Pause { .. } | Command::Continue { .. } => {} // of a job that has ended
            Command::Shutdown => break,
        }
        for job in inbox.take_cancelled() {
            tell_cancelled(&outbox.0, job, true);
        }
    }
    for job in inbox.rest() {
        tell_cancelled(&outbox.0, job, true);
    }
}

/// A job that never ran.
fn tell_cancelled(events: &Sender<Event>, job: JobId, was_waiting: bool) {
    if was_waiting {
        let _ = events.send(Event { job, kind: EventKind::Cancelled { kept: Vec::new() } });
    }
}

/// Runs one job and sends its last event, whatever happens in it.
fn attend(
    id: JobId,
    inbox: &mut Inbox,
    outbox: &Outbox,
    studio: &mut Studio,
    run: impl FnOnce(&mut Studio, &mut Job<'_>) -> Result<crate::receipt::Receipt>,
) {
    inbox.begin();
    let mut job = Job::new(id, inbox, outbox);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(studio, &mut job)));
    let outcome = outcome.unwrap_or_else(|panic| {
        studio.clear();
        Err(Error::Panic(words(panic.as_ref())))
    });
    job.end(outcome);
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into())
}
