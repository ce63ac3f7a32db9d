//! Frames in as they are decoded, one finished file out.
//!
//! The file is written under a temporary name and gets its own only in [`Encoder::finish`], when it is complete and on the
//! disk; an encoder that is dropped, or meets an error, removes what it wrote. Latents are not its business: they were saved
//! before the first frame came, so no error here costs more than encoding again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError, Partial};
use crate::video::codec::{Codec, Container};
use crate::video::convert::Converter;
use crate::video::decoder::read_metadata;
use crate::video::error::{Result, VideoError};
use crate::video::ffmpeg::start;
use crate::video::gif::Spool;
use crate::video::metadata::difference;
use crate::video::mux::{Mux, StreamPlan};
use crate::video::quality::Quality;
use crate::video::rate::Fps;
use crate::video::recipe::{MOST_PIXELS, Recipe, recipes};
use crate::video::{isom, pictures, probe, webp};

/// What is to be written.
#[derive(Debug, Clone)]
pub struct VideoPlan {
    /// The file, its ending saying which container; for PNG the folder.
    pub path: PathBuf,
    /// How pictures are compressed.
    pub codec: Codec,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: Fps,
    /// How much may be lost.
    pub quality: Quality,
    /// JSON text to embed; empty for none.
    pub metadata: String,
}

/// One picture: packed RGB rows from the top, 8 bits a channel, `width * height * 3` bytes.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The bytes.
    pub rgb: &'a [u8],
}

/// A finished file.
#[derive(Debug, Clone)]
pub struct VideoFile {
    /// The file or folder.
    pub path: PathBuf,
    /// Its size on the disk; of a folder, the sum.
    pub bytes: u64,
    /// Frames written.
    pub frames: u64,
    /// Their codec.
    pub codec: Codec,
    /// The kind of file.
    pub container: Container,
    /// The encoder that did it.
    pub encoder: &'static str,
    /// FFmpeg's name of the pixel format inside.
    pub pixel_format: String,
    /// The settings as read back from the finished file; `None` when none were given.
    pub metadata: Option<String>,
    /// What the person should know, such as that an odd size limits players.
    pub notes: Vec<String>,
}

/// An open video file. See the module's description.
pub struct Encoder {
    plan: VideoPlan,
    container: Container,
    recipe: Option<Recipe>,
    pushed: u64,
    /// `None` after an error.
    backend: Option<Backend>,
}

/// The fields' order is the order of dropping: FFmpeg lets go of the file before it is removed.
enum Backend {
    Stream { mux: Mux, convert: Converter, partial: Partial },
    Gif { spool: Spool, partial: Partial },
    Pictures { partial: Partial },
}

/// Finds out before any work is done whether the file can be written: codec against ending, folder, permission, room.
/// `frames` may be a guess.
pub fn preflight(plan: &VideoPlan, frames: u64) -> Result<()> {
    check(plan)?;
    let bytes =
        super::recipe::estimated_bytes(plan.codec, plan.quality, (plan.width, plan.height), frames);
    files::check_writable(files::folder_of(&plan.path), bytes)?;
    if plan.codec != Codec::Png {
        first_working(plan, |_| Ok(()))?;
    }
    Ok(())
}

impl Encoder {
    /// Opens the encoder and the temporary file.
    pub fn create(plan: &VideoPlan) -> Result<Self> {
        let container = check(plan)?;
        let (recipe, backend) = match container {
            Container::Folder => {
                (None, Backend::Pictures { partial: Partial::create_folder(&plan.path)? })
            }
            Container::Gif => {
                let (recipe, ()) = first_working(plan, |_| Ok(()))?;
                let partial = Partial::create(&plan.path)?;
                let spool = Spool::create(
                    files::folder_of(&plan.path),
                    (plan.width, plan.height),
                    plan.fps,
                )?;
                (Some(recipe), Backend::Gif { spool, partial })
            }
            _ => {
                let (recipe, backend) =
                    first_working(plan, |recipe| open_stream(plan, container, recipe))?;
                (Some(recipe), backend)
            }
        };
        Ok(Self { plan: plan.clone(), container, recipe, pushed: 0, backend: Some(backend) })
    }

    /// Encodes the next frame. After an error the temporary file is gone and only dropping is left to do.
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<()> {
        let Frame { width, height, rgb } = *frame;
        let expected = (self.plan.width, self.plan.height);
        if (width, height) != expected
            || rgb.len() as u64 != u64::from(width) * u64::from(height) * 3
        {
            let error = VideoError::FrameSize {
                index: self.pushed,
                expected,
                got: (width, height),
                bytes: rgb.len(),
            };
            self.backend = None;
            return Err(error);
        }
        let target = &self.plan.path;
        let Some(backend) = &mut self.backend else {
            return Err(VideoError::Stopped { path: target.clone() });
        };
        let result = match backend {
            Backend::Stream { mux, convert, .. } => convert
                .rgb(rgb, self.pushed)
                .map_err(|e| VideoError::ffmpeg(target, "converting a frame", e))
                .and_then(|frame| mux.send(target, &frame)),
            Backend::Gif { spool, .. } => spool.push(target, rgb),
            Backend::Pictures { partial } => {
                let settings = if self.pushed == 0 { self.plan.metadata.as_str() } else { "" };
                let file = partial.path().join(pictures::frame_name(self.pushed));
                pictures::write(&file, expected, rgb, settings)
            }
        };
        if result.is_err() {
            self.backend = None;
        }
        self.pushed += 1;
        result
    }

    /// Frames taken so far.
    pub fn frames(&self) -> u64 {
        self.pushed
    }

