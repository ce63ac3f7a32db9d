//! What can go wrong with a video file, each with the file, what was expected and what came.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError};
use crate::video::codec::{Codec, Container};

/// Result of the video module.
pub type Result<T, E = VideoError> = std::result::Result<T, E>;

/// Why a video could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// A word that names none of the known things (codec, quality, frame rate).
    #[error("\"{got}\" is not a {what}; use {allowed}")]
    Unknown {
        /// What was expected.
        what: &'static str,
        /// What was given.
        got: String,
        /// What may be given.
        allowed: String,
    },
    /// The codec does not go into the kind of file that the path's ending asks for.
    #[error("{path}: {codec} does not go into {container}; name the file {allowed}")]
    WrongContainer {
        /// The file.
        path: PathBuf,
        /// The codec asked for.
        codec: Codec,
        /// What the ending stands for.
        container: String,
        /// The endings that go with this codec.
        allowed: String,
    },
    /// The codec cannot do what was asked of it.
    #[error("{codec}: {what}; {instead}")]
    CodecCannot {
        /// The codec.
        codec: Codec,
        /// What it cannot do.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// Width or height is zero or above what a file can say.
    #[error("{width}x{height} is not a picture size; both must be 1 to {most}")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The largest allowed.
        most: u32,
    },
    /// A frame differs from the plan, or its bytes from its size.
    #[error(
        "frame {index} is {}x{} with {bytes} bytes; expected {}x{} with {} bytes of RGB",
        got.0, got.1, expected.0, expected.1, u64::from(expected.0) * u64::from(expected.1) * 3
    )]
    FrameSize {
        /// Which frame, from 0.
        index: u64,
        /// Width and height of the plan.
        expected: (u32, u32),
        /// Width and height of the frame.
        got: (u32, u32),
        /// Length of its data.
        bytes: usize,
    },
    /// The settings hold a NUL byte, which no container can store in a text field.
    #[error("the settings to embed hold a NUL byte at {at}; JSON text never does")]
    MetadataNul {
        /// Byte offset.
        at: usize,
    },
    /// No encoder of this FFmpeg makes the codec.
    #[error(
        "{codec}: no encoder works here: {tried}; install an FFmpeg with one of them or choose another codec"
    )]
    NoEncoder {
        /// The codec.
        codec: Codec,
        /// Each encoder with its answer.
        tried: String,
    },
    /// The disk or the user's share of it is full.
    #[error("{path}: the disk is full{}; free some space and encode again", free.map(|n| format!(" ({n} bytes free)")).unwrap_or_default())]
    DiskFull {
        /// The file that was to be.
        path: PathBuf,
        /// Bytes free when it was noticed, where known.
        free: Option<u64>,
    },
    /// The place of the file is wrong: no folder, unwritable, too little room.
    #[error(transparent)]
    File(FileError),
    /// A folder of frames exists already and is not empty.
    #[error("{path}: this folder has files in it; a PNG sequence needs a new or empty one")]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// FFmpeg refused.
    #[error("{path}: {doing}: {source}")]
    Ffmpeg {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// FFmpeg's own words.
        source: ffmpeg_next::Error,
    },
    /// Reading or writing failed.
    #[error("{path}: {doing}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The file's content is not what its kind of file must be.
    #[error("{path}: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file ends before its last frame.
    #[error("{path}: the file is cut off: it announces {expected} frames and holds {got}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Frames by its own account.
        expected: u64,
        /// Frames found.
        got: u64,
    },
    /// The settings read back from the finished file are not those written. The file is kept: its pictures are good.
    #[error(
        "{path}: the settings did not survive in the file ({problem}); the video itself is complete, the sidecar has them"
    )]
    MetadataMismatch {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        problem: String,
    },
    /// `push` or `finish` after an error: the file is gone already.
    #[error("{path}: encoding stopped at an earlier error")]
    Stopped {
        /// The file that was to be.
        path: PathBuf,
    },
    /// `finish` without a single frame.
    #[error("{path}: no frame was given, so there is no video to write")]
    NoFrames {
        /// The file that was to be.
        path: PathBuf,
    },
    /// Two videos cannot be compared frame by frame.
    #[error(
        "{left} ({}x{}, {} frames) and {right} ({}x{}, {} frames) cannot be paired frame by frame",
        left_size.0, left_size.1, count(*left_frames), right_size.0, right_size.1, count(*right_frames)
    )]
    Unpaired {
        /// The first file.
        left: PathBuf,
        /// The second file.
        right: PathBuf,
        /// Width and height of the first.
        left_size: (u32, u32),
        /// Width and height of the second.
        right_size: (u32, u32),
        /// Frames of the first; `None` when the sizes differ already and nothing was counted.
        left_frames: Option<u64>,
        /// Frames of the second.
        right_frames: Option<u64>,
    },
}

fn count(frames: Option<u64>) -> String {
    frames.map_or_else(|| "uncounted".into(), |n| n.to_string())
}

impl VideoError {
    /// Whether more disk space is what would help.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::File(e) => e.is_disk_full(),
            _ => false,
        }
    }

    pub(crate) fn io(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        if files::is_out_of_space(&source) {
            return Self::DiskFull {
                path: path.into(),
                free: files::free_bytes(files::folder_of(path)).ok(),
            };
        }
        Self::Io { path: path.into(), doing, source }
    }

    pub(crate) fn ffmpeg(path: &Path, doing: &'static str, source: ffmpeg_next::Error) -> Self {
        match source {
            ffmpeg_next::Error::Other { errno } if errno == ffmpeg_next::error::ENOSPC => {
                Self::io(path, doing, std::io::ErrorKind::StorageFull.into())
            }
            source => Self::Ffmpeg { path: path.into(), doing, source },
        }
    }

    pub(crate) fn malformed(path: &Path, what: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), what: what.into() }
    }

    pub(crate) fn wrong_container(path: &Path, codec: Codec, container: Option<Container>) -> Self {
        let allowed: Vec<_> = codec.containers().iter().map(|c| c.naming()).collect();
        let container = match container {
            Some(c) => c.to_string(),
            None => format!(
                "a file ending in \"{}\"",
                path.extension().unwrap_or_default().to_string_lossy()
            ),
        };
        Self::WrongContainer { path: path.into(), codec, container, allowed: allowed.join(" or ") }
    }
}

impl From<FileError> for VideoError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::DiskFull { path, needed: None, free } => Self::DiskFull { path, free },
            other => Self::File(other),
        }
    }
}
