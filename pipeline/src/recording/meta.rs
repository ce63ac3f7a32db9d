//! What a recording says about its run, and about what it holds.

use serde::{Deserialize, Serialize};
use tessera_kernels::blocks::Blocks;
use tessera_models::attention::{Branch, Site};
use tessera_models::geometry::{Grid, Size};

use crate::capture::Options;
use crate::plan::PlannedModel;
use crate::request::Request;

/// The run that was recorded; written before its first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The program that recorded.
    pub program: String,
    /// The request with every default filled in.
    pub request: Request,
    /// Which weights.
    pub model: PlannedModel,
    /// Pixels and frames.
    pub size: Size,
    /// `[1, C, T, h, w]` of the latents.
    pub latent_shape: [usize; 5],
    /// The video tokens.
    pub grid: Grid,
    /// Text tokens before them in the same attention.
    pub text_tokens: usize,
    /// Heads of every attention.
    pub heads: usize,
    /// Blocks of the transformer.
    pub layers: usize,
    /// Tokens of a whole query block and of a whole key block.
    pub blocks: [usize; 2],
    /// Noise levels before each step and after the last.
    pub sigmas: Vec<f64>,
    /// What the model sees of them, 0 to 1000, one a step.
    pub timesteps: Vec<f64>,
    /// Whether every step has a forward with the negative prompt too.
    pub is_guided: bool,
    /// What was to be kept.
    pub capture: Options,
}

impl Meta {
    /// All tokens of one attention.
    pub fn tokens(&self) -> usize {
        self.text_tokens + self.grid.tokens()
    }

    /// How tokens, in the order of a call, are cut into blocks.
    pub fn blocks(&self) -> Blocks {
        let [query_block, key_block] = self.blocks;
        Blocks { queries: self.tokens(), keys: self.tokens(), query_block, key_block }
    }

    /// Steps of the run.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }

    /// The forwards of a step.
    pub fn branches(&self) -> &'static [Branch] {
        if self.is_guided { &[Branch::Cond, Branch::Uncond] } else { &[Branch::Cond] }
    }

    /// What a file may say without leading a reader astray.
    pub(super) fn check(&self) -> Result<(), String> {
        let [query_block, key_block] = self.blocks;
        let tokens = self.tokens();
        Blocks::new(tokens, tokens, query_block, key_block).map_err(|error| error.to_string())?;
        let most = 1 << 28; // a clip of 2²⁸ tokens would have latents of many gigabytes
        let latents = self.latent_shape.iter().try_fold(1usize, |all, side| all.checked_mul(*side));
        let is_sound = tokens <= most
            && self.heads <= 1 << 16
            && latents.is_some_and(|count| count <= 64 * most)
            && self.sigmas.len() == self.timesteps.len() + 1;
        if is_sound { Ok(()) } else { Err("its sizes contradict each other".into()) }
    }
}

/// One attention call's place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The step, from 0.
    pub step: usize,
    /// Where in the model.
    pub site: Site,
}

impl Place {
    /// The place of a model with one transformer.
    pub fn new(step: usize, branch: Branch, layer: usize) -> Self {
        Self { step, site: Site { layer, branch, expert: 0 } }
    }
}

/// What a branch is called in files.
pub fn branch_name(branch: Branch) -> &'static str {
    match branch {
        Branch::Cond => "cond",
        Branch::Uncond => "uncond",
    }
}

/// The branch of a name.
pub fn branch_of(name: &str) -> Option<Branch> {
    [Branch::Cond, Branch::Uncond].into_iter().find(|branch| branch_name(*branch) == name)
}

/// The large things in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A head's level map.
    Levels,
    /// Small pictures of all heads of a map.
    Thumbnails,
    /// A head's attention, averaged over blocks.
    Attention,
    /// What a head's levels were chosen by.
    Scores,
    /// The attention of one query token.
    Row,
    /// The clip before a step.
    Latents,
    /// A token order.
    Order,
    /// The order of a head's keys that a map counts, where its method sorted them.
    KeyOrder,
}

impl Kind {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 8] = [
        Self::Levels,
        Self::Thumbnails,
        Self::Attention,
        Self::Scores,
        Self::Row,
        Self::Latents,
        Self::Order,
        Self::KeyOrder,
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Levels => "levels",
            Self::Thumbnails => "thumbnails",
            Self::Attention => "attention",
            Self::Scores => "scores",
            Self::Row => "row",
            Self::Latents => "latents",
            Self::Order => "order",
            Self::KeyOrder => "key_order",
        }
    }

    /// The kind of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that may or may not be in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held<T> {
    /// It is.
    Here(T),
    /// It was, until the byte limit dropped it: a higher `record_limit` keeps more.
    Dropped,
    /// It was not asked for.
    NotCaptured,
}

impl<T> Held<T> {
    /// What is here.
    pub fn here(self) -> Option<T> {
        match self {
            Self::Here(value) => Some(value),
            Self::Dropped | Self::NotCaptured => None,
        }
    }

    /// Applies `f` to what is here.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Held<U> {
        match self {
            Self::Here(value) => Held::Here(f(value)),
            Self::Dropped => Held::Dropped,
            Self::NotCaptured => Held::NotCaptured,
        }
    }

    /// Applies `f`, which may fail, to what is here.
    pub(super) fn and_then<U>(
        self,
        f: impl FnOnce(T) -> crate::Result<U>,
    ) -> crate::Result<Held<U>> {
        Ok(match self {
            Self::Here(value) => Held::Here(f(value)?),
            Self::Dropped => Held::Dropped,
            Self::NotCaptured => Held::NotCaptured,
        })
    }
}

/// How a recording ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Outcome {
    /// With its run.
    Finished,
    /// With a cancelled run.
    Cancelled,
    /// With a run that failed.
    Failed {
        /// Why.
        error: String,
    },
    /// Not yet, or with the program: what had been recorded is here.
    Unfinished,
}

/// What recording cost the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Time that attention calls and steps waited for captures.
    pub capture_seconds: f64,
    /// Time of the steps, captures included.
    pub steps_seconds: f64,
    /// Time that the recording's own thread was busy beside them.
    pub thread_seconds: f64,
}

impl Cost {
    /// Captures' share of the time of the steps.
    pub fn share(&self) -> f64 {
        if self.steps_seconds > 0.0 { self.capture_seconds / self.steps_seconds } else { 0.0 }
    }
}
