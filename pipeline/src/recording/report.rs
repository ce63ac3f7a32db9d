//! A recording in a few lines, as `tessera inspect` shows it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Amount, Cost, Kind, Meta, Outcome, Recording};
use crate::Result;
use crate::plan::bytes;
use crate::sparsity::observer::Mode;

/// What a recording is of and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordingReport {
    /// The run.
    pub run: Meta,
    /// How it ended.
    pub outcome: Outcome,
    /// The file's size.
    pub bytes: u64,
    /// Steps that were begun.
    pub steps: usize,
    /// Attention calls and their mean exact density, by how they were answered.
    pub calls: BTreeMap<Mode, Calls>,
    /// Calls that did not run as the schedule wanted.
    pub fallbacks: usize,
    /// What is large and here.
    pub contents: BTreeMap<Kind, Amount>,
    /// What the byte limit dropped.
    pub dropped: BTreeMap<Kind, Amount>,
    /// What recording cost.
    pub cost: Option<Cost>,
}

/// Attention calls that were answered alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Calls {
    /// Their number.
    pub count: usize,
    /// Their mean exact density.
    pub density: f64,
}

impl Recording {
    /// The recording in a few lines.
    pub fn report(&self) -> Result<RecordingReport> {
        let steps = self.steps()?.len();
        let mut calls: BTreeMap<Mode, Calls> = BTreeMap::new();
        let mut fallbacks = 0;
        for step in 0..steps {
            for call in self.calls(step)? {
                let alike = calls.entry(call.mode).or_default();
                alike.count += 1;
                alike.density += (call.density().exact - alike.density) / alike.count as f64;
                fallbacks += usize::from(call.fallback.is_some());
            }
        }
        let path = self.path();
        Ok(RecordingReport {
            run: self.meta().clone(),
            outcome: self.outcome()?,
            bytes: std::fs::metadata(path).map_err(crate::Error::io(path))?.len(),
            steps,
            calls,
            fallbacks,
            contents: self.contents()?,
            dropped: self.dropped()?,
            cost: self.cost()?,
        })
    }
}

impl fmt::Display for RecordingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, grid) = (&self.run, self.run.grid);
        let how = match &self.outcome {
            Outcome::Finished => "of a finished run".to_owned(),
            Outcome::Cancelled => "of a cancelled run".to_owned(),
            Outcome::Failed { error } => format!("of a run that failed: {error}"),
            Outcome::Unfinished => "of a run that is not at its end, or died".to_owned(),
        };
        writeln!(f, "recording  {how}")?;
        let limit = bytes(run.capture.limit);
        writeln!(f, "size       {} (limit {limit})", bytes(self.bytes))?;
        writeln!(
            f,
            "made by    {} with {} ({})",
            run.program, run.model.name, run.model.fingerprint
        )?;
        writeln!(
            f,
            "clip       {}: {} x {} x {} = {} tokens, {} layers of {} heads",
            run.size,
            grid.frames,
            grid.rows,
            grid.cols,
            run.tokens(),
            run.layers,
            run.heads
        )?;
        writeln!(f, "steps      {} of {}", self.steps, run.steps())?;
        for (mode, calls) in &self.calls {
            writeln!(
                f,
                "calls      {} {}, density {:.3}",
                calls.count,
                mode.name(),
                calls.density
            )?;
        }
        if self.fallbacks > 0 {
            writeln!(f, "calls      {} did not run as asked", self.fallbacks)?;
        }
        for (kind, amount) in &self.contents {
            writeln!(f, "holds      {} {} ({})", amount.blobs, kind.name(), bytes(amount.bytes))?;
        }
        for (kind, amount) in &self.dropped {
            writeln!(
                f,
                "dropped    {} {} ({}), oldest first; --record-limit keeps more",
                amount.blobs,
                kind.name(),
                bytes(amount.bytes)
            )?;
        }
        if let Some(cost) = &self.cost {
            writeln!(
                f,
                "cost       {:.2} % of the steps' time waited for captures; {:.2} s on a thread beside them",
                cost.share() * 100.0,
                cost.thread_seconds
            )?;
        }
        Ok(())
    }
}
