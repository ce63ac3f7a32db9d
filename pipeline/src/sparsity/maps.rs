//! The map of every sparse call: the one that is kept, while the schedule lets it be used, or a new one by the policy.
//!
//! Sites that share a map (a policy's owner, the guidance branches on request) have one key; the first of them that asks in
//! a step in which a map is due estimates it for all. With adaptive refresh, whoever made a map probes a few queries each
//! step and makes it anew when they find too little of their softmax in it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::{Densities, LevelMap};
use tessera_kernels::order::{Order, permute};
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
pub struct Maps {
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
pub struct Call<'a> {
    /// Queries, keys and values.
    pub operands: [&'a Tensor; 3],
    /// What the products of queries and keys are multiplied by.
    pub scale: f32,
    /// Where in the model.
    pub site: Site,
    /// When.
    pub step: Step,
}

/// The map of a call and what is known of it.
pub struct Used {
    /// The levels, keeps and floor included.
    pub map: LevelMap,
    /// Fresh or cached.
    pub mode: Mode,
    /// What a fresh map was chosen by.
    pub scores: Option<Tensor>,
    /// The order of each head's keys that the map is about, where the method sorts them.
    pub key_order: Option<Vec<Order>>,
    /// Its density for each (sample, head).
    pub densities: Densities,
    /// Its retained mass for each (sample, head), where that is known.
    pub retained: Option<Vec<f64>>,
    /// The step in which it was estimated.
    pub estimated_at: usize,
}

impl Used {
    /// Keys and values `[B, H, S, D]` of the layer's order as the map's blocks count them.
    pub fn sorted(&self, tensors: [&Tensor; 2]) -> Result<[Tensor; 2]> {
        sorted(tensors, self.key_order.as_deref())
    }
}

impl Maps {
    /// A method at the start of a run. [`Schedule::always`] asks it at every call, as a replay does.
    pub fn new(options: Options, schedule: Schedule, plan: Option<PlanFile>, seed: u64) -> Self {
        let policy = options.policy();
        let mut hasher = DefaultHasher::new();
        format!("{options:?} {policy:?}").hash(&mut hasher);
        let cache = MapCache::new(options.cache_limit);
        let id = hasher.finish();
        Self { options, policy, plan, schedule, seed, id, cache, clip: None }
    }

    /// A clip begins: forgets whatever was kept of another, and lays its tokens out.
    pub fn begin(&mut self, sequence: &Sequence) -> Result<()> {
        self.cache.clear();
        let layouts = Layouts::new(&self.options, self.plan.as_ref(), sequence)?;
        self.clip = Some((*sequence, layouts));
        Ok(())
    }

    /// The places of a layer's tokens.
    pub fn layout(&self, layer: usize) -> Result<Arc<Layout>> {
        let layout = self.clip.as_ref().and_then(|(_, layouts)| layouts.of(layer));
        layout.cloned().ok_or_else(|| no_clip(layer))
    }

    /// The order that all layers share, where there is one and it moves anything.
    pub fn shared(&self) -> Option<&Order> {
        self.clip.as_ref().and_then(|(_, layouts)| layouts.shared.as_ref())
    }

    /// What stands for the size of a pooled group in its score.
    pub fn bias(&self) -> Bias {
        self.options.bias
    }

    /// Bytes of maps and log-sum-exps that are kept now.
    pub fn kept_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Whether a dense call of this layer should leave its log-sum-exp here.
    pub fn wants_lse(&self, layer: usize) -> bool {
        self.policy.needs().lse && !self.schedule.is_dense_layer(layer)
    }

    /// The map of a call. The error is a policy's that could not choose, or a strict run's.
    pub fn used(&mut self, call: &Call<'_>, tally: &mut Tally) -> Result<Used> {
        let used = self.chosen(call, tally)?;
        self.opened(used, call.site.layer)
    }

    /// With the layer's dense heads in full. What is kept for later calls has them as they were chosen, because layers that
    /// share a map need not share dense heads.
    fn opened(&self, mut used: Used, layer: usize) -> Result<Used> {
        let (batch, heads) = used.map.heads();
        let dense = self.options.dense_heads.of(layer, heads);
        if dense.is_empty() {
            return Ok(used);
        }
        let is_dense = |index: usize| dense.contains(&(index % heads));
        let marks: Vec<u8> = (0..heads).map(|head| u8::from(is_dense(head))).collect();
        let marks = Tensor::from_vec(marks, (1, heads, 1, 1), &Device::Cpu)?;
        used.map = used.map.with_full(&marks)?;
        let full: Vec<usize> = (0..batch * heads).filter(|index| is_dense(*index)).collect();
        used.densities = used.densities.with_full(&full);
        for (index, retained) in used.retained.iter_mut().flatten().enumerate() {
            if is_dense(index) {
                *retained = 1.0;
            }
        }
        Ok(used)
    }

