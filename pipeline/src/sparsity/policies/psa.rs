//! PSA, pyramid sparse attention: blocks near the top of a row are seen in full, those below pooled by 2, 4 and 8.
//!
//! Estimate: the largest exp(score − row maximum) over sampled pairs of a block. Levels: each row's estimate is normalised
//! and sorted; level t goes on to where the running sum passes τₜ (thresholds), or to a share of the row (quotas). With
//! the cosine cap a key block is pooled no further than its tokens are alike: 2, 4, 8 where the mean cosine of first and
//! last token of its groups exceeds t₂, t₄, t₈. The knob stretches all τ or shares. Source: arXiv 2512.04025; methods.md
//! §2.1, with none of the defects listed there.

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::FULL;
use tessera_kernels::scores::{Estimator, Sampling, group_cosine, sampled_max};

use super::knob::{by_scores, stretched};
use crate::Result;
use crate::sparsity::cuts::Scale;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Cuts, Ends, Knob, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "psa",
    summary: "Pyramid sparse attention: less important blocks are seen pooled by 2, 4 or 8.",
    source: "arXiv 2512.04025; methods.md §2.1",
    differs: "Blocks are 128 queries by 64 keys in every preset (the code has 32, 64 or 128 keys), shares are not rounded to whole tiles, the estimator's samples are seeded, text is always seen in full, and pooled groups at a ragged end count their real tokens.",
    presets: &[
        Preset {
            name: "wan2.1-14b",
            source: "official code, Wan2.1-14B: thresholds, 15 of 50 steps dense",
            defaults: measured(0.23),
            build: || thresholds([0.4, 0.5, 0.6, 0.8], None),
        },
        Preset {
            name: "wan2.1-1.3b",
            source: "official code, Wan2.1-1.3B balanced: thresholds and cosine cap",
            defaults: measured(0.27),
            build: || thresholds([0.5, 0.6, 0.7, 0.8], VIDEO_CAP),
        },
        Preset {
            name: "wan2.1-1.3b-topk",
            source: "official code, Wan2.1-1.3B topk: quotas",
            defaults: SHARE,
            build: || quotas([0.05, 0.10, 0.15, 0.25], None, Arrangement::Gilbert),
        },
        Preset {
            name: "wan2.2-a14b",
            source: "official code, Wan2.2-A14B: thresholds, 12 of 40 steps dense",
            defaults: measured(0.26),
            build: || thresholds([0.5, 0.6, 0.6, 0.8], None),
        },
        Preset {
            name: "wan2.2-5b",
            source: "official code, Wan2.2-5B: thresholds",
            defaults: measured(0.31),
            build: || thresholds([0.6, 0.7, 0.7, 0.8], None),
        },
        Preset {
            name: "cogvideox1.5-5b",
            source: "official code, CogVideoX1.5-5B: quotas",
            defaults: SHARE,
            build: || quotas([0.10, 0.15, 0.15, 0.35], None, Arrangement::Gilbert),
        },
        Preset {
            name: "cogvideox-5b",
            source: "official code, CogVideoX-5B: quotas, tokens in the model's order",
            defaults: SHARE,
            build: || quotas([0.10, 0.15, 0.15, 0.35], None, Arrangement::RASTER),
        },
        Preset {
            name: "cogvideox-5b-4step",
            source: "official code, CogVideoX-5B 4-step LoRA: quotas, no dense steps",
            defaults: Defaults::PLAIN,
            build: || quotas([0.05, 0.15, 0.25, 0.50], None, Arrangement::RASTER),
        },
        Preset {
            name: "library",
            source: "official code, PSAConfig's default: quotas",
            defaults: Defaults::PLAIN,
            build: || quotas([0.10, 0.15, 0.15, 0.35], None, Arrangement::RASTER),
        },
        Preset {
            name: "model-path",
            source: "official code, AttentionConfig's default: quotas and cosine cap, 12 dense steps (taken as of 50, which it does not say)",
            defaults: Defaults {
                warmup: Span::Share(0.24),
                measured_density: Some(0.17),
                ..Defaults::PLAIN
            },
            build: || quotas([0.05, 0.15, 0.25, 0.50], VIDEO_CAP, Arrangement::RASTER),
        },
    ],
};

