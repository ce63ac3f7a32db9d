//! What every use of FFmpeg shares: start it once, keep it quiet, let it write into our own file, and open an encoder.
//!
//! FFmpeg never sees a file name of ours as a URL it may interpret (`a:b.mp4` would be a protocol): it writes through
//! [`Sink`] and reads through a plain [`File`]. The sink also keeps the operating system's error, which FFmpeg reduces to a number.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::context::Context;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Packet, color, encoder, frame};

use crate::video::rate::Fps;
use crate::video::recipe::Recipe;

/// Starts FFmpeg, once for the process, and turns its log off: what matters arrives as an error value.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // It only fills the table of error texts here and cannot fail; there is nobody to tell if it did.
        let _ = ffmpeg::init();
        let level = if std::env::var_os("TESSERA_FFMPEG_LOG").is_some() {
            ffmpeg::log::Level::Info
        } else {
            ffmpeg::log::Level::Quiet
        };
        ffmpeg::log::set_level(level);
    });
}

/// The first error the operating system gave a [`Sink`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<io::Error>>>);

impl Fault {
    /// Takes the error out, if there was one.
    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: &io::Error) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => error.kind().into(),
            });
        }
    }
}

/// A file that FFmpeg writes to, and that remembers why a write failed.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    fault: Fault,
}

impl Sink {
    pub(crate) fn new(file: File, fault: Fault) -> Self {
        Self { file, fault }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|e| self.fault.keep(e))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to).inspect_err(|e| self.fault.keep(e))
    }
}

/// How the numbers of a pixel format are to be understood, which the file must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    /// Y'CbCr by the BT.709 matrix in 16–235 / 16–240.
    Bt709Limited,
    /// R'G'B' in 0–255 with BT.709 primaries, in a codec that can say so.
    Rgb,
    /// The format fixes it (GIF, WebP).
    Fixed,
}

pub(crate) fn colours_of(pixel: Pixel) -> Colours {
    match pixel {
        Pixel::PAL8 | Pixel::BGRA => Colours::Fixed,
        Pixel::RGB24 | Pixel::GBRP | Pixel::BGRZ => Colours::Rgb,
        _ => Colours::Bt709Limited,
    }
}

/// Opens an encoder for pictures of this size; `global_header` when the container keeps the codec's headers itself.
pub(crate) fn open_encoder(
    recipe: &Recipe,
    (width, height): (u32, u32),
    fps: Fps,
    global_header: bool,
) -> Result<Coder, ffmpeg::Error> {
    let codec = encoder::find_by_name(recipe.encoder).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut video = Context::new_with_codec(codec).encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(recipe.pixel);
    video.set_time_base(fps.time_base());
    video.set_frame_rate(Some(fps.rate()));
    video.set_aspect_ratio((1, 1));
    // Bit-exact leaves version strings out, so that the same request gives the same bytes.
    let mut flags = ffmpeg::codec::Flags::BITEXACT | ffmpeg::codec::Flags::CLOSED_GOP;
    if global_header {
        flags |= ffmpeg::codec::Flags::GLOBAL_HEADER;
    }
    video.set_flags(flags);
    let mut options = ffmpeg::Dictionary::new();
    options.set("threads", "auto");
    match colours_of(recipe.pixel) {
        Colours::Fixed => {}
        tagged => {
            video.set_color_primaries(color::Primaries::BT709);
            video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
            if tagged == Colours::Rgb {
                video.set_colorspace(color::Space::RGB);
                video.set_color_range(color::Range::JPEG);
            } else {
                video.set_colorspace(color::Space::BT709);
                video.set_color_range(color::Range::MPEG);
                options.set("chroma_sample_location", "left");
            }
        }
    }
    for (key, value) in &recipe.options {
        options.set(key, value);
    }
    Ok(Coder {
        encoder: video.open_with(options)?,
        needs_frames: recipe.encoder == "libsvtav1",
        frames: 0,
        ended: false,
    })
}

