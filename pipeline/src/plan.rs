//! What a request means on this machine: every default filled in, sizes checked, tokens, FLOPs, memory and time predicted, files
//! named. A plan is made without reading a single weight, so it can be shown before anything is spent.

mod again;
mod attention;
pub mod cost;
pub mod defaults;
mod display;
pub mod files;
mod memory;
mod phases;
pub mod rates;
mod settled;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tessera_kernels::blocks::{Blocks, KEY_BLOCK};
use tessera_models::attention::Sequence;
use tessera_models::folder::ModelFolder;
use tessera_models::geometry::{Geometry, Grid, Size};
use tessera_models::text;

use crate::events::{FileRole, Phase};
use crate::machine::{Gpu, Machine, dtype_name};
use crate::request::{self, Request};
use crate::settings::{self, Preset, Problem};
use crate::sparsity::options;
use crate::{Error, Result, bundled, capture, latents, tokenizer};
pub use again::full_steps;
pub use attention::PlannedAttention;
pub use files::PlannedFile;
pub(crate) use memory::bytes;
pub use memory::{MemoryPlan, Refusal};
use rates::Rates;
pub use settled::Settled;

/// A request resolved for one clip on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The request with every default filled in.
    pub request: Request,
    /// Which model.
    pub model: PlannedModel,
    /// Pixels and frames.
    pub size: Size,
    /// How long the clip plays.
    pub seconds: f64,
    /// `[1, C, T, h, w]` of the latents.
    pub latent_shape: [usize; 5],
    /// The GPU that it runs on; `None` on the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// The video tokens.
    pub grid: Grid,
    /// Their number.
    pub tokens: usize,
    /// Text tokens of the prompt, its end mark included.
    pub prompt_tokens: usize,
    /// Text tokens of the negative prompt; `None` without guidance.
    pub negative_tokens: Option<usize>,
    /// Words of the prompt and of the negative prompt that the model reads, where it does not read all.
    #[serde(default, skip_serializing_if = "is_all_read")]
    pub words_read: [Option<usize>; 2],
    /// Forwards of the transformer.
    pub forwards: u64,
    /// What attention leaves out; `None` when it is dense, or nothing is denoised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<PlannedAttention>,
    /// Work, peak memory and time by phase, in their order.
    pub phases: Vec<PlannedPhase>,
    /// Whether it fits.
    pub memory: MemoryPlan,
    /// What will be on disk.
    pub files: Vec<PlannedFile>,
    /// What a person should know before it starts.
    pub warnings: Vec<String>,
}

fn is_all_read(words: &[Option<usize>; 2]) -> bool {
    words.iter().all(Option::is_none)
}

/// The model of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedModel {
    /// The folder's name; `toybox` for the bundled one.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// Which weights: a hash of configs, tensor headers, sizes and sampled bytes.
    pub fingerprint: String,
    /// Numbers in all weights.
    pub parameters: u64,
}

/// A phase as predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedPhase {
    /// Which.
    pub phase: Phase,
    /// FLOPs; for loading bytes, for encoding the video pixels.
    pub work: f64,
    /// Bytes alive at its worst moment.
    pub peak_bytes: u64,
    /// Wall time.
    pub seconds: f64,
    /// Whether the time rests on earlier runs here; otherwise it is a guess.
    pub is_measured: bool,
}

/// How much of a run is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// From the prompt to the file.
    Whole,
    /// From saved latents to the file.
    Decode,
}

impl Plan {
    /// Resolves a request; times are guesses. See [`Plan::resolve_with`].
    pub fn resolve(request: &Request, machine: &Machine) -> Result<Self> {
        Self::resolve_with(request, machine, &Rates::default())
    }

    /// Resolves a request with the speeds measured so far.
    ///
    /// A clip that does not fit into memory is resolved all the same, so that it can be shown; [`Plan::check_memory`] refuses it.
    pub fn resolve_with(request: &Request, machine: &Machine, rates: &Rates) -> Result<Self> {
        let path = request.model.clone().map_or_else(bundled::model, Ok)?;
        let problems = settings::validate(request);
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let folder = ModelFolder::open(&path)?;
        Self::resolve_for(request, machine, rates, &folder, Extent::Whole)
    }

