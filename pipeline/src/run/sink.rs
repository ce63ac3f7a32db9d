//! A video encoder on its own thread, fed with frames through a bounded channel while decoding goes on.
//!
//! Dropping a sink stops it and leaves no file; only [`Sink::finish`] completes one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::plan::{Plan, Settled, files};
use crate::receipt::Embedded;
use crate::video::{Codec, Encoder, Frame, Quality, VideoError, VideoFile, VideoPlan};
use crate::{Error, Result};

/// Frames that may wait for the encoder.
const WAITING: usize = 8;
/// How often a waiting caller looks up.
const LOOK_UP: Duration = Duration::from_millis(25);

/// What the run writes as its video.
pub(super) fn video_plan(plan: &Plan, settled: &Settled) -> Result<VideoPlan> {
    Ok(VideoPlan {
        path: settled.out.clone(),
        codec: settled.codec,
        width: plan.size.width as u32,
        height: plan.size.height as u32,
        fps: settled.fps,
        quality: settled.quality,
        metadata: Embedded::of(plan).to_json()?,
    })
}

/// What it writes as its frames.
pub(super) fn frames_plan(plan: &Plan, settled: &Settled) -> Result<VideoPlan> {
    let video = video_plan(plan, settled)?;
    Ok(VideoPlan {
        path: files::frames_of(&settled.out),
        codec: Codec::Png,
        quality: Quality::Lossless,
        ..video
    })
}

enum Message {
    /// Packed RGB.
    Frame(Arc<[u8]>),
    /// No more frames: complete the file.
    Finish,
}

/// How an encoder ended.
type Encoded = std::result::Result<VideoFile, VideoError>;

/// An encoder at work.
pub(super) struct Sink {
    messages: Option<Sender<Message>>,
    result: Receiver<Encoded>,
    thread: Option<JoinHandle<()>>,
    encoded: Arc<AtomicU64>,
}

impl Sink {
    /// Opens the encoder on a thread of its own.
    pub(super) fn start(plan: VideoPlan) -> Result<Self> {
        let (messages, inbox) = bounded(WAITING);
        let (outbox, result) = bounded(1);
        let encoded = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&encoded);
        let thread = std::thread::Builder::new()
            .name("tessera-encode".into())
            .spawn(move || {
                if let Some(outcome) = work(&plan, &inbox, &counter) {
                    let _ = outbox.send(outcome); // nobody waits for it when the job was cancelled
                }
            })
            .map_err(|error| {
                Error::Thread(format!("the encoder's thread did not start: {error}"))
            })?;
        Ok(Self { messages: Some(messages), result, thread: Some(thread), encoded })
    }

    /// Hands a frame over; waits while too many wait. An error is the encoder's own.
    pub(super) fn push(&mut self, frame: Arc<[u8]>) -> Result<()> {
        let sent = self
            .messages
            .as_ref()
            .is_some_and(|messages| messages.send(Message::Frame(frame)).is_ok());
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Frames encoded so far.
    pub(super) fn encoded(&self) -> u64 {
        self.encoded.load(Ordering::Relaxed)
    }

    /// Completes the file. `tell` hears the number of encoded frames while waiting, and may break off.
    pub(super) fn finish(
        mut self,
        mut tell: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<VideoFile> {
        if let Some(messages) = self.messages.take() {
            let mut message = Message::Finish;
            while let Err(back) = messages.send_timeout(message, LOOK_UP) {
                if tell(self.encoded()).is_break() {
                    return Err(Error::Cancelled);
                }
                match back {
                    crossbeam_channel::SendTimeoutError::Timeout(again) => message = again,
                    crossbeam_channel::SendTimeoutError::Disconnected(_) => break,
                }
            }
        }
        loop {
            match self.result.recv_timeout(LOOK_UP) {
                Ok(outcome) => return Ok(outcome?),
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure()),
                Err(RecvTimeoutError::Timeout) => {
                    // A file that is being completed is not broken off: that takes moments and it may be done already.
                    let _ = tell(self.encoded());
                }
            }
        }
    }

    /// Why the encoder stopped.
    fn failure(&self) -> Error {
        match self.result.recv() {
            Ok(Err(error)) => error.into(),
            _ => Error::Thread("the encoder's thread ended without a word".into()),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // so that no temporary file is left when the job's last event is sent
        }
    }
}

/// The thread: frames until the end, or `None` when the sender went away without one.
fn work(plan: &VideoPlan, inbox: &Receiver<Message>, encoded: &AtomicU64) -> Option<Encoded> {
    let mut encoder = match Encoder::create(plan) {
        Ok(encoder) => encoder,
        Err(error) => return Some(Err(error)),
    };
    for message in inbox {
        match message {
            Message::Frame(rgb) => {
                if let Err(error) =
                    encoder.push(&Frame { width: plan.width, height: plan.height, rgb: &rgb })
                {
                    return Some(Err(error));
                }
                encoded.store(encoder.encoded(), Ordering::Relaxed);
            }
            Message::Finish => {
                let tell = |frames| encoded.store(frames, Ordering::Relaxed);
                return Some(encoder.finish_telling(&tell));
            }
        }
    }
    None
}
