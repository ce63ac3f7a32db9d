//! What the Lens is about: a recorded run, as far as it is small. What is large is read when somebody looks at it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_pipeline::recording::{Call, Meta, Outcome, Place, Recording, partial_of};
use tessera_pipeline::sparsity::Mode;

use crate::window::cursor::Cursor;

/// A recorded run: what it is of, and how every call was answered.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its file.
    pub(crate) path: PathBuf,
    /// The run.
    pub(crate) meta: Meta,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// `[steps, branches, layers]`, row-major.
    calls: Vec<Option<Arc<Call>>>,
    /// Of each map, blocks of each head at each level.
    counts: BTreeMap<u32, Arc<Vec<Vec<u32>>>>,
}

/// A head at a step: the part of the cursor that says which map is looked at, within the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The step, from 0.
    pub(crate) step: usize,
    /// Index of the branch.
    pub(crate) branch: usize,
    /// The layer, from 0.
    pub(crate) layer: usize,
    /// The head, from 0.
    pub(crate) head: usize,
}

/// One number of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Share of the dense work that was done.
    Density,
    /// Share of the softmax mass that the map keeps finer than its floor.
    Retained,
    /// Milliseconds of the layer's call.
    Time,
    /// How far its output is from dense attention, of a replay.
    Error,
}

impl Measure {
    /// All.
    pub(crate) const ALL: [Self; 4] = [Self::Density, Self::Error, Self::Retained, Self::Time];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Density => "Density",
            Self::Retained => "Retained mass",
            Self::Time => "Layer time",
            Self::Error => "Replay error",
        }
    }

    /// A value in words.
    pub(crate) fn words(self, value: f64) -> String {
        match self {
            Self::Density | Self::Retained => format!("{:.0} %", value * 100.0),
            Self::Error => format!("{:.1} %", value * 100.0),
            Self::Time => format!("{value:.1} ms"),
        }
    }
}

impl Subject {
    /// Reads what is small of a recording; the error is for people.
    pub(super) fn read(recording: &Recording) -> Result<Self, String> {
        let meta = recording.meta().clone();
        let calls = vec![None; meta.steps() * meta.branches().len() * meta.layers];
        let outcome = recording.outcome().map_err(|error| error.to_string())?;
        let (path, counts) = (recording.path().into(), BTreeMap::new());
        let mut subject = Self { path, meta, outcome, calls, counts };
        for step in 0..subject.meta.steps() {
            subject.read_step(recording, step)?;
        }
        subject.read_counts(recording)?;
        Ok(subject)
    }

    /// What has come since in a recording that grows; `None` when nothing has.
    pub(super) fn grown(&self, recording: &Recording) -> Result<Option<Self>, String> {
        let outcome = recording.outcome().map_err(|error| error.to_string())?;
        let (meta, calls, counts) = (self.meta.clone(), self.calls.clone(), self.counts.clone());
        let mut subject = Self { path: self.path.clone(), meta, outcome, calls, counts };
        // Steps come one after another: what is new begins in the one that was the last.
        let first = self.newest().map_or(0, |newest| newest / self.calls_of_step());
        for step in first..subject.meta.steps() {
            if subject.read_step(recording, step)? == 0 {
                break;
            }
        }
        subject.read_counts(recording)?;
        let has_grown = subject.newest() != self.newest() || subject.outcome != self.outcome;
        Ok(has_grown.then_some(subject))
    }

    /// Reads the counts of maps that are not known yet.
    fn read_counts(&mut self, recording: &Recording) -> Result<(), String> {
        let first = self.counts.last_key_value().map_or(0, |(last, _)| last + 1);
        let new = recording.counts_from(first).map_err(|error| error.to_string())?;
        self.counts.extend(new.into_iter().map(|(map, counts)| (map, Arc::new(counts))));
        Ok(())
    }

    /// Reads the calls of a step, and says how many there are.
    fn read_step(&mut self, recording: &Recording, step: usize) -> Result<usize, String> {
        let calls = recording.calls(step).map_err(|error| error.to_string())?;
        let (branches, count) = (self.meta.branches(), calls.len());
        for call in calls {
            let site = call.place.site;
            let branch = branches.iter().position(|branch| *branch == site.branch);
            if let Some(branch) = branch.filter(|_| site.layer < self.meta.layers) {
                let index = self.index(Look { step, branch, layer: site.layer, head: 0 });
                self.calls[index] = Some(Arc::new(call));
            }
        }
        Ok(count)
    }

    /// Where a call is among all, which is also when it is made.
    fn index(&self, look: Look) -> usize {
        (look.step * self.meta.branches().len() + look.branch) * self.meta.layers + look.layer
    }

    /// The call that was made last.
    fn newest(&self) -> Option<usize> {
        self.calls.iter().rposition(Option::is_some)
    }

    fn calls_of_step(&self) -> usize {
        (self.meta.branches().len() * self.meta.layers).max(1)
    }

    /// The newest step whose calls are all there; the first one until then.
    pub(crate) fn newest_step(&self) -> usize {
        let steps = self.calls.chunks(self.calls_of_step());
        let whole: Vec<bool> = steps.map(|calls| calls.iter().all(Option::is_some)).collect();
        whole.iter().rposition(|is_whole| *is_whole).unwrap_or(0)
    }

