//! A call for tests of policies, and what every policy promises about its maps.

use candle_core::{Device, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::FULL;
use tessera_kernels::order::Order;
use tessera_models::attention::{Branch, Site};
use tessera_models::geometry::Grid;

use crate::sparsity::calibration::LayerPlan;
use crate::sparsity::{Arrangement, Knob, Policy, View};

/// The operands of a call and everything that a view says of it.
pub(crate) struct Call {
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
    pub(crate) blocks: Blocks,
    pub(crate) grid: Grid,
    pub(crate) orders: Vec<Order>,
    pub(crate) plan: Option<LayerPlan>,
    pub(crate) step: usize,
    pub(crate) steps: usize,
}

impl Call {
    /// Heads of width 8 over the tokens of `grid` in blocks of 128 and 64, in one order; operands drawn anew each time.
    pub(crate) fn new(grid: Grid, heads: usize, order: Arrangement) -> Self {
        let draw =
            || Tensor::randn(0.0f32, 1.0, (1, heads, grid.tokens(), 8), &Device::Cpu).unwrap();
        Self {
            q: draw(),
            k: draw(),
            v: draw(),
            blocks: Blocks::of(grid.tokens()),
            grid,
            orders: vec![order.order(grid).unwrap()],
            plan: None,
            step: 0,
            steps: 4,
        }
    }

    /// As a policy sees it.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            scale: (self.q.dims()[3] as f32).sqrt().recip(),
            blocks: self.blocks,
            grid: self.grid,
            text_tokens: self.blocks.keys - self.grid.tokens(),
            orders: &self.orders,
            site: Site { layer: 0, branch: Branch::Cond, expert: 0 },
            layers: 2,
            step: self.step,
            steps: self.steps,
            sigma: 1.0,
            lse: None,
            plan: self.plan.as_ref(),
            seed: 7,
        }
    }

    /// The levels of every head, row by row, at a knob.
    pub(crate) fn levels(&self, policy: &dyn Policy, knob: Knob) -> Vec<Vec<u8>> {
        let view = self.view();
        let prepared = policy.prepare(&view).unwrap();
        let map = (prepared.select)(knob).unwrap();
        assert_eq!(map.blocks(), self.blocks);
        let levels = map.to_vec().unwrap();
        levels.chunks(self.blocks.columns()).map(<[u8]>::to_vec).collect()
    }

    /// The exact density at a knob.
    pub(crate) fn density(&self, policy: &dyn Policy, knob: Knob) -> f64 {
        let view = self.view();
        let prepared = policy.prepare(&view).unwrap();
        (prepared.select)(knob).unwrap().density().unwrap().exact
    }
}

/// What every policy promises: the same map for the same call, density that never falls as the knob grows, everything in
/// full at 1; and, of binary patterns, that a block once in stays in.
pub(crate) fn keeps_its_promises(policy: &dyn Policy, call: &Call) {
    let mut before: Option<Vec<Vec<u8>>> = None;
    let mut density = 0.0;
    for tenth in 0..=10 {
        let knob = Knob::Keep(f64::from(tenth) / 10.0);
        let levels = call.levels(policy, knob);
        assert_eq!(levels, call.levels(policy, knob), "{policy:?} at {knob:?}");
        let now = call.density(policy, knob);
        assert!(now >= density, "{policy:?}: {density} before {now} at {knob:?}");
        density = now;
        let is_binary = levels.iter().flatten().all(|level| *level <= FULL);
        if let Some(before) = before.filter(|_| is_binary) {
            let left = before.iter().flatten().zip(levels.iter().flatten()).any(|(b, n)| b > n);
            assert!(!left, "{policy:?}: a block left at {knob:?}");
        }
        before = Some(levels);
    }
    assert!((density - 1.0).abs() < 1e-12, "{policy:?}: {density} at the end");
}
