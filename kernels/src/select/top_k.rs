//! A fixed number of blocks, of each row or of each head.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{
    Scores,
    rank::{best, key, smallest},
};
use crate::{
    blocks::Blocks,
    levels::{FULL, LevelMap, SKIPPED},
};

/// The `k` best blocks of each row in full, the rest skipped.
///
/// `scores [B, H, rows, columns]`; `k` is one number for all heads or one for each of the B·H; more than there are
/// columns keeps all. Source: methods.md §2.3, §2.16.
pub fn top_k_rows(scores: &Tensor, blocks: Blocks, k: &[usize]) -> Result<LevelMap> {
    const OP: &str = "top_k_rows";
    #[cfg(feature = "cuda")]
    if let Some(map) = match k {
        [one] => super::cuda::by_count(OP, scores, blocks, &[(FULL, *one)])?,
        each if each.len() == scores.dims().iter().take(2).product::<usize>() => {
            super::cuda::by_count_of_head(OP, scores, blocks, FULL, each)?
        }
        _ => None,
    } {
        return Ok(map);
    }
    let scores = Scores::new(OP, scores, blocks)?;
    let k = scores.per_head(OP, "k", k)?;
    scores.map(|row, levels| {
        let (head, row_of_head) = (row / blocks.rows(), row % blocks.rows());
        for column in best(scores.row(row), row_of_head, blocks, k[head]) {
            levels[column as usize] = FULL;
        }
    })
}

/// The `total` best pairs of blocks of each head in full, the rest skipped: rows share one budget, and one may get none.
///
/// `scores [B, H, rows, columns]`, comparable between rows (probabilities are, un-normalised masses are not); `total` is
/// one number for all heads or one for each of the B·H. Source: methods.md §2.13.
pub fn top_k_head(scores: &Tensor, blocks: Blocks, total: &[usize]) -> Result<LevelMap> {
    const OP: &str = "top_k_head";
    let scores = Scores::new(OP, scores, blocks)?;
    let total = scores.per_head(OP, "total", total)?;
    let columns = blocks.columns();
    let pairs = blocks.rows() * columns;
    let mut levels = vec![SKIPPED; scores.values.len()];
    let heads = levels.par_chunks_mut(pairs).zip(scores.values.par_chunks(pairs)).zip(total);
    heads.for_each(|((levels, scores), total)| {
        let keys = scores
            .iter()
            .enumerate()
            .map(|(pair, &score)| key(score, pair / columns, pair % columns, blocks, pair));
        for pair in smallest(keys.collect(), total) {
            levels[pair as usize] = FULL;
        }
    });
    scores.finish(levels)
}
