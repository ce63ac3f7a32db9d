//! Level maps: how finely each query block sees each key block.
//!
//! `levels[b, h, row, column]` (U8): 0 = skipped; ℓ ≥ 1 = the block's keys and values are mean-pooled over runs of
//! 2^(ℓ−1) tokens: 1 full, 2 halves, …, `1 + log₂ key_block` the whole block as one. Source: methods.md §6.1 and §6.3.

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::{blocks::Blocks, check};

#[cfg(feature = "cuda")]
mod cuda;
mod densities;
mod lists;
mod packed;

pub use densities::Densities;
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

    /// Takes levels of which it is known which there are: nothing is read, so nothing waits for a GPU.
    #[cfg(feature = "cuda")]
    pub(crate) fn among(
        levels: Tensor,
        blocks: Blocks,
        all: impl Iterator<Item = u8>,
    ) -> Result<Self> {
        let used = all.fold(0, |used, level| used | 1 << level);
        Self { levels, blocks, used }.checked()
    }

    /// Refuses levels that may be deeper than the key block allows.
    fn checked(self) -> Result<Self> {
        let (deepest, of) = (self.blocks.deepest_level(), self.blocks.key_block);
        match (0..32).rev().find(|&level| self.uses(level)) {
            Some(got) if got > deepest => {
                bail!("level map: levels go to {deepest} for key blocks of {of}, got {got}")
            }
            _ => Ok(self),
        }
    }

    /// The same on a device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self { levels: self.levels.to_device(device)?, ..*self })
    }

    /// The map in which every block of level ℓ has level `table[ℓ]`; levels beyond the table stay. Refuses levels deeper
    /// than the key block allows.
    pub fn relabelled(&self, table: &[u8]) -> Result<Self> {
        let all = table.iter().copied().chain(table.len() as u8..32);
        let mut used = 0;
        let table: Vec<u8> = all
            .enumerate()
            .inspect(|(level, to)| used |= u32::from(self.uses(*level as u8)) << to)
            .map(|(_, to)| to)
            .collect();
        let table = Tensor::new(table, self.levels.device())?;
        let levels = table.index_select(&self.levels.flatten_all()?, 0)?;
        Self { levels: levels.reshape(self.levels.shape())?, used, ..*self }.checked()
    }

    /// The map in which the marked blocks are full: `marks` U8, 1 = marked, of a shape that the map's
    /// `[B, H, rows, columns]` broadcasts it to.
    pub fn with_full(&self, marks: &Tensor) -> Result<Self> {
        check::dtype("level map", "marks", marks, DType::U8)?;
        let marks = marks.to_device(self.levels.device())?.broadcast_as(self.levels.shape())?;
        let full = Tensor::full(FULL, self.levels.shape(), self.levels.device())?;
        let levels = marks.where_cond(&full, &self.levels)?;
        Ok(Self { levels, used: self.used | 1 << FULL, ..*self })
    }

    /// The map in which no block is coarser than its bound: `bounds` U8, levels from 1, of a shape that the map's
    /// `[B, H, rows, columns]` broadcasts it to. What is skipped stays so.
    pub fn at_most(&self, bounds: &Tensor) -> Result<Self> {
        check::dtype("level map", "bounds", bounds, DType::U8)?;
        let bounds = bounds.to_device(self.levels.device())?;
        let levels = self.levels.broadcast_minimum(&bounds)?;
        let deepest = (0..32).rev().find(|&level| self.uses(level)).unwrap_or_default();
        // A bound below a level may be any finer one.
        let used = if deepest > FULL { self.used | ((2 << deepest) - 2) } else { self.used };
        Ok(Self { levels, used, ..*self })
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

    /// The map in which the marked blocks are full and the others skipped: `marks` U8, 1 = marked, of a shape that
    /// `[B, H, rows, columns]` broadcasts it to. It is where the marks are, and nothing is read.
    pub fn marked(marks: &Tensor, (batch, heads): (usize, usize), blocks: Blocks) -> Result<Self> {
        check::dtype("level map", "marks", marks, DType::U8)?;
        let shape = (batch, heads, blocks.rows(), blocks.columns());
        let levels = marks.ne(0_u8)?.broadcast_as(shape)?.contiguous()?;
        Ok(Self { levels, blocks, used: 1 << SKIPPED | 1 << FULL })
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
        self.relabelled(&[floor])
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
        self.counted()?.read()
    }

    /// The same, not read yet where the map is on a GPU.
    pub fn counted(&self) -> Result<Densities> {
        #[cfg(feature = "cuda")]
        if let Some(counted) = cuda::counted(self)? {
            return Ok(counted);
        }
        let (rows, columns) = (self.blocks.rows(), self.blocks.columns());
        let levels = self.to_vec()?;
        let heads = levels.chunks(rows * columns);
        Ok(Densities::known(heads.map(|head| density(head, self.blocks)).collect()))
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
        assert_eq!(used(&LevelMap::filled(0, (1, 1), blocks).unwrap().with_floor(3).unwrap()), [3]);
    }

    #[test]
    fn levels_are_renamed_opened_and_bounded() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        let map = LevelMap::from_vec(vec![1, 2, 3, 0, 3, 0], (1, 1), blocks).unwrap();
        let used = |map: &LevelMap| (0..5).filter(|&level| map.uses(level)).collect::<Vec<_>>();
        let renamed = map.relabelled(&[0, 1, 1]).unwrap();
        assert_eq!(renamed.to_vec().unwrap(), [1, 1, 3, 0, 3, 0]);
        assert_eq!(used(&renamed), [0, 1, 3]);
        assert!(map.relabelled(&[4]).unwrap_err().to_string().contains("got 4"));
        assert!(renamed.relabelled(&[0, 1, 4]).is_ok(), "no block has level 2");
        let marks = Tensor::new(&[[[[0_u8, 0, 1]]]], &Device::Cpu).unwrap();
        assert_eq!(map.with_full(&marks).unwrap().to_vec().unwrap(), [1, 2, 1, 0, 3, 1]);
        let marked = LevelMap::marked(&marks, (1, 2), blocks).unwrap();
        assert_eq!(marked.to_vec().unwrap(), [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
        let bounds = Tensor::new(&[[[[3_u8, 1, 2]]]], &Device::Cpu).unwrap();
        let bounded = map.at_most(&bounds).unwrap();
        assert_eq!(bounded.to_vec().unwrap(), [1, 1, 2, 0, 1, 0]);
        assert!([0, 1, 2].into_iter().all(|level| bounded.uses(level)));
    }

    #[test]
    fn impossible_maps_are_refused() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        assert!(LevelMap::from_vec(vec![4; 6], (1, 1), blocks).is_err(), "deeper than the block");
        assert!(LevelMap::from_vec(vec![1; 5], (1, 1), blocks).is_err(), "too few");
    }
}
