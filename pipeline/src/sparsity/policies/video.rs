//! Quotas of the video's blocks alone, where text stands behind the video.

use candle_core::Tensor;
use tessera_kernels::keep::{self, Keeps};
use tessera_kernels::levels::LevelMap;

use crate::Result;
use crate::sparsity::View;

/// `scores [B, H, rows, columns]` with −∞ for blocks of nothing but text: they come last in a row.
pub(super) fn without_text(scores: &Tensor, view: &View<'_>) -> Result<Tensor> {
    let columns = view.blocks.columns();
    let video = view.grid.tokens().div_ceil(view.blocks.key_block);
    if video == columns {
        return Ok(scores.clone());
    }
    let mask = (0..columns).map(|column| if column < video { 0.0 } else { f32::NEG_INFINITY });
    Ok(scores.broadcast_add(&Tensor::from_iter(mask, scores.device())?)?)
}

/// The map with text's keys in full for every row.
pub(super) fn with_text(map: &LevelMap, view: &View<'_>) -> Result<LevelMap> {
    let sink = view.grid.tokens()..view.blocks.keys;
    Ok(keep::apply(&Keeps { sink, ..Keeps::default() }, map, None)?)
}
