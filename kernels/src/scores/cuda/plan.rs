//! How the products of scores are cut into blocks of threads: arithmetic, tested without a GPU.

/// Rows of a tile, of queries and of keys: `tile::kRows`.
pub(in crate::scores) const TILE: usize = 128;
/// Threads of a block: `tile::kThreads`.
pub(in crate::scores) const THREADS: usize = 256;
/// Elements of a row that are copied at once: `tile::kWidth`.
const PANEL: usize = 64;
/// Blocks of threads that a multiprocessor should get at least, so that the last ones do not leave others idle.
const BLOCKS: usize = 8;

/// Whether the kernels of products have this head width.
pub(in crate::scores) fn is_served(width: usize) -> bool {
    matches!(width, 64 | 128)
}

/// Bytes of shared memory: `tile::shared_bytes` of factors in so many parts.
pub(in crate::scores) fn shared_bytes(width: usize, parts: usize) -> usize {
    let panels = parts * width / PANEL;
    (panels + (6 - panels)) * TILE * PANEL * 2
}

/// The grid over `rows` × `keys` products of each head, and the tiles of keys that a block of threads walks over.
pub(in crate::scores) fn grid(
    (rows, keys, heads): (usize, usize, usize),
    multiprocessors: usize,
) -> ([u64; 3], usize) {
    let (down, tiles) = (rows.div_ceil(TILE), keys.div_ceil(TILE));
    let wanted = (BLOCKS * multiprocessors).div_ceil((down * heads).max(1));
    let each = tiles.div_ceil(wanted.clamp(1, tiles.max(1))).max(1);
    ([down, heads, tiles.div_ceil(each).max(1)].map(|blocks| blocks as u64), each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_has_its_block() {
        for (rows, keys, heads) in [(1, 1, 1), (2048, 2048, 12), (8192, 8192, 12), (128, 70_000, 1)]
        {
            let ([down, across, deep], each) = grid((rows, keys, heads), 132);
            assert_eq!((down as usize, across as usize), (rows.div_ceil(128), heads));
            let tiles = keys.div_ceil(128);
            assert!(deep as usize * each >= tiles && (deep as usize - 1) * each < tiles);
        }
        assert_eq!(grid((8192, 8192, 12), 132), ([64, 12, 2], 32));
    }

    #[test]
    fn two_blocks_fit_on_a_multiprocessor() {
        for width in [64, 128] {
            for parts in [1, 2] {
                assert_eq!(shared_bytes(width, parts), 96 << 10);
            }
        }
    }
}
