//! Who watches attention calls: captures, recordings, tests.
//!
//! An observer is shown every call after it was answered, dense ones too, by reference: it can change neither the answer
//! nor what is kept for later calls, so a clip has the same bytes with it and without it.

use std::time::Duration;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tessera_kernels::levels::{Densities, LevelMap};
use tessera_kernels::order::Order;
use tessera_models::attention::{Sequence, Site};

/// How a call was answered, in the order of what it took to find out what to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every query saw every key.
    Dense,
    /// By a map that was estimated earlier, or for another site.
    Cached,
    /// By a map that was estimated from this call's queries and keys.
    Fresh,
}

impl Mode {
    /// The word in receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Fresh => "fresh",
            Self::Cached => "cached",
        }
    }
}

/// Where in the run a call stands; it comes from the sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The step, from 0.
    pub index: usize,
    /// Steps of the run.
    pub of: usize,
    /// Noise level of the step, 0 to 1.
    pub sigma: f64,
}

/// One attention call and its answer.
#[derive(Debug)]
pub struct CallReport<'a> {
    /// Where in the model.
    pub site: Site,
    /// When.
    pub step: Step,
    /// How it was answered.
    pub mode: Mode,
    /// Queries `[B, H, S, D]` in the compute dtype; like k, v, out and lse in the order that `orders` tells.
    pub q: &'a Tensor,
    /// Keys `[B, H, S, D]`.
    pub k: &'a Tensor,
    /// Values `[B, H, S, D]`.
    pub v: &'a Tensor,
    /// The answer `[B, H, S, D]`.
    pub out: &'a Tensor,
    /// Natural log of each query's softmax denominator over what it saw, `[B, H, S]` F32.
    pub lse: &'a Tensor,
    /// What the products of queries and keys were multiplied by.
    pub scale: f32,
    /// The token of the model's own sequence (text, then video in raster order) at each position: one order for all heads,
    /// or one a head.
    pub orders: &'a [Order],
    /// What a sparse call saw; `None` for dense ones.
    pub sparse: Option<SparseReport<'a>>,
    /// Why the call did not run as the schedule wanted it.
    pub fallback: Option<&'a str>,
    /// Time spent on choosing the map: scores, selection, probe, unpacking. On a GPU, until it was asked for, as below: a
    /// report waits for nothing.
    pub estimate: Duration,
    /// Time spent on attention itself, permutations included.
    pub attention: Duration,
}

/// The sparse part of a call.
#[derive(Debug)]
pub struct SparseReport<'a> {
    /// The levels that were used, keeps and floor included.
    pub map: &'a LevelMap,
    /// What they were chosen by, `[B, H, rows, columns]` F32, larger is more important; `None` for static patterns and
    /// cached maps.
    pub scores: Option<&'a Tensor>,
    /// The position, in the order of `k` and `v`, of each key that the map's blocks count, one order a head; `None` where
    /// keys were not sorted.
    pub key_order: Option<&'a [Order]>,
    /// The map's density for each (sample, head), row-major; on a GPU reading it waits.
    pub densities: &'a Densities,
    /// Share of the softmax mass in blocks that are seen finer than the floor, for each (sample, head), where it is known:
    /// after an exact search, and where rows were probed.
    pub retained: Option<&'a [f64]>,
    /// The step in which the map was estimated.
    pub estimated_at: usize,
}

/// Watches the attention of a run.
pub trait Observer: Send {
    /// A clip with these tokens begins.
    fn begin_clip(&mut self, _sequence: &Sequence) {}

    /// A call was answered.
    fn attended(&mut self, report: &CallReport<'_>);
}
