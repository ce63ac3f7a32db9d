//! What is always kept of a map: how many blocks lie at each level, and a small picture of every head.
//!
//! A thumbnail has at most 32 × 32 cells, each the mean of 2^(1−ℓ) over its blocks (0 where skipped) in sixteen steps: 0 is
//! all skipped, 15 all full. Cell r of n covers blocks ⌊r·rows/n⌋ .. ⌊(r + 1)·rows/n⌋.

use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::pool;

/// Cells of a thumbnail's side, at most.
pub const MOST_CELLS: usize = 32;
/// The value of a cell whose blocks are all full.
pub const FULL_CELL: u8 = 15;

/// The summary of a map of several heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Rows of a thumbnail.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// A thumbnail a head, row-major, 0 to [`FULL_CELL`].
    pub thumbnails: Vec<Vec<u8>>,
    /// Blocks at each level, from 0 to the deepest, one list a head.
    pub counts: Vec<Vec<u32>>,
}

/// (rows, columns) of a thumbnail.
pub(super) fn cells(blocks: Blocks) -> (usize, usize) {
    (blocks.rows().min(MOST_CELLS), blocks.columns().min(MOST_CELLS))
}

/// Levels of a map: 0 to the deepest.
pub(super) fn levels(blocks: Blocks) -> usize {
    usize::from(blocks.deepest_level()) + 1
}

/// The summary of levels `[heads, rows, columns]`.
pub(super) fn summarise(map: &[u8], blocks: Blocks) -> Summary {
    let (rows, columns) = cells(blocks);
    let heads = map.chunks(blocks.rows() * blocks.columns());
    let (thumbnails, counts) =
        heads.map(|head| (thumbnail(head, blocks), counts(head, blocks))).unzip();
    Summary { rows, columns, thumbnails, counts }
}

fn counts(head: &[u8], blocks: Blocks) -> Vec<u32> {
    let mut counts = vec![0; levels(blocks)];
    for level in head {
        if let Some(count) = counts.get_mut(usize::from(*level)) {
            *count += 1;
        }
    }
    counts
}

fn thumbnail(head: &[u8], blocks: Blocks) -> Vec<u8> {
    let (rows, columns) = cells(blocks);
    let (of_rows, of_columns) = (blocks.rows(), blocks.columns());
    let shares: Vec<f32> = (0..levels(blocks) as u8)
        .map(|level| if level == 0 { 0.0 } else { 1.0 / pool(level) as f32 })
        .collect();
    let mut cells = Vec::with_capacity(rows * columns);
    for r in 0..rows {
        let band = r * of_rows / rows..(r + 1) * of_rows / rows;
        for c in 0..columns {
            let across = c * of_columns / columns..(c + 1) * of_columns / columns;
            let mut sum = 0.0;
            for row in band.clone() {
                let blocks = &head[row * of_columns..][across.clone()];
                sum += blocks.iter().map(|level| shares[usize::from(*level)]).sum::<f32>();
            }
            let mean = sum / (band.len() * across.len()) as f32;
            cells.push((mean * f32::from(FULL_CELL)).round() as u8);
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_maps_are_their_own_thumbnail() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        let summary = summarise(&[1, 2, 3, 0, 3, 1, 1, 1, 1, 0, 0, 0], blocks);
        assert_eq!((summary.rows, summary.columns), (2, 3));
        assert_eq!(summary.thumbnails, [[15, 8, 4, 0, 4, 15], [15, 15, 15, 0, 0, 0]]);
        assert_eq!(summary.counts, [[1, 2, 1, 2], [3, 3, 0, 0]]);
    }

    #[test]
    fn large_maps_are_averaged_and_every_block_counts_once() {
        let blocks = Blocks::of(128 * 70); // 70 × 140 blocks
        let (rows, columns) = (blocks.rows(), blocks.columns());
        // The left half of every row is full, the rest skipped.
        let map: Vec<u8> =
            (0..rows * columns).map(|i| u8::from(i % columns < columns / 2)).collect();
        let summary = summarise(&map, blocks);
        assert_eq!((summary.rows, summary.columns), (32, 32));
        for row in summary.thumbnails[0].chunks(32) {
            assert_eq!(row[..16], [15; 16]);
            assert_eq!(row[16..], [0; 16]);
        }
        assert_eq!(summary.counts[0].iter().sum::<u32>() as usize, rows * columns);
    }
}
