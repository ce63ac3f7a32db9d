//! What can go wrong between a request and a file, each kind with the numbers and with what to do about it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::FileError;
use crate::settings::Problem;
use crate::video::VideoError;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Which side a failure is on: the exit code of the command line, and what a window offers to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The request cannot be run as it is: a setting out of bounds, an unknown name, a file that is not what it should be.
    Input,
    /// The checkpoint folder cannot be used, or what it computes is not a number.
    Model,
    /// It does not fit in memory.
    Memory,
    /// What was made could not be written: disk full, folder missing, encoder refused.
    Output,
    /// A fault of this program.
    Internal,
}

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings of the request are out of bounds; all of them at once.
    #[error("{}", list(.0))]
    Settings(Vec<Problem>),
    /// A request, sidecar or metadata text is not what it should be.
    #[error("{what}: {reason}")]
    Unreadable {
        /// The file, or what the text is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A latents file cannot be used for this clip.
    #[error("{}: {reason}", path.display())]
    Latents {
        /// The file.
        path: PathBuf,
        /// What was expected and what was there.
        reason: String,
    },
    /// A calibration plan cannot be read, or is not of this model and this clip.
    #[error("plan file {}: {field}: expected {expected}, got {got}; `tessera calibrate` makes one", path.display())]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// What in it.
        field: String,
        /// What would do.
        expected: String,
        /// What was there.
        got: String,
    },
    /// The device that was asked for is not there.
    #[error("device {asked}: {reason}; available: {available}")]
    Device {
        /// The value of the setting.
        asked: String,
        /// Why it cannot be used.
        reason: String,
        /// What could be asked for instead.
        available: String,
    },
    /// The device's memory ran out, though the plan said that it would do.
    #[error(
        "{device} ran out of memory while {phase}: about {} were planned for it and {} were free. {advice}",
        crate::plan::bytes(*requested), crate::plan::bytes(*free)
    )]
    DeviceMemory {
        /// `cuda:N`.
        device: String,
        /// The phase.
        phase: crate::events::Phase,
        /// What the plan gave the phase, weights that stay included.
        requested: u64,
        /// What the device had for this process when it failed.
        free: u64,
        /// What would help.
        advice: String,
    },
    /// The device failed, and every later call on it does.
    #[error(
        "{device} failed while {phase} ({reason}). What was finished is kept; to use this GPU again start the program anew, or choose device cpu"
    )]
    DeviceLost {
        /// `cuda:N`.
        device: String,
        /// The phase.
        phase: crate::events::Phase,
        /// The driver's words.
        reason: String,
    },
    /// Two clips that are not of one size and length cannot be compared frame by frame.
    #[error(
        "cannot compare clips of different sizes or lengths: expected {expected}, got {got}; make them alike, or align them (`tessera measure --align`)"
    )]
    Compare {
        /// Extent of the reference.
        expected: String,
        /// Extent of the clip.
        got: String,
    },
    /// Attention could not run as asked, and the request is strict about it.
    #[error("strict: {what} (at {place})")]
    Fallback {
        /// Step, layer and branch.
        place: String,
        /// What would have run instead and why, a sentence without its end.
        what: String,
    },
    /// The plan needs more memory than there is.
    #[error("{0}")]
    Memory(Box<crate::plan::Refusal>),
    /// The checkpoint folder or something computed from it.
    #[error(transparent)]
    Model(#[from] tessera_models::Error),
    /// A file could not be written whole.
    #[error(transparent)]
    File(#[from] FileError),
    /// A video could not be written or read.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The history database failed; a run goes on without it.
    #[error("history {}: {source}", path.display())]
    History {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Slurm is not there, refuses, or has nobody left who works.
    #[error("Slurm: {reason}")]
    Slurm {
        /// What was expected, what Slurm said, and what to do.
        reason: String,
    },
    /// A file is not a recording that can be read.
    #[error("{}: {reason}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A recorded step can only be run again with the weights that it was recorded with.
    #[error(
        "{} was recorded with {model} (fingerprint {expected}), and {} holds other weights (fingerprint {got}): name the folder of those weights with --model",
        recording.display(),
        path.display()
    )]
    OtherModel {
        /// The recording.
        recording: PathBuf,
        /// The recorded model's name.
        model: String,
        /// Its fingerprint.
        expected: String,
        /// The folder that was opened.
        path: PathBuf,
        /// Its fingerprint.
        got: String,
    },
    /// A sweep file is not what it should be.
    #[error("{}:{line}: {key}: expected {expected}, got {got}", path.display())]
    SweepFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key at fault.
        key: String,
        /// What would do.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A sweep's folder cannot be used.
    #[error("{}: {reason}", folder.display())]
    Sweep {
        /// The folder.
        folder: PathBuf,
        /// What was expected and what is there, and what to do.
        reason: String,
    },
    /// A sweep had to stop before its last clip: nothing more could be written.
    #[error("{}: the sweep has stopped: {reason}", folder.display())]
    SweepStopped {
        /// The folder.
        folder: PathBuf,
        /// Why, what is safe, and what to do.
        reason: String,
    },
    /// The job was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The engine's thread panicked; the message is the panic's.
    #[error("internal fault: {0}; the engine dropped the model and goes on with the next job")]
    Panic(String),
    /// A thread could not be started or its result could not be had.
    #[error("internal fault: {0}")]
    Thread(String),
}

