//! A job array that works through what lies in a folder: submitted once, watched, its dead tasks run again.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::commands::{self, Submission, text};
use super::task::{Standing, Task};
use super::{Options, TASKS, option_of_sbatch};
use crate::files::write_atomically;
use crate::{Error, Result};

/// A task that died so often, one time after the other without anything finished in between, stays dead.
const MOST_DEATHS: u32 = 3;
/// The scheduler is asked again after so long, and after twice as long each time that nothing has changed, up to the second.
const ASKED_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];
/// How long a file that a task has written may stay unseen here: what NFS keeps of a folder, at most.
const UNSEEN: Duration = Duration::from_mins(1);
/// The last lines of a log that are told.
const LINES_TOLD: usize = 5;

/// A job array.
#[derive(Debug)]
pub struct Array {
    name: String,
    folder: PathBuf,
    script: PathBuf,
    options: Options,
    slots: BTreeMap<u32, Slot>,
    asked: Option<Vec<Task>>,
    ask_at: Instant,
    pause: Duration,
    all_over: Option<Instant>,
}

/// A place in the array, with the task that fills it now.
#[derive(Debug, Default)]
struct Slot {
    /// Number of the newest job.
    job: u64,
    /// Deaths in a row.
    deaths: u32,
    /// What was finished when it began.
    finished: usize,
    /// The task that has ended, and is not run again.
    over: Option<Over>,
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Over {
    /// As Slurm told it last; `None` when it told nothing any more.
    task: Option<Task>,
}

/// What a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Tasks were submitted.
    Submitted {
        /// Number of the job.
        job: u64,
        /// How many.
        tasks: usize,
    },
    /// Tasks that an earlier call submitted are there still.
    TakenUp {
        /// How many.
        tasks: usize,
    },
    /// A task ended before the work was done, and was submitted again.
    Again {
        /// What became of it.
        what: String,
        /// Number of the new job.
        job: u64,
    },
    /// A task ended too often, or was cancelled.
    Lost {
        /// What became of it.
        what: String,
    },
    /// No task runs yet.
    Waiting {
        /// How many wait.
        tasks: usize,
        /// Slurm's reasons.
        reasons: String,
    },
    /// The scheduler does not answer; what the folder shows is told all the same.
    Silent {
        /// What its command said.
        said: String,
    },
}

impl Array {
    /// Takes up the tasks that work in this folder already, and submits what is missing to as many as were asked for, or as there is
    /// work (`left`) for. Each runs `worker`, a command of full paths, on whatever node it comes to; logs go to `FOLDER/slurm`.
    ///
    /// # Errors
    /// [`Error::Slurm`] when Slurm is not there or refuses, in its own words.
    pub fn begin(
        folder: &Path,
        worker: &[&Path],
        options: &Options,
        finished: usize,
        left: usize,
    ) -> Result<(Self, Vec<Notice>)> {
        let folder = folder.canonicalize().map_err(Error::io(folder))?;
        let logs = folder.join("slurm");
        std::fs::create_dir_all(&logs).map_err(Error::io(&logs))?;
        let script = logs.join("job.sh");
        let written = job_script(worker, options)?;
        write_atomically(&script, |file| file.write_all(written.as_bytes()))?;
        let mut array = Self {
            name: format!("tessera-{}", short_hash(text(&folder)?)),
            folder,
            script,
            options: options.clone(),
            slots: BTreeMap::new(),
            asked: None,
            ask_at: Instant::now(),
            pause: ASKED_AFTER[0],
            all_over: None,
        };
        let mut notices = Vec::new();
        let there = commands::squeue(&array.name)?;
        for task in there.iter().filter(|task| task.lives()) {
            let slot = array.slots.entry(task.index).or_default();
            slot.job = slot.job.max(task.job);
            slot.finished = finished;
        }
        array.asked = Some(there);
        if !array.slots.is_empty() {
            notices.push(Notice::TakenUp { tasks: array.slots.len() });
        }
        let wanted = left.min(options.tasks.unwrap_or(TASKS) as usize);
        let free = (1..).filter(|index| !array.slots.contains_key(index));
        let new: Vec<u32> = free.take(wanted.saturating_sub(array.slots.len())).collect();
        if !new.is_empty() {
            let job = array.submit(&new, finished)?;
            notices.push(Notice::Submitted { job, tasks: new.len() });
        }
        Ok((array, notices))
    }

