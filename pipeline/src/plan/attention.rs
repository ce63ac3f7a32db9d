//! What sparse attention comes to in one clip: every resolved value, and what it predicts for work and memory.

mod forecast;
#[cfg(test)]
mod tests;

use std::fmt;

use candle_core::DType;
use serde::{Deserialize, Serialize};
use tessera_kernels::blocks::Blocks;
use tessera_models::attention::Sequence;
use tessera_models::folder::ModelFolder;
use tessera_models::geometry::Grid;

use super::Settled;
use super::memory::bytes;
use crate::attention::{Resolved, Subject, resolve};
use crate::request::Request;
use crate::sparsity::{Arrangement, options};
use crate::{Error, Result};
use forecast::Forecast;

/// The sparse attention of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedAttention {
    /// The method.
    pub method: String,
    /// Its preset.
    pub preset: String,
    /// Where the preset's numbers are from.
    pub source: String,
    /// The order of tokens; "by layer" when layers differ.
    pub order: String,
    /// Query blocks and key blocks of a map.
    pub blocks: [usize; 2],
    /// Levels that maps may use.
    pub levels: String,
    /// Level of what was not selected.
    pub floor: u8,
    /// What stands for the size of a pooled group.
    pub bias: String,
    /// Steps `[first, end)` that are not dense.
    pub sparse_steps: [usize; 2],
    /// Layers that stay dense, as settings write them.
    pub dense_layers: String,
    /// When maps are estimated again, as settings write it, in steps of this run.
    pub refresh: String,
    /// Estimates of each site; `None` when what it sees decides.
    pub estimates: Option<usize>,
    /// What is seen in full whatever was selected, in words.
    pub keeps: String,
    /// The density that was asked for.
    pub density: Option<f64>,
    /// The density of sparse calls that the prediction goes by.
    pub expected_density: f64,
    /// The least that the floor and the forced keeps leave possible.
    pub least_density: f64,
    /// Self-attention's share of the dense work over the whole run, dense steps and layers included.
    pub work_share: f64,
    /// Time of choosing what to see, as a share of the same dense work over the whole run.
    #[serde(default)]
    pub estimate_share: f64,
    /// FLOPs of all self-attention if it were dense.
    pub dense_work: f64,
    /// Bytes of all maps and log-sum-exps that would be kept.
    pub cache_bytes: u64,
    /// Bytes that may be.
    pub cache_limit: u64,
    /// Bytes that a sparse call needs beside its operands.
    pub call_bytes: u64,
}

impl PlannedAttention {
    /// What was resolved, or why its cache cannot be, over a clip of `sequence` with or without guidance; `dense_work` are the FLOPs of all
    /// self-attention if it were dense, `width` and `dtype` those of the operands.
    pub(super) fn new(
        resolved: &Resolved,
        (sequence, is_guided): (&Sequence, bool),
        (width, dtype): (usize, DType),
        dense_work: f64,
    ) -> Result<Self> {
        let Resolved { options, schedule, least_density, .. } = resolved;
        let blocks = Blocks::of(sequence.tokens());
        let sparse = schedule.sparse();
        let forecast = Forecast::new(resolved, sequence, is_guided);
        if let Some(problem) = forecast.cache_problem() {
            return Err(Error::Settings(vec![problem]));
        }
        let expected_density = forecast.density();
        let first = options.arrangement(0);
        let is_one = (1..sequence.layers).all(|layer| options.arrangement(layer) == first);
        Ok(Self {
            method: options.method.name.into(),
            preset: options.preset.name.into(),
            source: options.preset.source.into(),
            order: if is_one { first.to_string() } else { "by layer".into() },
            blocks: [blocks.rows(), blocks.columns()],
            levels: options.levels.to_string(),
            floor: options.floor,
            bias: options.bias.to_string(),
            sparse_steps: [sparse.start, sparse.end],
            dense_layers: options.terms.dense_layers.to_string(),
            refresh: schedule.refresh().to_string(),
            estimates: schedule.estimates(),
            keeps: keeps(resolved),
            density: options.density,
            expected_density,
            least_density: *least_density,
            work_share: 1.0 - forecast.sparse_part() * (1.0 - expected_density),
            estimate_share: forecast.estimate_share(),
            dense_work,
            cache_bytes: forecast.cache_bytes(),
            cache_limit: options.cache_limit,
            call_bytes: call_bytes(
                sequence,
                width,
                dtype,
                is_one && first != Arrangement::Calibrated,
            ),
        })
    }

    /// Work and choosing together, as a share of the dense work.
    pub(super) fn total_share(&self) -> f64 {
        self.work_share + self.estimate_share
    }

