//! Selectors: from the scores of every pair of blocks to the level at which each is attended to.
//!
//! Scores are `[B, H, rows, columns]`, converted to F32; rows are worked on by all cores, O(columns·log columns) each. With the
//! feature `cuda` scores on a GPU are selected from there, by the same order (but for [`top_k_head`], [`share_before`] and
//! [`rank_share`], which take them to the host): a map is where it was chosen. Of equal scores the block nearest to the query block's own place comes first, then the one with the smaller
//! hash of (row, column): never the one with the smaller index, which would favour the clip's beginning (methods.md
//! §2.16). A NaN is refused. What nothing selects is [`SKIPPED`]; [`LevelMap::with_floor`] gives it another level.
//!
//! | selector | keeps | source |
//! |---|---|---|
//! | [`cumulative`] | prefixes by cumulative probability, a level for each | methods.md §2.1 (PSA, threshold mode) |
//! | [`quotas`] | prefixes by count, a level for each | §2.1 (PSA, top-k mode) |
//! | [`top_p`] | one prefix by probability, its length clamped | §2.2 (ASA), §2.5, §2.7 |
//! | [`mean_sigma`] | scores above μ + τσ, a level for each τ | §2.16 (Sol-Attn) |
//! | [`top_k_rows`] | the k best of each row | §2.3 (AdaSpa), §2.16 (SubBlock, PISA) |
//! | [`top_k_head`] | the best pairs of a whole head | §2.13 (VMoBA) |
//! | [`Ladder`] | steps of least loss for all heads' one budget | ours (`tessera`) |

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::{
    blocks::Blocks,
    check,
    levels::{LevelMap, SKIPPED},
    ran::{self, Via},
};

#[cfg(feature = "cuda")]
mod cuda;
mod cumulative;
mod ladder;
mod mean_sigma;
mod quotas;
mod rank;
#[cfg(test)]
mod tests;
mod top_k;
mod top_p;

pub use cumulative::{cumulative, share_before};
pub use ladder::Ladder;
pub use mean_sigma::mean_sigma;
pub use quotas::{quotas, rank_share};
pub use top_k::{top_k_head, top_k_rows};
pub use top_p::top_p;

pub(crate) use rank::ranked;

/// Scores on the host.
pub(crate) struct Scores {
    values: Vec<f32>,
    /// (B, H).
    heads: (usize, usize),
    blocks: Blocks,
    device: Device,
}

impl Scores {
    /// Takes scores `[B, H, rows, columns]`; refuses another shape, and NaN.
    pub(crate) fn new(op: &str, scores: &Tensor, blocks: Blocks) -> Result<Self> {
        let shape = expected(op, scores, blocks)?;
        ran::note(scores.device(), op, Via::Host);
        let values = scores.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if let Some(place) = values.iter().position(|x| x.is_nan()) {
            let (row, column) = (place / shape[3], place % shape[3]);
            bail!(
                "{op}: `scores` must be numbers, got NaN at row {} and column {column} of head {}: q or k hold NaN or ∞",
                row % shape[2],
                row / shape[2]
            );
        }
        let heads = (shape[0], shape[1]);
        Ok(Self { values, heads, blocks, device: scores.device().clone() })
    }

    /// As [`Self::new`], for shares: finite and at least 0.
    fn probabilities(op: &str, prob: &Tensor, blocks: Blocks) -> Result<Self> {
        let all = Self::new(op, prob, blocks)?;
        match all.values.iter().find(|x| !x.is_finite() || **x < 0.0) {
            Some(x) => bail!("{op}: `prob` must be finite and at least 0, got {x}"),
            None => Ok(all),
        }
    }

