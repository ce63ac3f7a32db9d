//! The model of a replay, and how far it is with its forwards.

use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use tessera_models::attention::{Branch, SelfAttention};
use tessera_models::folder::ModelFolder;
use tessera_models::text::{self, Tokenizer};
use tessera_models::wan::{StepModulation, TextContext, WanTransformer};

use crate::plan::Settled;
use crate::{Error, Result};

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done now.
    pub doing: &'static str,
    /// Parts of it that are done.
    pub done: usize,
    /// Its parts.
    pub of: usize,
}

/// Whom to tell; false stops.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Progress) -> bool;

/// The transformer, and what it reads of each branch's prompt.
pub(super) struct Model {
    transformer: WanTransformer,
    contexts: Vec<(Branch, TextContext)>,
    modulations: Vec<StepModulation>,
    device: Device,
}

impl Model {
    /// Reads the prompts of `branches` and the weights.
    pub(super) fn load(
        folder: &ModelFolder,
        settled: &Settled,
        timesteps: &[f64],
        (branches, device): (&[Branch], &Device),
        tell: Tell<'_>,
    ) -> Result<Self> {
        let tokenizer = Tokenizer::load(folder)?;
        let mut ids = Vec::new();
        for branch in branches {
            let words = match branch {
                Branch::Cond => &settled.prompt,
                Branch::Uncond => &settled.negative,
            };
            ids.push(tokenizer.encode(&text::clean(words))?.ids);
        }
        let dtype: DType = settled.dtype;
        let rows = text::encode_prompts(folder, &ids, dtype, device, &mut telling("text", tell))?;
        let transformer =
            WanTransformer::load(folder, dtype, device, &mut telling("weights", tell))?;
        let mut contexts = Vec::with_capacity(branches.len());
        for (branch, rows) in branches.iter().zip(&rows) {
            contexts.push((*branch, transformer.prepare_text(rows)?));
        }
        let modulations = transformer.prepare_steps(timesteps)?;
        Ok(Self { transformer, contexts, modulations, device: device.clone() })
    }

    /// The branches that it has read.
    pub(super) fn branches(&self) -> impl Iterator<Item = Branch> {
        self.contexts.iter().map(|(branch, _)| *branch)
    }

    /// The velocity `[1, C, T, h, w]` F32 of a branch at a step's clip.
    pub(super) fn forward(
        &self,
        (step, branch): (usize, Branch),
        clip: &Tensor,
        attention: &mut dyn SelfAttention,
        parts: &mut Parts<'_>,
    ) -> Result<Tensor> {
        let missing = || Error::Thread(format!("step {step} was not prepared"));
        let context = self.contexts.iter().find(|(known, _)| *known == branch);
        let (_, context) = context.ok_or_else(missing)?;
        let modulation = self.modulations.get(step).ok_or_else(missing)?;
        let clip = clip.to_device(&self.device)?;
        let base = parts.done;
        let mut watch = |done, _| parts.tell(base + done);
        Ok(self.transformer.forward(&clip, modulation, context, branch, attention, &mut watch)?)
    }
}

/// A watch that tells of one call.
fn telling<'a>(
    doing: &'static str,
    tell: Tell<'a>,
) -> impl FnMut(usize, usize) -> ControlFlow<()> + 'a {
    move |done, of| answer(tell(Progress { doing, done, of }))
}

fn answer(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// The blocks of all forwards.
pub(super) struct Parts<'a> {
    pub(super) done: usize,
    pub(super) of: usize,
    pub(super) tell: Tell<'a>,
}

impl Parts<'_> {
    fn tell(&mut self, done: usize) -> ControlFlow<()> {
        self.done = done;
        answer((self.tell)(Progress { doing: "blocks", done, of: self.of }))
    }
}
