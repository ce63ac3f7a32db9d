//! Frames side by side: of each prompt and seed the dense one and the arms', where the arms are farthest from it.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::html::escaped;
use crate::statistics::median;
use crate::sweep::cell::Cell;
use crate::sweep::cells::Role;
use crate::sweep::maker::small_jpeg;
use crate::sweep::results::Results;
use crate::sweep::summary::Summary;
use crate::video::Decoder;
use crate::{Error, Result};

/// Prompts and seeds that are shown at most.
const MOST_STRIPS: usize = 8;
/// Arms in a strip at most; those on the front come first.
const MOST_ARMS: usize = 8;
/// Pixels of a picture's longer side.
const SIDE: u32 = 136;
/// JPEG quality.
const QUALITY: u8 = 75;

/// Writes the strips.
pub(super) fn strips(body: &mut String, results: &Results, summary: &Summary) -> Result<()> {
    let mut shown: Vec<&str> = Vec::new();
    for best in [true, false] {
        let rows =
            summary.rows.iter().filter(|row| row.role == Role::Compared && row.on_front == best);
        shown.extend(rows.map(|row| row.arm.as_str()));
    }
    shown.truncate(MOST_ARMS);
    shown.sort_by_key(|arm| summary.rows.iter().position(|row| row.arm == *arm));

    let references: Vec<&Cell> = results
        .cells()
        .filter(|cell| cell.role == Role::Reference && cell.made().is_some())
        .collect();
    let step = references.len().div_ceil(MOST_STRIPS).max(1);
    body.push_str("<h2>Pictures</h2>\n");
    let _ = writeln!(
        body,
        "<p class=note>One frame of {} prompts and seeds: the one in which the arms, by their median, are farthest from the dense clip.</p>",
        references.iter().step_by(step).count()
    );
    for dense in references.into_iter().step_by(step) {
        strip(body, results, dense, &shown)?;
    }
    Ok(())
}

fn strip(body: &mut String, results: &Results, dense: &Cell, shown: &[&str]) -> Result<()> {
    let arms: Vec<&Cell> = shown
        .iter()
        .filter_map(|arm| results.of_arm(arm).find(|cell| cell.reference == dense.key))
        .filter(|cell| cell.made().is_some())
        .collect();
    let Some(index) = worst_frame(&arms) else { return Ok(()) };
    let _ = writeln!(
        body,
        "<h3>“{}”, seed {}, frame {index}</h3>\n<div class=strip>",
        escaped(&dense.prompt),
        dense.seed
    );
    figure(body, results, dense, index, &dense.arm)?;
    for cell in arms {
        let ssim = cell.made().and_then(|made| made.fidelity.as_ref()?.frames.get(index)?.ssim);
        let ssim = ssim.map_or(String::new(), |ssim| format!(": SSIM {ssim:.4}"));
        figure(body, results, cell, index, &format!("{}{ssim}", cell.arm))?;
    }
    body.push_str("</div>\n");
    Ok(())
}

/// The frame of the lowest median SSIM over the clips, or PSNR where frames are too small for that.
fn worst_frame(arms: &[&Cell]) -> Option<usize> {
    let fidelities: Vec<_> =
        arms.iter().filter_map(|cell| cell.made()?.fidelity.as_ref()).collect();
    let frames = fidelities.iter().map(|fidelity| fidelity.frames.len()).min()?;
    let score = |index: usize| {
        let of = |frame: &crate::metrics::FrameFidelity| frame.ssim.unwrap_or(frame.psnr);
        let values: Vec<f64> =
            fidelities.iter().map(|fidelity| of(&fidelity.frames[index])).collect();
        median(&values).unwrap_or(f64::INFINITY)
    };
    (0..frames).min_by(|a, b| score(*a).total_cmp(&score(*b)))
}

fn figure(
    body: &mut String,
    results: &Results,
    cell: &Cell,
    index: usize,
    caption: &str,
) -> Result<()> {
    let caption = escaped(caption);
    let Some(made) = cell.made() else { return Ok(()) };
    let path = results.file(&made.master);
    // Masters are large and may have been tidied away; the figures are still worth a report.
    let picture = if path.is_file() { Some(frame_of(&path, index)?) } else { None };
    let image = picture.map_or_else(
        || "<p class=note>its master is gone</p>".into(),
        |jpeg| {
            format!(
                "<img alt=\"{caption}\" src=\"data:image/jpeg;base64,{}\">",
                STANDARD.encode(jpeg)
            )
        },
    );
    let _ = writeln!(body, "<figure>{image}<figcaption>{caption}</figcaption></figure>");
    Ok(())
}

/// One frame of a master, small.
fn frame_of(path: &Path, index: usize) -> Result<Vec<u8>> {
    let frame = Decoder::open(path)?.nth(index).ok_or_else(|| Error::Unreadable {
        what: path.display().to_string(),
        reason: format!("expected a frame {index}, got the end of the video"),
    })??;
    small_jpeg(&frame.rgb, (frame.width as usize, frame.height as usize), SIDE, QUALITY)
}
