//! Request → Plan → Run: turns a request into frames, captures and a file, and reports events; sparsity policies live here; no UI.
//!
//! A [`request::Request`] is what a person asked for, a [`plan::Plan`] is what that means on this machine (every default filled in,
//! sizes, tokens, memory, time, files), and the [`engine::Engine`] runs it on its own thread. The only language between that
//! thread and everything else is [`events::Command`] in, [`events::Event`] out.

pub mod attention;
pub mod bundled;
pub mod capture;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod events;
pub mod export;
pub mod files;
pub mod gaze;
pub mod history;
pub mod inspect;
pub mod latents;
pub mod latest;
pub mod machine;
pub mod metrics;
pub mod noise;
pub mod pace;
pub mod palette;
pub mod plan;
pub mod preview;
pub mod receipt;
pub mod recording;
pub mod recut;
pub mod replay;
pub mod request;
pub mod resume;
pub mod run;
pub mod settings;
pub mod slurm;
pub mod sparsity;
pub mod statistics;
pub mod sweep;
pub mod table;
mod tokenizer;
pub mod tune;
pub mod video;
pub mod votes;

pub use error::{Error, Result};