    /// Looks after the tasks while work is left: runs those again that died. Of how much is `finished` it must be told what the folder shows.
    /// Asks the scheduler only now and then, so call it as often as you like.
    ///
    /// # Errors
    /// [`Error::Slurm`] when no task is left that could do the work, or all that are left are held.
    pub fn look(&mut self, finished: usize) -> Result<Vec<Notice>> {
        if Instant::now() < self.ask_at {
            return Ok(Vec::new());
        }
        let asked = commands::squeue(&self.name);
        let has_changed = asked.as_ref().ok() != self.asked.as_ref();
        self.pause =
            if has_changed { ASKED_AFTER[0] } else { (self.pause * 2).min(ASKED_AFTER[1]) };
        self.ask_at = Instant::now() + self.pause;
        let tasks = match asked {
            Ok(tasks) => tasks,
            Err(error) => {
                let was_heard = self.asked.take().is_some();
                let notice = Notice::Silent { said: error.to_string() };
                return Ok(was_heard.then_some(notice).into_iter().collect());
            }
        };
        let mut notices = self.judge(&tasks, finished)?;
        if has_changed {
            notices.extend(waiting(&tasks));
        }
        self.asked = Some(tasks);
        Ok(notices)
    }

    /// Takes tasks out of the queue that have not started: there is nothing left to do for them.
    pub fn end(self) -> Result<()> {
        commands::cancel_waiting(&self.name)
    }

    /// The command that cancels every task.
    pub fn cancelling(&self) -> String {
        format!("scancel --me --name={}", self.name)
    }

    fn judge(&mut self, tasks: &[Task], finished: usize) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        let mut again: Vec<(u32, String)> = Vec::new();
        // While anyone works, one that found nothing to do is not needed; when nobody does, what it found may have changed.
        let waited = self.all_over.is_some_and(|since| since.elapsed() > UNSEEN);
        let mut held = Vec::new();
        for (index, slot) in &mut self.slots {
            let is_it = |task: &&Task| task.index == *index && task.job == slot.job;
            let before = self.asked.iter().flatten().find(is_it);
            let task =
                tasks.iter().find(is_it).cloned().or_else(|| before.and_then(Task::withdrawn));
            if task.as_ref().is_some_and(Task::is_held) {
                held.extend(task.clone());
            }
            let was_done = slot.over.as_ref().is_some_and(Over::is_done);
            if task.as_ref().is_some_and(Task::lives)
                || (slot.over.is_some() && !(was_done && waited))
            {
                continue;
            }
            let over = Over { task };
            let what = || over.tell(slot.job, *index, &self.folder);
            slot.deaths = if finished > slot.finished { 1 } else { slot.deaths + 1 };
            if over.is_done() && !was_done {
                slot.deaths = 0;
            } else if !over.is_cancelled() && slot.deaths < MOST_DEATHS {
                again.push((*index, what()));
                continue;
            } else {
                notices.push(Notice::Lost { what: what() });
            }
            slot.over = Some(over);
        }
        if !again.is_empty() {
            let indices: Vec<u32> = again.iter().map(|(index, _)| *index).collect();
            let job = self.submit(&indices, finished)?;
            notices.extend(again.into_iter().map(|(_, what)| Notice::Again { what, job }));
        }
        self.end_without_workers(&held)?;
        Ok(notices)
    }

    /// An error when nobody is left to do the work.
    fn end_without_workers(&mut self, held: &[Task]) -> Result<()> {
        let living: Vec<_> = self.slots.values().filter(|slot| slot.over.is_none()).collect();
        if !living.is_empty() {
            self.all_over = None;
            if held.len() == living.len() {
                let jobs: Vec<_> = held.iter().map(Task::id).collect();
                let jobs = jobs.join(",");
                return Err(Error::Slurm {
                    reason: format!(
                        "expected tasks that run or will, got all of them held ({jobs}: {}); `scontrol release {jobs}` lets them go, `{}` ends them; then the same command goes on",
                        reasons(held),
                        self.cancelling()
                    ),
                });
            }
            return Ok(());
        }
        let since = *self.all_over.get_or_insert_with(Instant::now);
        let overs = || {
            self.slots.iter().filter_map(|(index, slot)| Some((index, slot, slot.over.as_ref()?)))
        };
        let is_explained = overs().all(|(_, _, over)| !over.is_done());
        // A second look, so that what the last one finished before it ended is seen here.
        if since.elapsed() < ASKED_AFTER[0] || !(is_explained || since.elapsed() > UNSEEN) {
            return Ok(());
        }
        let told: Vec<_> =
            overs().map(|(index, slot, over)| over.tell(slot.job, *index, &self.folder)).collect();
        Err(Error::Slurm {
            reason: format!(
                "no task is left, and there is work to do; the same command submits it again:\n{}",
                told.join("\n")
            ),
        })
    }

    fn submit(&mut self, indices: &[u32], finished: usize) -> Result<u64> {
        let logs = self.folder.join("slurm");
        let job = Submission {
            name: &self.name,
            indices,
            logs: &logs,
            script: &self.script,
            options: &self.options,
        }
        .sbatch()?;
        for index in indices {
            let slot = self.slots.entry(*index).or_default();
            *slot = Slot { job, deaths: slot.deaths, finished, over: None };
        }
        Ok(job)
    }
}

