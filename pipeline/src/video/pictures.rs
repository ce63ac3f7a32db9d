//! A sequence of PNG files in a folder: `frame_00000.png`, `frame_00001.png`, …; exact, and the settings in the first of them.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use crate::video::error::{Result, VideoError};

/// The iTXt keyword of the settings.
const KEYWORD: &str = "tessera";

/// The file name of a frame.
pub fn frame_name(index: u64) -> String {
    format!("frame_{index:05}.png")
}

/// Writes one picture and puts it on the disk. `settings` may be empty.
pub(crate) fn write(
    path: &Path,
    (width, height): (u32, u32),
    rgb: &[u8],
    settings: &str,
) -> Result<()> {
    let file = File::create_new(path).map_err(|e| VideoError::io(path, "creating", e))?;
    let mut buffered = BufWriter::new(&file);
    let mut encoder = png::Encoder::new(&mut buffered, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_source_srgb(png::SrgbRenderingIntent::RelativeColorimetric);
    let bad = |e| match e {
        png::EncodingError::IoError(e) => VideoError::io(path, "writing", e),
        other => VideoError::malformed(path, format!("the PNG encoder refused: {other}")),
    };
    if !settings.is_empty() {
        encoder.add_itxt_chunk(KEYWORD.into(), settings.into()).map_err(bad)?;
    }
    let mut writer = encoder.write_header().map_err(bad)?;
    writer.write_image_data(rgb).map_err(bad)?;
    writer.finish().map_err(bad)?;
    buffered.into_inner().map_err(|e| VideoError::io(path, "writing", e.into_error()))?;
    file.sync_all().map_err(|e| VideoError::io(path, "putting it on the disk", e))
}

/// The PNG files of a folder in the order of their names, which must be a sequence without gaps if they are ours.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| VideoError::io(folder, "listing", e))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| VideoError::io(folder, "listing", e))?.path();
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
            files.push(path);
        }
    }
    files.sort();
    for (index, file) in files.iter().enumerate() {
        let expected = frame_name(index as u64);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("frame_") && *name != *expected {
            return Err(VideoError::malformed(
                folder,
                format!("{expected} is missing: the next picture is {name}"),
            ));
        }
    }
    if files.is_empty() {
        return Err(VideoError::malformed(folder, "no PNG files in this folder"));
    }
    Ok(files)
}

/// Reads one picture as packed RGB: width, height, bytes.
pub(crate) fn read(path: &Path) -> Result<(u32, u32, Vec<u8>)> {
    let file = File::open(path).map_err(|e| VideoError::io(path, "opening", e))?;
    let picture = image::ImageReader::with_format(BufReader::new(file), image::ImageFormat::Png)
        .decode()
        .map_err(|e| VideoError::malformed(path, format!("not a readable PNG file: {e}")))?
        .into_rgb8();
    Ok((picture.width(), picture.height(), picture.into_raw()))
}

/// The settings in a PNG file, if they are there.
pub(crate) fn settings(path: &Path) -> Result<Option<String>> {
    let file = File::open(path).map_err(|e| VideoError::io(path, "opening", e))?;
    let bad = |e: png::DecodingError| {
        VideoError::malformed(path, format!("not a readable PNG file: {e}"))
    };
    let reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(bad)?;
    let chunk = reader.info().utf8_text.iter().find(|c| c.keyword == KEYWORD);
    Ok(chunk.and_then(|c| c.get_text().ok()))
}
