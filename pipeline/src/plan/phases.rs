//! Work, peak memory and time of each phase.

use tessera_models::folder::ModelFolder;

use super::rates::{Conditions, Rates, guess, with_method};
use super::{Extent, PlannedAttention, PlannedPhase, Settled, cost, memory};
use crate::events::Phase;
use crate::machine::{Machine, dtype_name};

/// The phases that will run, in their order.
pub(super) fn predict(
    folder: &ModelFolder,
    settled: &Settled,
    clip: &cost::Clip,
    (attention, extent): (Option<&PlannedAttention>, Extent),
    (machine, rates): (&Machine, &Rates),
) -> Vec<PlannedPhase> {
    let work = cost::work(folder, clip);
    let mut bytes = cost::bytes(folder, clip);
    bytes.denoise += attention.map_or(0, PlannedAttention::peak_bytes);
    let mut on_disk = bytes_on_disk(folder, "vae");
    match extent {
        Extent::Whole => on_disk += bytes_on_disk(folder, "transformer"),
        Extent::Decode => bytes.transformer = 0,
    }
    let peaks = memory::peaks(&bytes, settled);
    let pixels = (settled.size.width * settled.size.height * settled.size.frames) as f64;
    let of_phase = |phase, work: f64, peak_bytes, dtype| {
        let now = Conditions {
            device: settled.device.clone(),
            dtype: dtype_name(dtype).into(),
            kernels: machine.kernels.clone(),
            fingerprint: folder.fingerprint().into(),
        };
        // A sparse method has a speed of its own; until it is known, the dense one is a better guess than none.
        let sparse = attention.filter(|_| phase == Phase::Denoise).map(|attention| Conditions {
            kernels: with_method(&now.kernels, Some(&attention.method)),
            ..now.clone()
        });
        let measured = rates.measured(phase, sparse.as_ref().unwrap_or(&now), work);
        let dense = || rates.measured(phase, &now, work);
        let rate = measured.or_else(dense).unwrap_or_else(|| guess(phase, &now, machine.cores));
        let (seconds, is_measured) = (work / rate, measured.is_some());
        PlannedPhase { phase, work, peak_bytes, seconds, is_measured }
    };
    let (dtype, vae_dtype) = (settled.dtype, settled.vae_dtype);
    let mut phases = vec![
        of_phase(Phase::EncodeText, work.encode_text, peaks.encode_text, dtype),
        of_phase(Phase::Load, on_disk, peaks.load, dtype),
        of_phase(Phase::Denoise, work.denoise, peaks.denoise, dtype),
        of_phase(Phase::Decode, work.decode, peaks.decode, vae_dtype),
        of_phase(Phase::EncodeVideo, pixels, peaks.encode_video, vae_dtype),
    ];
    if extent == Extent::Decode {
        phases.retain(|phase| !matches!(phase.phase, Phase::EncodeText | Phase::Denoise));
    }
    phases
}

fn bytes_on_disk(folder: &ModelFolder, component: &str) -> f64 {
    let parts = folder.inspect().parts;
    parts.iter().find(|part| part.component == component).map_or(0.0, |part| part.bytes as f64)
}
