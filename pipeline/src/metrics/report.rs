//! Everything that can be said about the distance of one file from another.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Alignment, Fidelity, Filter, Filtered, LatentDistance, Lpips, Pictures, align, fidelity_with,
    filtered, latent_distance, latent_distances,
};
use crate::plan::files::{latents_of, recording_of};
use crate::recording::Recording;
use crate::{Result, latents};

/// How far a clip is from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The clip.
    pub clip: PathBuf,
    /// What it is compared with, the dense run.
    pub reference: PathBuf,
    /// What was done to make them comparable, when that was asked for.
    pub alignment: Option<Alignment>,
    /// The pictures' distance; `None` of two recordings, which hold no pictures.
    pub fidelity: Option<Fidelity>,
    /// Visual information fidelity.
    pub vif: Option<Filtered>,
    /// VMAF.
    pub vmaf: Option<Filtered>,
    /// Why there is no LPIPS; `None` where there is.
    pub lpips_absent: Option<String>,
    /// The latents after each step, where both runs' recordings keep them; after the last, where both latents were saved.
    pub latents: Vec<LatentDistance>,
}

/// Measures the distance of `clip` from `reference`: two videos, or two recordings. Of videos, recordings and saved latents
/// beside both are compared too. `aligned` makes clips of different sizes or lengths comparable; they are refused otherwise.
///
/// # Errors
/// A file that cannot be read; clips or latents that cannot be compared.
pub fn measure(
    clip: &Path,
    reference: &Path,
    aligned: bool,
    lpips: Option<&Lpips>,
) -> Result<Report> {
    let mut report = Report {
        clip: clip.into(),
        reference: reference.into(),
        alignment: None,
        fidelity: None,
        vif: None,
        vmaf: None,
        lpips_absent: None,
        latents: Vec::new(),
    };
    if Recording::is_one(clip) && Recording::is_one(reference) {
        report.latents = latent_distances(&Recording::open(clip)?, &Recording::open(reference)?)?;
        return Ok(report);
    }
    let (mut ours, mut theirs) = (Pictures::read(clip)?, Pictures::read(reference)?);
    if aligned {
        let done;
        (ours, theirs, done) = align(ours, theirs)?;
        report.alignment = Some(done);
    }
    let got = fidelity_with(&ours, &theirs, lpips)?;
    report.lpips_absent = match (lpips, got.lpips) {
        (_, Some(_)) => None,
        (None, None) => {
            Some("no weights were named (--lpips FILE; docs/metrics.md says how to make it)".into())
        }
        (Some(_), None) => Some("its network needs sides of 31 pixels and more".into()),
    };
    report.fidelity = Some(got);
    report.vif = Some(filtered(Filter::Vif, &ours, &theirs)?);
    report.vmaf = Some(filtered(Filter::Vmaf, &ours, &theirs)?);
    report.latents = latents_beside(clip, reference)?;
    Ok(report)
}

/// The latents of two videos' runs, as far as they were kept.
fn latents_beside(clip: &Path, reference: &Path) -> Result<Vec<LatentDistance>> {
    let recordings = [clip, reference].map(recording_of);
    if recordings.iter().all(|path| Recording::is_one(path)) {
        let [ours, theirs] = &recordings;
        let steps = latent_distances(&Recording::open(ours)?, &Recording::open(theirs)?)?;
        if !steps.is_empty() {
            return Ok(steps);
        }
    }
    let saved = [clip, reference].map(latents_of);
    if !saved.iter().all(|path| path.is_file()) {
        return Ok(Vec::new());
    }
    let (ours, theirs) = (latents::read(&saved[0])?, latents::read(&saved[1])?);
    let steps = theirs.description.and_then(|told| told.request.steps).unwrap_or_default();
    Ok(vec![latent_distance(steps as usize, &ours.latents, &theirs.latents)?])
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "distance of {} from {}", self.clip.display(), self.reference.display())?;
        if let Some(done) = &self.alignment {
            tell_alignment(f, done)?;
        }
        if let Some(got) = &self.fidelity {
            self.tell_pictures(f, got)?;
        }
        let four =
            |value: Option<f64>| value.map_or("no number".into(), |value| format!("{value:.4}"));
        for (index, step) in self.latents.iter().enumerate() {
            let name = if index == 0 { "latents" } else { "" };
            let (cosine, l2) = (four(step.cosine), four(step.relative_l2));
            writeln!(f, "  {name:<9} after step {}: cosine {cosine}, relative L2 {l2}", step.step)?;
        }
        if self.latents.is_empty() {
            writeln!(
                f,
                "  latents   absent: both runs must have kept them (--record FILE --record-latents f32)"
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn tell_pictures(&self, f: &mut fmt::Formatter<'_>, got: &Fidelity) -> fmt::Result {
        let worst = got.worst_frame();
        let decibels = |value: f64| {
            if value == f64::INFINITY { "infinite".into() } else { format!("{value:.2} dB") }
        };
        let at = &got.frames[worst.min(got.frames.len() - 1)];
        writeln!(
            f,
            "  PSNR      {:<10} worst frame {worst}: {}",
            decibels(got.psnr),
            decibels(at.psnr)
        )?;
        let rows = [
            ("SSIM", got.ssim, at.ssim, "smaller than its window of 8×8"),
            ("MS-SSIM", got.ms_ssim, at.ms_ssim, "needs sides of 176 pixels and more"),
            ("LPIPS", got.lpips, at.lpips, self.lpips_absent.as_deref().unwrap_or_default()),
        ];
        for (name, clip, frame, absent) in rows {
            match (clip, frame) {
                (Some(clip), Some(frame)) => {
                    writeln!(f, "  {name:<9} {clip:<10.4} worst frame {worst}: {frame:.4}")?;
                }
                _ => writeln!(f, "  {name:<9} absent: {absent}")?,
            }
        }
        if let Some(flicker) = got.flicker {
            writeln!(f, "  flicker   {flicker:+.3} of 255 from frame to frame")?;
        }
        for (name, said) in [("VIF", &self.vif), ("VMAF", &self.vmaf)] {
            match said {
                Some(Filtered::Known { clip, .. }) => writeln!(f, "  {name:<9} {clip:.4}")?,
                Some(Filtered::Absent { reason }) => writeln!(f, "  {name:<9} absent: {reason}")?,
                None => {}
            }
        }
        if let Some(shift) = got.shift {
            let way = if shift.frames > 0 { "late" } else { "early" };
            writeln!(
                f,
                "  shift     the clip is {} frame(s) {way}: {} as it is, {} moved back (--align does that)",
                shift.frames.abs(),
                decibels(shift.psnr_as_it_is),
                decibels(shift.psnr_moved)
            )?;
        }
        Ok(())
    }
}

fn tell_alignment(f: &mut fmt::Formatter<'_>, done: &Alignment) -> fmt::Result {
    if let Some((width, height)) = done.resampled_from {
        writeln!(f, "  aligned   resampled from {width}×{height} to the reference's size")?;
    }
    if done.moved != 0 {
        writeln!(f, "  aligned   moved back by {} frame(s)", done.moved)?;
    }
    let left_out = [done.clip_frames_left_out, done.reference_frames_left_out];
    if left_out != [0, 0] {
        let [clip, reference] = left_out;
        writeln!(
            f,
            "  aligned   left out {clip} frame(s) of the clip and {reference} of the reference"
        )?;
    }
    Ok(())
}
