//! One encoder and one muxer over one file: frames in, a finished stream out.

use std::fs::File;
use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::StreamIo;
use ffmpeg_next::{format, frame};

use crate::video::codec::Container;
use crate::video::error::{Result, VideoError};
use crate::video::ffmpeg::{Coder, Fault, Sink, open_encoder};
use crate::video::rate::Fps;
use crate::video::recipe::Recipe;

/// Bytes collected before the file system is asked to write.
const BUFFER_BYTES: usize = 256 * 1024;

/// No encoder here shows a frame this many frames after it was to be decoded.
const MOST_REORDERED: i64 = 256;

/// What a stream is made of.
pub(crate) struct StreamPlan<'a> {
    pub(crate) container: Container,
    pub(crate) size: (u32, u32),
    pub(crate) fps: Fps,
    /// Goes into the container's comment; empty for those that get it afterwards.
    pub(crate) comment: &'a str,
}

/// An open encoder and muxer. Dropped early, the file is left half written: its owner removes it.
pub(crate) struct Mux {
    encoder: Coder,
    output: format::context::Output,
    fault: Fault,
    frame_time: ffmpeg::Rational,
    stream_time: ffmpeg::Rational,
    last_dts: Option<i64>,
}

impl Mux {
    /// Opens the encoder and writes the file's header. `written_as` is where `file` is: the MP4 muxer opens it a second time to
    /// move the index to the front.
    pub(crate) fn open(
        file: File,
        written_as: &Path,
        target: &Path,
        recipe: &Recipe,
        plan: &StreamPlan<'_>,
    ) -> Result<Self> {
        let fault = Fault::default();
        let fail = |doing| {
            let fault = fault.clone();
            move |e| failure(target, doing, &fault, e)
        };
        let global_header = matches!(
            plan.container,
            Container::Mp4 | Container::Mov | Container::Mkv | Container::WebM
        );
        let encoder = open_encoder(recipe, plan.size, plan.fps, global_header)
            .map_err(fail("opening the encoder"))?;
        let sink =
            StreamIo::from_write_seek_with_capacity(Sink::new(file, fault.clone()), BUFFER_BYTES)
                .map_err(fail("opening the file"))?;
        // `file:` keeps a colon in the name from being read as a protocol.
        let url = if plan.container.is_isom() {
            let path = written_as.to_str().ok_or_else(|| {
                VideoError::malformed(
                    target,
                    "mp4 and mov need a path in UTF-8; rename the folder or write mkv",
                )
            })?;
            Some(format!("file:{path}"))
        } else {
            None
        };
        let mut output =
            format::output_to_stream(sink, url.as_deref(), Some(plan.container.muxer()))
                .map_err(fail("opening the muxer"))?;
        let frame_time = plan.fps.time_base();
        {
            let mut stream =
                output.add_stream_with(encoder.context()).map_err(fail("adding the stream"))?;
            stream.set_time_base(frame_time);
            stream.set_rate(plan.fps.rate());
            stream.set_avg_frame_rate(plan.fps.rate());
        }
        let mut options = ffmpeg::Dictionary::new();
        // No version strings, dates or random ids: the same request gives the same bytes.
        options.set("fflags", "+bitexact");
        if plan.container.is_isom() {
            options.set("movflags", "+use_metadata_tags+faststart");
        }
        if matches!(plan.container, Container::Gif | Container::WebP) {
            options.set("loop", "0");
        }
        if !plan.comment.is_empty() {
            let mut tags = ffmpeg::Dictionary::new();
            tags.set("comment", plan.comment);
            output.set_metadata(tags);
        }
        let unused: Vec<String> = output
            .write_header_with(options)
            .map_err(fail("writing the header"))?
            .iter()
            .map(|(key, _)| key.to_owned())
            .collect();
        if !unused.is_empty() {
            tracing::warn!(
                muxer = plan.container.muxer(),
                ?unused,
                "the muxer knows none of these options"
            );
        }
        let stream_time = output.stream(0).map_or(frame_time, |s| s.time_base());
        Ok(Self { encoder, output, fault, frame_time, stream_time, last_dts: None })
    }

    /// Encodes one frame, whose timestamp is its index, and writes the packets that are ready.
    pub(crate) fn send(&mut self, target: &Path, frame: &frame::Video) -> Result<()> {
        self.encoder.send(frame).map_err(|e| self.fail(target, "encoding a frame", e))?;
        self.drain(target)
    }

    /// Encodes what the encoder held back and completes the file, which is then in the operating system's hands.
    pub(crate) fn finish(mut self, target: &Path) -> Result<()> {
        self.encoder.end().map_err(|e| self.fail(target, "ending the stream", e))?;
        self.drain(target)?;
        self.output.write_trailer().map_err(|e| self.fail(target, "writing the index", e))?;
        let fault = self.fault.clone();
        drop(self);
        // What the buffer held is written when the output is dropped, which cannot report.
        match fault.take() {
            Some(error) => Err(VideoError::io(target, "writing", error)),
            None => Ok(()),
        }
    }

    fn drain(&mut self, target: &Path) -> Result<()> {
        loop {
            let packet =
                self.encoder.packet().map_err(|e| self.fail(target, "encoding a frame", e))?;
            let Some(mut packet) = packet else { return Ok(()) };
            // Encoders leave the duration open and some muxers guess the last one.
            if packet.duration() <= 0 {
                packet.set_duration(1);
            }
            self.mend_times(&mut packet);
            packet.set_stream(0);
            packet.rescale_ts(self.frame_time, self.stream_time);
            packet
                .write_interleaved(&mut self.output)
                .map_err(|e| self.fail(target, "writing a frame", e))?;
        }
    }

    /// x264 gives a wild decoding time when a clip has fewer frames than it would reorder; then nothing is reordered.
    fn mend_times(&mut self, packet: &mut ffmpeg::Packet) {
        let (pts, dts) = (packet.pts().unwrap_or(0), packet.dts().unwrap_or(i64::MIN));
        if pts.saturating_sub(dts) > MOST_REORDERED {
            packet.set_dts(Some(self.last_dts.map_or(pts, |last| last + 1)));
        }
        self.last_dts = packet.dts();
    }

    fn fail(&self, target: &Path, doing: &'static str, error: ffmpeg::Error) -> VideoError {
        failure(target, doing, &self.fault, error)
    }
}

/// The operating system's own error where there was one, else FFmpeg's.
fn failure(target: &Path, doing: &'static str, fault: &Fault, error: ffmpeg::Error) -> VideoError {
    match fault.take() {
        Some(source) => VideoError::io(target, doing, source),
        None => VideoError::ffmpeg(target, doing, error),
    }
}
