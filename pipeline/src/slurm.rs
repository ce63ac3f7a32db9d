//! Slurm, spoken to through its own commands (20.11 or newer): a job array whose tasks all run one command, watched until its work is done.
//!
//! Nothing but `sbatch`, `squeue`, `scontrol` and `scancel` is needed, no accounting database. An array is found again by its name, which is made
//! of its folder, so whoever watches it may go away and come back; nothing has to be written down for that.

mod array;
mod commands;
mod task;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use array::{Array, Notice};

/// Tasks of an array, where neither file nor flag says how many.
pub const TASKS: u32 = 4;
/// Tasks at most: Slurm's own limit, unless a site has another.
pub const MOST_TASKS: u32 = 1000;

/// What a person asks of the scheduler. Values are passed on as they are: Slurm knows what its partitions allow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Tasks of the array, each of which works until nothing is left; [`TASKS`] by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    /// Partition to run in (`sbatch --partition`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Time limit of a task in Slurm's notation, such as `2:00:00` (`sbatch --time`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Devices of a task, such as `gpu:1` (`sbatch --gres`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gres: Option<String>,
    /// Further options of sbatch, one each, such as `--account=lab`: `#SBATCH` lines of the job script.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sbatch: Vec<String>,
}

impl Options {
    /// These, and what they leave open from `others`. Further options of both are kept, these last, so that they win.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        Self {
            tasks: self.tasks.or(others.tasks),
            partition: self.partition.or_else(|| others.partition.clone()),
            time: self.time.or_else(|| others.time.clone()),
            gres: self.gres.or_else(|| others.gres.clone()),
            sbatch: others.sbatch.iter().cloned().chain(self.sbatch).collect(),
        }
    }

    /// Whether all is left to Slurm.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is given, by key.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        let Ok(Value::Object(map)) = serde_json::to_value(self) else { return Map::new() };
        map
    }
}

/// An option of sbatch as a person writes it, with or without `#SBATCH` before it; `None` where it is none, or more than one line.
pub fn option_of_sbatch(text: &str) -> Option<String> {
    let option = text.trim().trim_start_matches("#SBATCH").trim_start();
    let is_one = option.starts_with('-') && !option.contains(['\n', '\r', '\0']);
    is_one.then(|| option.to_owned())
}