impl Error {
    /// Which side the failure is on. [`Error::Cancelled`] is not a failure and never asked; it counts as internal.
    pub fn kind(&self) -> FailureKind {
        use tessera_models::Error as Model;
        match self {
            Self::Settings(_)
            | Self::Unreadable { .. }
            | Self::Latents { .. }
            | Self::PlanFile { .. }
            | Self::Device { .. }
            | Self::Compare { .. }
            | Self::Slurm { .. }
            | Self::Recording { .. }
            | Self::Sweep { .. }
            | Self::SweepFile { .. }
            | Self::Io { .. }
            | Self::Fallback { .. }
            | Self::Model(Model::Argument { .. }) => FailureKind::Input,
            Self::Memory(_) | Self::DeviceMemory { .. } => FailureKind::Memory,
            Self::Model(Model::Candle(cause)) if says_out_of_memory(&cause.to_string()) => {
                FailureKind::Memory
            }
            Self::Model(Model::Candle(_) | Model::Cancelled)
            | Self::History { .. }
            | Self::DeviceLost { .. }
            | Self::Cancelled
            | Self::Panic(_)
            | Self::Thread(_) => FailureKind::Internal,
            Self::Model(Model::Attention(error)) => {
                error.downcast_ref::<Self>().map_or(FailureKind::Internal, Self::kind)
            }
            Self::OtherModel { .. } | Self::Model(_) => FailureKind::Model,
            Self::Video(error) => video_kind(error),
            Self::File(_) | Self::SweepStopped { .. } => FailureKind::Output,
        }
    }

    /// Whether a device's memory ran out, from whichever crate it came.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::DeviceMemory { .. }) || says_out_of_memory(&self.to_string())
    }

    /// Whether this is a cancellation, from whichever crate it came.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Model(tessera_models::Error::Cancelled))
    }

    /// An [`Error::Io`] about `path`, for `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Self {
        Self::Model(cause.into())
    }
}

fn video_kind(error: &VideoError) -> FailureKind {
    match error {
        VideoError::Unknown { .. }
        | VideoError::WrongContainer { .. }
        | VideoError::CodecCannot { .. }
        | VideoError::Size { .. }
        | VideoError::Malformed { .. }
        | VideoError::Truncated { .. }
        | VideoError::Unpaired { .. } => FailureKind::Input,
        VideoError::FrameSize { .. }
        | VideoError::MetadataNul { .. }
        | VideoError::Stopped { .. }
        | VideoError::NoFrames { .. } => FailureKind::Internal,
        _ => FailureKind::Output,
    }
}

/// Whether a tensor library's message says that device memory ran out.
fn says_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    ["out of memory", "out_of_memory", "cublas_status_alloc_failed"]
        .iter()
        .any(|words| message.contains(words))
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
