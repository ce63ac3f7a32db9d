//! Weights into memory, unless they are there from the job before.

use tessera_kernels::gpu;
use tessera_models::cost::decoder_weight_bytes;
use tessera_models::folder::ModelFolder;
use tessera_models::wan::{WanDecoder, WanTransformer};

use crate::Result;
use crate::engine::{Job, Studio};
use crate::events::Phase;
use crate::machine::dtype_name;
use crate::plan::{Plan, Settled};

/// Progress parts of this phase.
const PARTS: u64 = 1000;

/// Loads the decoder and, when asked, the transformer; a model that is resident is used again.
pub(super) fn models(
    studio: &mut Studio,
    job: &mut Job<'_>,
    folder: &ModelFolder,
    plan: &Plan,
    settled: &Settled,
    with_transformer: bool,
    reused: &mut Vec<String>,
) -> Result<()> {
    job.start(Phase::Load, PARTS);
    let seat = studio.seat(&plan.model.fingerprint, &settled.device)?;
    gpu::forget_peak(&seat.device);
    let parts = Shares::of(folder, with_transformer);
    let (dtype, vae_dtype) = (dtype_name(settled.dtype), dtype_name(settled.vae_dtype));
    let mut is_all_there = true;
    if seat.decoder.as_ref().is_some_and(|(format, _)| format == vae_dtype) {
        reused.push("VAE".into());
    } else {
        is_all_there = false;
        seat.decoder = None;
        let decoder = WanDecoder::load(
            folder,
            settled.vae_dtype,
            &seat.device,
            &mut job.watch(0, parts.decoder),
        )?;
        seat.decoder = Some((vae_dtype.into(), decoder));
    }
    if with_transformer {
        if seat.transformer.as_ref().is_some_and(|(format, _)| format == dtype) {
            reused.push("transformer".into());
        } else {
            is_all_there = false;
            seat.transformer = None;
            let mut watch = job.watch(parts.decoder, parts.transformer);
            let transformer =
                WanTransformer::load(folder, settled.dtype, &seat.device, &mut watch)?;
            seat.transformer = Some((dtype.into(), transformer));
        }
    }
    let transformer =
        seat.transformer.as_ref().map_or(0, |(_, transformer)| transformer.bytes() as u64);
    seat.bytes = transformer + decoder_weight_bytes(folder.vae_config(), settled.vae_dtype);
    if is_all_there {
        job.skip();
    }
    job.finish();
    Ok(())
}

/// How the phase's progress is divided, by bytes on disk.
struct Shares {
    decoder: u64,
    transformer: u64,
}

impl Shares {
    fn of(folder: &ModelFolder, with_transformer: bool) -> Self {
        let inspection = folder.inspect();
        let bytes = |name: &str| {
            inspection.parts.iter().find(|part| part.component == name).map_or(0, |part| part.bytes)
        };
        let transformer = if with_transformer { bytes("transformer") } else { 0 };
        let all = (transformer + bytes("vae")).max(1);
        let decoder = PARTS * bytes("vae") / all;
        Self { decoder, transformer: PARTS - decoder }
    }
}
