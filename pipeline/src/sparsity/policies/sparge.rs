//! SpargeAttn, its first stage: block means choose, but only where a block's tokens are alike enough for means to speak.
//!
//! K loses its mean over tokens. A block is *similar* where the mean cosine of its tokens' pairs exceeds a threshold.
//! Scores are scale·q̄ᵢ·k̄ⱼ over similar key blocks; each row keeps the best share of its blocks (top-k) or those before the
//! running softmax passes c (CDF). Key blocks that are not similar are always kept, query blocks that are not keep
//! everything. The knob k stretches the share or c and, below ½, lowers the threshold to −1 as well, so that its least is
//! one block a row. Source: arXiv 2502.18137; methods.md §2.5.

use candle_core::{DType, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::LevelMap;
use tessera_kernels::scores::{Estimator, mean_pool, row_softmax, self_similarity};
use tessera_kernels::select::{top_k_rows, top_p};

use super::knob::{by_scores, count, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Knob, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "sparge",
    summary: "Block means choose blocks, and blocks whose tokens are unlike are kept.",
    source: "arXiv 2502.18137; methods.md §2.5",
    differs: "The first stage alone: skipping P·V of small tiles inside the kernel, INT8 and the thresholds tuned for each head are left out.",
    presets: &[
        Preset {
            name: "topk",
            source: "official code, top-k interface: half of the blocks, similarity above −.1",
            defaults: Defaults { measured_density: Some(0.5), ..Defaults::PLAIN },
            build: || Box::new(Sparge { rule: Rule::TopK(0.5), similar: -0.1 }),
        },
        Preset {
            name: "cdf",
            source: "official code, CDF interface: .98 of the softmax, similarity above .6",
            defaults: Defaults { measured_density: Some(0.98), ..Defaults::PLAIN },
            build: || Box::new(Sparge { rule: Rule::Cdf(0.98), similar: 0.6 }),
        },
    ],
};

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// A share of the row's blocks.
    TopK(f64),
    /// A share of the row's softmax.
    Cdf(f64),
}

#[derive(Debug)]
struct Sparge {
    rule: Rule,
    /// Mean cosine above which a block counts as similar.
    similar: f64,
}

/// What the blocks of a call are like.
struct Blockwise {
    blocks: Blocks,
    /// Self-similarity of query blocks `[B, H, rows]`.
    queries: Tensor,
    /// Self-similarity of key blocks `[B, H, columns]`.
    keys: Tensor,
}

impl Policy for Sparge {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::SelfSimilarity.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let k = view.k.to_dtype(DType::F32)?;
        let k = k.broadcast_sub(&k.mean_keepdim(2)?)?;
        let q = view.q.to_dtype(k.dtype())?;
        let alike = Blockwise {
            blocks,
            queries: self_similarity(&q, blocks.query_block)?,
            keys: self_similarity(&k, blocks.key_block)?,
        };
        let scores = mean_pool(&q, &k, blocks, view.scale)?;
        Ok(by_scores(scores, move |scores, knob| self.select(scores, &alike, knob)))
    }
}

impl Sparge {
    fn select(&self, scores: &Tensor, alike: &Blockwise, knob: Knob) -> Result<LevelMap> {
        let Blockwise { blocks, .. } = *alike;
        let lowered = match knob {
            Knob::Preset => 1.0,
            Knob::Keep(keep) => (2.0 * keep).clamp(0.0, 1.0),
        };
        let similar = ((self.similar + 1.0) * lowered - 1.0) as f32;
        let columns = blocks.columns();
        let keys = alike.keys.gt(similar)?.unsqueeze(2)?;
        let (kept, hidden) = (keys.zeros_like()?.to_dtype(DType::F32)?, f32::NEG_INFINITY);
        let hidden = Tensor::full(hidden, keys.shape(), keys.device())?;
        let scores = scores.broadcast_add(&keys.where_cond(&kept, &hidden)?)?;
        let map = match self.rule {
            Rule::TopK(share) => {
                top_k_rows(&scores, blocks, &[count(stretched(share, knob), columns)])?
            }
            Rule::Cdf(share) => {
                let share = stretched(share, knob);
                top_p(&row_softmax(&scores)?, blocks, share, share >= 1.0, (1, columns))?
            }
        };
        let unlike = alike.queries.le(similar)?.unsqueeze(3)?;
        Ok(map.with_full(&keys.eq(0_u8)?)?.with_full(&unlike)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Two rows, four columns; the third key block and the second query block are unlike. Top-k of 1: row 0 has its best
    /// similar block (scores 1 4 9 2: the second) and the unlike one, row 1 everything.
    #[test]
    fn unlike_blocks_are_kept() {
        let blocks = Blocks::new(8, 16, 4, 4).unwrap();
        let scores = Tensor::new(&[1.0f32, 4.0, 9.0, 2.0, 0.0, 1.0, 2.0, 3.0], &Device::Cpu);
        let scores = scores.unwrap().reshape((1, 1, 2, 4)).unwrap();
        let queries = Tensor::new(&[[[0.9f32, 0.1]]], &Device::Cpu).unwrap();
        let keys = Tensor::new(&[[[0.8f32, 0.9, 0.2, 0.7]]], &Device::Cpu).unwrap();
        let alike = Blockwise { blocks, queries, keys };
        let levels = |rule, knob| {
            let sparge = Sparge { rule, similar: 0.6 };
            sparge.select(&scores, &alike, knob).unwrap().to_vec().unwrap()
        };
        assert_eq!(levels(Rule::TopK(0.25), Knob::Preset), [0, 1, 1, 0, 1, 1, 1, 1]);
        // Softmax over 1, 4, 2: .042 .844 .114; running .844 .958 1: below .95 is one block, below .96 are two.
        assert_eq!(levels(Rule::Cdf(0.95), Knob::Preset)[..4], [0, 1, 1, 0]);
        assert_eq!(levels(Rule::Cdf(0.96), Knob::Preset)[..4], [0, 1, 1, 1]);
        // The least: nothing counts as unlike, one block a row.
        assert_eq!(levels(Rule::TopK(0.25), Knob::Keep(0.0)), [0, 0, 1, 0, 0, 0, 0, 1]);
    }
}
