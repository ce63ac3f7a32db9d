//! What a plan file holds: of each head its order, masses, budget, best static pattern and span.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tessera_models::geometry::Grid;

use super::MassMap;
use crate::sparsity::Arrangement;
use crate::{Error, Result};

/// Version of the format.
pub(super) const VERSION: u32 = 2;

/// What calibration learned about one model at one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    /// Version of this format.
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// The model's name.
    pub model: String,
    /// Which weights: the model's fingerprint.
    pub fingerprint: String,
    /// The video tokens.
    pub grid: Grid,
    /// Text tokens behind them in the same attention.
    pub text_tokens: usize,
    /// Tokens of a query block.
    pub query_block: usize,
    /// Tokens of a key block.
    pub key_block: usize,
    /// Groups of timesteps that have masses of their own.
    pub groups: usize,
    /// How it was made.
    pub recipe: Recipe,
    /// What was found, layer by layer.
    pub layers: Vec<LayerPlan>,
}

/// How a plan was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The prompts.
    pub prompts: Vec<String>,
    /// Steps of each run.
    pub steps: usize,
    /// The steps, from 0, that were looked at.
    pub observed: Vec<usize>,
    /// The sampler.
    pub sampler: String,
    /// Scale of guidance; above 1 both branches were looked at.
    pub guidance: f64,
    /// Shift of the schedule.
    pub flow_shift: f64,
    /// Seed of the first run's noise; each prompt has the next.
    pub seed: u64,
    /// Number format of the transformer.
    pub dtype: String,
    /// What the orders were chosen by.
    pub order_by: String,
    /// Query tokens of each call that were looked at: all, or a part spread evenly over the clip.
    pub query_tokens: usize,
}

/// One layer's heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// A plan of each head.
    pub heads: Vec<HeadPlan>,
}

/// What was found for one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadPlan {
    /// The order that was chosen for this head.
    #[serde(with = "in_words")]
    pub order: Arrangement,
    /// What each order was judged by.
    pub orders: Vec<OrderFacts>,
    /// Mean block mass `[rows × columns]` in that order, averaged over calibration, row-major, each row summing to 1 but
    /// for rounding; one for each group of timesteps, first to last. See [`group`]. Kept beside the text of the file.
    #[serde(skip)]
    pub mass: Vec<MassMap>,
    /// Mean mass of each key block in raster order, times the number of key blocks: 1 is an equal share (vertical stripes).
    pub stripes: Vec<f32>,
    /// Share of its layer's budget that this head should get for equal retained mass; 1 is an equal share.
    pub budget: f32,
    /// Static patterns in raster order, each at several densities, with what they did to this head's output.
    pub patterns: Vec<PatternFacts>,
    /// Mass of the key blocks that are at most d blocks from a query block's own, in raster order, for d = 0, 1, … (MoA).
    pub spans: Vec<f32>,
    /// Frames on each side that hold 95 % of the mass.
    pub span_frames: f32,
}

/// How well an order suits a head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OrderFacts {
    /// The order.
    #[serde(with = "in_words")]
    pub order: Arrangement,
    /// Expected squared error of a query's output at a quarter of the dense work with `tessera`'s levels, mean over calls.
    pub loss: f32,
    /// Share of the blocks that carry 95 % of each row's mass, mean over rows and calls.
    pub density95: f32,
    /// PARO's sparsity metric: share of 64×64 blocks nine tenths of whose entries are below 10⁻³. `None` where not asked.
    pub sparsity: Option<f32>,
    /// PARO's uniformity metric: mean over 64×64 blocks of largest entry over mean entry.
    pub uniformity: Option<f32>,
}

/// What a static pattern does to a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatternFacts {
    /// Its name.
    pub pattern: String,
    /// How wide it was: the knob of its map.
    pub keep: f32,
    /// Exact density of the map.
    pub density: f32,
    /// ‖O' − O‖² / ‖O‖² of the head's output O.
    pub error: f32,
}

impl PlanFile {
    /// Reads a plan file, whole and well-formed or not at all.
    pub fn read(path: &Path) -> Result<Self> {
        super::file::read(path)
    }

    /// Whether a file is a plan, by its header: a broken plan is one too.
    pub fn is_one(path: &Path) -> bool {
        super::file::is_plan(path)
    }

    /// Writes the file whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        super::file::write(self, path)
    }

    /// Refuses a plan of another model or another clip; `path` is for the message alone.
    pub fn check(&self, path: &Path, fingerprint: &str, grid: Grid) -> Result<()> {
        if self.fingerprint != fingerprint {
            let expected = format!("{fingerprint}, the model of this run");
            let got = format!("{} ({})", self.fingerprint, self.model);
            return Err(refused(path, "fingerprint", expected, got));
        }
        if self.grid != grid {
            let expected = format!("{}, this clip's tokens", tokens(grid));
            return Err(refused(path, "grid", expected, tokens(self.grid)));
        }
        Ok(())
    }
}

/// Frames × rows × columns of tokens.
pub(super) fn tokens(grid: Grid) -> String {
    format!("{}x{}x{}", grid.frames, grid.rows, grid.cols)
}

/// An [`Error::PlanFile`].
pub(super) fn refused(
    path: &Path,
    field: &str,
    expected: impl fmt::Display,
    got: impl fmt::Display,
) -> Error {
    Error::PlanFile {
        path: path.into(),
        field: field.into(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

/// The group of timesteps that step `index` of `of` belongs to: the first half of the run has all groups but the last,
/// evenly, the second half shares the last one (PARO, methods.md §2.4).
pub fn group(index: usize, of: usize, groups: usize) -> usize {
    let last = groups.saturating_sub(1);
    // (index + ½)/of < ½ ⇔ 2·index + 1 < of.
    ((2 * index + 1) * last / of.max(1)).min(last)
}

mod in_words {
    //! An order as its name.

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::sparsity::Arrangement;

    pub(super) fn serialize<S: Serializer>(order: &Arrangement, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(order)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arrangement, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