    /// Bytes that sparse attention takes at its worst moment.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.cache_bytes.min(self.cache_limit) + self.call_bytes
    }

    /// What a person should know.
    pub(super) fn warning(&self) -> Option<String> {
        (self.cache_bytes > self.cache_limit).then(|| {
            format!(
                "The maps of this clip take {} and cache_limit allows {}: what finds no room is estimated again.",
                bytes(self.cache_bytes),
                bytes(self.cache_limit)
            )
        })
    }
}

/// The sparse attention of a filled request; `None` when it is dense.
pub(super) fn planned(
    folder: &ModelFolder,
    (request, settled): (&Request, &Settled),
    grid: Grid,
    forwards: u64,
) -> Result<Option<PlannedAttention>> {
    let config = folder.transformer_config();
    let sequence = super::sequence(folder, grid);
    let sampler = settled.sampler.build(
        folder.scheduler_config(),
        settled.steps,
        Some(settled.flow_shift),
    )?;
    let fingerprint = folder.fingerprint();
    let sigmas = &sampler.sigmas()[..settled.steps];
    let resolved = resolve(request, &Subject { fingerprint, sequence, sigmas })?;
    let dense = tessera_models::cost::forward_work(config, grid, 1).self_attention * forwards;
    let operands = (config.width(), settled.dtype);
    let clip = (&sequence, settled.is_guided());
    let planned =
        |resolved: Resolved| PlannedAttention::new(&resolved, clip, operands, dense as f64);
    resolved.map(planned).transpose()
}

/// What to say of sparse settings beside dense attention.
pub(super) fn idle(request: &Request) -> Option<String> {
    let idle = options::idle(request);
    (!idle.is_empty()).then(|| {
        format!("Attention is dense, so these settings have no effect: {}.", idle.join(", "))
    })
}

/// What is seen in full whatever was selected, in words.
fn keeps(resolved: &Resolved) -> String {
    let keep = resolved.options.keep;
    let mut all = Vec::new();
    match (keep.own, keep.radius) {
        (false, 0) => {}
        (_, 0) => all.push("own place".to_owned()),
        (_, radius) => all.push(format!("own place and {radius} blocks around")),
    }
    if keep.first_frame {
        all.push("first frame".into());
    }
    if keep.least_full > 0.0 {
        all.push(format!("best {}% of a row", (keep.least_full * 1e4).round() / 100.0));
    }
    if all.is_empty() { "nothing by force".into() } else { all.join(", ") }
}

/// Bytes of one call beside its operands and result: scores in F32 and as a selector sorts them, levels, keys and values
/// pooled to all levels, and the operands once more where they are permuted here.
fn call_bytes(sequence: &Sequence, width: usize, dtype: DType, is_carried: bool) -> u64 {
    let blocks = Blocks::of(sequence.tokens());
    let pairs = sequence.heads * blocks.rows() * blocks.columns();
    let operand = sequence.tokens() * width * dtype.size_in_bytes();
    let copies = if is_carried { 2 } else { 6 };
    (pairs * (4 * 2 + 2) + operand * copies) as u64
}

impl fmt::Display for PlannedAttention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, end] = self.sparse_steps;
        let [rows, columns] = self.blocks;
        writeln!(
            f,
            "attention  {} ({}), order {}, {rows} x {columns} blocks, levels {}, floor {}, bias {}",
            self.method, self.preset, self.order, self.levels, self.floor, self.bias
        )?;
        let estimates = match (self.estimates, self.refresh.as_str()) {
            (_, "1") => "a new map each step".to_owned(),
            (Some(1), _) => "one map".to_owned(),
            (Some(estimates), refresh) => format!("{estimates} maps (refresh {refresh})"),
            (None, refresh) => format!("maps as a probe says (refresh {refresh})"),
        };
        writeln!(
            f,
            "           sparse in steps {} to {end}, dense layers {}; {estimates}; kept in full: {}",
            first + 1,
            self.dense_layers,
            self.keeps
        )?;
        let density = match self.density {
            Some(density) => format!("density {density}"),
            None => format!("density about {:.2} (the preset's)", self.expected_density),
        };
        writeln!(
            f,
            "           {density}, at least {:.4}; {:.0} % of dense attention's work over the run, and {:.1} % to choose; maps kept {} of {}",
            self.least_density,
            100.0 * self.work_share,
            100.0 * self.estimate_share,
            bytes(self.cache_bytes.min(self.cache_limit)),
            bytes(self.cache_limit)
        )
    }
}
