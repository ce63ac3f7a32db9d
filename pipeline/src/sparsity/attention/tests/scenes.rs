//! Clips to ask about: operands for every site, and somebody who asks as a transformer does.

use candle_core::Device;
use tessera_kernels::levels::{FULL, LevelMap};
use tessera_kernels::order::permute;
use tessera_models::geometry::Grid;

use super::*;
use crate::sparsity::Arrangement;
use crate::sparsity::calibration::{HeadPlan, LayerPlan, MassMap, PatternFacts, Recipe};
use crate::sparsity::policy::{Knob, Needs, Policy, Prepared, View};
use crate::sparsity::registry::{Defaults, METHODS, Method, Preset};
use crate::sparsity::seed::mixed;

/// A clip in a model of three layers with two heads of 16.
pub(super) struct Scene {
    pub(super) sequence: Sequence,
    pub(super) steps: usize,
    /// Whether operands are the same in all steps.
    pub(super) is_still: bool,
}

impl Scene {
    pub(super) fn new([frames, rows, cols]: [usize; 3], steps: usize) -> Self {
        let grid = Grid { frames, rows, cols };
        let sequence = Sequence { grid, text_tokens: 0, heads: 2, layers: 3 };
        Self { sequence, steps, is_still: false }
    }

    pub(super) fn sigmas(&self) -> Vec<f64> {
        (0..self.steps).map(|step| 1.0 - step as f64 / self.steps as f64).collect()
    }

    /// q, k and v `[1, 2, S, 16]` of a site in the model's order: alike where places are near, with noise.
    pub(super) fn operands(&self, site: Site, step: usize) -> [Tensor; 3] {
        let step = if self.is_still { 0 } else { step as u64 };
        let Sequence { grid, text_tokens, heads, .. } = self.sequence;
        let branch = u64::from(site.branch == Branch::Uncond);
        [0u64, 1, 2].map(|which| {
            let tokens = self.sequence.tokens();
            let mut values = Vec::with_capacity(heads * tokens * 16);
            for (head, token) in (0..heads).flat_map(|head| (0..tokens).map(move |t| (head, t))) {
                let video = token.saturating_sub(text_tokens);
                let plane = grid.rows * grid.cols;
                let place = [video / plane, video % plane / grid.cols, video % grid.cols];
                for channel in 0..16 {
                    let along = place[(head + channel) % 3] as f32;
                    let wave = (along * 0.4 * (1 + channel / 3) as f32 + channel as f32).sin();
                    let numbers = [
                        which,
                        step,
                        branch,
                        site.layer as u64,
                        token as u64,
                        channel as u64,
                        head as u64,
                    ];
                    let noise = (mixed(9, &numbers) >> 40) as f32 / (1 << 23) as f32 - 1.0;
                    values.push(2.0 * wave + noise);
                }
            }
            Tensor::from_vec(values, (1, heads, tokens, 16), &Device::Cpu).unwrap()
        })
    }

    /// Runs all steps with both branches as a transformer does; `is_carried` tells whether it carries its tokens in the
    /// order that it is given. The answers of all sites, in the model's order.
    pub(super) fn run(
        &self,
        attention: &mut dyn SelfAttention,
        is_carried: bool,
    ) -> tessera_models::Result<Vec<Tensor>> {
        let mut answers = Vec::new();
        attention.begin_clip(&self.sequence)?;
        for (step, sigma) in self.sigmas().into_iter().enumerate() {
            attention.begin_step(step, self.steps, sigma)?;
            for branch in [Branch::Cond, Branch::Uncond] {
                let order = if is_carried { attention.token_order()? } else { None };
                for layer in 0..self.sequence.layers {
                    let site = Site { layer, branch, expert: 0 };
                    let mut all = self.operands(site, step);
                    if let Some(order) = &order {
                        all = all.map(|x| permute(&x, std::slice::from_ref(order)).unwrap());
                    }
                    let [q, k, v] = &all;
                    let mut answer = attention.attend(site, q, k, v)?;
                    if let Some(order) = &order {
                        answer = permute(&answer, &[order.inverse()]).unwrap();
                    }
                    answers.push(answer);
                }
            }
        }
        Ok(answers)
    }

    /// Dense attention's answers.
    pub(super) fn dense(&self) -> Vec<Tensor> {
        self.run(&mut Dense, false).unwrap()
    }

