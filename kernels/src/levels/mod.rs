//! Level maps: how finely each query block sees each key block.
//!
//! `levels[b, h, row, column]` (U8): 0 = skipped; ℓ ≥ 1 = the block's keys and values are mean-pooled over runs of
//! 2^(ℓ−1) tokens: 1 full, 2 halves, …, `1 + log₂ key_block` the whole block as one. Source: methods.md §6.1 and §6.3.

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::{blocks::Blocks, check};

mod lists;
mod packed;

pub use lists::Lists;
pub use packed::PackedLevels;

/// The level of a block that is not attended to.
pub const SKIPPED: u8 = 0;
/// The level of a block that is attended to token by token.
pub const FULL: u8 = 1;

/// Tokens that one pooled key stands for at `level` (≥ 1): 2^(level − 1).
pub fn pool(level: u8) -> usize {
    1 << (level.max(FULL) - 1)
}

/// The levels of one attention call, `[B, H, rows, columns]`, on the attention's device.
#[derive(Debug, Clone)]
pub struct LevelMap {
    levels: Tensor,
    blocks: Blocks,
    /// Bit ℓ: some block may have level ℓ. Known without asking the device.
    used: u32,
}

/// Share of the dense work that a map keeps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Density {
    /// Mean over blocks of 2^(1−ℓ), 0 where skipped: every block counted as whole.
    pub nominal: f64,
    /// Query rows × pooled keys that exist, over queries × keys.
    pub exact: f64,
}

impl LevelMap {
    /// Takes levels `[B, H, rows, columns]` U8; refuses another shape, and levels deeper than the key block allows.
    pub fn new(levels: Tensor, blocks: Blocks) -> Result<Self> {
        check::dtype("level map", "levels", &levels, DType::U8)?;
        let (batch, heads, _, _) = levels.dims4()?;
        check::shape(
            "level map",
            "levels",
            &levels,
            &[batch, heads, blocks.rows(), blocks.columns()],
        )?;
        let mut map = Self { levels, blocks, used: 0 };
        let all = map.to_vec()?;
        let deepest = all.iter().copied().max().unwrap_or_default();
        if deepest > blocks.deepest_level() {
            bail!(
                "level map: levels go to {} for key blocks of {}, got {deepest}",
                blocks.deepest_level(),
                blocks.key_block
            );
        }
        map.used = all.into_iter().fold(0, |used, level| used | 1 << level);
        Ok(map)
    }

    /// Whether some block may have this level.
    pub fn uses(&self, level: u8) -> bool {
        level < 32 && self.used >> level & 1 == 1
    }

    /// From levels in row-major order `[B, H, rows, columns]`.
    pub fn from_vec(
        levels: Vec<u8>,
        (batch, heads): (usize, usize),
        blocks: Blocks,
    ) -> Result<Self> {
        let shape = (batch, heads, blocks.rows(), blocks.columns());
        Self::new(Tensor::from_vec(levels, shape, &Device::Cpu)?, blocks)
    }

    /// The same level everywhere; [`FULL`] is dense attention.
    pub fn filled(level: u8, (batch, heads): (usize, usize), blocks: Blocks) -> Result<Self> {
        Self::from_vec(
            vec![level; batch * heads * blocks.rows() * blocks.columns()],
            (batch, heads),
            blocks,
        )
    }

    /// The levels, `[B, H, rows, columns]` U8.
    pub fn levels(&self) -> &Tensor {
        &self.levels
    }

    /// The cut that the levels are about.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }

    /// (B, H).
    pub fn heads(&self) -> (usize, usize) {
        (self.levels.dims()[0], self.levels.dims()[1])
    }

