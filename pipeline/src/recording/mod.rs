//! A run in one file: what happened, how every attention call was answered, and what was captured of it.
//!
//! It is read by a window on a machine that has neither the GPU nor the model: an SQLite database with one row for each
//! event, attention call, map, order and step, and what is large in blobs that are fetched one by one. [`Recording`] reads
//! it. It is written by [`crate::capture`], as `FILE.partial` until the run ends.
//!
//! | always | for pinned heads | on request |
//! |---|---|---|
//! | events; mode, densities, times of every call; counts and thumbnails of every map; orders; latents of every step | levels of every map, the order of its keys where a method sorts them | attention averaged over blocks, scores, rows of query tokens |
//!
//! A map is stored once a refresh, and calls that used it again refer to it; equal content is stored once. What the byte limit
//! dropped is counted, and told apart from what was never captured ([`Held`]).

mod blob;
mod call;
mod content;
mod limit;
mod meta;
mod reader;
mod report;
mod retained;
mod schema;
mod summary;
pub mod synthetic;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use call::Call;
pub use content::NamedOrder;
pub use meta::{Cost, Held, Kind, Meta, Outcome, Place, branch_name, branch_of};
pub use reader::{Amount, Happened, Recording, Step};
pub use report::{Calls, RecordingReport};
pub use summary::{FULL_CELL, MOST_CELLS, Summary};
pub(crate) use writer::Writer;
pub use writer::{PARTIAL_ENDING, partial_of};
