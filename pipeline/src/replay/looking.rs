//! Looks into one attention of a recorded step again: the exact rows of query tokens, and where the words of the prompt act.
//!
//! The forward is dense from the recorded clip on and ends at the layer that is asked about.

use candle_core::{DType, Device, Tensor};
use tessera_models::attention::{Branch, Dense, SelfAttention, Sequence, Site, TextScores};
use tessera_models::text::{self, Tokenizer};

use super::Spec;
use super::model::{Model, Parts, Progress, Tell};
use super::run::{check_place, clip, folder, resolve};
use crate::gaze;
use crate::machine::open;
use crate::plan::sequence;
use crate::recording::Recording;
use crate::{Error, Result};

/// What is looked into.
#[derive(Debug, Clone, PartialEq)]
pub struct Looking {
    /// The step, from 0.
    pub step: usize,
    /// With the prompt or with the negative one.
    pub branch: Branch,
    /// The layer.
    pub layer: usize,
    /// The head of which the tokens' rows are measured.
    pub head: usize,
    /// Query tokens as latent frame, row, column.
    pub tokens: Vec<[usize; 3]>,
    /// Whether words are those of that head alone; otherwise the mean over all heads.
    pub words_of_head: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// Of each query token the softmax over the model's own sequence (text, then video in raster order).
    pub rows: Vec<Vec<f32>>,
    /// The words of the prompt.
    pub words: Vec<WordShare>,
    /// What the end of the prompt and its padding get at each video token `[T, rows, columns]`.
    pub rest: Vec<f32>,
}

/// Where a word acts.
#[derive(Debug, Clone, PartialEq)]
pub struct WordShare {
    /// The word.
    pub text: String,
    /// The part of each video token's cross-attention that it gets, `[T, rows, columns]`.
    pub shares: Vec<f32>,
}

/// Looks into a step, on the CPU. `tell` hears of every part of the work and stops it with [`Error::Cancelled`] by answering
/// false.
///
/// # Errors
/// As [`super::replay`].
pub fn look(recording: &Recording, looking: &Looking, tell: Tell<'_>) -> Result<Looked> {
    let meta = recording.meta();
    check_place(meta, looking.step, looking.branch, looking.layer)?;
    let mut tokens = Vec::with_capacity(looking.tokens.len());
    for token in &looking.tokens {
        tokens.push(gaze::place_of(recording, *token)?);
    }
    let spec = Spec { device: Some("cpu".into()), ..Spec::default() };
    let folder = folder(recording, &spec)?;
    let (plan, settled) = resolve(meta, &spec, &folder)?;
    let clip = clip(recording, looking.step)?;
    let prompt = match looking.branch {
        Branch::Cond => &settled.prompt,
        Branch::Uncond => &settled.negative,
    };
    let words = Tokenizer::load(&folder)?.words(&text::clean(prompt))?;
    let device = open(&settled.device)?;
    let branches = [looking.branch];
    let model = Model::load(&folder, &settled, &meta.timesteps, (&branches, &device), tell)?;
    let sequence = sequence(&folder, plan.grid);
    let mut listener = Listener { looking, tokens, rows: Vec::new(), words: None };
    listener.begin_clip(&sequence)?;
    listener.begin_step(looking.step, meta.steps(), meta.sigmas[looking.step])?;
    let of = looking.layer + 1;
    let mut is_stopped = false;
    // What comes after the layer is of no interest.
    let mut until = |progress: Progress| {
        is_stopped = !tell(Progress { of, ..progress });
        !is_stopped && progress.done < of
    };
    let mut parts = Parts { done: 0, of, tell: &mut until };
    let forward = model.forward((looking.step, looking.branch), &clip, &mut listener, &mut parts);
    match forward {
        Err(error) if is_stopped || !error.is_cancelled() => return Err(error),
        _ => {}
    }
    let missing = || Error::Thread(format!("layer {} was not reached", looking.layer));
    let weights: Vec<Vec<f32>> = listener.words.ok_or_else(missing)?.t()?.to_vec2()?;
    let sum = |range: std::ops::Range<usize>| {
        let mut shares = vec![0f32; sequence.grid.tokens()];
        for column in weights.get(range).unwrap_or_default() {
            shares.iter_mut().zip(column).for_each(|(sum, share)| *sum += share);
        }
        shares
    };
    let last = words.last().map_or(0, |word| word.tokens.end);
    let rest = sum(last..weights.len());
    let words = words
        .into_iter()
        .map(|word| WordShare { shares: sum(word.tokens), text: word.text })
        .collect();
    Ok(Looked { rows: listener.rows, words, rest })
}

/// Dense attention that writes down what is asked for.
struct Listener<'a> {
    looking: &'a Looking,
    /// The query tokens in the model's own sequence.
    tokens: Vec<usize>,
    rows: Vec<Vec<f32>>,
    words: Option<Tensor>,
}

impl SelfAttention for Listener<'_> {
    fn begin_clip(&mut self, sequence: &Sequence) -> tessera_models::Result<()> {
        Dense.begin_clip(sequence)
    }

    fn begin_step(&mut self, index: usize, of: usize, sigma: f64) -> tessera_models::Result<()> {
        Dense.begin_step(index, of, sigma)
    }

    fn text_compared(&mut self, site: Site, text: &TextScores<'_>) -> tessera_models::Result<()> {
        if site.layer == self.looking.layer {
            let head = self.looking.words_of_head.then_some(self.looking.head);
            self.words = Some(text.weights(head)?.to_device(&Device::Cpu)?);
        }
        Ok(())
    }

    fn attend(
        &mut self,
        site: Site,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> tessera_models::Result<Tensor> {
        if site.layer == self.looking.layer {
            let head = |x: &Tensor| x.get(0)?.get(self.looking.head)?.to_dtype(DType::F32);
            let (q, k) = (head(q)?, head(k)?);
            let scale = (q.dim(1)? as f64).sqrt().recip();
            for token in &self.tokens {
                let query = q.narrow(0, *token, 1)?.t()?.contiguous()?;
                let logits: Vec<f32> = (k.matmul(&query)? * scale)?.flatten_all()?.to_vec1()?;
                self.rows.push(softmax(&logits));
            }
        }
        Dense.attend(site, q, k, v)
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - most).exp())).sum();
    logits.iter().map(|logit| (f64::from((logit - most).exp()) / sum) as f32).collect()
}
