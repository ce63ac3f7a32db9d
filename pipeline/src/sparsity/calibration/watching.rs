//! Dense attention that is looked at in some of its steps.

use candle_core::Tensor;
use rayon::prelude::*;
use tessera_kernels::blocks::Blocks;
use tessera_models::attention::{Dense, SelfAttention, Sequence, Site};

use super::heads::{HeadMasses, fixed};
use super::orders::{HeadOrders, OrderBy, Sight, choose};
use super::plan::{HeadPlan, LayerPlan, group};
use super::probabilities::queries;
use crate::sparsity::seed;

/// What is looked for, and what was found so far: of each layer its heads.
enum Look {
    /// The orders.
    First(Vec<Vec<HeadOrders>>),
    /// Everything that needs the order: each head with the number of its order among the sights.
    Second(Vec<Vec<(usize, HeadMasses)>>),
}

/// A watched dense attention, for clips of one size.
pub(super) struct Watching {
    sequence: Sequence,
    groups: usize,
    /// Steps that are looked at.
    observed: Vec<usize>,
    sights: Vec<Sight>,
    queries: Vec<u32>,
    look: Look,
    /// Of the clip that runs: the seed of its samples, and the step.
    clip: u64,
    step: (usize, usize),
}

impl Watching {
    /// Before the first look. Each run has the same observed steps.
    pub(super) fn new(sequence: Sequence, groups: usize, observed: Vec<usize>) -> Self {
        let look = Look::First(vec![vec![HeadOrders::default(); sequence.heads]; sequence.layers]);
        let sights = Sight::all(&sequence);
        let queries = queries(sequence.tokens());
        let (clip, step) = (0, (0, 1));
        Self { sequence, groups, observed, sights, queries, look, clip, step }
    }

    /// Queries of each call that are looked at.
    pub(super) fn query_tokens(&self) -> usize {
        self.queries.len()
    }

    /// The order of each head is chosen and the second look begins. What the first one found is returned: a plan but for
    /// what the second look is to find.
    pub(super) fn second_look(&mut self, by: OrderBy) -> Vec<LayerPlan> {
        let Look::First(layers) = &self.look else { return Vec::new() };
        let fixed = fixed(&self.sequence, Blocks::of(self.sequence.tokens()));
        let plans: Vec<LayerPlan> = layers.iter().map(|heads| self.plan(heads, by)).collect();
        let place = |head: &HeadPlan| {
            self.sights.iter().position(|sight| sight.arrangement == head.order).unwrap_or(0)
        };
        let masses = |head: &HeadPlan| {
            (place(head), HeadMasses::new(self.sequence, self.groups, &fixed, &head.stripes))
        };
        let second = plans.iter().map(|layer| layer.heads.iter().map(masses).collect()).collect();
        self.look = Look::Second(second);
        plans
    }

    /// What the first look found of a layer.
    fn plan(&self, heads: &[HeadOrders], by: OrderBy) -> LayerPlan {
        let mut needs = Vec::with_capacity(heads.len());
        let plan = |head: &HeadOrders| {
            let orders = head.facts(&self.sights);
            let best = choose(&orders, by);
            needs.push(best.map_or(1.0, |best| best.density95));
            HeadPlan {
                order: best.map_or(crate::sparsity::Arrangement::RASTER, |best| best.order),
                orders,
                mass: Vec::new(),
                stripes: head.stripes(),
                budget: 1.0,
                patterns: Vec::new(),
                spans: Vec::new(),
                span_frames: 0.0,
            }
        };
        let mut heads: Vec<HeadPlan> = heads.iter().map(plan).collect();
        let mean = needs.iter().sum::<f32>() / needs.len().max(1) as f32;
        for (head, need) in heads.iter_mut().zip(needs) {
            head.budget = need / mean;
        }
        LayerPlan { heads }
    }

    /// Fills the plans in with what the second look found.
    pub(super) fn finish(self, mut plans: Vec<LayerPlan>) -> Vec<LayerPlan> {
        let Look::Second(layers) = self.look else { return plans };
        for (plan, heads) in plans.iter_mut().zip(layers) {
            for (plan, (_, found)) in plan.heads.iter_mut().zip(heads) {
                plan.mass = found.masses();
                plan.spans = found.spans();
                plan.span_frames = found.span_frames();
                plan.patterns = found.patterns();
            }
        }
        plans
    }

    /// Whether the step that runs is looked at.
    fn is_observed(&self) -> bool {
        self.observed.contains(&self.step.0)
    }

    fn look(&mut self, site: Site, q: &Tensor, k: &Tensor, v: &Tensor) -> candle_core::Result<()> {
        let (batch, heads, tokens, width) = q.dims4()?;
        let scale = (width as f32).sqrt().recip();
        let blocks = Blocks::of(tokens);
        let group = group(self.step.0, self.step.1, self.groups);
        let seed = seed::of_call(self.clip, site, self.step.0);
        let (sights, queries) = (&self.sights, &self.queries);
        let of = |x: &Tensor, sample: usize, head: usize| x.get(sample)?.get(head);
        for sample in 0..batch {
            match &mut self.look {
                Look::First(layers) => {
                    let found = layers.get_mut(site.layer).map_or(&mut [][..], Vec::as_mut_slice);
                    found.par_iter_mut().take(heads).enumerate().try_for_each(
                        |(head, found)| {
                            let own = of(v, sample, head)?;
                            let operands = [&of(q, sample, head)?, &of(k, sample, head)?, &own];
                            found.look(operands, scale, sights, (queries, blocks))
                        },
                    )?;
                }
                Look::Second(layers) => {
                    let found = layers.get_mut(site.layer).map_or(&mut [][..], Vec::as_mut_slice);
                    found.par_iter_mut().take(heads).enumerate().try_for_each(
                        |(head, found)| {
                            let own = of(v, sample, head)?;
                            let operands = (&of(q, sample, head)?, &of(k, sample, head)?, &own);
                            let (order, found) = found;
                            let orders = (&sights[0], &sights[*order]);
                            found.look(operands, scale, orders, (queries, group, seed))
                        },
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl SelfAttention for Watching {
    fn begin_clip(&mut self, _sequence: &Sequence) -> tessera_models::Result<()> {
        self.clip += 1;
        Ok(())
    }

    fn begin_step(&mut self, index: usize, of: usize, _sigma: f64) -> tessera_models::Result<()> {
        self.step = (index, of);
        Ok(())
    }

    fn attend(
        &mut self,
        site: Site,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> tessera_models::Result<Tensor> {
        if self.is_observed() {
            self.look(site, q, k, v)?;
        }
        Dense.attend(site, q, k, v)
    }
}
