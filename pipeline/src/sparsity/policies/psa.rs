//! PSA, pyramid sparse attention: blocks near the top of a row are seen in full, those below pooled by 2, 4 and 8.
//!
//! Estimate: the largest exp(score − row maximum) over sampled pairs of a block. Levels: each row's estimate is normalised
//! and sorted; level t goes on to where the running sum passes τ_t (thresholds), or to a share of the row (quotas).
//! Source: arXiv 2512.04025; methods.md §2.1, with none of the defects listed there.

use tessera_kernels::scores::{Sampling, sampled_max};
use tessera_kernels::select;

use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Span;
use crate::sparsity::{Arrangement, Knob, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "psa",
    summary: "Pyramid sparse attention: less important blocks are seen pooled by 2, 4 or 8.",
    source: "arXiv 2512.04025; methods.md §2.1",
    differs: "The estimator's samples are seeded, and pooled groups at a ragged end count their real tokens.",
    presets: &[Preset {
        name: "wan2.1-14b",
        source: "official code, Wan2.1-14B",
        defaults: Defaults { warmup: Span::Share(0.3), ..Defaults::PLAIN },
        build: || Box::new(Psa { ends: [0.4, 0.5, 0.6, 0.8] }),
    }],
};

/// Thresholds of levels 1 to 4.
#[derive(Debug)]
struct Psa {
    ends: [f64; 4],
}

impl Policy for Psa {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let sampling = Sampling {
            queries: blocks.query_block / 4,
            keys: blocks.key_block / 4,
            seed: view.seed,
        };
        let scores = sampled_max(view.q, view.k, blocks, view.scale, &sampling)?;
        let least = (0.06 * blocks.columns() as f64) as usize + 1;
        let chosen = scores.clone();
        Ok(Prepared {
            scores: Some(scores),
            lse: None,
            select: Box::new(move |knob| {
                let ends = self.ends.map(|end| stretched(end, knob));
                let levels: Vec<(u8, f64)> = (1..).zip(ends).collect();
                Ok(select::cumulative(&chosen, blocks, &levels, least)?)
            }),
        })
    }
}

/// A share that the knob moves from 0 over itself (at a half) to 1.
fn stretched(share: f64, knob: Knob) -> f64 {
    match knob {
        Knob::Preset => share,
        Knob::Keep(keep) if keep < 0.5 => share * 2.0 * keep,
        Knob::Keep(keep) => share + (1.0 - share) * (2.0 * keep - 1.0),
    }
}
