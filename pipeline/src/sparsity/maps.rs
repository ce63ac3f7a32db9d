//! The map of every sparse call: the one that is kept, while the schedule lets it be used, or a new one by the policy.
//!
//! Sites that share a map (a policy's owner, the guidance branches on request) have one key; the first of them that asks in
//! a step in which a map is due estimates it for all. With adaptive refresh, whoever made a map probes a few queries each
//! step and makes it anew when they find too little of their softmax in it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::{Density, LevelMap};
use tessera_kernels::order::Order;
use tessera_kernels::pyramid::Bias;
use tessera_models::attention::{Branch, Sequence, Site};

use super::cache::{Kept, Key, MapCache};
use super::calibration::PlanFile;
use super::finish::choose;
use super::layout::{Layout, Layouts};
use super::observer::{Mode, Step};
use super::options::Options;
use super::policy::{Policy, Prepared, View};
use super::schedule::Schedule;
use super::tally::{Tally, place};
use super::{probe, seed};
use crate::{Error, Result};

/// A method at work on one run.
pub(super) struct Maps {
    options: Options,
    policy: Box<dyn Policy>,
    plan: Option<PlanFile>,
    schedule: Schedule,
    seed: u64,
    /// The policy and its numbers, hashed.
    id: u64,
    cache: MapCache,
    clip: Option<(Sequence, Layouts)>,
}

/// A sparse call, its operands `[B, H, S, D]` in the layer's order.
pub(super) struct Call<'a> {
    /// Queries, keys and values.
    pub(super) operands: [&'a Tensor; 3],
    /// What the products of queries and keys are multiplied by.
    pub(super) scale: f32,
    /// Where in the model.
    pub(super) site: Site,
    /// When.
    pub(super) step: Step,
}

/// The map of a call and what is known of it.
pub(super) struct Used {
    /// The levels, keeps and floor included.
    pub(super) map: LevelMap,
    /// Fresh or cached.
    pub(super) mode: Mode,
    /// What a fresh map was chosen by.
    pub(super) scores: Option<Tensor>,
    /// Its density for each (sample, head).
    pub(super) densities: Vec<Density>,
    /// Its retained mass for each (sample, head), where that is known.
    pub(super) retained: Option<Vec<f64>>,
    /// The step in which it was estimated.
    pub(super) estimated_at: usize,
}

impl Maps {
    /// A method at the start of a run.
    pub(super) fn new(
        options: Options,
        schedule: Schedule,
        plan: Option<PlanFile>,
        seed: u64,
    ) -> Self {
        let policy = (options.preset.build)();
        let mut hasher = DefaultHasher::new();
        format!("{options:?} {policy:?}").hash(&mut hasher);
        let cache = MapCache::new(options.cache_limit);
        let id = hasher.finish();
        Self { options, policy, plan, schedule, seed, id, cache, clip: None }
    }

    /// A clip begins: forgets whatever was kept of another, and lays its tokens out.
    pub(super) fn begin(&mut self, sequence: &Sequence) -> Result<()> {
        self.cache.clear();
        let layouts = Layouts::new(&self.options, self.plan.as_ref(), sequence)?;
        self.clip = Some((*sequence, layouts));
        Ok(())
    }

    /// The places of a layer's tokens.
    pub(super) fn layout(&self, layer: usize) -> Result<Arc<Layout>> {
        let layout = self.clip.as_ref().and_then(|(_, layouts)| layouts.of(layer));
        layout.cloned().ok_or_else(|| no_clip(layer))
    }

    /// The order that all layers share, where there is one and it moves anything.
    pub(super) fn shared(&self) -> Option<&Order> {
        self.clip.as_ref().and_then(|(_, layouts)| layouts.shared.as_ref())
    }

    /// What stands for the size of a pooled group in its score.
    pub(super) fn bias(&self) -> Bias {
        self.options.bias
    }

    /// Bytes of maps and log-sum-exps that are kept now.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Whether a dense call of this layer should leave its log-sum-exp here.
    pub(super) fn wants_lse(&self, layer: usize) -> bool {
        self.policy.needs().lse && !self.schedule.is_dense_layer(layer)
    }

    /// The map of a call. The error is a policy's that could not choose, or a strict run's.
    pub(super) fn used(&mut self, call: &Call<'_>, tally: &mut Tally) -> Result<Used> {
        let layout = self.layout(call.site.layer)?;
        let key = self.key(self.owner(call.site), call.operands[0], &layout)?;
        let due = self.schedule.due(call.step.index);
        let kept = self.cache.map(&key).filter(|kept| (due..=call.step.index).contains(&kept.step));
        if let Some(kept) = kept
            && let Some(used) = self.again(call, kept)?
        {
            return Ok(used);
        }
        self.anew(call, key, &layout, tally)
    }

    /// Keeps the log-sum-exp `[B, H, S]` F32 of a call, in the layer's order.
    pub(super) fn keep_lse(
        &mut self,
        call: &Call<'_>,
        lse: &Tensor,
        tally: &mut Tally,
    ) -> Result<()> {
        let layout = self.layout(call.site.layer)?;
        let key = self.key(call.site, call.operands[0], &layout)?;
        if self.cache.keep_lse(key, lse) {
            return Ok(());
        }
        self.fall_back(call, self.full("A log-sum-exp was not kept and is computed again"), tally)
    }

    /// Notes that a call runs otherwise than was asked for; in a strict run that is an error.
    pub(super) fn fall_back(&self, call: &Call<'_>, what: String, tally: &mut Tally) -> Result<()> {
        if self.options.strict {
            return Err(Error::Fallback { place: place(call.site, call.step), what });
        }
        tally.fallback(what, call.site, call.step);
        Ok(())
    }

