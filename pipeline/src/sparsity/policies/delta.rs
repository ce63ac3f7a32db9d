//! DELTA: maps chosen in a few selection layers and used by the layers after them.
//!
//! Every n-th layer finds the exact block masses, takes their mean over heads (all heads share one selection) and keeps
//! the heaviest share of each row; the layers up to the next selection layer use its map. The knob stretches the share.
//! Source: arXiv 2510.09883, for decoding language models.

use candle_core::Tensor;
use tessera_kernels::scores::{Estimator, block_mass};
use tessera_kernels::select::top_k_rows;
use tessera_models::attention::Site;

use super::knob::{by_scores, count, shared, stretched};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "delta",
    summary: "Every fourth layer chooses blocks by exact mass; the layers after it use its map.",
    source: "arXiv 2510.09883; not in methods.md",
    differs: "The paper picks pages of keys for one decoded token, from selection layers that attend to everything; here blocks are picked for every query block, the selection layers use their own map, and they are evenly spaced instead of searched for.",
    presets: &[Preset {
        name: "every-4",
        source: "two dense layers first, then a selection layer in four; a quarter of the keys, as the paper's 4.25 times fewer tokens",
        defaults: Defaults { dense_layers: &[0, 1], ..Defaults::PLAIN },
        build: || Box::new(Delta { every: 4, share: 0.25 }),
    }],
};

#[derive(Debug)]
struct Delta {
    /// Layers from one selection layer to the next.
    every: usize,
    /// Share of a row's blocks.
    share: f64,
}

/// Layers before the first selection layer.
const INITIAL: usize = 2;

impl Policy for Delta {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    /// The layers before the first selection layer choose for themselves, where they are not dense.
    fn owner(&self, site: Site, _layers: usize) -> Site {
        match site.layer.checked_sub(INITIAL) {
            Some(past) => Site { layer: site.layer - past % self.every, ..site },
            None => site,
        }
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(shared(self.share, outline.cells.blocks.columns()))
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::BlockMass.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let mass = block_mass(view.q, view.k, blocks, view.scale, None)?.mass;
        let shared = for_all_heads(&mass)?;
        Ok(by_scores(shared, move |scores, knob| {
            let k = count(stretched(self.share, knob), blocks.columns());
            Ok(top_k_rows(scores, blocks, &[k])?)
        }))
    }
}

/// The mean over heads, for every head.
fn for_all_heads(mass: &Tensor) -> Result<Tensor> {
    Ok(mass.mean_keepdim(1)?.broadcast_as(mass.shape())?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use tessera_models::attention::Branch;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::Case;

    #[test]
    fn layers_use_the_map_of_the_selection_layer_before_them() {
        let policy = (METHOD.presets[0].build)();
        let owner = |layer| policy.owner(Site { layer, branch: Branch::Uncond, expert: 1 }, 30);
        assert_eq!([0, 1, 2, 3, 5, 6, 9, 10].map(|l| owner(l).layer), [0, 1, 2, 2, 2, 6, 6, 10]);
        assert_eq!((owner(9).branch, owner(9).expert), (Branch::Uncond, 1));
    }

    #[test]
    fn heads_share_one_selection() {
        let case = Case::new([3, 8, 16], 0);
        let view = case.view();
        let policy = Delta { every: 4, share: 0.25 };
        let prepared = policy.prepare(&view).unwrap();
        let map = (prepared.select)(Knob::Preset).unwrap();
        let (heads, levels) = (map.heads().1, map.to_vec().unwrap());
        let first = &levels[..levels.len() / heads];
        assert!(heads > 1 && levels.chunks(first.len()).all(|head| head == first));
    }
}
