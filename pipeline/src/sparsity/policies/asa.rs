//! ASA, Video-BLADE's adaptive sparse attention: enough blocks for 95 % of the estimate, between 5 % and 17 % of a row.
//!
//! Estimate: PSA's sampled maxima. Each row keeps the blocks before its running share reaches p, as many as the clamp
//! allows. The knob stretches p and both ends of the clamp. Source: arXiv 2508.10774; methods.md §2.2.

use tessera_kernels::scores::{Estimator, Sampling, sampled_max};
use tessera_kernels::select::top_p;

use super::knob::{by_scores, count, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "asa",
    summary: "Blocks for 95 % of the sampled importance, at most 17 % of a row.",
    source: "arXiv 2508.10774; methods.md §2.2",
    differs: "Key blocks are 64 tokens (128 in the code), samples are seeded, and the model was not distilled with the mask on. The variant with global tokens (ASA_GT) counts keys twice, which no level map does.",
    presets: &[
        Preset {
            name: "blade",
            source: "official code, Wan: p .95, 5 to 17 % of the blocks, no dense steps",
            defaults: Defaults { measured_density: Some(0.17), ..Defaults::PLAIN },
            build: || Box::new(Asa { p: 0.95, clamp: [0.05, 0.17] }),
        },
        Preset {
            name: "training-free",
            source: "BLADE's training-free rows on the 8-step model, half of the blocks at most, first quarter of the steps dense",
            defaults: Defaults {
                warmup: Span::Share(0.25),
                measured_density: Some(0.44),
                ..Defaults::PLAIN
            },
            build: || Box::new(Asa { p: 0.95, clamp: [0.05, 0.5] }),
        },
    ],
};

#[derive(Debug)]
struct Asa {
    /// Share of the estimate.
    p: f64,
    /// Smallest and largest share of a row's blocks.
    clamp: [f64; 2],
}

impl Policy for Asa {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::SampledMax.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let sampling = Sampling::quarter(blocks, view.seed);
        let scores = sampled_max(view.q, view.k, blocks, view.scale, &sampling)?;
        Ok(by_scores(scores, move |scores, knob| {
            let [least, most] =
                self.clamp.map(|share| count(stretched(share, knob), blocks.columns()));
            Ok(top_p(scores, blocks, stretched(self.p, knob), false, (least, most))?)
        }))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use tessera_kernels::blocks::Blocks;

    use super::*;

    /// Of 20 equal shares the 19th reaches .95 and is left out, as the code does: 18; the clamp makes that .17·20 = 3.
    /// With one share of .99 none comes before .95 is reached; .05·20 = 1 is kept.
    #[test]
    fn the_crossing_block_is_left_out_and_the_count_clamped() {
        let blocks = Blocks::new(128, 1280, 128, 64).unwrap();
        let full = |shares: [f32; 20], least, most| {
            let scores = Tensor::new(&shares, &Device::Cpu).unwrap();
            let scores = scores.reshape((1, 1, 1, 20)).unwrap();
            let map = top_p(&scores, blocks, 0.95, false, (least, most)).unwrap();
            map.to_vec().unwrap().into_iter().filter(|&level| level == 1).count()
        };
        let [least, most] = [0.05, 0.17].map(|share| count(share, 20));
        assert_eq!((least, most), (1, 3));
        assert_eq!(full([0.05; 20], 0, 20), 18);
        assert_eq!(full([0.05; 20], least, most), 3);
        let mut one = [0.01 / 19.0; 20];
        one[7] = 0.99;
        assert_eq!((full(one, 0, 20), full(one, least, most)), (0, 1));
    }
}