    /// A calibration plan with another order in each head.
    pub(super) fn plan(&self) -> PlanFile {
        let Sequence { grid, text_tokens, heads, layers } = self.sequence;
        let blocks = tessera_kernels::blocks::Blocks::of(self.sequence.tokens());
        let orders = ["hwf", "fhw", "gilbert", "morton"].map(|name| name.parse().unwrap());
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let mass = vec![1.0 / columns as f32; rows * columns];
        let pattern = |pattern: &str, density: f32| PatternFacts {
            pattern: pattern.into(),
            keep: density,
            density,
            error: 1.0 - density,
        };
        let head = |order: Arrangement| HeadPlan {
            order,
            orders: Vec::new(),
            mass: vec![MassMap::new(&mass)],
            stripes: vec![1.0; columns],
            budget: 1.0,
            patterns: vec![pattern("full", 1.0), pattern("diagonal", 0.5), pattern("stripes", 0.3)],
            spans: vec![1.0; columns],
            span_frames: 1.0,
        };
        let layer = |layer: usize| LayerPlan {
            heads: (0..heads).map(|at| head(orders[(layer + at) % orders.len()])).collect(),
        };
        PlanFile {
            version: 1,
            program: "test".into(),
            model: "test".into(),
            fingerprint: "test".into(),
            grid,
            text_tokens,
            query_block: blocks.query_block,
            key_block: blocks.key_block,
            groups: 1,
            recipe: Recipe {
                prompts: Vec::new(),
                steps: 4,
                observed: vec![0],
                sampler: "euler".into(),
                guidance: 4.0,
                flow_shift: 3.0,
                seed: 0,
                dtype: "f32".into(),
                order_by: "mass".into(),
                query_tokens: self.sequence.tokens(),
            },
            layers: (0..layers).map(layer).collect(),
        }
    }
}

/// Options for a policy of a test, as PSA would be asked with nothing dense.
pub(super) fn options_for(method: &'static Method, change: impl FnOnce(&mut Request)) -> Options {
    let mut request = asked("psa", |_| ());
    change(&mut request);
    options::fill(&mut request, 3).unwrap();
    request.least_full = Some(0.0);
    let options = Options::new(&request).unwrap().unwrap();
    Options { method, preset: &method.presets[0], order: None, ..options }
}

/// A method of a test.
const fn method(name: &'static str, presets: &'static [Preset]) -> Method {
    Method { name, presets, ..METHODS[1] }
}

const fn preset(build: fn() -> Box<dyn Policy>) -> Preset {
    Preset { name: "test", source: "a test", defaults: Defaults::PLAIN, build }
}

/// Cannot choose.
#[derive(Debug)]
struct Refusing;

impl Policy for Refusing {
    fn arrangement(&self, _: usize) -> Arrangement {
        Arrangement::Morton
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        Err(Error::Thread(format!("{} tokens are beyond it", view.blocks.keys)))
    }
}

static REFUSING_PRESETS: [Preset; 1] = [preset(|| Box::new(Refusing))];
pub(super) static REFUSING: Method = method("refusing", &REFUSING_PRESETS);

/// Every block in full, with the keys of each head in another order.
#[derive(Debug)]
struct Sorting;

impl Policy for Sorting {
    fn arrangement(&self, _: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let tokens = view.blocks.keys as u32;
        let turned = |by: u32| Order::new((0..tokens).map(|t| (t + by) % tokens).collect());
        let blocks = view.blocks;
        Ok(Prepared {
            scores: None,
            lse: None,
            key_order: Some(vec![turned(7)?, turned(91)?]),
            select: Box::new(move |_| Ok(LevelMap::filled(FULL, (1, 2), blocks)?)),
        })
    }
}

static SORTING_PRESETS: [Preset; 1] = [preset(|| Box::new(Sorting))];
pub(super) static SORTING: Method = method("sorting", &SORTING_PRESETS);

/// Checks that the log-sum-exp it is given is that of its view; all layers use the first one's map.
#[derive(Debug)]
struct Reading;

impl Policy for Reading {
    fn arrangement(&self, _: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn needs(&self) -> Needs {
        Needs { lse: true, plan: false }
    }

    fn owner(&self, site: Site, _: usize) -> Site {
        Site { layer: 0, ..site }
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let wrong = |what: &str| Error::Thread(what.into());
        let given = view.lse.ok_or_else(|| wrong("no log-sum-exp"))?;
        let (_, lse) = attention_with_lse(view.q, view.k, view.v, view.scale, None)?;
        let worst = (given - lse)?.abs()?.max_all()?.to_scalar::<f32>()?;
        if worst > 1e-5 {
            return Err(wrong(&format!("the log-sum-exp is off by {worst}")));
        }
        let blocks = view.blocks;
        Ok(Prepared {
            scores: None,
            lse: None,
            key_order: None,
            select: Box::new(move |knob| {
                let level = if knob == Knob::Keep(1.0) { FULL } else { 3 };
                Ok(LevelMap::filled(level, (1, 2), blocks)?)
            }),
        })
    }
}

static READING_PRESETS: [Preset; 1] = [preset(|| Box::new(Reading))];
pub(super) static READING: Method = method("reading", &READING_PRESETS);