    /// As [`Plan::resolve_with`], for a folder that is open already and for the part of the run that is wanted.
    pub fn resolve_for(
        request: &Request,
        machine: &Machine,
        rates: &Rates,
        folder: &ModelFolder,
        extent: Extent,
    ) -> Result<Self> {
        let mut problems = settings::validate(request);
        if request.count.is_some_and(|count| count > 1) {
            problems.push(Problem::new(
                "count",
                "1 (a job is one clip; Request::variations splits)",
                request.count.unwrap_or(1),
            ));
        }
        let mut request = fill(request, machine, folder)?;
        let size = size_of(&request);
        problems.extend(size_problems(folder, size));
        let layers = folder.transformer_config().num_layers;
        if extent == Extent::Whole {
            problems.extend(options::fill(&mut request, layers).err().unwrap_or_default());
        }
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let mut warnings = machine.warnings.clone();
        warnings.extend(unknown_keys(&request));
        warnings.extend(capture::idle(&request));
        let named = request.out.is_some();
        files::settle_output(&mut request)?;
        if extent == Extent::Whole {
            files::settle_recording(&mut request);
        }
        let settled = Settled::new(&request)?;
        let geometry = Geometry::new(folder.transformer_config(), folder.vae_config())?;
        let latent_shape = geometry.latent_shape(size)?;
        let grid = geometry.grid(size)?;
        check_initial(&settled, latent_shape)?;

        let tokenizer = tokenizer::of(folder)?;
        let mut words_read = [None; 2];
        let mut count = |index: usize, words: &str| -> Result<usize> {
            let what = ["prompt", "negative prompt"][index];
            let cleaned = text::clean(words);
            let tokens = tokenizer.encode(&cleaned)?;
            if tokens.truncated {
                words_read[index] = Some(cleaned[..tokens.seen_bytes].split_whitespace().count());
                warnings.push(format!(
                    "The {what} has {} tokens and the model reads {}: the last {} are not seen.",
                    tokens.ids.len() + tokens.dropped,
                    tokens.ids.len(),
                    tokens.dropped
                ));
            }
            Ok(tokens.ids.len())
        };
        let prompt_tokens = count(0, &settled.prompt)?;
        let negative_tokens =
            if settled.is_guided() { Some(count(1, &settled.negative)?) } else { None };
        if !settled.is_guided() && !settled.negative.is_empty() {
            warnings.push(
                "The negative prompt acts only with guidance above 1; it is not used.".into(),
            );
        }
        let forwards = settled.steps as u64 * if settled.is_guided() { 2 } else { 1 };
        let attention = match extent {
            Extent::Whole => attention::planned(folder, (&request, &settled), grid, forwards)?,
            Extent::Decode => None,
        };
        match &attention {
            Some(attention) => warnings.extend(attention.warning()),
            None => warnings.extend(attention::idle(&request)),
        }
        let clip = cost::Clip {
            attention: attention.as_ref().map_or(1.0, PlannedAttention::total_share),
            grid,
            latent: [latent_shape[2], latent_shape[3], latent_shape[4]],
            text: [prompt_tokens, negative_tokens.unwrap_or(0)],
            steps: settled.steps,
            dtype: settled.dtype,
            vae_dtype: settled.vae_dtype,
            is_gpu: settled.device != "cpu",
        };
        let inspection = folder.inspect();
        let model = PlannedModel {
            name: if bundled::is_bundled(folder.path()) { "toybox".into() } else { folder.name() },
            path: folder.path().to_path_buf(),
            fingerprint: folder.fingerprint().to_owned(),
            parameters: inspection.parameters,
        };
        let what = (attention.as_ref(), extent);
        let phases = phases::predict(folder, &settled, &clip, what, (machine, rates));
        let mut files = files::planned(&settled, latent_shape);
        if extent == Extent::Decode {
            files.retain(|file| file.what != FileRole::Latents);
        }
        if let Some(capture) = capture::Options::of(&request, &sequence(folder, grid))? {
            let bytes = capture.predicted_bytes(&sequence(folder, grid), forwards, latent_shape);
            let path = settled.record.clone().unwrap_or_default();
            files.push(PlannedFile { what: FileRole::Recording, path, bytes });
        }
        let replaced = [named.then_some(&settled.out), settled.record.as_ref()];
        for path in replaced.into_iter().flatten().filter(|path| path.is_file()) {
            warnings.push(format!("{} exists and will be replaced.", path.display()));
        }
        let memory = MemoryPlan::new(&phases, machine, &settled);
        Ok(Self {
            seconds: size.frames as f64 / settled.fps.as_f64(),
            gpu: machine.gpu(&settled.device).cloned(),
            tokens: grid.tokens(),
            request,
            model,
            size,
            latent_shape,
            grid,
            prompt_tokens,
            words_read,
            negative_tokens,
            forwards,
            attention,
            phases,
            memory,
            files,
            warnings,
        })
    }

