//! Level maps at four bits a block: what caches and recordings keep.

use candle_core::{Result, bail};

use super::LevelMap;
use crate::blocks::Blocks;

/// The deepest level that four bits hold: key blocks of up to 2^14 tokens.
const DEEPEST: u8 = 15;

/// The levels of one attention call in row-major order `[B, H, rows, columns]`, two to a byte, the first in the low half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLevels {
    bytes: Vec<u8>,
    heads: (usize, usize),
    blocks: Blocks,
}

impl PackedLevels {
    /// Packs a map; refuses levels deeper than 15.
    pub(super) fn pack(map: &LevelMap) -> Result<Self> {
        let levels = map.to_vec()?;
        if let Some(deep) = levels.iter().find(|&&level| level > DEEPEST) {
            bail!("packed levels: four bits hold levels up to {DEEPEST}, got {deep}");
        }
        let bytes = levels.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4).collect();
        Ok(Self { bytes, heads: map.heads(), blocks: map.blocks() })
    }

    /// From what [`Self::as_slice`] gave, (B, H) and the cut that they were packed for; refuses another number of bytes.
    pub fn from_bytes(bytes: Vec<u8>, heads: (usize, usize), blocks: Blocks) -> Result<Self> {
        let packed = Self { bytes, heads, blocks };
        let expected = packed.count().div_ceil(2);
        if packed.bytes.len() != expected {
            bail!("packed levels: expected {expected} bytes, got {}", packed.bytes.len());
        }
        Ok(packed)
    }

    /// The map, on the CPU; refuses levels deeper than the key block allows.
    pub fn unpack(&self) -> Result<LevelMap> {
        let levels = self.bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]);
        LevelMap::from_vec(levels.take(self.count()).collect(), self.heads, self.blocks)
    }

    /// The packed levels.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// (B, H).
    pub fn heads(&self) -> (usize, usize) {
        self.heads
    }

    /// The cut that the levels are about.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }

    fn count(&self) -> usize {
        self.heads.0 * self.heads.1 * self.blocks.rows() * self.blocks.columns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_comes_back_from_half_its_bytes() {
        let blocks = Blocks::new(300, 200, 128, 64).unwrap();
        // 3·4 blocks in each of 3 heads; and one head of an odd number of blocks.
        for (heads, blocks) in [((1, 3), blocks), ((1, 1), Blocks::new(6, 10, 8, 4).unwrap())] {
            let count = heads.0 * heads.1 * blocks.rows() * blocks.columns();
            let deepest = usize::from(blocks.deepest_level());
            let levels: Vec<u8> = (0..count).map(|i| (i * 5 % (deepest + 1)) as u8).collect();
            let map = LevelMap::from_vec(levels.clone(), heads, blocks).unwrap();
            let packed = map.packed().unwrap();
            assert_eq!(packed.bytes(), count.div_ceil(2));
            let back = packed.unpack().unwrap();
            assert_eq!(
                (back.to_vec().unwrap(), back.heads(), back.blocks()),
                (levels, heads, blocks)
            );
            let bytes = packed.as_slice().to_vec();
            assert_eq!(PackedLevels::from_bytes(bytes, heads, blocks).unwrap(), packed);
        }
    }

    #[test]
    fn what_four_bits_cannot_hold_is_refused() {
        let blocks = Blocks::new(8, 1 << 15, 8, 1 << 15).unwrap();
        let map = LevelMap::filled(16, (1, 1), blocks).unwrap();
        assert!(map.packed().unwrap_err().to_string().contains("got 16"));
        let blocks = Blocks::new(8, 16, 8, 4).unwrap();
        assert!(PackedLevels::from_bytes(vec![0; 3], (1, 1), blocks).is_err(), "too many");
        let deep = PackedLevels::from_bytes(vec![0x41, 0], (1, 1), blocks).unwrap();
        assert!(deep.unpack().is_err(), "level 4 of blocks of 4");
    }
}