    /// Frames encoded so far: those taken, but none of a GIF, whose frames wait for their palette.
    pub fn encoded(&self) -> u64 {
        if self.container == Container::Gif { 0 } else { self.pushed }
    }

    /// Completes the file, gives it its name and reads the settings back from it.
    pub fn finish(self) -> Result<VideoFile> {
        self.finish_telling(&|_| ())
    }

    /// As [`Encoder::finish`]; `tell` hears how many frames are encoded, where that is still to be done.
    pub fn finish_telling(mut self, tell: &dyn Fn(u64)) -> Result<VideoFile> {
        let plan = self.plan.clone();
        let backend =
            self.backend.take().ok_or_else(|| VideoError::Stopped { path: plan.path.clone() })?;
        if self.pushed == 0 {
            return Err(VideoError::NoFrames { path: plan.path });
        }
        let partial = match (backend, &self.recipe) {
            (Backend::Stream { mux, partial, .. }, _) => {
                mux.finish(&plan.path)?;
                partial
            }
            (Backend::Gif { spool, partial }, Some(recipe)) => {
                spool.write(&partial, recipe, plan.quality, &plan.metadata, tell)?;
                partial
            }
            (Backend::Gif { .. }, None) => return Err(VideoError::Stopped { path: plan.path }),
            (Backend::Pictures { partial }, _) => partial,
        };
        if self.container == Container::WebP && !plan.metadata.is_empty() {
            webp::embed(partial.file(), &plan.path, (plan.width, plan.height), &plan.metadata)?;
        }
        if plan.codec == Codec::H265 && self.container.is_isom() {
            isom::name_hvc1(partial.file())
                .map_err(|e| VideoError::io(&plan.path, "naming the codec", e))?;
        }
        partial.commit()?;
        self.describe(plan)
    }

    /// Reads the finished file back.
    fn describe(self, plan: VideoPlan) -> Result<VideoFile> {
        let metadata = if plan.metadata.is_empty() { None } else { read_metadata(&plan.path)? };
        if !plan.metadata.is_empty()
            && let Some(problem) = difference(&plan.metadata, metadata.as_deref())
        {
            return Err(VideoError::MetadataMismatch { path: plan.path, problem });
        }
        let bytes = size_on_disk(&plan.path)
            .map_err(|e| VideoError::io(&plan.path, "asking for its size", e))?;
        let pixel =
            self.recipe.as_ref().and_then(|r| r.pixel.descriptor()).map_or("rgb24", |d| d.name());
        Ok(VideoFile {
            bytes,
            frames: self.pushed,
            codec: plan.codec,
            container: self.container,
            encoder: self.recipe.as_ref().map_or("png", |r| r.encoder),
            pixel_format: pixel.into(),
            metadata,
            notes: self.recipe.and_then(|r| r.note).map(Into::into).into_iter().collect(),
            path: plan.path,
        })
    }
}

/// What can be said without touching the disk, and whether a folder is in the way.
fn check(plan: &VideoPlan) -> Result<Container> {
    let (width, height) = (plan.width, plan.height);
    if width == 0 || height == 0 || width > MOST_PIXELS || height > MOST_PIXELS {
        return Err(VideoError::Size { width, height, most: MOST_PIXELS });
    }
    if let Some(at) = plan.metadata.bytes().position(|b| b == 0) {
        return Err(VideoError::MetadataNul { at });
    }
    let container = plan.codec.container_for(&plan.path)?;
    let path = &plan.path;
    if path.file_name().is_none() {
        return Err(FileError::NoName { path: path.clone() }.into());
    }
    if container == Container::Folder {
        if path.exists() && !fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) {
            return Err(VideoError::FolderInUse { path: path.clone() });
        }
    } else if path.is_dir() {
        return Err(VideoError::malformed(path, "this is a folder; name a file"));
    }
    Ok(container)
}

/// Opens the first encoder that works here; `open` failing for FFmpeg's reasons leads to the next.
fn first_working<T>(
    plan: &VideoPlan,
    mut open: impl FnMut(&Recipe) -> Result<T>,
) -> Result<(Recipe, T)> {
    start();
    let mut tried = Vec::new();
    for recipe in recipes(plan.codec, plan.quality, (plan.width, plan.height), plan.fps)? {
        if let Err(problem) = probe::works(&recipe) {
            tried.push(format!("{} ({problem})", recipe.encoder));
            continue;
        }
        match open(&recipe) {
            Ok(opened) => return Ok((recipe, opened)),
            Err(VideoError::Ffmpeg { source, .. }) => {
                tried.push(format!("{} ({source})", recipe.encoder));
            }
            Err(other) => return Err(other),
        }
    }
    Err(VideoError::NoEncoder { codec: plan.codec, tried: tried.join(", ") })
}

fn open_stream(plan: &VideoPlan, container: Container, recipe: &Recipe) -> Result<Backend> {
    let path = &plan.path;
    let partial = Partial::create(path)?;
    let file = partial.file().try_clone().map_err(|e| VideoError::io(path, "opening", e))?;
    // WebP gets its settings afterwards: its muxer has no field for them.
    let comment = if container == Container::WebP { "" } else { plan.metadata.as_str() };
    let stream = StreamPlan { container, size: (plan.width, plan.height), fps: plan.fps, comment };
    let mux = Mux::open(file, partial.path(), path, recipe, &stream)?;
    let convert = Converter::from_rgb(recipe.pixel, plan.width, plan.height, plan.fps)
        .map_err(|e| VideoError::ffmpeg(path, "preparing the colour conversion", e))?;
    Ok(Backend::Stream { mux, convert, partial })
}

fn size_on_disk(path: &Path) -> std::io::Result<u64> {
    let about = fs::metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
