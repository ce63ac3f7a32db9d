//! GIF: 256 colours chosen for the whole clip, and the settings in a comment extension.
//!
//! A palette per frame would flicker, so all frames must be seen before the first is written. They wait as raw RGB in an
//! anonymous file beside the output (no name, so nothing is left behind even by a killed process); memory holds one
//! frame and the colour histogram. Pass 1 is FFmpeg's `palettegen`, pass 2 `paletteuse`.
//!
//! Frame times are hundredths of a second in GIF: rates that do not divide 100 alternate between two delays, and players
//! slow anything above 50 frames a second down.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;

use crate::files::Partial;
use crate::video::codec::Container;
use crate::video::convert::{self, InputFormat, rgb_frame};
use crate::video::error::{Result, VideoError};
use crate::video::metadata::MOST_BYTES;
use crate::video::mux::{Mux, StreamPlan};
use crate::video::quality::Quality;
use crate::video::rate::Fps;
use crate::video::recipe::Recipe;

/// Side of the picture of 256 pixels by which FFmpeg's filters pass a palette on.
const PALETTE_SIDE: u32 = 16;

/// Frames waiting for their palette.
pub(crate) struct Spool {
    raw: File,
    size: (u32, u32),
    fps: Fps,
    frames: u64,
}

impl Spool {
    pub(crate) fn create(folder: &Path, size: (u32, u32), fps: Fps) -> Result<Self> {
        let raw = tempfile::tempfile_in(folder)
            .map_err(|e| VideoError::io(folder, "making room for raw frames", e))?;
        Ok(Self { raw, size, fps, frames: 0 })
    }

    pub(crate) fn push(&mut self, target: &Path, rgb: &[u8]) -> Result<()> {
        self.raw.write_all(rgb).map_err(|e| VideoError::io(target, "keeping a raw frame", e))?;
        self.frames += 1;
        Ok(())
    }

    /// Chooses the palette and writes the GIF into `partial`. `tell` hears how many frames that comes to: each is looked at
    /// twice, and a look is half of the work.
    pub(crate) fn write(
        mut self,
        partial: &Partial,
        recipe: &Recipe,
        quality: Quality,
        comment: &str,
        tell: &dyn Fn(u64),
    ) -> Result<()> {
        let mut looks = 0;
        let mut looked = || {
            looks += 1;
            tell(looks / 2);
        };
        let target = partial.target();
        let fail = |doing| move |e| VideoError::ffmpeg(target, doing, e);
        let (width, height) = self.size;
        let pictures = InputFormat { pixel: Pixel::RGB24, width, height, fps: self.fps };
        let palette = {
            let mut graph =
                convert::build(&[("in", pictures)], "[in]palettegen=stats_mode=full[out]")
                    .map_err(fail("preparing the palette"))?;
            self.each(target, |frame| {
                looked();
                convert::put(&mut graph, "in", &frame).map_err(fail("counting colours"))
            })?;
            convert::end(&mut graph, "in").map_err(fail("counting colours"))?;
            let palette = convert::take(&mut graph).map_err(fail("choosing the palette"))?;
            let mut palette =
                palette.ok_or(ffmpeg::Error::Bug).map_err(fail("choosing the palette"))?;
            palette.set_pts(Some(0));
            palette
        };

        // Ordered dithering repeats from frame to frame and so compresses; error diffusion looks better and costs bytes.
        let dither = if quality.percent() <= 60 { "bayer:bayer_scale=4" } else { "sierra2_4a" };
        let swatch = InputFormat {
            pixel: palette.format(),
            width: PALETTE_SIDE,
            height: PALETTE_SIDE,
            fps: self.fps,
        };
        let chain = format!("[in][palette]paletteuse=dither={dither}:diff_mode=rectangle[out]");
        let mut graph = convert::build(&[("in", pictures), ("palette", swatch)], &chain)
            .map_err(fail("preparing the colour reduction"))?;
        convert::put(&mut graph, "palette", &palette).map_err(fail("reducing colours"))?;
        convert::end(&mut graph, "palette").map_err(fail("reducing colours"))?;

        let file = partial.file().try_clone().map_err(|e| VideoError::io(target, "opening", e))?;
        let plan =
            StreamPlan { container: Container::Gif, size: self.size, fps: self.fps, comment: "" };
        let mut mux = Mux::open(file, partial.path(), target, recipe, &plan)?;
        let mut written = 0;
        let mut drain = |graph: &mut ffmpeg::filter::Graph| -> Result<()> {
            while let Some(mut frame) = convert::take(graph).map_err(fail("reducing colours"))? {
                frame.set_pts(Some(written));
                written += 1;
                mux.send(target, &frame)?;
            }
            Ok(())
        };
        self.each(target, |frame| {
            convert::put(&mut graph, "in", &frame).map_err(fail("reducing colours"))?;
            looked();
            drain(&mut graph)
        })?;
        convert::end(&mut graph, "in").map_err(fail("reducing colours"))?;
        drain(&mut graph)?;
        mux.finish(target)?;
        append_comment(partial.file(), comment)
            .map_err(|e| VideoError::io(target, "writing the comment", e))
    }