    /// A step in which something was left out: this one, or else the first; this one where nothing was.
    pub(super) fn sparse_step(&self, step: usize) -> usize {
        let steps = self.calls.chunks(self.calls_of_step());
        let is_sparse = |call: &Arc<Call>| call.mode != Mode::Dense;
        let sparse: Vec<bool> = steps.map(|calls| calls.iter().flatten().any(is_sparse)).collect();
        let first = sparse.iter().position(|is_sparse| *is_sparse);
        if sparse.get(step) == Some(&true) { step } else { first.unwrap_or(step) }
    }

    /// Whether nothing more will come of this call: a later one is there, or the run has ended.
    pub(super) fn is_past(&self, look: Look) -> bool {
        let newest = self.newest().is_some_and(|newest| newest > self.index(look));
        newest || self.outcome != Outcome::Unfinished
    }

    /// Whether both are of one run: its recording has another name while it grows.
    pub(super) fn is_same_run(&self, other: &Self) -> bool {
        let is_grown = |young: &Path, old: &Path| young == old || young == partial_of(old);
        is_grown(&self.path, &other.path) || is_grown(&other.path, &self.path)
    }

    /// The file's own name.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().trim_end_matches(".partial").to_owned()
    }

    /// Where the cursor is in this run; beyond an end is the end.
    pub(crate) fn look(&self, cursor: Cursor) -> Look {
        let within = |place: usize, count: usize| place.min(count.saturating_sub(1));
        Look {
            step: within(cursor.step, self.meta.steps()),
            branch: within(cursor.branch, self.meta.branches().len()),
            layer: within(cursor.layer, self.meta.layers),
            head: within(cursor.head, self.meta.heads),
        }
    }

    /// All calls that were made.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().flatten().map(Arc::as_ref)
    }

    /// The call that is looked at, if it was made.
    pub(crate) fn call(&self, look: Look) -> Option<&Call> {
        self.calls.get(self.index(look))?.as_deref()
    }

    /// Its place in the recording.
    pub(super) fn place(&self, look: Look) -> Place {
        let branch = self.meta.branches()[look.branch];
        self.call(look).map_or_else(|| Place::new(look.step, branch, look.layer), |call| call.place)
    }

    /// The look one step earlier.
    pub(super) fn before(look: Look) -> Option<Look> {
        Some(Look { step: look.step.checked_sub(1)?, ..look })
    }

    /// A number of a head, where it is known.
    pub(crate) fn measure(&self, look: Look, measure: Measure) -> Option<f64> {
        let call = self.call(look)?;
        match measure {
            Measure::Density => call.densities.get(look.head).map(|density| density.exact),
            Measure::Retained if call.mode == Mode::Dense => Some(1.0),
            Measure::Retained => call.retained.as_ref()?.get(look.head).copied(),
            Measure::Time => Some(call.estimate_ms + call.attention_ms),
            Measure::Error => None,
        }
    }

    /// A head as it is spoken: "layer 12 head 3, 81 percent skipped", or "22 percent exact, 78 percent pooled" where nothing is.
    pub(crate) fn spoken(&self, look: Look) -> String {
        let what = match self.call(look) {
            Some(call) if call.mode == Mode::Dense => "dense".to_owned(),
            Some(call) => {
                let counts = call.map.and_then(|map| self.counts.get(&map)?.get(look.head));
                counts.map_or_else(|| "map not recorded".into(), |counts| kept_words(counts))
            }
            None => "nothing recorded".to_owned(),
        };
        format!("layer {} head {}, {what}", look.layer, look.head)
    }

    /// Whether a path is named as recordings are; what is inside is another question.
    pub(crate) fn is_named_so(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("recording"))
    }
}

/// How many of a map's blocks, counted by level from 0, are seen exactly, pooled or not at all.
fn kept_words(counts: &[u32]) -> String {
    let all = f64::from(counts.iter().sum::<u32>().max(1));
    let (skipped, exact) = (counts.first().copied(), counts.get(1).copied());
    let pooled: u32 = counts.iter().skip(2).sum();
    let shares = [(exact, "exact"), (Some(pooled), "pooled"), (skipped, "skipped")];
    let shares: Vec<String> = shares
        .into_iter()
        // Beside what is skipped alone, what is not needs no saying.
        .filter(|(_, name)| pooled > 0 || *name == "skipped")
        .filter_map(|(count, name)| Some((count.filter(|count| *count > 0)?, name)))
        .map(|(count, name)| format!("{:.0} percent {name}", f64::from(count) / all * 100.0))
        .collect();
    if shares.is_empty() { "nothing skipped".into() } else { shares.join(", ") }
}

/// How a call was answered, for people.
pub(crate) fn mode_words(call: Option<&Call>) -> String {
    match call {
        None => "not recorded".into(),
        Some(call) => match (call.mode, call.estimated_at) {
            (Mode::Dense, _) => "dense".into(),
            (Mode::Fresh, _) => "map made in this step".into(),
            (Mode::Cached, Some(step)) => format!("map of step {} used again", step + 1),
            (Mode::Cached, None) => "map used again".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_at_level_0_are_skipped() {
        assert_eq!(kept_words(&[81, 19, 0, 0]), "81 percent skipped");
        assert_eq!(kept_words(&[0, 22, 8, 70]), "22 percent exact, 78 percent pooled");
        assert_eq!(kept_words(&[5, 0, 10, 5]), "75 percent pooled, 25 percent skipped");
        assert_eq!(kept_words(&[0, 4, 0, 0]), "nothing skipped");
    }
}
