//! Frames of a video file as RGB, in order, each with its index; and the settings inside.
//!
//! Whatever the file is (MP4, MOV, MKV, WebM, AVI, GIF, WebP or a folder of PNG files), [`Decoder`] gives every frame once, as
//! often as it is stored: pairing for a comparison goes by index, never by time, because MKV rounds times to milliseconds.
//! A file that announces more frames than it holds is an error at its end, not a shorter clip.
//!
//! Files may come from anyone, so FFmpeg gets the open file rather than its name, and only these demuxers: a playlist in
//! disguise cannot make it open others.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::StreamIo;
use ffmpeg_next::{Packet, codec, decoder, format, frame, media};

use crate::video::convert::Converter;
use crate::video::error::{Result, VideoError};
use crate::video::ffmpeg::{packed_rows, ready, start};
use crate::video::metadata::MOST_BYTES;
use crate::video::{gif, pictures, webp};

const DEMUXERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif";

/// One picture of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedFrame {
    /// From 0, without gaps.
    pub index: u64,
    /// Seconds from the start, where the file says so.
    pub seconds: Option<f64>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Packed RGB rows from the top, `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

/// An open video; iterate over it for the frames. After an error it ends.
pub struct Decoder {
    path: PathBuf,
    size: (u32, u32),
    source: Source,
    index: u64,
    ended: bool,
}

enum Source {
    Stream(Box<Stream>),
    Pictures(std::vec::IntoIter<PathBuf>),
    WebP(Box<webp::Pictures>),
}

impl Decoder {
    /// Opens a file, or a folder of PNG files.
    pub fn open(path: &Path) -> Result<Self> {
        let (size, source) = match Kind::of(path)? {
            Kind::Folder => {
                let files = pictures::list(path)?;
                let (width, height, _) = pictures::read(&files[0])?;
                ((width, height), Source::Pictures(files.into_iter()))
            }
            Kind::WebP => {
                let (size, pictures) = webp::Pictures::open(path)?;
                (size, Source::WebP(Box::new(pictures)))
            }
            Kind::Png => {
                let (width, height, _) = pictures::read(path)?;
                ((width, height), Source::Pictures(vec![path.to_owned()].into_iter()))
            }
            Kind::Gif | Kind::Other => {
                let stream = Stream::open(path)?;
                (
                    (stream.decoder.width(), stream.decoder.height()),
                    Source::Stream(Box::new(stream)),
                )
            }
        };
        Ok(Self { path: path.into(), size, source, index: 0, ended: false })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many frames the file says it has, before they were read: its end may tell otherwise. `None` where it does not say.
    pub fn announced(&self) -> Option<u64> {
        match &self.source {
            Source::Stream(stream) => Some(stream.announced).filter(|frames| *frames > 0),
            Source::Pictures(left) => Some(self.index + left.len() as u64),
            Source::WebP(_) => None,
        }
    }

    /// Reads to the end and says how many frames there are in all, those already taken included.
    pub fn count_frames(&mut self) -> Result<u64> {
        for frame in self.by_ref() {
            frame?;
        }
        Ok(self.index)
    }

    fn read(&mut self) -> Result<Option<DecodedFrame>> {
        let (seconds, width, height, rgb) = match &mut self.source {
            Source::Stream(stream) => match stream.next(&self.path)? {
                Some((picture, seconds)) => {
                    let rgb = packed_rows(&picture, picture.width() as usize * 3);
                    (seconds, picture.width(), picture.height(), rgb)
                }
                None => return Ok(None),
            },
            Source::Pictures(files) => match files.next() {
                Some(file) => {
                    let (width, height, rgb) = pictures::read(&file)?;
                    (None, width, height, rgb)
                }
                None => return Ok(None),
            },
            Source::WebP(pictures) => match pictures.next(&self.path)? {
                Some((rgb, seconds)) => (Some(seconds), self.size.0, self.size.1, rgb),
                None => return Ok(None),
            },
        };
        if (width, height) != self.size {
            let (w, h) = self.size;
            let what = format!("frame {} is {width}x{height}, the first was {w}x{h}", self.index);
            return Err(VideoError::malformed(&self.path, what));
        }
        let frame = DecodedFrame { index: self.index, seconds, width, height, rgb };
        self.index += 1;
        Ok(Some(frame))
    }
}

impl Iterator for Decoder {
    type Item = Result<DecodedFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let result = self.read().transpose();
        self.ended = !matches!(result, Some(Ok(_)));
        result
    }
}

/// A file that FFmpeg reads.
struct Stream {
    decoder: decoder::Video,
    input: format::context::Input,
    /// The video stream's number in the file.
    track: usize,
    time_base: f64,
    start: i64,
    /// Frames by the file's own account, at least.
    announced: u64,
    given: u64,
    drained: bool,
    convert: Option<(Layout, Converter)>,
}

/// What must stay the same for a converter to be used again.
type Layout = (format::Pixel, u32, u32, ffmpeg::color::Space, ffmpeg::color::Range);

impl Stream {
    fn open(path: &Path) -> Result<Self> {
        let input = open_input(path)?;
        let fail = |doing| move |e| VideoError::ffmpeg(path, doing, e);
        let best = input.streams().best(media::Type::Video);
        let best =
            best.ok_or_else(|| VideoError::malformed(path, "there is no video in this file"))?;
        let mut context = codec::Context::from_parameters(best.parameters())
            .map_err(fail("reading its header"))?;
        context.set_time_base(best.time_base());
        let found = decoder::find(context.id());
        let mut options = ffmpeg::Dictionary::new();
        options.set("threads", "auto");
        let mut unopened = context.decoder();
        unopened.set_packet_time_base(best.time_base());
        let decoder = unopened
            .open_as_with(found, options)
            .and_then(decoder::Opened::video)
            .map_err(fail("opening the decoder"))?;
        let announced = match u64::try_from(best.frames()).unwrap_or(0) {
            0 if input.format().name().contains("matroska") => frames_by_duration(&input, &best),
            frames => frames,
        };
        let start = if best.start_time() == i64::MIN { 0 } else { best.start_time() };
        let (track, time_base) = (best.index(), f64::from(best.time_base()));
        Ok(Self {
            decoder,
            track,
            time_base,
            start,
            announced,
            given: 0,
            drained: false,
            convert: None,
            input,
        })
    }

    /// The next frame as RGB with its time.
    fn next(&mut self, path: &Path) -> Result<Option<(frame::Video, Option<f64>)>> {
        let fail = |doing| move |e| VideoError::ffmpeg(path, doing, e);
        loop {
            let mut decoded = frame::Video::empty();
            if ready(self.decoder.receive_frame(&mut decoded))
                .map_err(fail("decoding a frame"))?
                .is_some()
            {
                self.given += 1;
                let seconds = decoded.timestamp().map(|t| (t - self.start) as f64 * self.time_base);
                return Ok(Some((
                    self.rgb(&decoded).map_err(fail("converting a frame"))?,
                    seconds,
                )));
            }
            if self.drained {
                return if self.given < self.announced {
                    Err(self.cut_off(path))
                } else {
                    Ok(None)
                };
            }
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() != self.track => {}
                Ok(()) if packet.is_corrupt() => return Err(self.cut_off(path)),
                Ok(()) => self.decoder.send_packet(&packet).map_err(fail("decoding a frame"))?,
                Err(ffmpeg::Error::Eof) => {
                    self.drained = true;
                    self.decoder.send_eof().map_err(fail("decoding the last frames"))?;
                }
                Err(_) if self.given < self.announced => return Err(self.cut_off(path)),
                Err(e) => return Err(fail("reading")(e)),
            }
        }
    }

    fn cut_off(&self, path: &Path) -> VideoError {
        VideoError::Truncated {
            path: path.into(),
            expected: self.announced.max(self.given + 1),
            got: self.given,
        }
    }

    fn rgb(&mut self, decoded: &frame::Video) -> Result<frame::Video, ffmpeg::Error> {
        let layout = (
            decoded.format(),
            decoded.width(),
            decoded.height(),
            decoded.color_space(),
            decoded.color_range(),
        );
        let converter = match &mut self.convert {
            Some((of, converter)) if *of == layout => converter,
            slot => &mut slot.insert((layout, Converter::to_rgb(decoded)?)).1,
        };
        converter.frame(decoded)
    }
}

/// Matroska stores no count, but a duration in milliseconds, which at a constant rate is one.
fn frames_by_duration(input: &format::context::Input, stream: &ffmpeg::Stream<'_>) -> u64 {
    let (rate, steady) =
        (f64::from(stream.avg_frame_rate()), stream.avg_frame_rate() == stream.rate());
    let seconds = input.duration() as f64 / f64::from(ffmpeg::ffi::AV_TIME_BASE);
    if steady && seconds > 0.0 && rate.is_finite() && rate > 0.0 {
        (seconds * rate).round() as u64
    } else {
        0
    }
}

fn open_input(path: &Path) -> Result<format::context::Input> {
    start();
    let file = File::open(path).map_err(|e| VideoError::io(path, "opening", e))?;
    let fail = |doing| move |e| VideoError::ffmpeg(path, doing, e);
    let mut options = ffmpeg::Dictionary::new();
    options.set("format_whitelist", DEMUXERS);
    options.set("protocol_whitelist", "file");
    let io = StreamIo::from_read_seek(file).map_err(fail("opening"))?;
    format::input_from_stream(io, None, Some(options)).map_err(|e| match e {
        // EINVAL is what it says to a demuxer outside the list.
        ffmpeg::Error::InvalidData
        | ffmpeg::Error::Eof
        | ffmpeg::Error::Other { errno: ffmpeg::error::EINVAL } => VideoError::malformed(
            path,
            "not a video file, or one without its index (cut off while being written?)",
        ),
        e => VideoError::ffmpeg(path, "reading its header", e),
    })
}

/// The settings text embedded in a file, or in the first picture of a folder; `None` when there is none. Another program's
/// comment is given as it is: [`crate::video::metadata::parse`] tells.
pub fn read_metadata(path: &Path) -> Result<Option<String>> {
    let io = |e| VideoError::io(path, "reading the settings", e);
    match Kind::of(path)? {
        Kind::Folder => pictures::settings(&pictures::list(path)?[0]),
        Kind::Png => pictures::settings(path),
        Kind::Gif => match gif::read_comment(BufReader::new(File::open(path).map_err(io)?)) {
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                Err(VideoError::malformed(path, format!("not a whole GIF: {e}")))
            }
            other => other.map_err(io),
        },
        Kind::WebP => webp::settings(path),
        Kind::Other => {
            let input = open_input(path)?;
            // The binding takes any bytes for UTF-8; a foreign file's may not be.
            let text = input
                .metadata()
                .get("comment")
                .and_then(|t| std::str::from_utf8(t.as_bytes()).ok().map(String::from));
            Ok(text.filter(|t| t.len() <= MOST_BYTES))
        }
    }
}

/// What a path holds, by its first bytes.
enum Kind {
    Folder,
    Png,
    Gif,
    WebP,
    Other,
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        let fail = |e| VideoError::io(path, "opening", e);
        if std::fs::metadata(path).map_err(fail)?.is_dir() {
            return Ok(Self::Folder);
        }
        let mut head = Vec::new();
        File::open(path).map_err(fail)?.take(12).read_to_end(&mut head).map_err(fail)?;
        Ok(match head.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => Self::Png,
            [b'G', b'I', b'F', b'8', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Self::WebP,
            _ => Self::Other,
        })
    }
}
