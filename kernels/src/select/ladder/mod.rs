//! Levels for many blocks under one budget: what is saved by a step to a finer level, for what the step costs.
//!
//! Of each block only the levels on the lower convex hull of loss over cost are ever the best for some price. Every block
//! begins at the deepest level; all steps along all hulls, sorted by gain (loss saved for cost spent), are one ladder, and a
//! budget says how far up it goes. So the sum of losses is the least there is for what is spent, up to one step, and a larger
//! budget never takes a step back. Costs are counted in products of a query and a pooled key. Losses on a GPU are chosen from
//! there (feature `cuda`), to the same levels.

use candle_core::{Result, Tensor};

use crate::{blocks::Blocks, check, levels::LevelMap};

#[cfg(feature = "cuda")]
mod cuda;
mod steps;

use steps::Steps;

/// How far above a budget its spending may be: rounding, in shares.
const SLACK: f64 = 1e-6;

/// The steps of all blocks of one attention.
#[derive(Debug)]
pub struct Ladder {
    kind: Kind,
    blocks: Blocks,
    /// (B, H).
    heads: (usize, usize),
}

#[derive(Debug)]
enum Kind {
    Here(Steps),
    #[cfg(feature = "cuda")]
    There(cuda::Gains),
}

impl Ladder {
    /// From `loss [B, H, rows, columns, deepest level]` F32, at index ℓ − 1 that of level ℓ
    /// ([`crate::scores::pooling_loss`] has it).
    pub fn new(loss: &Tensor, blocks: Blocks) -> Result<Self> {
        let (batch, heads, _, _, _) = loss.dims5()?;
        let deepest = blocks.deepest_level();
        let shape = [batch, heads, blocks.rows(), blocks.columns(), usize::from(deepest)];
        check::shape("ladder", "loss", loss, &shape)?;
        let ladder = |kind| Self { kind, blocks, heads: (batch, heads) };
        #[cfg(feature = "cuda")]
        if let Some(gains) = cuda::Gains::new(loss, blocks)? {
            return Ok(ladder(Kind::There(gains)));
        }
        let losses = loss.flatten_all()?.to_vec1()?;
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let work = |block: usize, level: u8| {
            let (row, column) = (block / columns % rows, block % columns);
            (blocks.query_range(row).len() * blocks.pooled_keys(column, level)) as u64
        };
        let whole = whole(batch * heads, blocks);
        Ok(ladder(Kind::Here(Steps::new(losses, deepest, whole, work))))
    }

    /// The map when at most the share `budget` of the dense work is spent, or the least that there is.
    pub fn map(&self, budget: f64) -> Result<LevelMap> {
        let products = self.products(budget);
        match &self.kind {
            Kind::Here(steps) => {
                LevelMap::from_vec(steps.levels(products), self.heads, self.blocks)
            }
            #[cfg(feature = "cuda")]
            Kind::There(gains) => gains.map(products, self.heads, self.blocks),
        }
    }

    /// The sum of the losses of that map.
    pub fn loss(&self, budget: f64) -> Result<f32> {
        match &self.kind {
            Kind::Here(steps) => Ok(steps.loss(self.products(budget))),
            #[cfg(feature = "cuda")]
            Kind::There(gains) => gains.loss(&self.map(budget)?),
        }
    }

    fn products(&self, budget: f64) -> u64 {
        let whole = whole(self.heads.0 * self.heads.1, self.blocks);
        ((budget + SLACK) * whole as f64) as u64
    }
}

/// The products of dense attention.
fn whole(heads: usize, blocks: Blocks) -> u64 {
    (heads * blocks.queries * blocks.keys) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    /// Losses that fall with the level, and the exact density that a budget comes to.
    #[test]
    fn a_budget_is_an_exact_density() {
        for (queries, keys) in [(300, 700), (128, 64), (1000, 1001)] {
            let blocks = Blocks::new(queries, keys, 128, 64).unwrap();
            let shape = [1, 2, blocks.rows(), blocks.columns(), 1];
            let slope = random(&shape, 3).sqr().unwrap();
            let levels = Tensor::arange(0.0_f32, 7.0, slope.device()).unwrap();
            let loss = slope.broadcast_mul(&levels.reshape((1, 1, 1, 1, 7)).unwrap()).unwrap();
            let ladder = Ladder::new(&loss, blocks).unwrap();
            let largest = 8192.0 / (2 * queries * keys) as f64;
            for budget in [0.1, 0.25, 0.7] {
                let exact = ladder.map(budget).unwrap().density().unwrap().exact;
                assert!(exact <= budget + 1e-5 && exact > budget - largest, "{exact} of {budget}");
            }
            assert_eq!(ladder.map(1.0).unwrap().density().unwrap().exact, 1.0);
            assert_eq!(ladder.loss(1.0).unwrap(), 0.0);
            assert!(Ladder::new(&loss.narrow(4, 0, 6).unwrap(), blocks).is_err());
        }
    }
}
