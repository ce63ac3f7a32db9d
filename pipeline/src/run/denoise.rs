//! Noise to latents: each step is one forward with the prompt, one with the negative prompt when guided, and the sampler's sum.
//!
//! With v_c and v_u the two velocities and g the guidance, v = v_u + g·(v_c − v_u); latents and sums are F32 throughout. The
//! velocity of every step must be finite: broken weights are told at the first step, not by a black clip at the end. A run
//! that ends in between keeps what its last finished step saw.

use std::time::Instant;

use candle_core::{Device, Tensor};
use tessera_models::attention::{Branch, SelfAttention};
use tessera_models::finite::is_finite;
use tessera_models::folder::ModelFolder;
use tessera_models::guidance::combine;
use tessera_models::text::TextRows;

use super::device;
use super::partial::{self, Finished};
use crate::attention::{self, Subject};
use crate::engine::{Job, Studio};
use crate::events::{EventKind, JobId, Phase};
use crate::latents::Denoised;
use crate::plan::{Plan, Settled};
use crate::preview::{Preview, Projection};
use crate::receipt::{AttentionCall, AttentionUse};
use crate::sparsity::tally::Tally;
use crate::{Error, Result, latents, noise};

/// The denoised latents `[1, C, T, h, w]` F32 on the device, and what attention did for them.
pub(super) fn run(
    studio: &Studio,
    job: &mut Job<'_>,
    folder: &ModelFolder,
    plan: &Plan,
    settled: &Settled,
    rows: &[TextRows],
) -> Result<(Tensor, Ran)> {
    let missing = || Error::Thread("the model was not loaded before denoising".into());
    let seat = studio.resident.as_ref().ok_or_else(missing)?;
    let (_, transformer) = seat.transformer.as_ref().ok_or_else(missing)?;
    let layers = transformer.config().num_layers as u64;
    job.start(Phase::Denoise, plan.forwards * layers);

    let mut sampler = settled.sampler.build(
        folder.scheduler_config(),
        settled.steps,
        Some(settled.flow_shift),
    )?;
    let timesteps = sampler.timesteps().to_vec();
    let sigmas = sampler.sigmas().to_vec();
    let modulations = transformer.prepare_steps(&timesteps)?;
    let contexts = rows
        .iter()
        .map(|rows| transformer.prepare_text(rows))
        .collect::<tessera_models::Result<Vec<_>>>()?;
    let branches: Vec<_> = [Branch::Cond, Branch::Uncond].into_iter().zip(&contexts).collect();
    let mut sample = start(settled, plan.latent_shape, &seat.device)?;
    let sequence = transformer.sequence(plan.grid);
    let fingerprint = &plan.model.fingerprint;
    let subject = Subject { fingerprint, sequence, sigmas: &sigmas[..timesteps.len()] };
    let mut attention = attention::build(&plan.request, &subject)?;
    if let Some(recorder) = job.recorder() {
        attention = attention.observed(Box::new(recorder.capture()));
    }
    attention.begin_clip(&sequence)?;

    let projection = Projection::of(&folder.vae_config().latents_mean);
    let of = timesteps.len();
    let mut last = None;
    let steps = |job: &mut Job<'_>| -> Result<Tensor> {
        let mut forwards = 0;
        for (index, modulation) in modulations.iter().enumerate() {
            job.rest()?;
            let started = Instant::now();
            if let Some(recorder) = job.recorder() {
                recorder.latents(index, &sample);
            }
            attention.begin_step(index, of, sigmas[index])?;
            let mut velocities = Vec::with_capacity(branches.len());
            for (branch, context) in &branches {
                let mut watch = job.watch(forwards * layers, layers);
                velocities.push(transformer.forward(
                    &sample,
                    modulation,
                    context,
                    *branch,
                    &mut attention,
                    &mut watch,
                )?);
                forwards += 1;
            }
            let velocity = match velocities.as_slice() {
                [cond, uncond] => combine(cond, uncond, settled.guidance)?,
                [only] => only.clone(),
                _ => return Err(missing()),
            };
            if !is_finite(&velocity)? {
                return Err(not_finite(index));
            }
            let next = sampler.step(&velocity, &sample)?;
            let seen = std::mem::replace(&mut sample, next);
            let steps = Denoised { steps: index + 1, of };
            let finished = last.insert(Finished::new(&seen, &velocity, sigmas[index], steps)?);
            for news in attention.tally().news() {
                job.warn(news);
            }
            job.tell(EventKind::Step {
                index: index as u64,
                of: of as u64,
                sigma: sigmas[index],
                next_sigma: sigmas[index + 1],
                elapsed_ms: started.elapsed().as_millis() as u64,
            });
            if let Some(projection) = &projection {
                match projection.rgb(finished.clip()) {
                    Ok(rgb) => job.preview(|job| preview(job, steps, plan, rgb)),
                    // Nobody loses a clip because it could not be watched.
                    Err(error) => tracing::warn!("no preview of step {index}: {error}"),
                }
            }
            job.check_recording();
        }
        Ok(sample)
    };
    let sample = steps(job).inspect_err(|_| {
        if let Some(last) = &last {
            partial::keep(job, plan, settled, last);
        }
    })?;
    if let Some(recorder) = job.recorder() {
        recorder.latents(of, &sample);
    }
    job.ran(device::kernels("transformer", layers, &settled.device));
    let ran = ran(attention.tally(), plan, settled);
    if let Some(work) = ran.work {
        job.worked(work);
    }
    if let Some(missed) = &ran.missed {
        job.warn(missed.clone());
    }
    job.finish();
    Ok((sample, ran))
}

