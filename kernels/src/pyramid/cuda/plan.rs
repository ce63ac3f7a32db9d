//! Which kernel serves an attention, and how it is launched: arithmetic, tested without a GPU.

use candle_core::DType;

use crate::{
    blocks::{Blocks, KEY_BLOCK, QUERY_BLOCK},
    levels::pool,
};

/// Pooled keys that lists count as one.
pub(super) const UNIT: usize = 8;
/// Levels of a key block of 64.
pub(super) const LEVELS: usize = 7;
/// Pooled keys of an item, by class of items as `work.cuh` orders them.
pub(super) const ITEM_KEYS: [usize; LEVELS] = [64, 64, 32, 16, 8, 8, 8];
/// Items are named by 16 bits.
const MOST_COLUMNS: usize = 1 << 16;

/// The level of a class of items.
pub(super) fn level_of(class: usize) -> u8 {
    if class == 0 { 7 } else { class as u8 }
}

/// What a kernel is built from, and so how it is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Design {
    /// `hopper.cu`: persistent blocks, this many tiles of K and of V in shared memory.
    Hopper { stages: usize },
    /// `portable.cu`: a block a row, one tile of K and one of V.
    Portable,
}

/// One of the attention kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// D.
    pub(super) width: usize,
    /// Pooled keys of a tile.
    pub(super) tile: usize,
    pub(super) design: Design,
}

impl Variant {
    /// The kernel for a device of this compute capability; nothing where none serves.
    pub(super) fn choose(
        capability: (i32, i32),
        dtype: DType,
        width: usize,
        dense: bool,
    ) -> Option<Self> {
        // sm_90a's machine code runs on no other architecture.
        if capability == (9, 0) {
            Self::hopper(dtype, width, dense)
        } else if capability >= (8, 0) {
            Self::portable(dtype, width, dense)
        } else {
            None
        }
    }

    fn hopper(dtype: DType, width: usize, dense: bool) -> Option<Self> {
        let (name, tile, stages) = match (dense, dtype, width) {
            (false, DType::BF16, 64) => ("pyramid_bf16_d64", 128, 4),
            (false, DType::BF16, 128) => ("pyramid_bf16_d128", 128, 3),
            (false, DType::F16, 64) => ("pyramid_f16_d64", 128, 4),
            (false, DType::F16, 128) => ("pyramid_f16_d128", 128, 3),
            (true, DType::BF16, 64) => ("dense_bf16_d64", 192, 3),
            (true, DType::BF16, 128) => ("dense_bf16_d128", 176, 2),
            (true, DType::F16, 64) => ("dense_f16_d64", 192, 3),
            (true, DType::F16, 128) => ("dense_f16_d128", 176, 2),
            _ => return None,
        };
        Some(Self { name, width, tile, design: Design::Hopper { stages } })
    }

    fn portable(dtype: DType, width: usize, dense: bool) -> Option<Self> {
        let name = match (dense, dtype, width) {
            (false, DType::BF16, 64) => "portable_pyramid_bf16_d64",
            (false, DType::BF16, 128) => "portable_pyramid_bf16_d128",
            (false, DType::F16, 64) => "portable_pyramid_f16_d64",
            (false, DType::F16, 128) => "portable_pyramid_f16_d128",
            (true, DType::BF16, 64) => "portable_dense_bf16_d64",
            (true, DType::BF16, 128) => "portable_dense_bf16_d128",
            (true, DType::F16, 64) => "portable_dense_f16_d64",
            (true, DType::F16, 128) => "portable_dense_f16_d128",
            _ => return None,
        };
        Some(Self { name, width, tile: 64, design: Design::Portable })
    }

    /// Threads of a block.
    pub(super) fn threads(&self) -> u32 {
        match self.design {
            Design::Hopper { .. } => 384,
            Design::Portable => 128,
        }
    }

    /// Bytes of shared memory of a block: `Shared` of `hopper_tile.cuh` or `portable.cu`.
    pub(super) fn shared_bytes(&self) -> usize {
        let row = self.width * 2;
        match self.design {
            Design::Hopper { stages } => {
                let tiles = (QUERY_BLOCK + 2 * stages * self.tile) * row;
                // Biases, one more than stages; two row numbers; barriers.
                let small = (stages + 1) * (self.tile * 4 + 16) + 2 * 4 + (6 + 4 * stages) * 8;
                (tiles + small).next_multiple_of(1024)
            }
            Design::Portable => (QUERY_BLOCK + 2 * self.tile) * row,
        }
    }
}

/// Sizes of one call, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Batch × heads.
    pub(super) heads: usize,
    pub(super) blocks: Blocks,
}

impl Sizes {
    /// Nothing where blocks are not those of the kernels, or more than their numbers hold.
    pub(super) fn new(heads: usize, blocks: Blocks) -> Option<Self> {
        let fits = (blocks.query_block, blocks.key_block) == (QUERY_BLOCK, KEY_BLOCK)
            && blocks.columns() <= MOST_COLUMNS
            && i32::try_from(heads * blocks.rows()).is_ok()
            && i32::try_from(blocks.queries).is_ok();
        fits.then_some(Self { heads, blocks })
    }

    /// Rows of the level map, of all heads.
    pub(super) fn rows(&self) -> usize {
        self.heads * self.blocks.rows()
    }

    /// Blocks of an attention kernel.
    pub(super) fn grid(&self, design: Design, multiprocessors: usize) -> u64 {
        match design {
            Design::Hopper { .. } => self.rows().min(multiprocessors) as u64,
            Design::Portable => self.rows() as u64,
        }
    }

