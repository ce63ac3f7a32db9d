//! Sol-Attn: blocks that stand out of their row are seen in full, every other one as a single mean. Nothing is dropped.
//!
//! Score S(i, j) = log₂e·scale·q̄ᵢ·k̄ⱼ, the mean logit of the block; block j is full for row i where S > μᵢ + τ·σᵢ, with
//! μᵢ the row's mean and σᵢ² its variance ("exact") or Σ over channels of (log₂e·scale·q̄ᵢ)²·varⱼ(k̄ⱼ) ("diagonal"), σ =
//! √(σ² + 10⁻⁶). The others get the floor, 7. The knob k moves τ by ln((1 − k)/k): from ∞ over the preset's to −∞. Source:
//! arXiv 2607.24027; methods.md §2.16.

use std::f64::consts::LOG2_E;

use candle_core::{D, DType, Tensor};
use tessera_kernels::levels::FULL;
use tessera_kernels::pool;
use tessera_kernels::scores::{Estimator, mean_pool, row_moments};
use tessera_kernels::select::mean_sigma;

use super::knob::by_scores;
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Knob, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "sol",
    summary: "Blocks whose mean logit stands out are seen in full, all others as one mean each.",
    source: "arXiv 2607.24027; methods.md §2.16",
    differs: "Query blocks are 128 tokens (64 in the paper), and a block's values are kept as their mean instead of their sum; the routing that the paper does inside its kernel is done before it.",
    presets: &[
        Preset {
            name: "wan2.1-14b",
            source: "sol-engine: τ calibrated to 15 % on Wan2.1-14B 720p; 10 of 50 steps and layer 0 dense",
            defaults: Defaults { measured_density: Some(0.22), ..WAN },
            build: || Box::new(Sol { tau: Tau::Fixed(1.502), sigma: Sigma::Diagonal }),
        },
        Preset {
            name: "exact-sigma",
            source: "as wan2.1-14b, with σ from the full second moment",
            defaults: Defaults { measured_density: Some(0.16), ..WAN },
            build: || Box::new(Sol { tau: Tau::Fixed(1.502), sigma: Sigma::Exact }),
        },
        Preset {
            name: "comfyui",
            source: "ComfyUI's block sparse attention node: τ 1.3, the first fifth of the steps dense",
            defaults: Defaults { dense_layers: &[], measured_density: Some(0.25), ..WAN },
            build: || Box::new(Sol { tau: Tau::Fixed(1.3), sigma: Sigma::Diagonal }),
        },
        Preset {
            name: "wan2gp",
            source: "Wan2GP: τ falls from 1.3 to .8 over the run",
            defaults: Defaults { measured_density: Some(0.3), ..WAN },
            build: || Box::new(Sol { tau: Tau::Falling(1.3, 0.8), sigma: Sigma::Diagonal }),
        },
        Preset {
            name: "ltx-2.5",
            source: "sol-engine, LTX-2.5's second stage: τ 1, 1.25, 1.5, a third of the steps each",
            defaults: Defaults {
                warmup: Span::Steps(0),
                dense_layers: &[],
                measured_density: Some(0.26),
                ..WAN
            },
            build: || Box::new(Sol { tau: Tau::Stages([1.0, 1.25, 1.5]), sigma: Sigma::Diagonal }),
        },
        Preset {
            name: "h3",
            source: "sol-engine's schedule for H3 (10 dense steps of about 50, two dense layers) with τ 1, as measured in comfy-kitchen#179",
            defaults: Defaults {
                warmup: Span::Share(0.2),
                dense_layers: &[0, 1],
                measured_density: Some(0.3),
                ..WAN
            },
            build: || Box::new(Sol { tau: Tau::Fixed(1.0), sigma: Sigma::Diagonal }),
        },
    ],
};

const WAN: Defaults = Defaults {
    floor: 7,
    warmup: Span::Share(0.2),
    dense_layers: &[0],
    keep_self: true,
    radius: 1,
    ..Defaults::PLAIN
};

/// How many deviations above its row's mean a block must be.
#[derive(Debug, Clone, Copy)]
enum Tau {
    Fixed(f64),
    /// In a straight line from the first step to the last.
    Falling(f64, f64),
    /// A third of the run each.
    Stages([f64; 3]),
}

impl Tau {
    fn at(self, step: usize, steps: usize) -> f64 {
        match self {
            Self::Fixed(tau) => tau,
            Self::Falling(first, last) => {
                first + (last - first) * step as f64 / steps.saturating_sub(1).max(1) as f64
            }
            Self::Stages(taus) => taus[(step * taus.len() / steps.max(1)).min(taus.len() - 1)],
        }
    }
}