    /// The settings as the types that a run works with.
    pub fn settled(&self) -> Result<Settled> {
        Settled::new(&self.request)
    }

    /// Blocks that attention divides the tokens into, as rows of queries and columns of keys.
    pub fn blocks(&self) -> [usize; 2] {
        let blocks = Blocks::of(self.tokens);
        [blocks.rows(), blocks.columns()]
    }

    /// Tokens that the last column of blocks lacks; the operator counts only real ones.
    pub fn padding(&self) -> usize {
        self.blocks()[1] * KEY_BLOCK - self.tokens
    }

    /// Refuses a plan that needs more memory than there is, unless the request overrides it.
    pub fn check_memory(&self) -> Result<()> {
        match &self.memory.refusal {
            Some(refusal) if !self.request.override_memory.unwrap_or(false) => {
                Err(Error::Memory(Box::new(refusal.clone())))
            }
            _ => Ok(()),
        }
    }

    /// The prediction of one phase.
    pub fn phase(&self, phase: Phase) -> Option<&PlannedPhase> {
        self.phases.iter().find(|planned| planned.phase == phase)
    }

    /// Predicted wall time of the whole job.
    pub fn total_seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

/// The table's preset, where it is a value.
fn preset(key: &str) -> Preset {
    settings::setting(key).map_or(Preset::Absent(""), |row| row.default)
}

/// Every open setting filled in, except the output's name.
fn fill(request: &Request, machine: &Machine, folder: &ModelFolder) -> Result<Request> {
    let text = |key: &str| match preset(key) {
        Preset::Text(text) => Some(text.to_owned()),
        _ => None,
    };
    let switch = |key: &str| match preset(key) {
        Preset::Bool(on) => Some(on),
        _ => None,
    };
    let seed = match preset("seed") {
        Preset::Int(seed) => Some(seed),
        _ => None,
    };
    let defaults = defaults::of(folder);
    let mut full = request.clone();
    full.version = request::VERSION;
    full.count = None;
    full.width = full.width.or(Some(defaults.width));
    full.height = full.height.or(Some(defaults.height));
    full.frames = full.frames.or(Some(defaults.frames));
    full.fps = full.fps.or(Some(defaults.fps));
    full.steps = full.steps.or(Some(defaults.steps));
    full.guidance = full.guidance.or(Some(defaults.guidance));
    full.flow_shift = full.flow_shift.or(Some(folder.scheduler_config().default_shift()));
    full.seed = full.seed.or(seed);
    full.negative = full.negative.or_else(|| text("negative"));
    full.sampler = full.sampler.or_else(|| text("sampler"));
    full.attention = full.attention.or_else(|| text("attention"));
    full.quality = full.quality.or_else(|| text("quality"));
    full.override_memory = full.override_memory.or_else(|| switch("override_memory"));
    full.save_latents = full.save_latents.or_else(|| switch("save_latents"));
    full.save_frames = full.save_frames.or_else(|| switch("save_frames"));
    if full.record.is_some() {
        full.record_limit = full.record_limit.or_else(|| text("record_limit"));
        full.record_latents = full.record_latents.or_else(|| text("record_latents"));
        full.capture_heads = full.capture_heads.or_else(|| text("capture_heads"));
        full.capture_attention = full.capture_attention.or_else(|| switch("capture_attention"));
        full.capture_scores = full.capture_scores.or_else(|| switch("capture_scores"));
        full.capture_rows = full.capture_rows.or_else(|| text("capture_rows"));
    }
    let device = machine.device(full.device.as_deref().unwrap_or("auto"))?;
    let dtype = machine.dtype(full.dtype.as_deref().unwrap_or("auto"), &device);
    full.dtype = Some(dtype_name(dtype).into());
    if matches!(full.vae_dtype.as_deref(), None | Some("auto")) {
        // On the CPU the VAE is a hundredth of the work and bf16 shows as banding. On a GPU its kernels are for bf16, and
        // it takes .3 dB off a clip that is 50 dB from the CPU's.
        full.vae_dtype = Some(if device == "cpu" { "f32" } else { "bf16" }.into());
    }
    full.device = Some(device);
    Ok(full)
}

/// What the tokens of a clip are in the model's attention.
pub(crate) fn sequence(folder: &ModelFolder, grid: Grid) -> Sequence {
    let config = folder.transformer_config();
    let (heads, layers) = (config.num_attention_heads, config.num_layers);
    Sequence { grid, text_tokens: 0, heads, layers }
}

fn size_of(request: &Request) -> Size {
    let side = |value: Option<u32>| value.unwrap_or(0) as usize;
    Size { width: side(request.width), height: side(request.height), frames: side(request.frames) }
}

/// The size that a request asks for, defaults filled in, and the nearest one that its model can make.
pub fn legal_size(request: &Request) -> Result<(Size, Size)> {
    let path = request.model.clone().map_or_else(bundled::model, Ok)?;
    let folder = ModelFolder::open(&path)?;
    let geometry = Geometry::new(folder.transformer_config(), folder.vae_config())?;
    let defaults = defaults::of(&folder);
    let asked = size_of(&Request {
        width: request.width.or(Some(defaults.width)),
        height: request.height.or(Some(defaults.height)),
        frames: request.frames.or(Some(defaults.frames)),
        ..Request::default()
    });
    Ok((asked, geometry.snap(asked)))
}

/// Every side that the model cannot make, with the nearest that it can.
fn size_problems(folder: &ModelFolder, size: Size) -> Vec<Problem> {
    let Ok(geometry) = Geometry::new(folder.transformer_config(), folder.vae_config()) else {
        return Vec::new();
    };
    let right = geometry.snap(size);
    let alone = [
        ("width", size.width, Size { width: size.width, ..right }),
        ("height", size.height, Size { height: size.height, ..right }),
        ("frames", size.frames, Size { frames: size.frames, ..right }),
    ];
    let wrong = alone
        .into_iter()
        .filter_map(|(key, got, size)| Some((key, got, geometry.check(size).err()?)));
    wrong
        .map(|(key, got, problem)| {
            let (below, above) = problem.legal.around(got);
            let nearest =
                if below == above { below.to_string() } else { format!("{below} or {above}") };
            let step = problem.legal.step;
            let rule = if key == "frames" {
                format!("one more than a multiple of {step}")
            } else {
                format!("a multiple of {step}")
            };
            Problem::new(key, format!("{rule} for this model (nearest: {nearest})"), got)
        })
        .collect()
}

fn unknown_keys(request: &Request) -> Vec<String> {
    let told = |key: &String| {
        format!("This build does not know the setting \"{key}\"; it is kept and has no effect.")
    };
    request.unknown.keys().map(told).collect()
}

fn check_initial(settled: &Settled, shape: [usize; 5]) -> Result<()> {
    let Some(path) = &settled.initial_latents else { return Ok(()) };
    let found = latents::read(path)?.latents;
    if found.dims() == shape {
        return Ok(());
    }
    let reason =
        format!("expected latents of shape {shape:?} for {}, got {:?}", settled.size, found.dims());
    Err(Error::Latents { path: path.clone(), reason })
}
