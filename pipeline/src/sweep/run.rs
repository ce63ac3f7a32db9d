//! Runs the clips of a folder: here, or wherever an executor has them run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::cells::{Manifest, Planned};
use super::estimate::Estimate;
use super::file::Sweep;
use super::folder::{Doing, Folder};
use super::maker::Maker;
use super::results::Results;
use super::tables;
use crate::files::check_writable;
use crate::machine::Machine;
use crate::{Error, Result, history};

/// How long a worker waits when all that is left is being made by others.
const WAIT: Duration = Duration::from_millis(300);

/// What is told of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Clips that are finished, with or without success.
    pub finished: usize,
    /// Clips of the sweep.
    pub of: usize,
    /// Time left, once this run has finished a clip.
    pub seconds_left: Option<f64>,
    /// What happened.
    pub event: Told,
}

/// What happens to a clip.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It is being made; told ten times a second.
    Doing {
        /// Its key.
        key: String,
        /// Its arm's name.
        arm: String,
        /// How far it is.
        doing: Doing,
    },
    /// All that is left is being made by others, or nothing is being made yet.
    Waiting,
    /// It is finished.
    Finished {
        /// Its key.
        key: String,
        /// Its arm's name.
        arm: String,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// The executor has something to say: text of one line or more.
    Notice(String),
}

/// Who hears of a sweep's progress, from any thread; answering `false` stops it with [`Error::Cancelled`].
pub type Tell<'a> = dyn Fn(&Progress) -> bool + Sync + 'a;

/// Has the clips of a folder made, wherever it likes, until every one is finished.
///
/// An executor owes only this: that processes call [`work`] on the folder until nothing is left. Claims see to it that
/// no clip is made twice and none is lost, whichever processes those are and however they end.
pub trait Executor {
    /// Returns when every clip is finished, or with what stopped it. Finished clips stay in any case.
    fn execute(&self, folder: &Folder, tell: &Tell<'_>) -> Result<()>;
}

/// The devices of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Clips that are made at once, each on an even share of the cores.
    pub jobs: usize,
}

impl Executor for Local {
    fn execute(&self, folder: &Folder, tell: &Tell<'_>) -> Result<()> {
        let _alone = folder.alone()?;
        work(folder, self.jobs, tell)
    }
}

/// Runs a sweep in a folder, new or begun before, and returns its results.
///
/// # Errors
/// [`Error::Sweep`] when the folder holds another sweep or another run works in it, [`Error::File`] when the disk has no room
/// for what is left to make, [`Error::SweepStopped`] when it fills on the way, [`Error::Cancelled`] when `tell` says so.
pub fn run(
    sweep: &Sweep,
    path: &Path,
    executor: &dyn Executor,
    tell: &Tell<'_>,
) -> Result<Results> {
    begun(&Folder::prepare(path, &Manifest::new(sweep)?)?, executor, tell)
}

/// As [`run`], in a folder that may hold other clips too; those that this sweep has in common with them are not made again.
pub fn run_more(
    sweep: &Sweep,
    path: &Path,
    executor: &dyn Executor,
    tell: &Tell<'_>,
) -> Result<Results> {
    begun(&Folder::extend(path, &Manifest::new(sweep)?)?, executor, tell)
}

fn begun(folder: &Folder, executor: &dyn Executor, tell: &Tell<'_>) -> Result<Results> {
    let left = Estimate::of(folder, &Machine::detect(), &history::rates())?;
    check_writable(folder.path(), left.bytes)?;
    executor.execute(folder, tell)?;
    let results = Results::open(folder.path())?;
    tables::write(&results)?;
    Ok(results)
}

