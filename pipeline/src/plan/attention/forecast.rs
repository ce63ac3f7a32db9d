//! What a sparse run will take, before any of its queries is known: the density of its calls, time of its estimates, maps.

use std::collections::HashSet;

use tessera_kernels::blocks::Blocks;
use tessera_kernels::scores::Estimator;
use tessera_models::attention::{Branch, Sequence, Site};

use crate::attention::Resolved;
use crate::settings::Problem;
use crate::sparsity::{Cells, Outline, Policy};

/// Query blocks that are looked at for a density: static patterns of a whole clip take a second to make.
const ROWS: usize = 32;

/// A run as far as its settings tell.
pub(super) struct Forecast<'a> {
    resolved: &'a Resolved,
    sequence: &'a Sequence,
    policy: Box<dyn Policy>,
    /// Attention calls of a sparse step.
    sites: usize,
    /// Maps of a sparse step.
    owners: usize,
    /// Those of them that several calls use.
    shared: usize,
}

impl<'a> Forecast<'a> {
    /// Of a run over a clip of `sequence`, with or without guidance.
    pub(super) fn new(resolved: &'a Resolved, sequence: &'a Sequence, is_guided: bool) -> Self {
        let Resolved { options, schedule, .. } = resolved;
        let policy = options.policy();
        let branches =
            if is_guided { &[Branch::Cond, Branch::Uncond][..] } else { &[Branch::Cond] };
        let (mut owners, mut shared, mut sites) = (HashSet::new(), HashSet::new(), 0);
        for layer in (0..sequence.layers).filter(|layer| !schedule.is_dense_layer(*layer)) {
            for branch in branches {
                let site = Site { layer, branch: *branch, expert: 0 };
                let owner = options.owner(&*policy, site, sequence.layers);
                sites += 1;
                if !owners.insert(owner) {
                    shared.insert(owner);
                }
            }
        }
        let (owners, shared) = (owners.len(), shared.len());
        Self { resolved, sequence, policy, sites, owners, shared }
    }

    /// The part of the run's attention calls that is sparse.
    pub(super) fn sparse_part(&self) -> f64 {
        let schedule = &self.resolved.schedule;
        let all = schedule.steps() * self.sequence.layers;
        (schedule.sparse().len() * schedule.sparse_layers()) as f64 / all.max(1) as f64
    }

    /// Density of a sparse call, the mean over layers: what was asked for; or else what the preset's rule selects, and what
    /// floor and keeps add where they fall on other blocks; or else what the preset came to when it was measured.
    pub(super) fn density(&self) -> f64 {
        let Resolved { options, least_density, .. } = self.resolved;
        let measured = options.preset.defaults.measured_density.unwrap_or(1.0) * self.stretch();
        let preset = || match self.selected() {
            Some(selected) => 1.0 - (1.0 - selected) * (1.0 - least_density),
            None => measured,
        };
        let sparse = options.density.unwrap_or_else(preset).max(*least_density).min(1.0);
        sparse + (1.0 - sparse) * self.dense_heads()
    }

    /// What other cut-offs than the preset's do to its measured density: as much as they do to the work of a row whose blocks
    /// are all alike. The densities that were measured of psa's presets follow that within 2 %.
    fn stretch(&self) -> f64 {
        let preset = (self.resolved.options.preset.build)();
        match (self.policy.cuts(), preset.cuts()) {
            (Some(cuts), Some(own)) => cuts.ends.work() / own.ends.work().max(f64::MIN_POSITIVE),
            _ => 1.0,
        }
    }

    /// The share of the heads of sparse layers that stays dense.
    fn dense_heads(&self) -> f64 {
        let Resolved { options, schedule, .. } = self.resolved;
        let Sequence { layers, heads, .. } = *self.sequence;
        let sparse = (0..layers).filter(|layer| !schedule.is_dense_layer(*layer));
        let dense: usize = sparse.map(|layer| options.dense_heads.of(layer, heads).len()).sum();
        dense as f64 / (schedule.sparse_layers() * heads).max(1) as f64
    }

    /// What the preset's rule selects, the mean over sparse layers.
    fn selected(&self) -> Option<f64> {
        let Resolved { schedule, layouts, .. } = self.resolved;
        let of_layer = |layer: usize| {
            let blocks = self.blocks();
            let cells =
                Cells { grid: self.sequence.grid, blocks, every: blocks.rows().div_ceil(ROWS) };
            let outline = Outline {
                cells,
                orders: &layouts.of(layer)?.video,
                heads: self.sequence.heads,
                layer,
            };
            self.policy.density(&outline)
        };
        let layers = (0..self.sequence.layers).filter(|layer| !schedule.is_dense_layer(*layer));
        let all: Vec<f64> = layers.map(of_layer).collect::<Option<_>>()?;
        Some(all.iter().sum::<f64>() / all.len().max(1) as f64)
    }

    /// Time of all estimates as a share of the run's whole attention if it were dense. Where a probe decides when maps are
    /// estimated, the least: one each, and the probe at every other sparse step.
    pub(super) fn estimate_share(&self) -> f64 {
        let schedule = &self.resolved.schedule;
        let tokens = self.sequence.tokens();
        let each = self.policy.estimate_cost(tokens);
        let probe = Estimator::SampledRows.cost(tokens);
        let steps = schedule.sparse().len();
        let a_map = match schedule.estimates() {
            Some(estimates) => estimates as f64 * each,
            None => each + steps.saturating_sub(1) as f64 * probe,
        };
        let calls = (self.sites.max(1) * steps.max(1)) as f64;
        self.sparse_part() * self.owners as f64 * a_map / calls
    }

    /// Bytes of everything that the run would keep if there were room: maps and log-sum-exps.
    pub(super) fn cache_bytes(&self) -> u64 {
        let Sequence { heads, .. } = *self.sequence;
        let lse = if self.policy.needs().lse { 4 * heads * self.sequence.tokens() } else { 0 };
        self.maps() * self.map_bytes() + (self.sites * lse) as u64
    }

    /// What is wrong with a bound that lets no map be kept of those that are used again.
    pub(super) fn cache_problem(&self) -> Option<Problem> {
        let (limit, least) = (self.resolved.options.cache_limit, self.map_bytes());
        (self.maps() > 0 && limit < least).then(|| {
            let expected = format!("at least {least} bytes, one map of this clip");
            Problem::new("cache_limit", expected, limit)
        })
    }

    /// Maps that are used again.
    fn maps(&self) -> u64 {
        let maps = if self.resolved.schedule.keeps_maps() { self.owners } else { self.shared };
        maps as u64
    }

    /// A map takes four bits a block.
    fn map_bytes(&self) -> u64 {
        let blocks = self.blocks();
        (self.sequence.heads * blocks.rows() * blocks.columns()).div_ceil(2) as u64
    }

    fn blocks(&self) -> Blocks {
        Blocks::of(self.sequence.tokens())
    }
}
