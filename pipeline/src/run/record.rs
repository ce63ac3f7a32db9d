//! The beginning of a recording: what the run is, told before its first step.

use tessera_kernels::blocks::{KEY_BLOCK, QUERY_BLOCK};
use tessera_models::folder::ModelFolder;

use crate::Result;
use crate::capture::{Options, Recorder};
use crate::engine::Job;
use crate::events::EventKind;
use crate::plan::{Plan, Settled, sequence};
use crate::receipt::program;
use crate::recording::Meta;

/// Begins the recording that the request asks for, if it does.
pub(super) fn start(
    job: &mut Job<'_>,
    folder: &ModelFolder,
    plan: &Plan,
    settled: &Settled,
) -> Result<()> {
    let sequence = sequence(folder, plan.grid);
    let (Some(target), Some(capture)) = (&settled.record, Options::of(&plan.request, &sequence)?)
    else {
        return Ok(());
    };
    let sampler = settled.sampler.build(
        folder.scheduler_config(),
        settled.steps,
        Some(settled.flow_shift),
    )?;
    let meta = Meta {
        program: program(),
        request: plan.request.clone(),
        model: plan.model.clone(),
        size: plan.size,
        latent_shape: plan.latent_shape,
        grid: plan.grid,
        text_tokens: sequence.text_tokens,
        heads: sequence.heads,
        layers: sequence.layers,
        blocks: [QUERY_BLOCK, KEY_BLOCK],
        sigmas: sampler.sigmas().to_vec(),
        timesteps: sampler.timesteps().to_vec(),
        is_guided: settled.is_guided(),
        capture,
    };
    let recorder = Recorder::start(target, meta)?;
    recorder.event(&EventKind::Planned { plan: Box::new(plan.clone()) });
    job.record(recorder);
    Ok(())
}
