//! The clips of a folder made by a job array of Slurm, on whatever nodes share the folder.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::results::{Seen, Watcher};
use super::run::{Executor, Progress, Tell, Told};
use crate::slurm::{Array, Options};
use crate::{Error, Result};

/// How often the folder is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Slurm's nodes. The array belongs to the folder and not to this process: stopped, it leaves the tasks at work, and begun again it takes them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slurm {
    /// What is asked of Slurm.
    pub options: Options,
    /// The program that the tasks run, with a path that the nodes have too.
    pub program: PathBuf,
    /// Clips that a task makes at once.
    pub jobs: usize,
}

impl Executor for Slurm {
    fn execute(&self, folder: &Folder, tell: &Tell<'_>) -> Result<()> {
        let _watching = folder.watching()?;
        let _together = folder.together()?;
        let mut watcher = Watcher::open(folder.path())?;
        let mut clips = Clips::new(folder, tell, watcher.look()?);
        let path = folder.path().canonicalize().map_err(Error::io(folder.path()))?;
        let jobs = format!("--jobs={}", self.jobs);
        let [sweep, jobs, work_in] = ["sweep", &jobs, "--work-in"].map(Path::new);
        let worker = [&self.program, sweep, jobs, work_in, &path];
        let (seen, left) = (clips.seen.finished, clips.seen.of - clips.seen.finished);
        if left == 0 {
            return Ok(());
        }
        let (mut array, mut notices) = Array::begin(&path, &worker, &self.options, seen, left)?;
        loop {
            for notice in notices {
                clips.say(Told::Notice(notice.to_string()));
            }
            if !clips.show() {
                clips.say(Told::Notice(format!(
                    "the tasks go on; `{}` ends them",
                    array.cancelling()
                )));
                return Err(Error::Cancelled);
            }
            if clips.seen.finished == clips.seen.of {
                return array.end();
            }
            thread::sleep(POLL);
            clips.seen = watcher.look()?;
            notices = array.look(clips.seen.finished)?;
        }
    }
}

/// What the folder shows of the clips, told as if they were made here.
struct Clips<'a> {
    folder: &'a Folder,
    tell: &'a Tell<'a>,
    started: Instant,
    /// Clips that were finished when it began.
    before: usize,
    seen: Seen,
}

impl<'a> Clips<'a> {
    fn new(folder: &'a Folder, tell: &'a Tell<'a>, seen: Seen) -> Self {
        Self { folder, tell, started: Instant::now(), before: seen.finished, seen }
    }

    /// Tells what was seen last; false when it is to stop.
    fn show(&self) -> bool {
        let arm = |key: &str| {
            let manifest = self.folder.manifest();
            let planned = manifest.cells.iter().find(|planned| planned.key == key);
            planned.map(|planned| manifest.arm(planned).name.clone()).unwrap_or_default()
        };
        let error = |key: &str| {
            let cell = self.folder.cell(key).ok().flatten()?;
            cell.error().map(str::to_owned)
        };
        let finished = self.seen.new.iter().map(|key| Told::Finished {
            key: key.clone(),
            arm: arm(key),
            error: error(key),
        });
        let doing = self.seen.doing.iter().map(|(key, doing)| Told::Doing {
            key: key.clone(),
            arm: arm(key),
            doing: doing.clone(),
        });
        // Asked also when there is nothing to tell: a person may want to stop while the tasks wait.
        let nothing =
            (self.seen.new.is_empty() && self.seen.doing.is_empty()).then_some(Told::Waiting);
        finished.chain(doing).chain(nothing).all(|event| self.say(event))
    }

    fn say(&self, event: Told) -> bool {
        let Seen { finished, of, .. } = self.seen;
        let here = finished - self.before;
        let each = self.started.elapsed().as_secs_f64() / here as f64;
        let seconds_left = (here > 0).then(|| each * (of - finished) as f64);
        (self.tell)(&Progress { finished, of, seconds_left, event })
    }
}