    fn chosen(&mut self, call: &Call<'_>, tally: &mut Tally) -> Result<Used> {
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
    pub fn keep_lse(&mut self, call: &Call<'_>, lse: &Tensor, tally: &mut Tally) -> Result<()> {
        let layout = self.layout(call.site.layer)?;
        let key = self.key(call.site, call.operands[0], &layout)?;
        if self.cache.keep_lse(key, lse) {
            return Ok(());
        }
        self.fall_back(call, self.full("A log-sum-exp was not kept and is computed again"), tally)
    }

    /// Notes that a call runs otherwise than was asked for; in a strict run that is an error.
    pub fn fall_back(&self, call: &Call<'_>, what: String, tally: &mut Tally) -> Result<()> {
        if self.options.strict {
            return Err(Error::Fallback { place: place(call.site, call.step), what });
        }
        tally.fallback(what, call.site, call.step);
        Ok(())
    }

    /// What to say when the policy could not choose.
    pub fn refused(&self, error: &Error) -> String {
        format!(
            "Attention ran dense, because {} could not choose a map: {error}",
            self.options.method.name
        )
    }

    /// What to say when a method chose on the host for a call on a GPU: the same maps, later.
    fn on_the_host(&self) -> String {
        let method = self.options.method.name;
        format!("Maps of {method} were chosen on the CPU: it has no path on the GPU")
    }

    /// What to say when the cache is full.
    fn full(&self, what: &str) -> String {
        let limit = crate::plan::bytes(self.options.cache_limit);
        format!("{what}, because cache_limit allows {limit}")
    }

    /// The site after which the map of a site is named.
    fn owner(&self, site: Site) -> Site {
        let layers = self.clip.as_ref().map_or(0, |(sequence, _)| sequence.layers);
        self.options.owner(&*self.policy, site, layers)
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
            let found = self.probed(call, &map, kept.key_order.as_deref())?;
            if probe::mean(&found) < bound * first {
                return Ok(None);
            }
            retained = Some(found);
        }
        Ok(Some(Used {
            map,
            mode: Mode::Cached,
            scores: None,
            key_order: kept.key_order.clone(),
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
        let Estimated { map, scores, lse, key_order } =
            self.estimated(call, layout, lse.as_ref(), tally)?;
        let densities = map.counted()?;
        let exact = match (&scores, &lse) {
            (Some(mass), Some(_)) => Some(probe::exact(mass, &map, self.options.floor)?),
            _ => None,
        };
        let probed = match self.schedule.recall_bound() {
            Some(_) => Some(self.probed(call, &map, key_order.as_deref())?),
            None => None,
        };
        if self.schedule.keeps_maps() || self.is_shared(key.site) {
            let made = (call.site, call.step.index);
            let recall = probed.as_deref().map(probe::mean);
            let kept = Kept::new(&map, made, densities.clone(), key_order.clone(), recall)?;
            if !self.cache.keep_map(key, kept) {
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
            key_order,
            densities,
            retained: exact.or(probed),
            estimated_at: call.step.index,
        })
    }

    /// Asks the policy.
    fn estimated(
        &self,
        call: &Call<'_>,
        layout: &Layout,
        lse: Option<&Tensor>,
        tally: &mut Tally,
    ) -> Result<Estimated> {
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
        let rules = match &prepared.key_order {
            Some(keys) => &layout.rules.with_keys(&layout.there, keys),
            None => &layout.rules,
        };
        let dense = self.options.dense_heads.of(call.site.layer, q.dim(1)?);
        let mut map = choose(&prepared, self.options.density, rules, &dense)?;
        if !q.device().is_cpu() && map.levels().device().is_cpu() {
            tally.fallback(self.on_the_host(), call.site, call.step);
            map = map.to_device(q.device())?;
        }
        let Prepared { scores, lse, key_order, .. } = prepared;
        Ok(Estimated { map, scores, lse, key_order })
    }

    fn probed(&self, call: &Call<'_>, map: &LevelMap, keys: Option<&[Order]>) -> Result<Vec<f64>> {
        let [q, k, _] = call.operands;
        let [k] = &sorted([k], keys)?;
        // The same queries in every step, so that what changes is the softmax and not the sample.
        let rows = probe::rows(q.dim(2)?, seed::of_site(self.seed, call.site));
        probe::sampled((q, k), call.scale, &rows, (map, self.options.floor))
    }

    /// Whether other sites use the map of this key in the same step.
    fn is_shared(&self, owner: Site) -> bool {
        let layers = self.clip.as_ref().map_or(0, |(sequence, _)| sequence.layers);
        let sites = [Branch::Cond, Branch::Uncond]
            .into_iter()
            .flat_map(|branch| (0..layers).map(move |layer| Site { layer, branch, ..owner }));
        sites.filter(|site| self.owner(*site) == owner).nth(1).is_some()
    }
}

/// What a policy answered, made into a map.
struct Estimated {
    map: LevelMap,
    scores: Option<Tensor>,
    lse: Option<Tensor>,
    key_order: Option<Vec<Order>>,
}

/// Tensors `[B, H, S, D]` with the tokens of each head in its order, where there is one.
fn sorted<const N: usize>(tensors: [&Tensor; N], orders: Option<&[Order]>) -> Result<[Tensor; N]> {
    let mut all = tensors.map(Clone::clone);
    if let Some(orders) = orders {
        for tensor in &mut all {
            *tensor = permute(tensor, orders)?;
        }
    }
    Ok(all)
}

fn no_clip(layer: usize) -> Error {
    Error::Thread(format!("layer {layer} asked for attention outside of a clip that has it"))
}
