//! The operator against its definition: printed values, properties of methods.md §6.3, and the CPU paths against the
//! reference.

use candle_core::{DType, Device, Tensor};

use super::{Attended, Options, attention};
use crate::{
    blocks::Blocks,
    cpu::{Level, with_level},
    levels::LevelMap,
    testing::random,
};

#[cfg(feature = "cuda")]
mod cuda;
mod definition;
mod fast;
mod golden;
mod properties;
mod speed;

/// A seeded call.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// B, H.
    heads: (usize, usize),
    blocks: Blocks,
    /// D.
    width: usize,
    seed: u64,
}

impl Case {
    /// [q, k, v] of unit variance.
    fn operands(&self, dtype: DType) -> [Tensor; 3] {
        let (batch, heads) = self.heads;
        let of = |tokens, operand| {
            let seed = self.seed.wrapping_mul(31).wrapping_add(operand);
            random(&[batch, heads, tokens, self.width], seed).to_dtype(dtype).unwrap()
        };
        [of(self.blocks.queries, 1), of(self.blocks.keys, 2), of(self.blocks.keys, 3)]
    }

    /// Levels from 0 to the deepest, all equally often.
    fn map(&self) -> LevelMap {
        let count = self.heads.0 * self.heads.1 * self.blocks.rows() * self.blocks.columns();
        let kinds = usize::from(self.blocks.deepest_level()) + 1;
        let levels = numbers(count, self.seed).map(|x| (x % kinds) as u8).collect();
        LevelMap::from_vec(levels, self.heads, self.blocks).unwrap()
    }

    /// `[Sk]` with about a third of the keys hidden, and the first key block as a whole.
    fn valid(&self) -> Tensor {
        let keys = self.blocks.keys;
        let valid: Vec<u8> = numbers(keys, !self.seed)
            .enumerate()
            .map(|(t, x)| u8::from(x % 3 > 0 && t >= self.blocks.key_block.min(keys - 1)))
            .collect();
        Tensor::new(valid, &Device::Cpu).unwrap()
    }

    /// 1/√D.
    fn options(&self) -> Options<'static> {
        Options::new(1.0 / (self.width as f32).sqrt())
    }
}

/// Numbers that a seed determines.
fn numbers(count: usize, seed: u64) -> impl Iterator<Item = usize> {
    let values: Vec<f32> = random(&[count], seed ^ 0x5eed).to_vec1().unwrap();
    values.into_iter().map(|x| ((x + 2.0) * 1e5) as usize)
}

fn run(level: Level, [q, k, v]: &[Tensor; 3], map: &LevelMap, options: &Options<'_>) -> Attended {
    with_level(level, || attention(q, k, v, map, options).unwrap())
}

/// The queries that see something, `[B, H, Sq]`; NaN is refused everywhere.
fn seen(lse: &Tensor) -> Vec<bool> {
    let lse: Vec<f64> = lse.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(lse.iter().all(|x| !x.is_nan()), "NaN");
    lse.iter().map(|&x| x > f64::NEG_INFINITY).collect()
}

/// LSE with 0 in the place of −∞, so that it can be subtracted.
fn finite(lse: &Tensor) -> Tensor {
    let empty = lse.eq(f32::NEG_INFINITY).unwrap();
    empty.where_cond(&lse.zeros_like().unwrap(), lse).unwrap()
}
