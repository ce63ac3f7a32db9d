//! The Wan diffusion transformer: latents, a timestep and a prompt in, the flow's velocity out.
//!
//! Latents become tokens (`patch`), the blocks (`block`) refine them, and the head (shift, scale) = table + temb,
//! LN·(1 + scale) + shift, linear, makes velocities of them. What depends on the timestep alone (`time`) or on the
//! prompt alone (`text`) is prepared once. The residual stream is F32 whatever the compute dtype; no matrix of
//! attention scores is ever held. Source: diffusers 0.42, `WanTransformer3DModel`.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use tessera_kernels::gpu::Pace;
use tessera_kernels::linear::Linear;
use tessera_kernels::norm::layer_norm_modulate;
use tessera_kernels::order::Order;
use tessera_kernels::rope::RopeTables;

use self::block::{Block, Fixed};
use self::carried::Carried;
use self::text::TextProjection;
use self::time::TimeEmbedder;
use super::source::{Source, from_folder};
use crate::attention::{Branch, SelfAttention, Sequence, Site};
use crate::folder::ModelFolder;
use crate::geometry::Grid;
use crate::text::TextRows;
use crate::wan::config::TransformerConfig;
use crate::watch::{Watch, tick};
use crate::{Error, Result};

pub(crate) mod block;
mod carried;
mod patch;
mod rope;
pub(crate) mod tensors;
#[cfg(test)]
mod tests;
mod text;
mod time;

pub use tensors::transformer_tensors;
pub use text::TextContext;
pub use time::StepModulation;

/// Halves of blocks that may wait on a GPU while one more is asked for: its queue is never empty, and a cancel is done when the
/// half that runs and the one behind it are: within one block.
const HALVES_AHEAD: usize = 1;

/// A transformer with its weights packed for one compute dtype on one device.
#[derive(Debug)]
pub struct WanTransformer {
    config: TransformerConfig,
    expert: usize,
    device: Device,
    patch_embedding: Linear, // F32, as the head's
    time: TimeEmbedder,
    text: TextProjection,
    blocks: Vec<Block>,
    tables: Tensor,     // [L, 6, d] F32
    head_table: Tensor, // [2, d] F32
    head: Linear,
    /// Where the tokens of the last grid and order stand: a clip asks for the same in every forward.
    places: Mutex<Vec<(Grid, Option<Order>, Places)>>,
}

impl WanTransformer {
    /// Reads the component "transformer" of `folder` for computing in `dtype` (F32 or BF16) on `device`. Every tensor's
    /// name and shape is checked before the first is read; `watch` ticks once a tensor.
    pub fn load(
        folder: &ModelFolder,
        dtype: DType,
        device: &Device,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let config = folder.transformer_config();
        let expected = transformer_tensors(config);
        from_folder(
            (folder, "transformer"),
            (&expected, tensors::IGNORED, expected.len()),
            (dtype, device),
            watch,
            |source| Self::build(config, source, device),
        )
    }

    pub(super) fn build(
        config: &TransformerConfig,
        source: &mut Source<'_>,
        device: &Device,
    ) -> Result<Self> {
        let patch_embedding = source.linear_in("patch_embedding", DType::F32)?;
        let time = TimeEmbedder::new(source, config)?;
        let text = TextProjection::new(source)?;
        let (mut blocks, mut tables) = (Vec::new(), Vec::new());
        for layer in 0..config.num_layers {
            let at = format!("blocks.{layer}");
            tables.push(source.tensor(&format!("{at}.scale_shift_table"), DType::F32)?);
            blocks.push(Block::new(source, &at, config)?);
        }
        Ok(Self {
            patch_embedding,
            time,
            text,
            blocks,
            tables: Tensor::cat(&tables, 0)?,
            head_table: source.tensor("scale_shift_table", DType::F32)?.squeeze(0)?,
            head: source.linear_in("proj_out", DType::F32)?,
            places: Mutex::new(Vec::new()),
            config: config.clone(),
            expert: 0,
            device: device.clone(),
        })
    }