/// An open encoder that can be closed at any moment.
///
/// SVT-AV1 (1.4) waits for ever when it is closed without having been ended, and for ever when it is ended without a frame:
/// dropping gives it a frame if it had none, ends it and empties it. For the others this is quick and harmless, and left out.
pub(crate) struct Coder {
    encoder: encoder::Video,
    needs_frames: bool,
    frames: u64,
    ended: bool,
}

impl Coder {
    /// What the muxer copies its stream's parameters from.
    pub(crate) fn context(&self) -> &Context {
        &self.encoder
    }

    /// Gives it a frame.
    pub(crate) fn send(&mut self, frame: &frame::Video) -> Result<(), ffmpeg::Error> {
        self.encoder.send_frame(frame)?;
        self.frames += 1;
        Ok(())
    }

    /// Tells it that no more frames come.
    pub(crate) fn end(&mut self) -> Result<(), ffmpeg::Error> {
        self.ended = true;
        self.encoder.send_eof()
    }

    /// The next packet that is ready: `None` when it wants more frames or has given all.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet>, ffmpeg::Error> {
        let mut packet = Packet::empty();
        let got = ready(self.encoder.receive_packet(&mut packet))?;
        Ok(got.map(|()| packet))
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        if !self.needs_frames || (self.ended && self.frames > 0) {
            return;
        }
        if self.frames == 0 {
            let mut blank = frame::Video::new(
                self.encoder.format(),
                self.encoder.width(),
                self.encoder.height(),
            );
            for plane in 0..blank.planes() {
                blank.data_mut(plane).fill(0);
            }
            blank.set_pts(Some(0));
            if self.send(&blank).is_err() {
                return;
            }
        }
        if self.end().is_ok() {
            while let Ok(Some(_)) = self.packet() {}
        }
    }
}

/// Takes the next packet or frame that is ready: `None` when more input is needed or all has come.
pub(crate) fn ready(result: Result<(), ffmpeg::Error>) -> Result<Option<()>, ffmpeg::Error> {
    match result {
        Ok(()) => Ok(Some(())),
        Err(ffmpeg::Error::Eof) => Ok(None),
        Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies packed rows of `row_bytes` into a frame's only plane, whose rows may be longer.
pub(crate) fn fill_rows(frame: &mut frame::Video, packed: &[u8], row_bytes: usize) {
    let stride = frame.stride(0);
    for (to, from) in frame.data_mut(0).chunks_exact_mut(stride).zip(packed.chunks_exact(row_bytes))
    {
        to[..row_bytes].copy_from_slice(from);
    }
}

/// The rows of a frame's only plane without their padding.
pub(crate) fn packed_rows(frame: &frame::Video, row_bytes: usize) -> Vec<u8> {
    let stride = frame.stride(0);
    let mut packed = Vec::with_capacity(row_bytes * frame.height() as usize);
    for row in frame.data(0).chunks_exact(stride) {
        packed.extend_from_slice(&row[..row_bytes]);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::convert::Converter;

    #[test]
    fn svt_av1_can_be_closed_at_any_moment() {
        start();
        let recipe = Recipe {
            encoder: "libsvtav1",
            pixel: Pixel::YUV420P10LE,
            options: vec![("preset", "8".into())],
            note: None,
        };
        let fps = Fps::new(24, 1).unwrap();
        for frames in [0, 1, 5] {
            let Ok(mut coder) = open_encoder(&recipe, (64, 64), fps, true) else {
                println!("skipped: this FFmpeg has no libsvtav1");
                return;
            };
            let mut convert = Converter::from_rgb(recipe.pixel, 64, 64, fps).unwrap();
            for index in 0..frames {
                coder.send(&convert.rgb(&[99; 64 * 64 * 3], index).unwrap()).unwrap();
            }
            drop(coder);
        }
    }
}
