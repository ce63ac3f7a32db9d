//! WebP's container: the settings as XMP, and decoding, since FFmpeg 5.1 writes animated WebP but cannot read it.
//!
//! A file is `RIFF size WEBP` and chunks of `name size data`, padded to even. XMP may only stand in an extended file, one that
//! begins with `VP8X` (flags, canvas size − 1); a clip of one frame is written as a simple file and is extended here.
//!
//! Frames after the first are stored as what changed. The crate that decodes them rounds an opaque pixel laid over another
//! down by up to one level, so a WebP read here is within 1 of what libwebp shows; compare on a master, not on this.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use image_webp::WebPDecoder;

use crate::video::error::{Result, VideoError};
use crate::video::metadata::MOST_BYTES;

/// The flag in VP8X that announces XMP.
const XMP_FLAG: u8 = 0x04;
/// The largest picture that is decoded.
const MOST_BUFFER_BYTES: usize = 1 << 30;
const OPEN: &str = "<tessera:settings>";
const CLOSE: &str = "</tessera:settings>";

/// Rewrites a finished WebP file with `settings` in its XMP.
pub(crate) fn embed(
    mut file: &File,
    target: &Path,
    size: (u32, u32),
    settings: &str,
) -> Result<()> {
    let fail = |e| VideoError::io(target, "writing the settings", e);
    let mut bytes = Vec::new();
    file.rewind().map_err(fail)?;
    file.read_to_end(&mut bytes).map_err(fail)?;
    let bytes = with_xmp(&bytes, size, &packet(settings))
        .ok_or_else(|| VideoError::malformed(target, "the encoder's output is not a WebP file"))?;
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    file.write_all(&bytes).map_err(fail)
}

/// The settings in a WebP file, if they are there.
pub(crate) fn settings(path: &Path) -> Result<Option<String>> {
    let file = File::open(path).map_err(|e| VideoError::io(path, "opening", e))?;
    let bad = |e| VideoError::malformed(path, format!("not a readable WebP file: {e}"));
    let mut decoder = WebPDecoder::new(BufReader::new(file)).map_err(bad)?;
    decoder.set_memory_limit(2 * MOST_BYTES);
    Ok(decoder.xmp_metadata().map_err(bad)?.and_then(|xmp| unpack(&xmp)))
}

/// The settings in an XMP packet.
fn unpack(xmp: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(xmp).ok()?;
    let start = text.find(OPEN)? + OPEN.len();
    let end = start + text[start..].find(CLOSE)?;
    // `&amp;` last, or `&amp;lt;` would be unfolded twice.
    Some(
        text[start..end]
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#13;", "\r")
            .replace("&amp;", "&"),
    )
}

/// An XMP packet that holds the settings as one property.
fn packet(settings: &str) -> String {
    let escaped = settings
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\r', "&#13;");
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" xmlns:tessera=\"urn:tessera:1\">{OPEN}{escaped}{CLOSE}</rdf:Description>\
         </rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>"
    )
}

/// The chunks of a WebP file, as far as they are whole.
fn chunks(bytes: &[u8]) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WEBP" {
        return None;
    }
    let mut rest = &bytes[12..];
    Some(std::iter::from_fn(move || {
        let (name, after) = rest.split_at_checked(4)?;
        let (length, after) = after.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (data, after) = after.split_at_checked(length)?;
        rest = after.get(length % 2..).unwrap_or_default();
        Some((name, data))
    }))
}

