//! Finds the fastest settings whose distance from the dense run stays within a floor, and keeps them as named presets.
//!
//! ```text
//! floor, prompts → search from safe to fast, on the table's cells → Tuned: exact, balanced, fast → checked on held-out prompts → presets.json
//! ```
//!
//! A setting holds the floor when every clip of the search does, and when a further clip would with 95 % probability, going by
//! the spread of those ([`crate::statistics::upper_bound`]): a few prompts that happen to do well are not enough. `exact` is
//! dense, `fast` the fastest setting that holds the floor, `balanced` the fastest that holds it with half the loss.
//! Finished clips stay in a folder, so a search that was stopped goes on.

mod floor;
mod presets;
mod search;
#[cfg(test)]
mod tests;

pub use floor::{Floor, Metric};
pub use presets::{FILE, Kept, Place, Preset, Tuned, find, load, save, work_folder};
pub use search::{HELD_OUT_SHARE, Progress, Spec, tune};
