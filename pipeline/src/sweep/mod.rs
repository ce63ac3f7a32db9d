//! Sweeps: the same prompts and seeds with many settings, each clip against the dense one, in a folder that survives anything.
//!
//! ```text
//! sweep.toml → Sweep → Manifest (every clip, its key, its dense clip, the order) → Folder ← workers claim clips and finish them
//!                                                                                    └→ Results → report, plots, the window
//! ```

mod cell;
mod cells;
mod estimate;
mod file;
mod folder;
mod maker;
mod reading;
mod report;
mod results;
mod run;
mod slurm;
mod summary;
mod tables;
#[cfg(test)]
mod tests;

pub use cell::{Cell, Made, Outcome};
pub use cells::{Arm, Manifest, Planned, Role};
pub use estimate::Estimate;
pub use file::{Axis, Excluded, Sweep, VERSION};
pub use folder::{Claim, Doing, Folder};
pub use report::{NAME as REPORT, remake as remake_report};
pub use results::{Results, Seen, Watcher};
pub use run::{Executor, Local, Progress, Tell, Told, run, run_more, work};
pub use slurm::Slurm;
pub use summary::{Against, Noise, Row, Summary};
pub use tables::{csv, frames_csv, json};