/// 15 of 50 steps, and 12 of 40, are dense.
const SHARE: Defaults = Defaults { warmup: Span::Share(0.3), ..Defaults::PLAIN };
/// What a run came to, where no rule says it.
const fn measured(density: f64) -> Defaults {
    Defaults { measured_density: Some(density), ..SHARE }
}
/// The cosine cap for video generation.
const VIDEO_CAP: Option<[f32; 3]> = Some([0.70, 0.65, 0.60]);

fn thresholds(ends: [f64; 4], cap: Option<[f32; 3]>) -> Box<dyn Policy> {
    let cuts = Cuts { scale: Scale::Mass, ends: Ends::from_first(&ends) };
    Box::new(Psa { cuts, cap, order: Arrangement::Gilbert })
}

fn quotas(ends: [f64; 4], cap: Option<[f32; 3]>, order: Arrangement) -> Box<dyn Policy> {
    let cuts = Cuts { scale: Scale::Blocks, ends: Ends::from_first(&ends) };
    Box::new(Psa { cuts, cap, order })
}

#[derive(Debug)]
struct Psa {
    /// Where levels end: shares of the estimate (thresholds), or of the row's blocks (quotas).
    cuts: Cuts,
    /// t₂, t₄ and t₈.
    cap: Option<[f32; 3]>,
    order: Arrangement,
}

impl Policy for Psa {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        self.order
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        if self.cuts.scale == Scale::Mass || self.cap.is_some() {
            return None;
        }
        let columns = outline.cells.blocks.columns() as f64;
        let (mut before, mut work) = (0.0, 0.0);
        for &(level, end) in self.at(outline.cells.blocks, Knob::Preset).ends.as_slice() {
            let end = (columns * end).floor();
            work += (end - before) / f64::from(1 << (level - FULL));
            before = end;
        }
        Some(work / columns)
    }

    fn cuts(&self) -> Option<&Cuts> {
        Some(&self.cuts)
    }

    fn with_ends(&self, ends: &Ends) -> Option<Box<dyn Policy>> {
        let cuts = Cuts { ends: ends.clone(), ..self.cuts };
        Some(Box::new(Self { cuts, ..*self }))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::SampledMax.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let sampling = Sampling::quarter(blocks, view.seed);
        let scores = sampled_max(view.q, view.k, blocks, view.scale, &sampling)?;
        let caps = self.cap.map(|cap| finest_needed(view.k, blocks, cap)).transpose()?;
        Ok(by_scores(scores, move |scores, knob| {
            let map = self.at(blocks, knob).select(scores, blocks)?;
            match &caps {
                Some(caps) => Ok(map.at_most(caps)?),
                None => Ok(map),
            }
        }))
    }
}

impl Psa {
    /// The cut-offs as the knob has them; a quota is at least one block of a row, however few it has.
    fn at(&self, blocks: Blocks, knob: Knob) -> Cuts {
        let least = match self.cuts.scale {
            Scale::Mass => 0.0,
            // A quota is rounded down.
            Scale::Blocks => (1.0 + 1e-9) / blocks.columns() as f64,
        };
        let ends = self.cuts.ends.map(|end| stretched(end, knob).max(least).min(1.0));
        Cuts { ends, ..self.cuts }
    }
}

/// The coarsest level that each key block may have, `[B, H, 1, columns]` U8: a later test overrides an earlier one.
fn finest_needed(k: &Tensor, blocks: Blocks, cap: [f32; 3]) -> Result<Tensor> {
    let cosines = group_cosine(k, blocks.key_block)?;
    let (batch, heads, columns, _) = cosines.dims4()?;
    let shape = (batch, heads, columns, 1);
    let mut coarsest = Tensor::full(FULL, shape, cosines.device())?;
    for (place, bar) in cap.into_iter().enumerate() {
        let passed = cosines.narrow(3, place, 1)?.gt(bar)?;
        let level = Tensor::full(FULL + 1 + place as u8, shape, cosines.device())?;
        coarsest = passed.where_cond(&level, &coarsest)?;
    }
    Ok(coarsest.reshape((batch, heads, 1, columns))?)
}

#[cfg(test)]
mod tests {
    use tessera_kernels::levels::LevelMap;

    use candle_core::{DType, Device};

    use super::*;
    use crate::sparsity::policies::testing::Case;

