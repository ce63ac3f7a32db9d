//! Recordings as files that other programs read: arrays, lines, tables and pictures in a folder.
//!
//! | what | arrays (NPZ or safetensors) | pictures | lines and tables |
//! |---|---|---|---|
//! | latents | `step_003` `[1, C, T, h, w]` F32, before each step and after the last | the same and `heading_003`, what the step was heading for; frames side by side | |
//! | maps | `map_0007_step_003_cond_layer_05_head_2` `[rows, columns]` U8 of pinned heads, named after the first call that used it | a block a pixel or more, in [`crate::palette::LEVELS`] | |
//! | attention, scores | `step_003_cond_layer_05_head_2` `[rows, columns]` F32 of pinned heads | log over four decades; linear | |
//! | tokens | `…_token_0_4_7` `[T, rows, columns]` F32: what a query token (frame, row, column) looked at | frames side by side, log over four decades | |
//! | orders | `order_0_gilbert` `[S]` U32: the token at each position; `keys_0007_head_2` where a method sorted keys | | |
//! | summary | `thumbnails_0007` `[heads, rows, columns]` U8 (0 skipped to 15 full) of every map | | `summary.json`; `steps`, `calls` and `heads` |
//! | events | | | `events.jsonl` |
//!
//! Maps, attention and scores count blocks of a call's token order; its number stands in `calls`, so orders are written
//! beside them. The folder appears whole or not at all.

mod array;
mod choice;
mod contents;
mod files;
mod pictures;
pub(crate) mod projection;
mod tables;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::files::{FileError, Partial};
use crate::recording::Recording;
use crate::{Error, Result};
use array::Array;
pub use choice::{Format, What};
use files::Pack;
use pictures::Painter;
use projection::Projection;
pub use view::{Overlay, Replayed, Under, View, export_view};

/// What came of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Arrays, pictures aside, of each kind.
    pub arrays: BTreeMap<What, usize>,
    /// Arrays that are not in the recording any more, because it was at its limit.
    pub dropped: BTreeMap<What, usize>,
    /// The files of the folder itself and the folders of pictures in it, in order.
    pub files: Vec<PathBuf>,
}

/// Writes `what` of a recording as `formats` into the folder `to`, which must not be there yet, or be empty. `tell` hears of
/// every array by its name and stops the export with [`Error::Cancelled`] by answering false.
pub fn export(
    recording: &Recording,
    (what, formats): (&[What], &[Format]),
    to: &Path,
    tell: &mut dyn FnMut(&str) -> bool,
) -> Result<Exported> {
    let is_taken = match std::fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => to.exists(),
    };
    if is_taken {
        let source = std::io::Error::other("it is there and not empty; choose another folder");
        return Err(FileError::Io { path: to.into(), doing: "exporting", source }.into());
    }
    let folder = Partial::create_folder(to)?;
    let mut exporting =
        Exporting { recording, formats, folder: folder.path(), tell, done: Exported::default() };
    for kind in kinds(what) {
        exporting.arrays(kind)?;
        match kind {
            What::Events => exporting.events()?,
            What::Summary => exporting.summary()?,
            _ => {}
        }
    }
    let mut done = exporting.done;
    for file in &mut done.files {
        *file = to.join(&*file);
    }
    folder.commit()?;
    Ok(done)
}

/// What was asked for, once each and in order; with what counts blocks of an order, the orders.
fn kinds(what: &[What]) -> impl Iterator<Item = What> {
    let counts_blocks = |kind: &What| matches!(kind, What::Maps | What::Scores | What::Attention);
    let with_orders = what.iter().any(counts_blocks);
    let is_wanted =
        move |kind: &What| what.contains(kind) || (*kind == What::Orders && with_orders);
    What::ALL.into_iter().filter(is_wanted)
}

/// An export at work.
struct Exporting<'a> {
    recording: &'a Recording,
    formats: &'a [Format],
    folder: &'a Path,
    tell: &'a mut dyn FnMut(&str) -> bool,
    done: Exported,
}

impl Exporting<'_> {
    fn has(&self, format: Format) -> bool {
        self.formats.contains(&format)
    }

    /// The arrays of a kind into one file a format, and their pictures into a folder.
    fn arrays(&mut self, kind: What) -> Result<()> {
        let mut packs = Vec::new();
        for format in [Format::Npz, Format::Safetensors] {
            if self.has(format) {
                packs.push(Pack::new(
                    format,
                    format!("{}.{}", kind.name(), format.name()),
                    self.folder,
                ));
            }
        }
        let mut painter = if self.has(Format::Png) { Some(self.painter(kind)?) } else { None };
        let (tell, done) = (&mut self.tell, &mut self.done);
        let dropped = contents::each(self.recording, kind, &mut |array: Array| {
            if !tell(&array.name) {
                return Err(Error::Cancelled);
            }
            *done.arrays.entry(kind).or_default() += 1;
            if let Some(painter) = &mut painter {
                painter.paint(&array)?;
            }
            match packs.as_mut_slice() {
                [] => Ok(()),
                [one] => one.add(array),
                several => several.iter_mut().try_for_each(|pack| pack.add(array.clone())),
            }
        })?;
        if dropped > 0 {
            self.done.dropped.insert(kind, dropped);
        }
        if let Some(mut painter) = painter {
            if kind == What::Latents {
                contents::headings(self.recording, &mut |array| painter.paint(&array))?;
            }
            self.done.files.extend(painter.finish().then(|| kind.name().into()));
        }
        for pack in packs {
            self.done.files.extend(pack.finish()?);
        }
        Ok(())
    }

    fn painter(&self, kind: What) -> Result<Painter> {
        let clips = (0..=self.recording.meta().steps()).rev();
        let newest = match kind {
            What::Latents => clips
                .map(|step| self.recording.latents(step))
                .find_map(|held| held.map(crate::recording::Held::here).transpose()),
            _ => None,
        };
        let projection = newest.transpose()?.as_ref().map(Projection::of).transpose()?;
        Ok(Painter::new(kind, self.folder.join(kind.name()), projection))
    }

    fn events(&mut self) -> Result<()> {
        if self.has(Format::Jsonl) {
            self.write("events.jsonl", |out| tables::events(self.recording, out))?;
        }
        Ok(())
    }

    fn summary(&mut self) -> Result<()> {
        let recording = self.recording;
        self.write("summary.json", |out| tables::summary(recording, out))?;
        for format in [Format::Jsonl, Format::Csv] {
            if self.has(format) {
                for table in tables::ALL {
                    let name = format!("{}.{}", table.name, format.name());
                    self.write(&name, |out| table.write(recording, format, out))?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, name: &str, fill: impl FnOnce(&mut Out<'_>) -> Result<()>) -> Result<()> {
        create(&self.folder.join(name), fill)?;
        self.done.files.push(name.into());
        Ok(())
    }
}

/// A file of the folder that is being made.
struct Out<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(writing(self.path))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }
}

/// Writes a file and puts it on the disk.
fn create(path: &Path, fill: impl FnOnce(&mut Out<'_>) -> Result<()>) -> Result<()> {
    let file = BufWriter::new(File::create(path).map_err(writing(path))?);
    let mut out = Out { path, file };
    fill(&mut out)?;
    out.file.flush().map_err(writing(path))?;
    out.file.get_ref().sync_all().map_err(writing(path))
}

/// What a failing write means.
fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| FileError::from_io(path, "writing", error).into()
}