    /// The scores of row `index`, counted over all samples and heads.
    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.blocks.columns()..][..self.blocks.columns()]
    }

    /// Rows over all samples and heads.
    fn rows(&self) -> usize {
        self.heads.0 * self.heads.1 * self.blocks.rows()
    }

    /// One number for every head: `given` of them, one for all or one each.
    fn per_head<T: Copy>(&self, op: &str, name: &str, given: &[T]) -> Result<Vec<T>> {
        let heads = self.heads.0 * self.heads.1;
        match given {
            [one] => Ok(vec![*one; heads]),
            each if each.len() == heads => Ok(each.to_vec()),
            _ => bail!("{op}: `{name}` must be 1 or {heads} numbers, got {}", given.len()),
        }
    }

    /// A map from what `choose` writes into each row's levels, which start as skipped; rows are counted as in
    /// [`Self::row`].
    fn map(&self, choose: impl Fn(usize, &mut [u8]) + Sync) -> Result<LevelMap> {
        let columns = self.blocks.columns();
        let mut levels = vec![SKIPPED; self.rows() * columns];
        levels.par_chunks_mut(columns).enumerate().for_each(|(row, levels)| choose(row, levels));
        self.finish(levels)
    }

    /// What `place` writes of each row, as a tensor of the scores' shape and device.
    fn places(&self, place: impl Fn(usize, &mut [f32]) + Sync) -> Result<Tensor> {
        let columns = self.blocks.columns();
        let mut places = vec![0.0; self.rows() * columns];
        places.par_chunks_mut(columns).enumerate().for_each(|(row, places)| place(row, places));
        let shape = (self.heads.0, self.heads.1, self.blocks.rows(), columns);
        Tensor::from_vec(places, shape, &self.device)
    }

    /// A map on the host.
    fn finish(&self, levels: Vec<u8>) -> Result<LevelMap> {
        LevelMap::from_vec(levels, self.heads, self.blocks)
    }
}

/// The shape of scores about `blocks`; refuses another.
fn expected(op: &str, scores: &Tensor, blocks: Blocks) -> Result<[usize; 4]> {
    let (batch, heads, _, _) = scores.dims4()?;
    // Its fields are public: nothing may be empty.
    Blocks::new(blocks.queries, blocks.keys, blocks.query_block, blocks.key_block)?;
    let shape = [batch, heads, blocks.rows(), blocks.columns()];
    check::shape(op, "scores", scores, &shape)?;
    Ok(shape)
}

/// Keys that a row of so many blocks is sorted as on a GPU: a power of two. Nothing beyond the 64 KiB that every GPU's block of
/// threads may have.
#[cfg(any(feature = "cuda", test))]
pub(crate) fn sort_size(columns: usize) -> Option<usize> {
    const MOST: usize = 1 << 13;
    (columns <= MOST).then(|| columns.next_power_of_two().max(2))
}

/// Refuses (level, end) pairs whose levels do not ascend within what the key block allows, or whose ends are not shares
/// in ascending order.
fn check_ends(op: &str, ends: &[(u8, f64)], blocks: Blocks) -> Result<()> {
    check_levels(op, ends.iter().map(|end| end.0), blocks)?;
    let shares = ends.iter().map(|end| end.1);
    if !shares.clone().all(|share| (0.0..=1.0).contains(&share)) || !shares.is_sorted() {
        bail!(
            "{op}: `ends` must be cumulative shares from 0 to 1 in ascending order, got {ends:?}"
        );
    }
    Ok(())
}

/// Refuses levels that do not ascend from 1 to the deepest one.
fn check_levels(op: &str, levels: impl Iterator<Item = u8>, blocks: Blocks) -> Result<()> {
    let levels: Vec<u8> = levels.collect();
    let deepest = blocks.deepest_level();
    if levels.is_empty()
        || !levels.is_sorted_by(|a, b| a < b)
        || !levels.iter().all(|level| (1..=deepest).contains(level))
    {
        bail!("{op}: expected levels from 1 to {deepest} in ascending order, got {levels:?}");
    }
    Ok(())
}

/// Writes `levels` of the blocks in `ranked`, of which the first `ends[i].1` have level `ends[i].0` or a finer one.
fn assign(ranked: &[u32], ends: impl IntoIterator<Item = (u8, usize)>, levels: &mut [u8]) {
    let mut first = 0;
    for (level, end) in ends {
        let end = end.clamp(first, ranked.len());
        for &column in &ranked[first..end] {
            levels[column as usize] = level;
        }
        first = end;
    }
}