    /// One row of ten blocks. Sorted shares .30 .20 .15 .10 .08 .06 .05 .03 .02 .01, running sums .30 .50 .65 .75 .83 .89
    /// .94 .97 .99 1. Thresholds .4 .5 .6 .8 include the crossing block, by hand: level 1 ends after 2 (.30 ≤ .4 < .50),
    /// level 2 after 3 (.50 ≤ .5 < .65), level 3 after 3, level 4 after 5 (.75 ≤ .8 < .83); the rest is skipped.
    #[test]
    fn thresholds_are_those_of_the_golden_row() {
        let shares = [0.05f32, 0.30, 0.01, 0.15, 0.08, 0.20, 0.02, 0.10, 0.06, 0.03];
        let scores = Tensor::new(&shares, &Device::Cpu).unwrap().reshape((1, 1, 1, 10)).unwrap();
        let blocks = Blocks::new(128, 640, 128, 64).unwrap();
        let levels = |scale, ends: [f64; 4]| {
            let cuts = Cuts { scale, ends: Ends::from_first(&ends) };
            let psa = Psa { cuts, cap: None, order: Arrangement::Gilbert };
            psa.at(blocks, Knob::Preset).select(&scores, blocks).unwrap().to_vec().unwrap()
        };
        assert_eq!(levels(Scale::Mass, [0.4, 0.5, 0.6, 0.8]), [0, 1, 0, 2, 4, 1, 0, 4, 0, 0]);
        // Quotas .1 .15 .15 .35 of ten blocks end after 1, 1, 1 and 3.
        assert_eq!(levels(Scale::Blocks, [0.10, 0.15, 0.15, 0.35]), [0, 1, 0, 4, 0, 4, 0, 0, 0, 0]);
    }

    /// Equal tokens have cosine 1 at every pool and may be pooled by 8. Where neighbours are equal and pairs are
    /// orthogonal, pool 2 passes and pools 4 and 8 (first against last token of a group) do not.
    #[test]
    fn the_cosine_cap_keeps_unlike_tokens_apart() {
        let key = |token: usize| {
            let axis = if token < 64 { 0 } else { token / 2 % 4 };
            (0..4).map(move |channel| f32::from(u8::from(channel == axis)))
        };
        let k: Vec<f32> = (0..128).flat_map(key).collect();
        let k = Tensor::from_vec(k, (1, 1, 128, 4), &Device::Cpu).unwrap();
        let blocks = Blocks::new(128, 128, 128, 64).unwrap();
        let caps = finest_needed(&k, blocks, VIDEO_CAP.unwrap()).unwrap();
        assert_eq!(caps.flatten_all().unwrap().to_vec1::<u8>().unwrap(), [4, 2]);
        let map = LevelMap::from_vec(vec![4, 4], (1, 1), blocks).unwrap();
        assert_eq!(map.at_most(&caps).unwrap().to_vec().unwrap(), [4, 2]);
        let map = LevelMap::from_vec(vec![1, 0], (1, 1), blocks).unwrap();
        assert_eq!(map.at_most(&caps).unwrap().to_vec().unwrap(), [1, 0]);
    }

    /// Defect 3 of methods.md §2.1 is absent: the same seed draws the same samples, another one others.
    #[test]
    fn samples_come_from_the_seed() {
        let case = Case::new([3, 8, 16], 0);
        let scores = |seed| {
            let mut view = case.view();
            view.seed = seed;
            let psa = (METHOD.presets[0].build)();
            let scores = psa.prepare(&view).unwrap().scores.unwrap();
            scores.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(scores(7), scores(7));
        assert_ne!(scores(7), scores(8));
    }

    /// Defect 4 is absent: a single key beyond a whole block is no more likely to be chosen than it deserves. It is as
    /// important as the other keys' least, so its block comes last, where replicate padding would have counted it 64
    /// times; and its pooled group counts one token (`Bias::Count` of `ln n`).
    #[test]
    fn a_ragged_tail_has_no_extra_weight() {
        let blocks = Blocks::new(65, 65, 128, 64).unwrap();
        assert_eq!([1, 2, 4].map(|level| blocks.pooled_keys(1, level)), [1, 1, 1]);
        let q = Tensor::ones((1, 1, 65, 2), DType::F32, &Device::Cpu).unwrap();
        let k: Vec<f32> = (0..65).flat_map(|t| [if t == 64 { -9.0 } else { 1.0 }, 0.0]).collect();
        let k = Tensor::from_vec(k, (1, 1, 65, 2), &Device::Cpu).unwrap();
        let sampling = Sampling::quarter(blocks, 1);
        let scores = sampled_max(&q, &k, blocks, 1.0, &sampling).unwrap();
        let scores = scores.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(scores[0], 1.0);
        assert!(scores[1] < 1e-4, "{scores:?}");
    }
}