/// Which deviation.
#[derive(Debug, Clone, Copy)]
enum Sigma {
    /// Channels taken as independent.
    Diagonal,
    /// Of the row's scores.
    Exact,
}

#[derive(Debug)]
struct Sol {
    tau: Tau,
    sigma: Sigma,
}

impl Policy for Sol {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Morton
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::MeanPool.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let scale = (f64::from(view.scale) * LOG2_E) as f32;
        let scores = mean_pool(view.q, view.k, blocks, scale)?;
        let (mean, exact) = row_moments(&scores)?;
        let sigma = match self.sigma {
            Sigma::Exact => exact,
            Sigma::Diagonal => diagonal(view, f64::from(scale))?,
        };
        let tau = self.tau.at(view.step, view.steps);
        Ok(by_scores(scores, move |scores, knob| {
            let tau = match knob {
                Knob::Preset => tau,
                Knob::Keep(keep) => tau + ((1.0 - keep) / keep).ln(),
            };
            Ok(mean_sigma(scores, blocks, &mean, &sigma, &[(FULL, tau)])?)
        }))
    }
}

/// σᵢ of channels taken as independent, `[B, H, rows]` F32.
fn diagonal(view: &View<'_>, scale: f64) -> Result<Tensor> {
    let means = |x: &Tensor, run| pool::mean_pool(&x.to_dtype(DType::F32)?, run);
    let keys = means(view.k, view.blocks.key_block)?;
    let variance = keys.broadcast_sub(&keys.mean_keepdim(2)?)?.sqr()?.mean_keepdim(2)?;
    let queries = (means(view.q, view.blocks.query_block)?.sqr()? * (scale * scale))?;
    Ok((queries.broadcast_mul(&variance)?.sum(D::Minus1)? + 1e-6)?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_kernels::blocks::Blocks;

    use super::*;
    use crate::sparsity::policies::testing::{Case, column};

    /// One query of 1 in one channel, keys 0, 0, 0, 4 in blocks of one, scale ln 2 so that scores are the keys. μ = 1, σ² =
    /// (1 + 1 + 1 + 9)/4 = 3, σ = 1.732: at τ = 1.5 the bar is 3.598 and the last block is full; at τ = 1.8 it is 4.118.
    /// With one channel the diagonal deviation is the exact one.
    #[test]
    fn blocks_above_the_bar_are_full() {
        let blocks = Blocks::new(1, 4, 1, 1).unwrap();
        let case = Case::of(column(&[1.0]), column(&[0.0, 0.0, 0.0, 4.0]), blocks);
        let mut view = case.view();
        view.scale = std::f32::consts::LN_2;
        let levels = |tau, sigma| {
            let sol = Sol { tau: Tau::Fixed(tau), sigma };
            let prepared = sol.prepare(&view).unwrap();
            (prepared.select)(Knob::Preset).unwrap().to_vec().unwrap()
        };
        for sigma in [Sigma::Exact, Sigma::Diagonal] {
            assert_eq!(levels(1.5, sigma), [0, 0, 0, 1], "{sigma:?}");
            assert_eq!(levels(1.8, sigma), [0, 0, 0, 0], "{sigma:?}");
            assert_eq!(levels(-1000.0, sigma), [1, 1, 1, 1], "the paper's correctness gate");
        }
    }

    /// Two channels that always move together: k̄ = (0, 0), (2, 2); q = (1, 1). Scores 0 and 4 have variance 4, channels
    /// taken apart 1 + 1 = 2.
    #[test]
    fn the_diagonal_deviation_leaves_out_what_channels_share() {
        let k = Tensor::new(&[0.0f32, 0.0, 2.0, 2.0], &Device::Cpu).unwrap();
        let q = Tensor::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
        let blocks = Blocks::new(1, 2, 1, 1).unwrap();
        let (q, k) = (q.reshape((1, 1, 1, 2)).unwrap(), k.reshape((1, 1, 2, 2)).unwrap());
        let case = Case::of(q, k, blocks);
        let sigma = diagonal(&case.view(), 1.0).unwrap().flatten_all().unwrap();
        assert!((sigma.to_vec1::<f32>().unwrap()[0].powi(2) - 2.0).abs() < 1e-4);
    }

    #[test]
    fn tau_follows_the_run() {
        assert_eq!([0, 5, 10].map(|step| Tau::Falling(1.3, 0.8).at(step, 11)), [1.3, 1.05, 0.8]);
        let stages = Tau::Stages([1.0, 1.25, 1.5]);
        assert_eq!([0, 3, 4, 7, 8, 11].map(|s| stages.at(s, 12)), [1.0, 1.0, 1.25, 1.25, 1.5, 1.5]);
    }
}
