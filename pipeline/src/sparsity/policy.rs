//! The seam of the methods: what a policy may look at, and the level map that it answers with.
//!
//! A policy knows nothing of weights, devices or windows, and nothing of what is common to all methods: the token order
//! is applied before it is asked, forced keeps and the floor after it has answered, and its maps are kept and dropped by
//! the schedule.

use std::fmt;

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::LevelMap;
use tessera_kernels::order::Order;
use tessera_models::attention::Site;
use tessera_models::geometry::Grid;

use super::Arrangement;
use super::calibration::LayerPlan;
use super::cuts::{Cuts, Ends};
use crate::Result;

/// One attention call as a policy sees it. Tokens are in the policy's order already; text, where the attention has any,
/// stands behind the video.
#[derive(Debug)]
pub struct View<'a> {
    /// Queries `[B, H, S, D]`.
    pub q: &'a Tensor,
    /// Keys `[B, H, S, D]`.
    pub k: &'a Tensor,
    /// Values `[B, H, S, D]`.
    pub v: &'a Tensor,
    /// 1/√D.
    pub scale: f32,
    /// How tokens are cut into blocks.
    pub blocks: Blocks,
    /// The video tokens.
    pub grid: Grid,
    /// Text tokens, at the end.
    pub text_tokens: usize,
    /// The raster token at each position: one order for all heads, or one a head.
    pub orders: &'a [Order],
    /// Where in the model.
    pub site: Site,
    /// Blocks of the model.
    pub layers: usize,
    /// The step, from 0.
    pub step: usize,
    /// Steps of the run.
    pub steps: usize,
    /// Noise level of the step, 0 to 1.
    pub sigma: f64,
    /// Log-sum-exp of every query over all keys `[B, H, S]` F32, from the last time that it was computed at this site, in
    /// this order; `None` when it never was, or when [`Needs::lse`] is not set.
    pub lse: Option<&'a Tensor>,
    /// What calibration found for this layer; always there when [`Needs::plan`] is set.
    pub plan: Option<&'a LayerPlan>,
    /// For estimators that sample: the request's seed mixed with the site and the step.
    pub seed: u64,
}

/// The pairs of blocks of a clip, or an even sample of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cells {
    /// The video tokens.
    pub grid: Grid,
    /// How tokens are cut into blocks.
    pub blocks: Blocks,
    /// 1 for every query block; n for each n-th, which will do for a density.
    pub every: usize,
}

impl Cells {
    /// All pairs.
    pub fn all(grid: Grid, blocks: Blocks) -> Self {
        Self { grid, blocks, every: 1 }
    }

    /// The query blocks.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = usize> + use<> {
        (0..self.blocks.rows()).step_by(self.every.max(1))
    }
}

/// A clip before any of its queries is known: what plans are made from.
#[derive(Debug, Clone, Copy)]
pub struct Outline<'a> {
    /// Its tokens and blocks.
    pub cells: Cells,
    /// The raster token at each position: one order for all heads, or one a head.
    pub orders: &'a [Order],
    /// Heads of the model.
    pub heads: usize,
    /// The layer that is asked about.
    pub layer: usize,
}

impl View<'_> {
    /// What is known of the call without its operands.
    pub fn outline(&self) -> Result<Outline<'_>> {
        let View { blocks, grid, orders, site, .. } = *self;
        let cells = Cells::all(grid, blocks);
        Ok(Outline { cells, orders, heads: self.q.dim(1)?, layer: site.layer })
    }
}

/// How much a policy shall keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Knob {
    /// What its preset says.
    Preset,
    /// From 0, the least that the method can do, to 1, every block in full; density never falls as it grows. A half
    /// should lie near the preset where the method has a natural scale. Used to meet a density that was asked for.
    Keep(f64),
}

/// Chooses levels from what was estimated: cheap, asked several times when a density is to be met.
pub type Select<'a> = Box<dyn Fn(Knob) -> Result<LevelMap> + 'a>;

/// An estimate of one call.
pub struct Prepared<'a> {
    /// What the levels are chosen by, `[B, H, rows, columns]` F32, larger is more important: shown in the lens, and used
    /// for keeps that take the best of a row. `None` for static patterns.
    pub scores: Option<Tensor>,
    /// The exact log-sum-exp of every query `[B, H, S]` F32, when the estimate came by it (exact search); then `scores` are
    /// the exact masses of the blocks, and the retained mass is read from them.
    pub lse: Option<Tensor>,
    /// For methods that sort keys (PBS-Attn): an order of each head's keys and values over all tokens, applied behind the
    /// layer's, `permuted[p] = k[tokens[p]]`; scores and levels count key blocks in it. `None` leaves keys where they are.
    pub key_order: Option<Vec<Order>>,
    /// The selector.
    pub select: Select<'a>,
}

/// What a policy wants to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// [`View::lse`], also from dense steps.
    pub lse: bool,
    /// [`View::plan`]: without a plan file the request is refused.
    pub plan: bool,
}

/// A method that chooses level maps.
pub trait Policy: fmt::Debug + Send + Sync {
    /// The token order of a layer, where the request does not choose one. When it is the same for all layers and not
    /// calibrated, it is applied once around the block stack.
    fn arrangement(&self, layer: usize) -> Arrangement;

    /// What [`View`] must hold.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whose map a site uses: another site's where a method shares maps between layers (static patterns, maps chosen in
    /// selection layers). The owner should come earlier in the same step, or be the site itself; the first that asks makes
    /// the map for all. Layers in different orders never share one.
    fn owner(&self, site: Site, _layers: usize) -> Site {
        site
    }

    /// What the preset's rule selects, as a share of the dense work, before keeps and floor: for plans, where the rule alone
    /// says so (shares of a row, static patterns). `None` where queries, keys or calibration decide; then the preset says
    /// what it came to ([`super::registry::Defaults::measured_density`]).
    fn density(&self, _outline: &Outline<'_>) -> Option<f64> {
        None
    }

    /// Where levels end, of a method that chooses by cut-offs.
    fn cuts(&self) -> Option<&Cuts> {
        None
    }

    /// The same with other ends; `None` of a method without cut-offs.
    fn with_ends(&self, _ends: &Ends) -> Option<Box<dyn Policy>> {
        None
    }

    /// Time of an estimate as a share of that of dense attention over as many tokens, for plans; 0 where nothing is estimated.
    fn estimate_cost(&self, _tokens: usize) -> f64 {
        0.0
    }

    /// Estimates one call.
    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>>;
}