/// Makes the folder's clips, `jobs` at once, until every one is finished: what a process of any executor does.
pub fn work(folder: &Folder, jobs: usize, tell: &Tell<'_>) -> Result<()> {
    let jobs = jobs.max(1);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (jobs > 1).then(|| (cores / jobs).max(1));
    let crew = Crew::new(folder, tell);
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                if let Err(error) = crew.labour(threads) {
                    crew.stopped.store(true, Ordering::Relaxed);
                    let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    // What the others then say is that they were stopped.
                    if first.as_ref().is_none_or(Error::is_cancelled) {
                        *first = Some(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The workers of one process.
struct Crew<'a> {
    folder: &'a Folder,
    tell: &'a Tell<'a>,
    stopped: AtomicBool,
    started: Instant,
    /// Clips that were finished when it began.
    before: usize,
    finished: AtomicUsize,
}

impl<'a> Crew<'a> {
    fn new(folder: &'a Folder, tell: &'a Tell<'a>) -> Self {
        let cells = &folder.manifest().cells;
        let before = cells.iter().filter(|planned| folder.is_finished(&planned.key)).count();
        let (stopped, finished) = (AtomicBool::new(false), AtomicUsize::new(before));
        Self { folder, tell, stopped, started: Instant::now(), before, finished }
    }

    /// One worker: takes clip after clip, in their order, until every one is finished.
    fn labour(&self, threads: Option<usize>) -> Result<()> {
        let mut maker = Maker::new(self.folder, threads);
        let mut finished: BTreeSet<&str> = BTreeSet::new();
        loop {
            let mut left = 0;
            let mut made = 0;
            for planned in &self.folder.manifest().cells {
                if finished.contains(planned.key.as_str()) {
                    continue;
                }
                if self.folder.is_finished(&planned.key) {
                    finished.insert(&planned.key);
                    continue;
                }
                left += 1;
                let is_reference = planned.key == planned.reference;
                if !is_reference && !self.folder.is_finished(&planned.reference) {
                    continue; // another worker makes its dense clip
                }
                if self.one(&mut maker, planned)? {
                    finished.insert(&planned.key);
                    made += 1;
                }
            }
            if left == made {
                return Ok(());
            }
            if made == 0 {
                if !self.say(Told::Waiting) {
                    return Err(Error::Cancelled);
                }
                thread::sleep(WAIT);
            }
        }
    }

    /// Makes a clip unless somebody else does.
    fn one(&self, maker: &mut Maker<'_>, planned: &Planned) -> Result<bool> {
        let Some(mut claim) = self.folder.claim(planned)? else { return Ok(false) };
        let arm = &self.folder.manifest().arm(planned).name;
        let cell = maker.make(planned, &mut claim, &|doing| {
            let (key, arm) = (planned.key.clone(), arm.clone());
            self.say(Told::Doing { key, arm, doing: doing.clone() })
        });
        let cell = cell.map_err(|error| self.with_advice(error))?;
        let error = cell.error().map(str::to_owned);
        self.folder.finish(claim, &cell).map_err(|error| self.with_advice(error))?;
        self.finished.fetch_add(1, Ordering::Relaxed);
        let told = Told::Finished { key: planned.key.clone(), arm: arm.clone(), error };
        if self.say(told) { Ok(true) } else { Err(Error::Cancelled) }
    }

    fn say(&self, event: Told) -> bool {
        let of = self.folder.manifest().cells.len();
        let finished = self.finished.load(Ordering::Relaxed);
        let here = finished - self.before;
        let each = self.started.elapsed().as_secs_f64() / here as f64;
        let seconds_left = (here > 0).then(|| each * (of - finished) as f64);
        (self.tell)(&Progress { finished, of, seconds_left, event })
            && !self.stopped.load(Ordering::Relaxed)
    }

    /// An error that ends the sweep, with what is safe.
    fn with_advice(&self, error: Error) -> Error {
        if error.is_cancelled() {
            return error;
        }
        let reason = match error {
            Error::SweepStopped { reason, .. } => reason,
            other => other.to_string(),
        };
        let cells = &self.folder.manifest().cells;
        let finished = cells.iter().filter(|planned| self.folder.is_finished(&planned.key)).count();
        let reason = format!(
            "{reason}; {finished} of {} clips are finished and kept, and the same command goes on with the others",
            cells.len()
        );
        Error::SweepStopped { folder: self.folder.path().into(), reason }
    }
}
