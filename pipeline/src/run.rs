//! One clip from request to file: encode text → load → denoise → save latents → decode into the video encoder → receipt.
//!
//! Each phase is a file of its own below. They are tied together here, where it is also decided what stays in memory: the
//! transformer and the decoder do, for the next clip of the same model; text rows do, for the same prompts; the text encoder never.

mod decode;
mod denoise;
mod device;
mod finish;
mod load;
mod partial;
mod record;
mod sink;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

use candle_core::{Device, Tensor};
use tessera_models::folder::ModelFolder;

use crate::engine::{Job, Studio};
use crate::events::{FileRole, Phase, WrittenFile};
use crate::files::FileError;
use crate::history::Strip;
use crate::latents::{self, Description};
use crate::plan::{Extent, Plan, Settled, files};
use crate::receipt::Receipt;
use crate::request::Request;
use crate::resume::Changes;
use crate::{Result, bundled, video};
use decode::Pictures;
use denoise::Ran;

/// Makes one clip.
pub(crate) fn generate(
    studio: &mut Studio,
    job: &mut Job<'_>,
    request: &Request,
) -> Result<Receipt> {
    job.check()?;
    let (folder, plan, settled) = prepare(studio, job, request, Extent::Whole)?;
    finish::check_strict(&plan, &settled)?;
    preflight(&plan, &settled)?;
    record::start(job, &folder, &plan, &settled)?;
    let mut reused = Vec::new();
    let here = (&plan, &settled);
    let rows = device::during(studio, here, Phase::EncodeText, |studio| {
        text::rows(studio, job, &folder, &plan, &settled, &mut reused)
    })?;
    device::during(studio, here, Phase::Load, |studio| {
        load::models(studio, job, &folder, &plan, &settled, true, &mut reused)
    })?;
    let (latents, ran) = device::during(studio, here, Phase::Denoise, |studio| {
        let (latents, ran) = denoise::run(studio, job, &folder, &plan, &settled, &rows)?;
        Ok((latents.to_device(&Device::Cpu)?, ran))
    })?;
    let saved = save(job, &plan, &settled, &latents)?;
    let (receipt, strip) = show(studio, job, &plan, &settled, &latents, (ran, reused))?;
    if !settled.save_latents && std::fs::remove_file(&saved).is_ok() {
        job.removed(&saved);
    }
    finish::keep(studio, job, receipt, strip.as_ref())
}

/// Decodes saved latents again.
pub(crate) fn resume(
    studio: &mut Studio,
    job: &mut Job<'_>,
    path: &Path,
    changes: &Changes,
) -> Result<Receipt> {
    job.check()?;
    let (saved, request) = crate::resume::request(path, changes)?;
    let bytes = std::fs::metadata(path).map(|file| file.len()).unwrap_or_default();
    let denoised = saved.description.as_ref().and_then(|description| description.denoised);
    let what = denoised.map_or(FileRole::Latents, |_| FileRole::PartialLatents);
    job.holds(WrittenFile { what, path: path.to_path_buf(), bytes });
    let (folder, plan, settled) = prepare(studio, job, &request, Extent::Decode)?;
    if let Some(description) = &saved.description
        && description.fingerprint != plan.model.fingerprint
    {
        job.warn(format!(
            "These latents were made by {} with other weights (fingerprint {} against {}); decoding them with {} may not show what they hold.",
            description.model,
            short(&description.fingerprint),
            short(&plan.model.fingerprint),
            plan.model.name
        ));
    }
    if let Some(denoised) = denoised {
        job.warn(format!(
            "These latents are partial: their run was stopped after {denoised}. The clip is what the model had in mind then."
        ));
    }
    check_shape(path, &saved.latents, &plan)?;
    preflight(&plan, &settled)?;
    let mut reused = Vec::new();
    device::during(studio, (&plan, &settled), Phase::Load, |studio| {
        load::models(studio, job, &folder, &plan, &settled, false, &mut reused)
    })?;
    let (receipt, strip) =
        show(studio, job, &plan, &settled, &saved.latents, (Ran::default(), reused))?;
    finish::keep(studio, job, receipt, strip.as_ref())
}

/// Opens the folder, resolves the request, tells the plan and refuses what does not fit.
fn prepare(
    studio: &mut Studio,
    job: &mut Job<'_>,
    request: &Request,
    extent: Extent,
) -> Result<(ModelFolder, Plan, Settled)> {
    if let Some(out) = request.out.as_ref().filter(|out| files::is_written_as_folder(out)) {
        std::fs::create_dir_all(out)
            .map_err(|source| FileError::from_io(out, "creating the folder", source))?;
    }
    let path = request.model.clone().map_or_else(bundled::model, Ok)?;
    let folder = ModelFolder::open(&path)?;
    let mut machine = studio.machine();
    let name = machine.device(request.device.as_deref().unwrap_or("auto"))?;
    if machine.gpu(&name).is_some_and(|gpu| gpu.free_bytes.is_none()) {
        device::opened(&name)?;
        machine = studio.machine();
    }
    let plan = Plan::resolve_for(request, &machine, &studio.rates(), &folder, extent)?;
    job.planned(&plan);
    plan.check_memory()?;
    if let Some(refusal) = &plan.memory.refusal {
        job.warn(format!("Memory is predicted not to do, and that was overridden: {refusal}"));
    }
    let settled = plan.settled()?;
    Ok((folder, plan, settled))
}

/// Finds out before any work whether everything that will be written can be.
fn preflight(plan: &Plan, settled: &Settled) -> Result<()> {
    for file in &plan.files {
        if file.what == FileRole::Latents {
            crate::files::check_writable(crate::files::folder_of(&file.path), file.bytes)?;
        }
    }
    let frames = plan.size.frames as u64;
    video::preflight(&sink::video_plan(plan, settled)?, frames)?;
    if settled.save_frames {
        video::preflight(&sink::frames_plan(plan, settled)?, frames)?;
    }
    Ok(())
}

/// Puts the latents on disk; from here on nothing that fails costs the denoising.
fn save(
    job: &mut Job<'_>,
    plan: &Plan,
    settled: &Settled,
    clip: &Tensor,
) -> Result<std::path::PathBuf> {
    let path = files::latents_of(&settled.out);
    latents::save(&path, clip, &Description::of(plan, settled))?;
    let bytes = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
    job.wrote(FileRole::Latents, &path, bytes);
    Ok(path)
}

/// Latents to finished files, the receipt of the whole, and some frames of it, small.
fn show(
    studio: &mut Studio,
    job: &mut Job<'_>,
    plan: &Plan,
    settled: &Settled,
    clip: &Tensor,
    (ran, reused): (Ran, Vec<String>),
) -> Result<(Receipt, Option<Strip>)> {
    let Pictures { video, strip } =
        device::during(studio, (plan, settled), Phase::Decode, |studio| {
            decode::run(studio, job, plan, settled, clip)
        })?;
    Ok((finish::receipt(studio, job, plan, settled, &video, (ran, reused)), strip))
}

fn check_shape(path: &Path, latents: &Tensor, plan: &Plan) -> Result<()> {
    if latents.dims() == plan.latent_shape {
        return Ok(());
    }
    let reason = format!(
        "expected shape {:?} for {}, got {:?}",
        plan.latent_shape,
        plan.size,
        latents.dims()
    );
    Err(crate::Error::Latents { path: path.into(), reason })
}

/// The first digits of a fingerprint, as people compare them.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}
