//! What can go wrong between a checkpoint folder and a tensor, each kind with what was expected, what was there and what to do.

use std::path::{Path, PathBuf};

use crate::problems::Problems;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation failed: a bug of ours, or memory ran out.
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// A [`crate::watch::Watch`] answered `Break`.
    #[error("cancelled")]
    Cancelled,
    /// The checkpoint folder cannot be used; all reasons at once.
    #[error("{0}")]
    Folder(Problems),
    /// The tokenizer could not be read or used.
    #[error("{}: {reason}", file.display())]
    Tokenizer {
        /// The tokenizer.json that was read, or should have been there.
        file: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A field of a config, alone or together with a run's settings, asks for what is not possible.
    #[error("{file}: {field}: expected {expected}, got {got}")]
    Config {
        /// The config file, relative to the checkpoint folder.
        file: String,
        /// The field in it.
        field: String,
        /// What would have been accepted.
        expected: String,
        /// What it says.
        got: String,
    },
    /// An argument of a call does not fit (a size, a step count, a tensor's shape).
    #[error("{what}: expected {expected}, got {got}")]
    Argument {
        /// Which argument of which call.
        what: String,
        /// What would have been accepted.
        expected: String,
        /// What was passed.
        got: String,
    },
    /// A NaN or an infinity appeared.
    #[error("{what} is not finite{}", match step { Some(step) => format!(" at step {}", step + 1), None => String::new() })]
    NotFinite {
        /// Which tensor.
        what: String,
        /// The denoising step, counted from 0, when in one.
        step: Option<usize>,
    },
    /// A [`crate::attention::SelfAttention`] from outside this crate failed; the error is its own.
    #[error(transparent)]
    Attention(Box<dyn std::error::Error + Send + Sync>),
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`, for `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Argument`].
    pub fn argument(
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::Argument { what: what.into(), expected: expected.into(), got: got.into() }
    }
}
