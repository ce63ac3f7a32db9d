//! The only language between the engine's thread and everything else: commands in, events out. All of it is serialisable, so
//! that `--events jsonl`, a recording and a window read the same words.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::FailureKind;
use crate::plan::Plan;
use crate::receipt::Receipt;
use crate::request::Request;

/// Names a job. Whoever sends a command chooses it; every event of the job carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the engine can be told. Jobs run one after another in the order they arrive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Make one clip. A request for several (`count`) is split by [`Request::variations`] into one job each.
    Generate {
        /// The new job's name.
        job: JobId,
        /// What to make.
        request: Box<Request>,
    },
    /// Decode saved latents again. The request inside the latents file is taken; what is given here replaces its output settings.
    Resume {
        /// The new job's name.
        job: JobId,
        /// The file that a run saved before it decoded.
        latents: PathBuf,
        /// Changes to the request inside.
        changes: Box<crate::resume::Changes>,
    },
    /// Stop a job, running or waiting. It answers with [`EventKind::Cancelled`] unless the job ended first.
    Cancel {
        /// Which job.
        job: JobId,
    },
    /// Let the running job rest at its next step or group of frames: the device is idle, everything stays in memory. Of a job that
    /// waits or has ended it says nothing. The job answers with [`EventKind::Paused`]; it can be cancelled while it rests.
    Pause {
        /// Which job.
        job: JobId,
    },
    /// Let a paused job go on. Its clip is the one that it would be without the pause.
    Continue {
        /// Which job.
        job: JobId,
    },
    /// Cancel everything and end the thread.
    Shutdown,
}

/// One thing that happened to one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The job it happened to.
    pub job: JobId,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The parts of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Prompts to text rows; loads the text encoder and drops it again.
    EncodeText,
    /// Weights of the transformer and the VAE into memory.
    Load,
    /// The steps.
    Denoise,
    /// Latents to frames.
    Decode,
    /// Frames to a finished file: what is left of encoding when the last frame is decoded.
    EncodeVideo,
    /// Quality against a reference.
    Measure,
}

impl Phase {
    /// The phases of a run in their order.
    pub const ALL: [Self; 6] = [
        Self::EncodeText,
        Self::Load,
        Self::Denoise,
        Self::Decode,
        Self::EncodeVideo,
        Self::Measure,
    ];

    /// The name in events, receipts and the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::EncodeText => "encode_text",
            Self::Load => "load",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
            Self::EncodeVideo => "encode_video",
            Self::Measure => "measure",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a file of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileRole {
    /// The clip.
    Video,
    /// The denoised latents, from which `resume` decodes again.
    Latents,
    /// The clip as the last finished step of a run that was stopped saw it; `resume` decodes it too.
    PartialLatents,
    /// The receipt as JSON, beside the video.
    Sidecar,
    /// A folder of PNG frames as decoded, before any codec.
    Frames,
    /// The run's events and captures.
    Recording,
}

/// A file that a run wrote or left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// What it is.
    pub what: FileRole,
    /// Where it is.
    pub path: PathBuf,
    /// Its size; for a folder the sum of its files.
    pub bytes: u64,
}

/// What happened. Times are wall time in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The job was taken from the queue and resolved.
    Planned {
        /// What will be done.
        plan: Box<Plan>,
    },
    /// A phase began.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How many parts its progress counts.
        of: u64,
    },
    /// A phase went on. At most about twenty a second are sent; some are left out when nobody reads them.
    Progress {
        /// Which.
        phase: Phase,
        /// Parts done.
        done: u64,
        /// Parts in all.
        of: u64,
        /// Time in this phase.
        elapsed_ms: u64,
        /// Time left in this phase at the rate measured so far; the plan's guess before anything is measured.
        eta_ms: Option<u64>,
        /// Time left in the whole job: the phase's, and the plan's guess for those to come.
        job_eta_ms: Option<u64>,
    },
    /// A phase ended.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How long it took.
        elapsed_ms: u64,
    },
    /// A denoising step ended.
    Step {
        /// Which, from 0.
        index: u64,
        /// How many there are.
        of: u64,
        /// Noise level before the step.
        sigma: f64,
        /// Noise level after it.
        next_sigma: f64,
        /// How long it took.
        elapsed_ms: u64,
    },
    /// The job rests until it is told to go on. No time counts meanwhile.
    Paused {
        /// The phase that it rests in.
        phase: Phase,
    },
    /// The job goes on, or ends because it was cancelled.
    Continued {
        /// The phase that it rested in.
        phase: Phase,
        /// How long it rested.
        paused_ms: u64,
    },
    /// The latents are safe on disk; decoding starts.
    LatentsSaved {
        /// The file.
        path: PathBuf,
    },
    /// A group of frames was decoded.
    FrameGroup {
        /// The first frame's index.
        first: u64,
        /// How many frames.
        frames: u64,
        /// Frames of the clip.
        of: u64,
    },
    /// A file is complete under its final name.
    FileWritten {
        /// Which.
        file: WrittenFile,
    },
    /// Something that a person should know and that stops nothing.
    Warning {
        /// A full sentence.
        text: String,
    },
    /// The job is done. Last event of the job.
    Finished {
        /// What ran.
        receipt: Box<Receipt>,
    },
    /// The job failed. Last event of the job.
    Failed {
        /// The error with its causes.
        error: String,
        /// Which side it is on.
        kind: FailureKind,
        /// Files that are there nevertheless.
        kept: Vec<WrittenFile>,
    },
    /// The job was cancelled. Last event of the job.
    Cancelled {
        /// Files that are there nevertheless.
        kept: Vec<WrittenFile>,
    },
}

impl EventKind {
    /// Whether no event of the same job follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. } | Self::Cancelled { .. })
    }
}
