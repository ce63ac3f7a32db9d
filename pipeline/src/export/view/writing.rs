//! A sheet as one file, and pictures as a video.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use image::{ImageFormat, RgbImage};

use super::super::files::Pack;
use super::super::tables::cell;
use super::super::{Format, writing};
use super::sheets::Sheet;
use crate::Result;
use crate::files::Partial;
use crate::video::{Codec, Encoder, Fps, Frame, Quality, VideoPlan};

/// What an ending stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Png,
    Csv,
    Npz,
    Mp4,
}

impl Ending {
    /// That of a file, in capitals or not.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_lowercase();
        [Self::Png, Self::Csv, Self::Npz, Self::Mp4].into_iter().find(|one| one.name() == ending)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Csv => "csv",
            Self::Npz => "npz",
            Self::Mp4 => "mp4",
        }
    }
}

/// Writes a sheet; a video is another matter.
pub(super) fn still(sheet: &Sheet, ending: Ending, to: &Path) -> Result<()> {
    let partial = Partial::create(to)?;
    match ending {
        Ending::Png => {
            let failed = |error: image::ImageError| writing(to)(std::io::Error::other(error));
            let picture = sheet.cells.enlarged();
            picture.save_with_format(partial.path(), ImageFormat::Png).map_err(failed)?;
        }
        Ending::Csv => {
            let mut out = BufWriter::new(partial.file());
            let mut line = |text: String| writeln!(out, "{text}").map_err(writing(to));
            line(sheet.columns.join(","))?;
            for row in &sheet.rows {
                line(row.iter().map(cell).collect::<Vec<_>>().join(","))?;
            }
            out.flush().map_err(writing(to))?;
        }
        Ending::Npz | Ending::Mp4 => {
            let folder = crate::files::folder_of(partial.path());
            let name = partial.path().file_name().unwrap_or_default().to_string_lossy();
            let mut pack = Pack::new(Format::Npz, name.into_owned(), folder);
            for array in &sheet.arrays {
                pack.add(array.clone())?;
            }
            pack.finish()?;
        }
    }
    Ok(partial.commit()?)
}

/// A video that is being written.
pub(super) struct Film {
    encoder: Encoder,
    size: (u32, u32),
}

impl Film {
    pub(super) fn create(to: &Path, size: (u32, u32), fps: Fps) -> Result<Self> {
        let encoder = Encoder::create(&VideoPlan {
            path: to.into(),
            codec: Codec::H264,
            width: size.0,
            height: size.1,
            fps,
            quality: Quality::HIGH,
            metadata: String::new(),
        })?;
        Ok(Self { encoder, size })
    }

    pub(super) fn push(&mut self, picture: &RgbImage) -> Result<()> {
        let (width, height) = self.size;
        Ok(self.encoder.push(&Frame { width, height, rgb: picture.as_raw() })?)
    }

    pub(super) fn finish(self) -> Result<()> {
        self.encoder.finish()?;
        Ok(())
    }
}