impl Over {
    fn is_done(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.standing == Standing::Done)
    }

    fn is_cancelled(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.standing == Standing::Cancelled)
    }

    /// What became of the task, with the end of its log.
    fn tell(&self, job: u64, index: u32, folder: &Path) -> String {
        let name = format!("task {job}_{index}");
        let Some(task) = &self.task else {
            return format!("{name} is not known to Slurm any more");
        };
        let code = commands::exit_code(task).unwrap_or_else(|| "unknown".into());
        let how = match &task.standing {
            Standing::Failed(how) => format!("{how}, exit code {code}"),
            Standing::Cancelled => return format!("{name} was cancelled"),
            _ => format!("exit code {code}"),
        };
        let node = if task.node.is_empty() {
            "before it had a node"
        } else {
            &format!("on {}", task.node)
        };
        let log = folder.join("slurm").join(format!("{job}_{index}.log"));
        match std::fs::read_to_string(&log) {
            Ok(said) => {
                let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
                let last = &lines[lines.len().saturating_sub(LINES_TOLD)..];
                let said = last.join("\n  ");
                format!("{name} ended {node} ({how}); the end of {}:\n  {said}", log.display())
            }
            Err(_) => format!(
                "{name} ended {node} ({how}) and left no log; expected that {} is a folder there, shared with this machine under the same name and writable",
                folder.display()
            ),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submitted { job, tasks } => write!(f, "submitted job {job} ({})", count(*tasks)),
            Self::TakenUp { tasks } => write!(f, "{} of an earlier call taken up", count(*tasks)),
            Self::Again { what, job } => write!(f, "{what}\nsubmitted again as job {job}"),
            Self::Lost { what } => write!(f, "{what}\nnot submitted again"),
            Self::Waiting { tasks, reasons } => write!(f, "waiting: {} ({reasons})", count(*tasks)),
            Self::Silent { said } => write!(f, "the scheduler does not answer: {said}"),
        }
    }
}

fn count(tasks: usize) -> String {
    if tasks == 1 { "1 task".into() } else { format!("{tasks} tasks") }
}

/// A notice while tasks wait and none runs.
fn waiting(tasks: &[Task]) -> Option<Notice> {
    let living: Vec<_> = tasks.iter().filter(|task| task.lives()).cloned().collect();
    let waits =
        |task: &Task| matches!(&task.standing, Standing::Waiting(reason) if reason != "None");
    let is_idle = !living.is_empty() && living.iter().all(waits);
    is_idle.then(|| Notice::Waiting { tasks: living.len(), reasons: reasons(&living) })
}

/// Why tasks wait, each reason once.
fn reasons(tasks: &[Task]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for task in tasks {
        if let Standing::Waiting(reason) = &task.standing
            && !reasons.contains(&reason.as_str())
        {
            reasons.push(reason);
        }
    }
    reasons.join(", ")
}

/// What each task runs.
pub(super) fn job_script(worker: &[&Path], options: &Options) -> Result<String> {
    let mut lines = vec!["#!/bin/sh".to_owned(), "#SBATCH --requeue".into()];
    for option in &options.sbatch {
        let option = option_of_sbatch(option).ok_or_else(|| Error::Slurm {
            reason: format!(
                "expected an option of sbatch on one line, such as --account=lab, got {option:?}"
            ),
        })?;
        lines.push(format!("#SBATCH {option}"));
    }
    lines.push(
        "# One task of the array: it works until nothing is left. Queued again, it goes on.".into(),
    );
    let quoted = |word: &&Path| Ok(format!("'{}'", text(word)?.replace('\'', r"'\''")));
    let words: Vec<String> = worker.iter().map(quoted).collect::<Result<_>>()?;
    lines.push(format!("exec {}\n", words.join(" ")));
    Ok(lines.join("\n"))
}

/// 16 hexadecimal digits.
fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    let first = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{first:016x}")
}
