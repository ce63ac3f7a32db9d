//! The tile order (STA, VSA, GNA): the box cut into tiles, tiles in raster order, tokens in raster order inside each.
//!
//! Ragged tiles at the far sides hold the tokens that are there: a tile then is no whole number of blocks. Source:
//! methods.md §6.9.

use super::{Order, Volume};

/// The box's tokens tile by tile; `tile` is `[frames, rows, columns]`, where 0 counts as 1.
pub fn tiles(volume: Volume, tile: [usize; 3]) -> Order {
    let edges = [volume.frames, volume.rows, volume.columns];
    let cut = |axis: usize| {
        let (edge, step) = (edges[axis], tile[axis].max(1));
        (0..edge).step_by(step).map(move |first| first..edge.min(first + step))
    };
    let mut tokens = Vec::with_capacity(volume.tokens());
    for frames in cut(0) {
        for rows in cut(1) {
            for columns in cut(2) {
                for frame in frames.clone() {
                    for row in rows.clone() {
                        let first = (frame * volume.rows + row) * volume.columns;
                        tokens.extend(columns.clone().map(|column| (first + column) as u32));
                    }
                }
            }
        }
    }
    Order { tokens: tokens.into() }
}