    /// Keys of a level.
    pub(super) fn pooled(&self, level: u8) -> usize {
        self.blocks.keys.div_ceil(pool(level))
    }

    /// Keys of a level in memory: whole units.
    pub(super) fn padded(&self, level: u8) -> usize {
        self.pooled(level).next_multiple_of(UNIT)
    }

    /// Biases of a level in memory.
    pub(super) fn biases(&self, level: u8) -> usize {
        self.pooled(level).next_multiple_of(64)
    }

    /// Blocks of the pooling kernel along the keys: whole units of the deepest level too.
    pub(super) fn pool_grid(&self) -> u64 {
        self.blocks.columns().next_multiple_of(UNIT) as u64
    }

    /// Bytes of a level's keys, and as many of its values.
    pub(super) fn level_bytes(&self, level: u8, width: usize) -> usize {
        self.heads * self.padded(level) * width * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPPER: (i32, i32) = (9, 0);

    const PERSISTENT: Design = Design::Hopper { stages: 2 };

    #[test]
    fn known_widths_are_served_from_ampere_on() {
        // Shared memory that a block may have: sm_80, sm_86, sm_89, sm_90, sm_100, sm_120.
        let devices = [(8, 0, 163), (8, 6, 99), (8, 9, 99), (9, 0, 227), (10, 0, 227), (12, 0, 99)];
        for (major, minor, kibibytes) in devices {
            for dense in [false, true] {
                let choose = |dtype, width| Variant::choose((major, minor), dtype, width, dense);
                for dtype in [DType::BF16, DType::F16] {
                    for width in [64, 128] {
                        let variant = choose(dtype, width).unwrap();
                        assert_eq!(variant.width, width);
                        assert_eq!(variant.name.contains("dense"), dense, "{variant:?}");
                        assert_eq!(variant.name.contains("bf16"), dtype == DType::BF16);
                        assert!(variant.name.ends_with(&format!("d{width}")), "{variant:?}");
                        assert!(variant.shared_bytes() <= kibibytes << 10, "{variant:?}");
                        assert!(variant.tile.is_multiple_of(16), "{variant:?}");
                        assert!(variant.threads().is_multiple_of(128), "{variant:?}");
                        let hopper = matches!(variant.design, Design::Hopper { .. });
                        assert_eq!(hopper, (major, minor) == HOPPER);
                        assert_eq!(variant.name.starts_with("portable"), !hopper);
                    }
                }
                assert_eq!(choose(DType::BF16, 96), None);
                assert_eq!(choose(DType::F32, 64), None);
            }
        }
        assert_eq!(Variant::choose((7, 5), DType::F16, 64, true), None);
    }

    #[test]
    fn shared_memory_is_that_of_the_kernels_struct() {
        // 32 KiB of queries, 2 × 3 tiles of 32 KiB, 4 × (512 + 16) of biases, 8 of rows, 18 barriers: 227 KiB.
        let variant = Variant::choose(HOPPER, DType::BF16, 128, false).unwrap();
        assert_eq!(variant.shared_bytes(), 227 << 10);
        let variant = Variant::choose(HOPPER, DType::BF16, 64, true).unwrap();
        assert_eq!(variant.shared_bytes(), (16 + 2 * 3 * 24 + 4) << 10);
    }

    #[test]
    fn sizes_of_a_720p_clip_pass_32_bits() {
        let sizes = Sizes::new(40 * 2, Blocks::of(75_600)).unwrap();
        assert_eq!(sizes.rows(), 80 * 591);
        assert_eq!((sizes.grid(PERSISTENT, 132), sizes.pool_grid()), (132, 1184));
        assert_eq!(sizes.grid(Design::Portable, 132), 80 * 591);
        assert_eq!([1, 2, 4, 7].map(|level| sizes.pooled(level)), [75_600, 37_800, 9_450, 1_182]);
        assert_eq!([2, 4, 7].map(|level| sizes.padded(level)), [37_800, 9_456, 1_184]);
        assert_eq!([1, 7].map(|level| sizes.biases(level)), [75_648, 1_216]);
        let long = Sizes::new(64, Blocks::of(299_520)).unwrap();
        assert_eq!(long.level_bytes(1, 128), 4_907_335_680);
        assert!(long.level_bytes(2, 128) > 1 << 31);
    }

    #[test]
    fn few_rows_take_few_blocks() {
        assert_eq!(Sizes::new(1, Blocks::of(1)).unwrap().grid(PERSISTENT, 132), 1);
        assert_eq!(Sizes::new(2, Blocks::of(300)).unwrap().grid(PERSISTENT, 132), 6);
    }

    #[test]
    fn other_cuts_are_not_served() {
        assert_eq!(Sizes::new(1, Blocks::new(256, 256, 64, 64).unwrap()), None);
        assert_eq!(Sizes::new(1, Blocks::new(256, 256, 128, 32).unwrap()), None);
        let most = KEY_BLOCK * MOST_COLUMNS;
        assert!(Sizes::new(1, Blocks::new(1, most, 128, 64).unwrap()).is_some());
        assert_eq!(Sizes::new(1, Blocks::new(1, most + 1, 128, 64).unwrap()), None);
    }

    #[test]
    fn classes_have_every_level_once_and_falling_sizes() {
        let mut levels: Vec<u8> = (0..LEVELS).map(level_of).collect();
        levels.sort_unstable();
        assert_eq!(levels, [1, 2, 3, 4, 5, 6, 7]);
        assert!(ITEM_KEYS.is_sorted_by(|a, b| a >= b));
        for (class, keys) in ITEM_KEYS.into_iter().enumerate().take(5).skip(1) {
            assert_eq!(keys, KEY_BLOCK / pool(level_of(class)));
        }
    }
}