    /// Reads the waiting frames from the first.
    fn each(
        &mut self,
        target: &Path,
        mut act: impl FnMut(ffmpeg::frame::Video) -> Result<()>,
    ) -> Result<()> {
        let (width, height) = self.size;
        let mut rgb = vec![0; width as usize * height as usize * 3];
        self.raw.rewind().map_err(|e| VideoError::io(target, "reading a raw frame", e))?;
        for index in 0..self.frames {
            self.raw
                .read_exact(&mut rgb)
                .map_err(|e| VideoError::io(target, "reading a raw frame", e))?;
            let mut frame = rgb_frame(&rgb, width, height);
            frame.set_pts(Some(index.cast_signed()));
            act(frame)?;
        }
        Ok(())
    }
}

const EXTENSION: u8 = 0x21;
const COMMENT: u8 = 0xFE;
const IMAGE: u8 = 0x2C;
const TRAILER: u8 = 0x3B;

/// Puts a comment extension before the trailer of a finished GIF: blocks of up to 255 bytes, each after its length, then a zero.
fn append_comment(mut file: &File, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last[0] != TRAILER {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the GIF does not end with its trailer",
        ));
    }
    let mut bytes = vec![EXTENSION, COMMENT];
    for block in text.as_bytes().chunks(255) {
        bytes.push(block.len() as u8);
        bytes.extend_from_slice(block);
    }
    bytes.extend([0, TRAILER]);
    file.seek(SeekFrom::End(-1))?;
    file.write_all(&bytes)
}

/// The last comment of a GIF; `None` when there is none, or it is not UTF-8, or longer than settings ever are.
pub(crate) fn read_comment(mut from: impl Read + Seek) -> io::Result<Option<String>> {
    let mut head = [0; 13];
    from.read_exact(&mut head)?;
    if !head.starts_with(b"GIF8") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a GIF"));
    }
    skip_palette(&mut from, head[10])?;
    let mut found = None;
    loop {
        match byte(&mut from)? {
            TRAILER => return Ok(found.and_then(|bytes| String::from_utf8(bytes).ok())),
            EXTENSION if byte(&mut from)? == COMMENT => {
                let mut text = Vec::new();
                blocks(&mut from, |block| {
                    if text.len() + block.len() <= MOST_BYTES {
                        text.extend_from_slice(block);
                    }
                })?;
                found = Some(text);
            }
            EXTENSION => blocks(&mut from, |_| ())?,
            IMAGE => {
                let mut descriptor = [0; 9];
                from.read_exact(&mut descriptor)?;
                skip_palette(&mut from, descriptor[8])?;
                byte(&mut from)?; // the LZW code size
                blocks(&mut from, |_| ())?;
            }
            other => {
                let what = format!("unknown GIF block {other:#04x}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
    }
}

/// Skips the colour table whose presence and size the flags tell.
fn skip_palette(from: &mut (impl Read + Seek), flags: u8) -> io::Result<()> {
    if flags & 0x80 != 0 {
        from.seek(SeekFrom::Current(3 << ((flags & 7) + 1)))?;
    }
    Ok(())
}

fn blocks(from: &mut impl Read, mut act: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = [0; 255];
    loop {
        let length = usize::from(byte(from)?);
        if length == 0 {
            return Ok(());
        }
        from.read_exact(&mut block[..length])?;
        act(&block[..length]);
    }
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut one = [0];
    from.read_exact(&mut one)?;
    Ok(one[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut with_head = b"GIF89a\x01\x00\x01\x00\x00\x00\x00".to_vec();
            with_head.extend(&bytes);
            let _ = read_comment(io::Cursor::new(bytes));
            let _ = read_comment(io::Cursor::new(with_head));
        }
    }
}