    /// What to say when the policy could not choose.
    pub(super) fn refused(&self, error: &Error) -> String {
        format!(
            "Attention ran dense, because {} could not choose a map: {error}",
            self.options.method.name
        )
    }

    /// What to say when the cache is full.
    fn full(&self, what: &str) -> String {
        let limit = crate::plan::bytes(self.options.cache_limit);
        format!("{what}, because cache_limit allows {limit}")
    }

    /// The site after which the map of a site is named.
    fn owner(&self, site: Site) -> Site {
        let layers = self.clip.as_ref().map_or(0, |(sequence, _)| sequence.layers);
        let owner = self.policy.owner(site, layers);
        if self.options.share_branches { Site { branch: Branch::Cond, ..owner } } else { owner }
    }

    fn key(&self, site: Site, q: &Tensor, layout: &Layout) -> Result<Key> {
        let (batch, heads, tokens, _) = q.dims4()?;
        let arrangement = layout.arrangement;
        Ok(Key { site, batch, heads, tokens, arrangement, policy: self.id })
    }

    /// A kept map, unless its maker finds by a probe that it is outworn.
    fn again(&self, call: &Call<'_>, kept: &Kept) -> Result<Option<Used>> {
        let map = kept.map()?;
        let mut retained = None;
        if let (Some(bound), Some(first)) = (self.schedule.recall_bound(), kept.recall)
            && kept.site == call.site
            && kept.step < call.step.index
        {
            let found = self.probed(call, &map)?;
            if probe::mean(&found) < bound * first {
                return Ok(None);
            }
            retained = Some(found);
        }
        Ok(Some(Used {
            map,
            mode: Mode::Cached,
            scores: None,
            densities: kept.densities.clone(),
            retained,
            estimated_at: kept.step,
        }))
    }

    /// A new map, kept where it is used again.
    fn anew(
        &mut self,
        call: &Call<'_>,
        key: Key,
        layout: &Layout,
        tally: &mut Tally,
    ) -> Result<Used> {
        let own = Key { site: call.site, ..key };
        let lse = self.cache.lse(&own).cloned();
        let (map, scores, lse) = self.estimated(call, layout, lse.as_ref())?;
        let densities = map.densities()?;
        let exact = match (&scores, &lse) {
            (Some(mass), Some(_)) => Some(probe::exact(mass, &map, self.options.floor)?),
            _ => None,
        };
        let probed = match self.schedule.recall_bound() {
            Some(_) => Some(self.probed(call, &map)?),
            None => None,
        };
        let is_shared =
            key.site != own.site || self.options.share_branches || self.is_owner(key.site);
        if self.schedule.keeps_maps() || is_shared {
            let made = (call.site, call.step.index);
            let recall = probed.as_deref().map(probe::mean);
            if !self.cache.keep_map(key, Kept::new(&map, made, densities.clone(), recall)?) {
                self.fall_back(
                    call,
                    self.full("A map was not kept and is estimated again"),
                    tally,
                )?;
            }
        }
        if let Some(lse) = lse.filter(|_| self.policy.needs().lse) {
            self.keep_lse(call, &lse, tally)?;
        }
        Ok(Used {
            map,
            mode: Mode::Fresh,
            scores,
            densities,
            retained: exact.or(probed),
            estimated_at: call.step.index,
        })
    }

    /// Asks the policy: the map, what it was chosen by, and the log-sum-exp where the search was exact.
    fn estimated(
        &self,
        call: &Call<'_>,
        layout: &Layout,
        lse: Option<&Tensor>,
    ) -> Result<(LevelMap, Option<Tensor>, Option<Tensor>)> {
        let (sequence, _) = self.clip.as_ref().ok_or_else(|| no_clip(call.site.layer))?;
        let [q, k, v] = call.operands;
        let view = View {
            q,
            k,
            v,
            scale: call.scale,
            blocks: Blocks::of(q.dim(2)?),
            grid: sequence.grid,
            text_tokens: sequence.text_tokens,
            orders: &layout.video,
            site: call.site,
            layers: sequence.layers,
            step: call.step.index,
            steps: call.step.of,
            sigma: call.step.sigma,
            lse: lse.filter(|_| self.policy.needs().lse),
            plan: self.plan.as_ref().and_then(|plan| plan.layers.get(call.site.layer)),
            seed: seed::of_call(self.seed, call.site, call.step.index),
        };
        let prepared = self.policy.prepare(&view)?;
        let map = choose(&prepared, self.options.density, &layout.rules)?;
        let Prepared { scores, lse, .. } = prepared;
        Ok((map, scores, lse))
    }

    fn probed(&self, call: &Call<'_>, map: &LevelMap) -> Result<Vec<f64>> {
        let [q, k, _] = call.operands;
        // The same queries in every step, so that what changes is the softmax and not the sample.
        let rows = probe::rows(q.dim(2)?, seed::of_site(self.seed, call.site));
        probe::sampled((q, k), call.scale, &rows, (map, self.options.floor))
    }

    /// Whether other sites use the maps of this one.
    fn is_owner(&self, site: Site) -> bool {
        let layers = self.clip.as_ref().map_or(0, |(sequence, _)| sequence.layers);
        (0..layers)
            .map(|layer| Site { layer, ..site })
            .any(|other| other != site && self.policy.owner(other, layers) == site)
    }
}

fn no_clip(layer: usize) -> Error {
    Error::Thread(format!("layer {layer} asked for attention outside of a clip that has it"))
}