fn preview(job: JobId, denoised: Denoised, plan: &Plan, rgb: Vec<u8>) -> Preview {
    let [_, _, frames, height, width] = plan.latent_shape;
    let (step, of) = (denoised.steps as u64 - 1, denoised.of as u64);
    Preview { job, step, of, frames, width, height, rgb: rgb.into() }
}

/// What attention did, for the receipt.
#[derive(Default)]
pub(super) struct Ran {
    /// By ranges.
    pub(super) attention: Vec<AttentionUse>,
    /// Call by call.
    pub(super) calls: Vec<AttentionCall>,
    /// What did not run as asked.
    pub(super) fallbacks: Vec<String>,
    /// FLOPs that were really done, where the plan could only expect them.
    work: Option<f64>,
    /// What to say of a density that was not met.
    missed: Option<String>,
}

fn ran(tally: &Tally, plan: &Plan, settled: &Settled) -> Ran {
    let planned = plan.attention.as_ref().zip(plan.phase(Phase::Denoise));
    let density = tally.density().unwrap_or(1.0);
    Ran {
        attention: tally.summary(&settled.attention),
        calls: tally.calls().to_vec(),
        fallbacks: tally.fallbacks(),
        work: planned.map(|(attention, phase)| {
            phase.work + (density - attention.work_share) * attention.dense_work
        }),
        missed: plan.request.density.and_then(|wanted| tally.missed(wanted)),
    }
}

fn not_finite(step: usize) -> Error {
    let what = "the transformer's velocity (its weights are damaged, or do not fit the number format: try dtype f32)";
    tessera_models::Error::NotFinite { what: what.into(), step: Some(step) }.into()
}

/// Where the clip starts: noise from the seed, or the tensor of a file.
fn start(settled: &Settled, shape: [usize; 5], device: &Device) -> Result<Tensor> {
    let tensor = match &settled.initial_latents {
        Some(path) => latents::read(path)?.latents,
        None => Tensor::from_vec(
            noise::torch_randn(settled.seed, &shape),
            shape.to_vec(),
            &Device::Cpu,
        )?,
    };
    Ok(tensor.to_device(device)?)
}
