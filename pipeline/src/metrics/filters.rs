//! VIF and VMAF through FFmpeg's filters, where the FFmpeg that is installed has them.

use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use serde::{Deserialize, Serialize};

use super::Pictures;
use crate::video::Fps;
use crate::video::convert::{self, InputFormat, rgb_frame};
use crate::{Error, Result};

/// A filter that compares two clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Visual information fidelity of luma at its finest scale; 1 is equal.
    Vif,
    /// Netflix's VMAF with its default model; 100 is the most. Trained on compressed films: weak evidence here.
    Vmaf,
}

/// What a filter said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filtered {
    /// It ran.
    Known {
        /// Mean of the frames.
        clip: f64,
        /// Every frame, by index.
        frames: Vec<f64>,
    },
    /// It cannot run here.
    Absent {
        /// Why, in words.
        reason: String,
    },
}

impl Filter {
    /// FFmpeg's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vif => "vif",
            Self::Vmaf => "libvmaf",
        }
    }
}

/// Runs a filter on two clips, as luma and chroma by BT.709 at full resolution.
///
/// # Errors
/// Clips of different sizes or lengths; FFmpeg's refusal. A filter that is not there is no error but [`Filtered::Absent`].
pub fn filtered(filter: Filter, clip: &Pictures, reference: &Pictures) -> Result<Filtered> {
    let sizes = |p: &Pictures| (p.width, p.height, p.frames.len());
    if sizes(clip) != sizes(reference) || clip.frames.is_empty() {
        return Err(Error::Compare { expected: reference.extent(), got: clip.extent() });
    }
    crate::video::ffmpeg::start();
    if ffmpeg::filter::find(filter.name()).is_none() {
        let (name, version) = (filter.name(), ffmpeg::util::version());
        let [major, minor] = [version >> 16, version >> 8 & 0xff];
        let reason =
            format!("this FFmpeg (libavutil {major}.{minor}) was built without its filter {name}");
        return Ok(Filtered::Absent { reason });
    }
    let frames = match filter {
        Filter::Vif => vif(clip, reference)?,
        Filter::Vmaf => vmaf(clip, reference)?,
    };
    if frames.len() != clip.frames.len() || frames.iter().any(|value| !value.is_finite()) {
        let reason =
            format!("expected a number for each of {} frames, got {frames:?}", clip.frames.len());
        return Err(unfit(filter, &reason));
    }
    Ok(Filtered::Known { clip: frames.iter().sum::<f64>() / frames.len() as f64, frames })
}

fn unfit(filter: Filter, reason: &impl ToString) -> Error {
    Error::Unreadable {
        what: format!("FFmpeg's filter {}", filter.name()),
        reason: reason.to_string(),
    }
}

/// The figure of each frame from its metadata.
fn vif(clip: &Pictures, reference: &Pictures) -> Result<Vec<f64>> {
    let figure = |frame: &ffmpeg::frame::Video| {
        frame.metadata().get("lavfi.vif.scale.0").and_then(|text| text.parse().ok())
    };
    let frames =
        through("vif", clip, reference, figure).map_err(|error| unfit(Filter::Vif, &error))?;
    Ok(frames.into_iter().flatten().collect())
}

/// The figure of each frame from the log that the filter writes when it ends.
fn vmaf(clip: &Pictures, reference: &Pictures) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder")))?;
    let log = folder.path().join("vmaf.json");
    let path = log.display().to_string();
    // A filter's options are cut at colons, quotes and the like.
    if !path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        let reason = format!("it cannot write to {path}; set TMPDIR to a folder with a plain name");
        return Err(unfit(Filter::Vmaf, &reason));
    }
    let options = format!("libvmaf=log_fmt=json:log_path={path}");
    through(&options, clip, reference, |_| ()).map_err(|error| unfit(Filter::Vmaf, &error))?;
    let text = std::fs::read_to_string(&log).map_err(Error::io(&log))?;
    vmaf_frames(&text).ok_or_else(|| unfit(Filter::Vmaf, &"its log has no frames with a figure"))
}

/// The frames of libvmaf's JSON log.
pub(super) fn vmaf_frames(log: &str) -> Option<Vec<f64>> {
    let log: serde_json::Value = serde_json::from_str(log).ok()?;
    log["frames"].as_array()?.iter().map(|frame| frame["metrics"]["vmaf"].as_f64()).collect()
}

/// Gives both clips to a filter and asks `figure` of each frame that comes out.
fn through<T>(
    filter: &str,
    clip: &Pictures,
    reference: &Pictures,
    figure: impl Fn(&ffmpeg::frame::Video) -> T,
) -> std::result::Result<Vec<T>, ffmpeg::Error> {
    let (width, height) = (clip.width as u32, clip.height as u32);
    let fps = Fps::new(1, 1).ok_or(ffmpeg::Error::Bug)?;
    let input = InputFormat { pixel: Pixel::RGB24, width, height, fps };
    let luma = "scale=in_range=full:out_color_matrix=bt709:out_range=limited,format=yuv444p";
    let chain = format!("[a]{luma}[x];[b]{luma}[y];[x][y]{filter}[out]");
    let mut graph = convert::build(&[("a", input), ("b", input)], &chain)?;
    let mut figures = Vec::new();
    let pairs = clip.frames.iter().zip(&reference.frames);
    for (index, (ours, theirs)) in pairs.enumerate() {
        for (name, rgb) in [("a", ours), ("b", theirs)] {
            let mut frame = rgb_frame(rgb, width, height);
            frame.set_pts(Some(index as i64));
            convert::put(&mut graph, name, &frame)?;
        }
        while let Some(frame) = convert::take(&mut graph)? {
            figures.push(figure(&frame));
        }
    }
    for name in ["a", "b"] {
        convert::end(&mut graph, name)?;
    }
    while let Some(frame) = convert::take(&mut graph)? {
        figures.push(figure(&frame));
    }
    Ok(figures)
}
