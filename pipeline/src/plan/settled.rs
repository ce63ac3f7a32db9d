//! A resolved request as the types that a run works with.

use std::path::PathBuf;

use candle_core::DType;
use tessera_models::geometry::Size;
use tessera_models::samplers::SamplerKind;

use crate::request::Request;
use crate::settings::Problem;
use crate::video::{Codec, Fps, Quality};
use crate::{Error, Result};

/// Every setting of one clip, none left open.
#[derive(Debug, Clone)]
pub struct Settled {
    /// What it shows.
    pub prompt: String,
    /// What it should not show.
    pub negative: String,
    /// Pixels and frames.
    pub size: Size,
    /// Frames a second.
    pub fps: Fps,
    /// Steps.
    pub steps: usize,
    /// Scale of guidance.
    pub guidance: f64,
    /// Shift of the schedule.
    pub flow_shift: f64,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Seed of the noise.
    pub seed: u64,
    /// Start from this file instead.
    pub initial_latents: Option<PathBuf>,
    /// Name of the self-attention.
    pub attention: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Of the transformer and the text encoder.
    pub dtype: DType,
    /// Of the VAE.
    pub vae_dtype: DType,
    /// Run even when memory will not do.
    pub override_memory: bool,
    /// The video.
    pub out: PathBuf,
    /// Its codec.
    pub codec: Codec,
    /// Its quality.
    pub quality: Quality,
    /// Keep the latents.
    pub save_latents: bool,
    /// Write PNG frames.
    pub save_frames: bool,
    /// Record the run into this file.
    pub record: Option<PathBuf>,
}

impl Settled {
    /// Reads a request that the plan has resolved; an open field is an error that names it.
    pub fn new(request: &Request) -> Result<Self> {
        let size = Size {
            width: need("width", request.width)? as usize,
            height: need("height", request.height)? as usize,
            frames: need("frames", request.frames)? as usize,
        };
        let fps = need("fps", request.fps)?;
        Ok(Self {
            prompt: request.prompt.clone(),
            negative: need("negative", request.negative.clone())?,
            size,
            fps: Fps::from_decimal(fps).ok_or_else(|| problem("fps", "a rate up to 1000", fps))?,
            steps: need("steps", request.steps)? as usize,
            guidance: need("guidance", request.guidance)?,
            flow_shift: need("flow_shift", request.flow_shift)?,
            sampler: word("sampler", request.sampler.as_deref())?,
            seed: need("seed", request.seed)?,
            initial_latents: request.initial_latents.clone(),
            attention: need("attention", request.attention.clone())?,
            device: need("device", request.device.clone())?,
            dtype: dtype("dtype", request.dtype.as_deref())?,
            vae_dtype: dtype("vae_dtype", request.vae_dtype.as_deref())?,
            override_memory: need("override_memory", request.override_memory)?,
            out: need("out", request.out.clone())?,
            codec: word("codec", request.codec.as_deref())?,
            quality: word("quality", request.quality.as_deref())?,
            save_latents: need("save_latents", request.save_latents)?,
            save_frames: need("save_frames", request.save_frames)?,
            record: request.record.clone(),
        })
    }

    /// Whether every step runs the negative prompt too.
    pub fn is_guided(&self) -> bool {
        self.guidance > 1.0
    }
}

fn problem(key: &str, expected: &str, got: impl std::fmt::Display) -> Error {
    Error::Settings(vec![Problem::new(key, expected, got)])
}

fn need<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| problem(key, "a value", "none in a request that should be resolved"))
}

fn word<T: std::str::FromStr>(key: &str, value: Option<&str>) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    let value = need(key, value)?;
    value.parse().map_err(|error: T::Err| problem(key, &error.to_string(), value))
}

fn dtype(key: &str, value: Option<&str>) -> Result<DType> {
    match need(key, value)? {
        "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        other => Err(problem(key, "f32 or bf16", other)),
    }
}
