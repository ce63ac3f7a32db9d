//! One stage of a model on a checkpoint folder, from plain inputs to a plain tensor: what parity and mutation tests both run.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use tessera_models::attention::{Branch, Dense, SelfAttention};
use tessera_models::folder::ModelFolder;
use tessera_models::geometry::Grid;
use tessera_models::text::{TextRows, encode_prompts};
use tessera_models::wan::{WanDecoder, WanEncoder, WanTransformer};
use tessera_models::watch::Unwatched;

/// Rows that the text is filled up to with zeros.
pub const TEXT_ROWS: usize = 512;

/// The rows `[n, d]` of the text encoder for token ids (with the closing `</s>`).
pub fn text_rows(checkpoint: &Path, ids: &[u32], dtype: DType) -> Result<Tensor> {
    let folder = ModelFolder::open(checkpoint)?;
    let mut rows = encode_prompts(&folder, &[ids.to_vec()], dtype, &Device::Cpu, &mut Unwatched)?;
    Ok(rows.pop().context("rows of one prompt")?.rows)
}

/// A transformer with its text: what a case of the goldens runs on.
pub struct Velocity {
    model: WanTransformer,
}

impl Velocity {
    /// Loads the transformer of a folder.
    pub fn load(checkpoint: &Path, dtype: DType) -> Result<Self> {
        let folder = ModelFolder::open(checkpoint)?;
        let model = WanTransformer::load(&folder, dtype, &Device::Cpu, &mut Unwatched)?;
        Ok(Self { model })
    }

    /// One forward: every traced stage by name, "velocity" among them. `latents` `[1, C, T, H, W]` F32, `rows` `[n, d]` F32.
    pub fn traced(
        &self,
        latents: &Tensor,
        t: f64,
        rows: &Tensor,
        branch: Branch,
    ) -> Result<BTreeMap<String, Tensor>> {
        self.run(latents, t, &TextRows { rows: rows.clone(), padded_to: TEXT_ROWS }, branch)
    }

    fn run(
        &self,
        latents: &Tensor,
        t: f64,
        text: &TextRows,
        branch: Branch,
    ) -> Result<BTreeMap<String, Tensor>> {
        let text = self.model.prepare_text(text)?;
        let steps = self.model.prepare_steps(&[t])?;
        let step = steps.first().context("one step")?;
        let (_, _, frames, height, width) = latents.dims5()?;
        let grid = Grid { frames, rows: height / 2, cols: width / 2 };
        let mut attention = Dense;
        attention.begin_clip(&self.model.sequence(grid))?;
        attention.begin_step(0, 1, t / 1000.0)?;
        let mut seen = BTreeMap::new();
        let mut trace = |name: &str, tensor: &Tensor| {
            seen.insert(name.to_owned(), tensor.clone());
        };
        let out = self.model.forward_traced(
            latents,
            step,
            &text,
            branch,
            &mut attention,
            &mut Unwatched,
            &mut trace,
        )?;
        seen.insert("velocity".to_owned(), out);
        Ok(seen)
    }

    /// Only the velocity.
    pub fn velocity(&self, latents: &Tensor, t: f64, rows: &Tensor) -> Result<Tensor> {
        self.velocity_padded_to(latents, t, rows, TEXT_ROWS)
    }

    /// The velocity with the text filled up to another number of rows.
    pub fn velocity_padded_to(
        &self,
        latents: &Tensor,
        t: f64,
        rows: &Tensor,
        padded_to: usize,
    ) -> Result<Tensor> {
        let text = TextRows { rows: rows.clone(), padded_to };
        self.run(latents, t, &text, Branch::Cond)?.remove("velocity").context("a velocity")
    }
}

/// Frame groups of a decode in order: `[1, 3, 1, H, W]`, then `[1, 3, 4, H, W]` each, from model-space latents `[1, z, T, h, w]`.
pub fn decode_groups(checkpoint: &Path, latents: &Tensor, dtype: DType) -> Result<Vec<Tensor>> {
    let folder = ModelFolder::open(checkpoint)?;
    let decoder = WanDecoder::load(&folder, dtype, &Device::Cpu, &mut Unwatched)?;
    let mut stream = decoder.stream();
    (0..latents.dim(2)?)
        .map(|i| Ok(stream.step(&latents.narrow(2, i, 1)?.contiguous()?)?))
        .collect()
}

/// Latent frames of an encode in order, each `[1, z, 1, h, w]` in model space, from pixels `[1, 3, F, H, W]` in [-1, 1].
pub fn encode_groups(checkpoint: &Path, pixels: &Tensor, dtype: DType) -> Result<Vec<Tensor>> {
    let folder = ModelFolder::open(checkpoint)?;
    let encoder = WanEncoder::load(&folder, dtype, &Device::Cpu, &mut Unwatched)?;
    let mut stream = encoder.stream();
    let mut groups = vec![stream.step(&pixels.narrow(2, 0, 1)?.contiguous()?)?];
    for first in (1..pixels.dim(2)?).step_by(4) {
        groups.push(stream.step(&pixels.narrow(2, first, 4)?.contiguous()?)?);
    }
    Ok(groups)
}
