//! Sweeps: the same prompts and seeds with many settings, each clip against the dense one, in a folder that survives anything.
//!
//! ```text
//! sweep.toml → Sweep → Manifest (every clip, its key, its dense clip, the order) → Folder ← workers claim clips and finish them
//!                                                                                    └→ Results → report, plots, the window
//! ```

mod cell;
mod cells;
mod file;
mod folder;
mod reading;
mod results;
#[cfg(test)]
mod tests;

pub use cell::{Cell, LatentStep, Made, Outcome};
pub use cells::{Arm, Manifest, Planned, Role};
pub use file::{Axis, Excluded, Sweep, VERSION};
pub use folder::{Claim, Doing, Folder};
pub use results::{Results, Seen, Watcher};
