//! Makes the cells of a table, prompt by prompt, so that a machine that grows slower does so for every method alike.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tessera_models::folder::ModelFolder;

use super::bench::{Bench, Made};
use super::cell::Cell;
use super::{Arm, REFERENCE, REPEAT, Spec};
use crate::{Error, Result, bundled};

/// What is told before each clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Clips done or found done.
    pub done: usize,
    /// Clips of the table.
    pub of: usize,
    /// The method at hand.
    pub arm: String,
    /// The prompt at hand.
    pub prompt: String,
}

/// A table's clips.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Every finished clip, the dense ones too.
    pub cells: Vec<Cell>,
    /// Arms that cannot be run with these settings.
    pub refused: Vec<Refused>,
}

/// An arm that was refused, such as a density below what its forced keeps cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The arm, with its density.
    pub arm: String,
    /// What was expected, and what was asked for.
    pub reason: String,
}

/// Makes every cell that is not there yet and returns all. An arm whose settings are refused is left out and named. `tell`
/// hears of each; `false` from it stops between two clips with [`Error::Cancelled`]. What is finished stays in the folder.
///
/// The dense clips come first; the second one, which times are compared with, comes among the methods' clips, under the same
/// load as theirs.
pub fn run(spec: &Spec, tell: impl FnMut(&Progress) -> bool + Send) -> Result<Outcome> {
    std::fs::create_dir_all(&spec.folder).map_err(Error::io(&spec.folder))?;
    let model = spec.base.model.clone().map_or_else(bundled::model, Ok)?;
    let fingerprint = ModelFolder::open(&model)?.fingerprint().to_owned();
    let mut arms = vec![Arm::dense(REPEAT)];
    arms.extend(spec.arms.iter().cloned());
    let of = spec.prompts.len() * (arms.len() + 1);
    let (done, tell) = (AtomicUsize::new(0), Mutex::new(tell));
    let say = |arm: &str, prompt: &str| {
        let done = done.load(Ordering::Relaxed);
        let told = Progress { done, of, arm: arm.into(), prompt: prompt.into() };
        let mut tell = tell.lock().unwrap_or_else(PoisonError::into_inner);
        if tell(&told) { Ok(()) } else { Err(Error::Cancelled) }
    };

    let threads = (spec.jobs > 1).then(|| (cores() / spec.jobs).max(1));
    let mut benches: Vec<_> = (0..spec.jobs.max(1))
        .map(|number| Bench::new(spec, &fingerprint, number, threads))
        .collect();
    let references = share(&mut benches, &spec.prompts, |bench, prompt| {
        say(REFERENCE, prompt)?;
        let reference = bench.reference(prompt)?;
        done.fetch_add(1, Ordering::Relaxed);
        Ok(reference)
    })?;
    let tasks: Vec<_> = spec
        .prompts
        .iter()
        .zip(&references)
        .flat_map(|(prompt, reference)| arms.iter().map(move |arm| (arm, prompt, reference)))
        .collect();
    let made = share(&mut benches, &tasks, |bench, (arm, prompt, reference)| {
        say(&arm.name, prompt)?;
        let made = bench.cell(arm, prompt, reference)?;
        done.fetch_add(1, Ordering::Relaxed);
        Ok(made)
    })?;

    let mut outcome = Outcome { cells: Vec::with_capacity(of), refused: Vec::new() };
    let mut tasks = tasks.into_iter().zip(made);
    for reference in &references {
        outcome.cells.push(reference.cell.clone());
        for ((arm, ..), made) in tasks.by_ref().take(arms.len()) {
            match made {
                Made::Cell(cell) => outcome.cells.push(*cell),
                Made::Refused(reason) => outcome.refuse(arm, reason),
            }
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn refuse(&mut self, arm: &Arm, reason: String) {
        let density = arm.density.map_or(String::new(), |d| format!(" at {d}"));
        let arm = Refused { arm: format!("{}{density}", arm.name), reason };
        if !self.refused.contains(&arm) {
            self.refused.push(arm);
        }
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Each task by whichever worker is free, taken in their order; the results in the same. After an error no worker takes another
/// task, and the first is returned.
fn share<W: Send, T: Sync, R: Send>(
    workers: &mut [W],
    tasks: &[T],
    work: impl Fn(&mut W, &T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<R>)>> = Mutex::new(Vec::with_capacity(tasks.len()));
    thread::scope(|scope| {
        for worker in workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { return };
                    let result = work(worker, task);
                    if result.is_err() {
                        next.store(tasks.len(), Ordering::Relaxed);
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The first error of those that ended the work, whichever task it belongs to.
    if let Some(failed) = results.iter().position(|(_, result)| result.is_err()) {
        return results.swap_remove(failed).1.map(|_| Vec::new());
    }
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
