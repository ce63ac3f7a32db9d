//! Jobs on one engine, one after the other, and what is seen of them.
//!
//! The engine keeps its model between jobs, so a file of a hundred prompts loads it once. A job that fails
//! is told and the next one starts. The loop polls the interrupt between events: the first Ctrl-C cancels the
//! running job, by its id, and starts none of those that wait.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ArgMatches;
use tessera_pipeline::engine::Engine;
use tessera_pipeline::events::{Command, Event, EventKind, FileRole, JobId, WrittenFile};
use tessera_pipeline::plan::Plan;

use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::jsonl;
use crate::progress::Progress;
use crate::text::{bytes, duration, plural};

/// How long Ctrl-C may go unseen; far below what a person notices.
const POLL: Duration = Duration::from_millis(50);

/// One clip to make.
pub(crate) struct Job {
    /// What tells it from the others of its batch: `clip 2 of 3, seed 7: a red ball`.
    pub(crate) title: String,
    /// The command that starts it, given its id.
    pub(crate) start: Box<dyn FnOnce(JobId) -> Command>,
}

/// Runs every job and returns how it went.
pub(crate) fn run(jobs: Vec<Job>, matches: &ArgMatches) -> anyhow::Result<Exit> {
    let jsonl = matches.contains_id("events");
    let quiet = jsonl || matches.get_flag("quiet");
    let count = jobs.len();
    let mut session = Session {
        interrupt: Interrupt::install()?,
        engine: Engine::start()?,
        progress: Progress::new(quiet),
        jsonl,
        is_read_already: !quiet && io::stdout().is_terminal() && io::stderr().is_terminal(),
        cancelling: false,
    };

    let mut written = 0;
    let mut failures = Vec::new();
    let mut lost = Vec::new();
    for (id, job) in (1..).map(JobId).zip(jobs) {
        if session.interrupt.asked() {
            failures.push(Exit::Cancelled);
            break;
        }
        if count > 1 {
            session.progress.say(&job.title);
        }
        match session.one(id, (job.start)(id))? {
            Exit::Success => written += 1,
            exit => {
                failures.push(exit);
                lost.push(job.title);
            }
        }
    }
    if count > 1 {
        session.progress.say(&format!("{written} of {} written", plural(count as u64, "clip")));
        for title in &lost {
            session.progress.say(&format!("not written: {title}"));
        }
    }
    Ok(Exit::of_batch(written, &failures))
}

struct Session {
    interrupt: Interrupt,
    engine: Engine,
    progress: Progress,
    jsonl: bool,
    /// Standard output is the terminal on which progress names the files anyway.
    is_read_already: bool,
    cancelling: bool,
}

impl Session {
    /// Runs one job to its last event.
    fn one(&mut self, id: JobId, command: Command) -> anyhow::Result<Exit> {
        self.engine.commands.send(command).map_err(gone)?;
        let mut unread = None;
        loop {
            if self.interrupt.asked() && !self.cancelling {
                self.progress.say("stopping; once more Ctrl-C ends at once");
                self.cancel(id)?;
            }
            let event = match self.engine.events.recv_timeout(POLL) {
                Ok(event) if event.job == id => event,
                Ok(_) => continue,
                Err(error) if error.is_timeout() => continue,
                Err(error) => return Err(gone(error)),
            };
            if unread.is_none()
                && let Err(error) = self.show(&event)
            {
                // Nobody reads our results any more: end the job cleanly before saying so.
                unread = Some(error);
                self.cancel(id)?;
            }
            if event.kind.is_last() {
                return unread.map_or(Ok(outcome(&event.kind)), |error| Err(error.into()));
            }
        }
    }

    fn cancel(&mut self, job: JobId) -> anyhow::Result<()> {
        self.cancelling = true;
        self.engine.commands.send(Command::Cancel { job }).map_err(gone)
    }

    /// Shows one event; an error is standard output's alone.
    fn show(&mut self, event: &Event) -> io::Result<()> {
        if self.jsonl {
            jsonl::write(&mut io::stdout().lock(), event)?;
        }
        self.progress.event(&event.kind);
        match &event.kind {
            EventKind::Planned { plan } => self.progress.say(&headline(plan)),
            EventKind::Finished { receipt } => {
                let secs: f64 = receipt.phases.iter().map(|phase| phase.seconds).sum();
                self.progress.say(&format!("done in {}", duration((secs * 1000.0) as u64)));
            }
            EventKind::Warning { text } => self.progress.say(&format!("warning: {text}")),
            EventKind::FileWritten { file } => return self.show_file(file),
            EventKind::Failed { error, kept, .. } => {
                self.progress.aside(|| complain(error));
                if !kept.is_empty() {
                    self.show_kept(kept);
                }
            }
            EventKind::Cancelled { kept } => {
                self.progress.say("cancelled");
                self.show_kept(kept);
            }
            _ => {}
        }
        Ok(())
    }

    /// The path of the clip is the result; what lies beside it is said.
    fn show_file(&mut self, file: &WrittenFile) -> io::Result<()> {
        self.progress.say(&format!("wrote {} ({})", file.path.display(), bytes(file.bytes)));
        if file.what == FileRole::Video && !self.jsonl && !self.is_read_already {
            return self.progress.aside(|| writeln!(io::stdout(), "{}", file.path.display()));
        }
        Ok(())
    }

    /// Says what a run that did not end well has left, and what it is good for. Shown even when quiet: it is the answer to
    /// "what did I lose?".
    fn show_kept(&self, kept: &[WrittenFile]) {
        self.progress.aside(|| {
            let mut out = io::stderr();
            // A closed standard error is no reason to end differently.
            let _ = match kept {
                [] => writeln!(out, "kept: nothing; no file was finished"),
                kept => kept.iter().try_for_each(|file| {
                    writeln!(out, "kept: {} ({})", file.path.display(), bytes(file.bytes))?;
                    let path = file.path.display();
                    match file.what {
                        FileRole::Latents => writeln!(out, "      `tessera resume {path}` decodes it")?,
                        FileRole::PartialLatents => writeln!(
                            out,
                            "      `tessera resume {path}` decodes it: the clip as the last finished step saw it"
                        )?,
                        _ => {}
                    }
                    Ok(())
                }),
            };
        });
    }
}

/// An error of a job, shown even when quiet.
fn complain(error: &str) {
    let _ = writeln!(io::stderr(), "tessera: {error}");
}

/// The plan in one line; `--dry-run` shows all of it.
fn headline(plan: &Plan) -> String {
    let request = &plan.request;
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    format!(
        "{}: {}, {} steps, seed {}, {} {}; about {}, {} at most",
        plan.model.name,
        plan.size,
        request.steps.unwrap_or_default(),
        request.seed.unwrap_or_default(),
        word(&request.device),
        word(&request.dtype),
        duration((plan.total_seconds() * 1000.0) as u64),
        bytes(plan.memory.peak_bytes),
    )
}

fn outcome(last: &EventKind) -> Exit {
    match last {
        EventKind::Finished { .. } => Exit::Success,
        EventKind::Cancelled { .. } => Exit::Cancelled,
        EventKind::Failed { kind, .. } => (*kind).into(),
        _ => Exit::Internal,
    }
}

fn gone(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("the engine's thread has ended ({error}); RUST_LOG=debug shows more")
}