fn with_xmp(bytes: &[u8], (width, height): (u32, u32), xmp: &str) -> Option<Vec<u8>> {
    let mut body = b"WEBP".to_vec();
    let mut add = |name: &[u8], data: &[u8]| {
        body.extend_from_slice(name);
        body.extend_from_slice(&(data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.extend(std::iter::repeat_n(0, data.len() % 2));
    };
    let mut extended = false;
    for (name, data) in chunks(bytes)? {
        if name == b"VP8X" {
            let mut header = data.to_vec();
            *header.first_mut()? |= XMP_FLAG;
            add(name, &header);
            extended = true;
            continue;
        }
        if !extended {
            let mut header = vec![XMP_FLAG, 0, 0, 0];
            header.extend_from_slice(&(width - 1).to_le_bytes()[..3]);
            header.extend_from_slice(&(height - 1).to_le_bytes()[..3]);
            add(b"VP8X", &header);
            extended = true;
        }
        add(name, data);
    }
    add(b"XMP ", xmp.as_bytes());
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    file.extend_from_slice(&body);
    Some(file)
}

/// The pictures of an animated or still WebP file, one after another.
pub(crate) struct Pictures {
    decoder: WebPDecoder<BufReader<File>>,
    buffer: Vec<u8>,
    left: u32,
    seconds: f64,
}

impl Pictures {
    /// Opens a file; width and height come first.
    pub(crate) fn open(path: &Path) -> Result<((u32, u32), Self)> {
        let file = File::open(path).map_err(|e| VideoError::io(path, "opening", e))?;
        let bad = |e| VideoError::malformed(path, format!("not a readable WebP file: {e}"));
        let whole = file.metadata().map_err(|e| VideoError::io(path, "opening", e))?.len();
        let mut reader = BufReader::new(file);
        let mut head = [0; 8];
        reader.read_exact(&mut head).map_err(|e| VideoError::io(path, "reading", e))?;
        let announced = 8 + u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        if announced > whole {
            return Err(VideoError::malformed(
                path,
                format!("the file is cut off: {whole} of {announced} bytes"),
            ));
        }
        reader.rewind().map_err(|e| VideoError::io(path, "reading", e))?;
        let mut decoder = WebPDecoder::new(reader).map_err(bad)?;
        decoder.set_memory_limit(MOST_BUFFER_BYTES);
        let bytes = decoder.output_buffer_size().filter(|b| *b <= MOST_BUFFER_BYTES);
        let bytes = bytes
            .ok_or_else(|| VideoError::malformed(path, "its pictures do not fit in memory"))?;
        let left = if decoder.is_animated() { decoder.num_frames() } else { 1 };
        Ok((decoder.dimensions(), Self { decoder, buffer: vec![0; bytes], left, seconds: 0.0 }))
    }

    /// The next picture as packed RGB, and when it is shown in seconds from the start.
    pub(crate) fn next(&mut self, path: &Path) -> Result<Option<(Vec<u8>, f64)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let shown = if self.decoder.is_animated() {
            self.decoder.read_frame(&mut self.buffer)
        } else {
            self.decoder.read_image(&mut self.buffer).map(|()| 0)
        };
        let milliseconds = shown.map_err(|e| {
            VideoError::malformed(path, format!("a picture cannot be decoded: {e}"))
        })?;
        self.left -= 1;
        let at = self.seconds;
        self.seconds += f64::from(milliseconds) / 1000.0;
        let rgb = if self.decoder.has_alpha() {
            self.buffer.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()
        } else {
            self.buffer.clone()
        };
        Ok(Some((rgb, at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_escaping_in_simple_and_extended_files() {
        let text = "{\"prompt\": \"a <b> & \\\"c\\\" &amp; &lt; 雪 🎬\r\n\"}";
        let simple = b"RIFF\x10\0\0\0WEBPVP8L\x03\0\0\0abc\0";
        let once = with_xmp(simple, (17, 33), &packet(text)).unwrap();
        let xmp = chunks(&once).unwrap().find(|(name, _)| name == b"XMP ").unwrap().1;
        assert_eq!(unpack(xmp).unwrap(), text);
        assert_eq!(&once[12..16], b"VP8X");
        assert_eq!(once[24..30], [16, 0, 0, 32, 0, 0]);
        assert_eq!(u32::from_le_bytes(once[4..8].try_into().unwrap()) as usize, once.len() - 8);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut with_head = b"RIFF\xff\xff\0\0WEBPVP8X".to_vec();
            with_head.extend(&bytes);
            let _ = unpack(&bytes);
            let _ = with_xmp(&bytes, (1, 1), "x");
            let _ = with_xmp(&with_head, (1, 1), "x");
        }
    }
}