    /// The config that it was built from.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.patch_embedding.bytes()
            + self.time.bytes()
            + self.text.bytes()
            + self.blocks.iter().map(Block::bytes).sum::<usize>()
            + 4 * (self.tables.elem_count() + self.head_table.elem_count())
            + self.head.bytes()
    }

    /// What [`SelfAttention::begin_clip`] is told about a clip of `grid`.
    pub fn sequence(&self, grid: Grid) -> Sequence {
        let (heads, layers) = (self.config.num_attention_heads, self.config.num_layers);
        Sequence { grid, text_tokens: 0, heads, layers }
    }

    /// The keys and values of a prompt in every block. Once a prompt.
    pub fn prepare_text(&self, text: &TextRows) -> Result<TextContext> {
        let (rows, key_bias) = text::folded(text, self.config.text_dim, &self.device)?;
        let rows = self.text.forward(&rows)?;
        let layers =
            self.blocks.iter().map(|block| block.text_keys(&rows)).collect::<Result<_>>()?;
        Ok(TextContext { layers, key_bias })
    }

    /// What the forwards of each step take from its timestep (0 to 1000, as the sampler gives it). Once a run.
    pub fn prepare_steps(&self, timesteps: &[f64]) -> Result<Vec<StepModulation>> {
        self.time.prepare(timesteps, &self.tables, &self.head_table)
    }

    /// The velocity `[B, C, T, H, W]` F32 at `latents` (the same shape, F32), for one prompt.
    ///
    /// `watch` ticks before the first block and after each, on a GPU also halfway through each (with the blocks that are done, so
    /// that a cancel is heard within half a block); `Break` ends the call with [`Error::Cancelled`].
    pub fn forward(
        &self,
        latents: &Tensor,
        step: &StepModulation,
        text: &TextContext,
        branch: Branch,
        attention: &mut dyn SelfAttention,
        watch: &mut dyn Watch,
    ) -> Result<Tensor> {
        self.forward_traced(latents, step, text, branch, attention, watch, &mut |_, _| ())
    }

    /// As [`Self::forward`], showing `trace` what it passes, all F32: "temb" `[1, d]`, "six" `[1, 6, d]`, "patch" and
    /// "block.0", "block.1", … `[B, S, d]` in the attention's token order, "velocity" `[B, C, T, H, W]`.
    #[expect(clippy::too_many_arguments, reason = "forward's arguments and the hook")]
    pub fn forward_traced(
        &self,
        latents: &Tensor,
        step: &StepModulation,
        text: &TextContext,
        branch: Branch,
        attention: &mut dyn SelfAttention,
        watch: &mut dyn Watch,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let patch = self.config.patch_size;
        let grid = patch::grid(latents, self.config.in_channels, patch)?;
        let Places { order, rope } = self.places(grid, attention.token_order()?)?;
        let fixed = Fixed { rope: &rope, key_bias: text.key_bias.as_ref() };
        let mut pace = Pace::new(HALVES_AHEAD);
        trace("temb", &step.temb);
        trace("six", &step.six);
        let tokens = patch::patchify(&latents.to_dtype(DType::F32)?, grid, patch)?;
        let tokens = match &order {
            Some(order) => order.apply(&tokens)?,
            None => tokens,
        };
        let mut x = self.patch_embedding.forward(&tokens)?;
        drop(tokens);
        trace("patch", &x);
        let batch = x.dim(0)?;
        tick(watch, 0, self.blocks.len())?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let (keys, values) = text.layers.get(layer).ok_or_else(|| self.other_model(text))?;
            let (keys, values) = (each(keys, batch)?, each(values, batch)?);
            let site = Site { layer, branch, expert: self.expert };
            let six = step.blocks.get(layer)?;
            let mut halfway = || {
                if self.device.is_cuda() {
                    pace.mark(&self.device)?;
                    tick(watch, layer, self.blocks.len())?;
                }
                Ok(())
            };
            let prompt = (&keys, &values);
            x = block.forward(x, &six, prompt, &fixed, (site, &mut *attention), &mut halfway)?;
            trace(&format!("block.{layer}"), &x);
            pace.mark(&self.device)?;
            tick(watch, layer + 1, self.blocks.len())?;
        }
        let (shift, scale) = (step.head.get(0)?, step.head.get(1)?);
        let n = layer_norm_modulate(&x, &scale, &shift, self.config.eps, DType::F32)?;
        let mut patches = self.head.forward(&n)?;
        if let Some(order) = &order {
            patches = order.undo(&patches)?;
        }
        let velocity = patch::unpatchify(&patches, grid, patch)?;
        trace("velocity", &velocity);
        Ok(velocity)
    }

    fn places(&self, grid: Grid, order: Option<Order>) -> Result<Places> {
        let mut known = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., places)) = known.iter().find(|(of, by, _)| *of == grid && *by == order) {
            return Ok(places.clone());
        }
        let (head, longest) = (self.config.attention_head_dim, self.config.rope_max_seq_len);
        let rope = rope::tables(head, grid, longest, &self.device)?;
        let places = match &order {
            Some(order) => {
                let order = Carried::new(order, grid, &self.device)?;
                Places { rope: order.rows(rope)?, order: Some(order) }
            }
            None => Places { rope, order: None },
        };
        // Dense steps carry tokens in the model's own order, sparse ones in another: a clip has two at most.
        if known.len() >= 2 {
            known.clear();
        }
        known.push((grid, order, places.clone()));
        Ok(places)
    }

    fn other_model(&self, text: &TextContext) -> Error {
        let expected = format!("a context of {} blocks, from this model", self.blocks.len());
        Error::argument("text context", expected, format!("one of {}", text.layers.len()))
    }
}

/// Tokens in the order that attention asked for, and the rotary tables in it.
#[derive(Debug, Clone)]
struct Places {
    order: Option<Carried>,
    rope: RopeTables,
}

/// `[1, ..]` for each of `batch` samples.
fn each(one: &Tensor, batch: usize) -> Result<Tensor> {
    if batch == 1 {
        return Ok(one.clone());
    }
    let mut shape = one.dims().to_vec();
    shape[0] = batch;
    Ok(one.broadcast_as(shape)?.contiguous()?)
}
