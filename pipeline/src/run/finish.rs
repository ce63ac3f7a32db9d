//! The end of a clip: receipt, sidecar, history.

use tessera_kernels::cpu::level;
use tessera_kernels::gpu;

use super::denoise::Ran;
use super::device;
use crate::engine::{Job, Studio};
use crate::events::{EventKind, FileRole};
use crate::history::Strip;
use crate::machine::dtype_name;
use crate::plan::{Plan, Settled, files};
use crate::receipt::{self, KernelUse, RanOn, Receipt, VideoFacts, peak_memory};
use crate::video::VideoFile;
use crate::{Error, Result};

/// What ran.
pub(super) fn receipt(
    studio: &Studio,
    job: &Job<'_>,
    plan: &Plan,
    settled: &Settled,
    video: &VideoFile,
    (ran, reused): (Ran, Vec<String>),
) -> Receipt {
    let ran_on = RanOn {
        device: settled.device.clone(),
        dtype: dtype_name(settled.dtype).into(),
        vae_dtype: dtype_name(settled.vae_dtype).into(),
        kernels: level().name().into(),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        gpu: plan.gpu.as_ref().map(|gpu| gpu.name.clone()),
    };
    let layers = studio
        .resident
        .as_ref()
        .and_then(|resident| resident.transformer.as_ref())
        .map_or(0, |(_, transformer)| transformer.config().num_layers as u64);
    Receipt {
        version: receipt::VERSION,
        program: receipt::program(),
        request: plan.request.clone(),
        model: plan.model.clone(),
        size: plan.size,
        latent_shape: plan.latent_shape,
        grid: plan.grid,
        prompt_tokens: plan.prompt_tokens,
        negative_tokens: plan.negative_tokens,
        kernels: if settled.device == "cpu" {
            kernels(&ran_on, if ran.attention.is_empty() { 0 } else { layers })
        } else {
            job.kernels().to_vec()
        },
        ran_on,
        attention: ran.attention,
        sparsity: plan.attention.clone(),
        calls: ran.calls,
        phases: job.times(),
        peak_memory_bytes: peak_memory(),
        peak_device_bytes: studio.resident.as_ref().and_then(|seat| gpu::peak_bytes(&seat.device)),
        planned_peak_bytes: plan.memory.peak_bytes,
        reused,
        fallbacks: fallbacks(settled)
            .into_iter()
            .chain(device::fallbacks(job.kernels(), &settled.device))
            .chain(ran.fallbacks)
            .collect(),
        warnings: job.warnings(),
        video: VideoFacts {
            codec: video.codec.name().into(),
            encoder: video.encoder.into(),
            pixel_format: video.pixel_format.clone(),
            frames: video.frames,
        },
        files: Vec::new(),
    }
}

/// Writes the sidecar and the history's row. A failing history is a warning, never the job's failure.
pub(super) fn keep(
    studio: &Studio,
    job: &mut Job<'_>,
    mut receipt: Receipt,
    strip: Option<&Strip>,
) -> Result<Receipt> {
    receipt.files = job.files();
    job.end_recording(&EventKind::Finished { receipt: Box::new(receipt.clone()) });
    receipt.files = job.files();
    receipt.warnings = job.warnings();
    let video = receipt
        .files
        .iter()
        .find(|file| file.what == FileRole::Video)
        .map(|file| file.path.clone());
    if let Some(video) = video {
        let sidecar = files::sidecar_of(&video);
        receipt.save(&sidecar)?;
        let bytes = std::fs::metadata(&sidecar).map(|file| file.len()).unwrap_or_default();
        job.wrote(FileRole::Sidecar, &sidecar, bytes);
        receipt.files = job.files();
    }
    let recorded = studio.history().map(|history| {
        let mut history = history?;
        if let Some(told) = history.told() {
            job.warn(told);
        }
        history.add(&receipt, strip)
    });
    if let Some(Err(error)) = recorded {
        job.warn(format!("This run is not in the history: {error}."));
    }
    Ok(receipt)
}

/// The CPU's kernels of each part.
fn kernels(ran_on: &RanOn, layers: u64) -> Vec<KernelUse> {
    let of = |part: &str, layers: u64, kernel: &str, dtype: &str| KernelUse {
        part: part.into(),
        layers: [0, layers],
        kernel: kernel.into(),
        variant: format!("cpu/{}/{dtype}", ran_on.kernels),
        calls: None,
    };
    let mut all = Vec::new();
    if layers > 0 {
        for kernel in ["linear", "attention", "norm", "rope"] {
            all.push(of("transformer", layers, kernel, &ran_on.dtype));
        }
    }
    for kernel in ["conv", "channel_norm", "attention"] {
        all.push(of("vae", 1, kernel, &ran_on.vae_dtype));
    }
    all
}

/// Refuses a sparse run that is strict where other kernels than the best would run: that is known before anything runs.
pub(super) fn check_strict(plan: &Plan, settled: &Settled) -> Result<()> {
    let is_strict = plan.attention.is_some() && plan.request.strict.unwrap_or(false);
    let no_kernel = plan
        .gpu
        .as_ref()
        .filter(|gpu| gpu.attention.iter().all(|head| head.kernel.is_none()))
        .map(|gpu| {
            format!("{} has no attention kernel of ours: candle's operations would run.", gpu.name)
        });
    match fallbacks(settled).into_iter().chain(no_kernel).next().filter(|_| is_strict) {
        Some(what) => {
            let what = what.trim_end_matches('.').to_owned();
            Err(Error::Fallback { place: "every call".into(), what })
        }
        None => Ok(()),
    }
}

/// What did not run as it should.
fn fallbacks(settled: &Settled) -> Vec<String> {
    let mut all = Vec::new();
    if settled.device == "cpu" && level() == tessera_kernels::cpu::Level::Reference {
        all.push(
            "The CPU ran the reference kernels, which are slow (TESSERA_KERNELS lowers the level)."
                .into(),
        );
    }
    all
}