    /// The levels in row-major order.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        self.levels.flatten_all()?.to_vec1()
    }

    /// The map in which every skipped block has level `floor`; 0 leaves them skipped. Refuses a floor deeper than the
    /// key block allows.
    pub fn with_floor(&self, floor: u8) -> Result<Self> {
        if floor > self.blocks.deepest_level() {
            bail!(
                "level map: the floor goes to {} for key blocks of {}, got {floor}",
                self.blocks.deepest_level(),
                self.blocks.key_block
            );
        }
        if floor == SKIPPED {
            return Ok(self.clone());
        }
        let floors = self.levels.ones_like()?.affine(f64::from(floor), 0.0)?;
        let levels = self.levels.ne(0_u8)?.where_cond(&self.levels, &floors)?;
        Ok(Self { levels, blocks: self.blocks, used: self.used | 1 << floor })
    }

    /// The levels at four bits each; refuses levels deeper than 15.
    pub fn packed(&self) -> Result<PackedLevels> {
        PackedLevels::pack(self)
    }

    /// The key blocks that query block `row` of head `head` (counted over samples and heads, b·H + h) sees, by level.
    pub fn lists(&self, head: usize, row: usize) -> Result<Lists> {
        let (batch, heads) = self.heads();
        if head >= batch * heads || row >= self.blocks.rows() {
            bail!(
                "level map: expected a head below {} and a row below {}, got {head} and {row}",
                batch * heads,
                self.blocks.rows()
            );
        }
        let levels = self.levels.get(head / heads)?.get(head % heads)?.get(row)?;
        Ok(Lists::of(&levels.to_vec1()?, self.blocks))
    }

    /// The density of every (sample, head), in row-major order.
    pub fn densities(&self) -> Result<Vec<Density>> {
        let (rows, columns) = (self.blocks.rows(), self.blocks.columns());
        let levels = self.to_vec()?;
        Ok(levels.chunks(rows * columns).map(|head| density(head, self.blocks)).collect())
    }

    /// The mean density over all heads.
    pub fn density(&self) -> Result<Density> {
        let all = self.densities()?;
        let mean = |of: fn(&Density) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        Ok(Density { nominal: mean(|d| d.nominal), exact: mean(|d| d.exact) })
    }
}

/// The density of one head's levels `[rows, columns]`.
pub fn density(levels: &[u8], blocks: Blocks) -> Density {
    let columns = blocks.columns();
    let (mut nominal, mut exact) = (0.0, 0.0);
    for (row, levels) in levels.chunks(columns).enumerate() {
        let queries = blocks.query_range(row).len() as f64;
        for (column, &level) in levels.iter().enumerate().filter(|(_, level)| **level > SKIPPED) {
            nominal += 1.0 / pool(level) as f64;
            exact += queries * blocks.pooled_keys(column, level) as f64;
        }
    }
    Density {
        nominal: nominal / (blocks.rows() * columns) as f64,
        exact: exact / (blocks.queries * blocks.keys) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_are_those_of_the_golden_case() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        let map = LevelMap::from_vec(vec![1, 2, 3, 0, 3, 1], (1, 1), blocks).unwrap();
        let density = map.density().unwrap();
        assert!((density.nominal - 0.5).abs() < 1e-12, "{density:?}");
        assert!((density.exact - 17.0 / 30.0).abs() < 1e-12, "{density:?}");
        let dense = LevelMap::filled(FULL, (2, 3), blocks).unwrap();
        assert_eq!(dense.density().unwrap(), Density { nominal: 1.0, exact: 1.0 });
        assert_eq!(dense.densities().unwrap().len(), 6);
    }

    #[test]
    fn a_floor_takes_the_place_of_skipped_blocks_only() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        let map = LevelMap::from_vec(vec![1, 2, 3, 0, 3, 0], (1, 1), blocks).unwrap();
        assert_eq!(map.with_floor(3).unwrap().to_vec().unwrap(), [1, 2, 3, 3, 3, 3]);
        assert_eq!(map.with_floor(SKIPPED).unwrap().to_vec().unwrap(), [1, 2, 3, 0, 3, 0]);
        assert!(map.with_floor(4).unwrap_err().to_string().contains("got 4"));
        let used = |map: &LevelMap| (0..5).filter(|&level| map.uses(level)).collect::<Vec<_>>();
        assert_eq!(used(&LevelMap::filled(2, (1, 1), blocks).unwrap()), [2]);
        assert_eq!(
            used(&LevelMap::filled(0, (1, 1), blocks).unwrap().with_floor(3).unwrap()),
            [0, 3]
        );
    }

    #[test]
    fn impossible_maps_are_refused() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        assert!(LevelMap::from_vec(vec![4; 6], (1, 1), blocks).is_err(), "deeper than the block");
        assert!(LevelMap::from_vec(vec![1; 5], (1, 1), blocks).is_err(), "too few");
    }
}
