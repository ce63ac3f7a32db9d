//! The command line, driven as people and programs drive it: the real binary, real files, exit codes and words.
//!
//! One binary for all of it, because linking is the slow part; [`studio`] makes a test five lines long.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows tests by #[test]; helpers of tests fail the same way"
)]

mod bad_input;
mod bad_model;
mod cluster;
mod full_disk;
mod history;
mod interrupted;
mod model;
mod results;
mod slurm;
mod studio;
mod sweep;
mod window;
