//! What a map does to the output of a few queries: the exact softmax over all keys, summed by key block, so that every map
//! over the same blocks costs no more than a sum of the blocks that it keeps.
//!
//! With p the softmax of query r: massᵣⱼ = Σ over block j of p, valueᵣⱼ = Σ of p·v. The output under a map that keeps the
//! blocks K is Σ_K value / Σ_K mass; the dense one keeps them all. Work: 4·R·S·D FLOP for R queries.

use candle_core::{D, DType, Result, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::scores::row_softmax;

/// The sums of one head.
#[derive(Debug)]
pub(crate) struct Sums {
    /// `[R, columns]`.
    mass: Tensor,
    /// `[R, columns, D]`.
    value: Tensor,
}

impl Sums {
    /// Of the query tokens `rows` of one head; q, k, v `[S, D]`.
    pub(crate) fn new(
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        rows: &[u32],
        scale: f32,
        blocks: Blocks,
    ) -> Result<Self> {
        let (columns, key_block) = (blocks.columns(), blocks.key_block);
        let missing = columns * key_block - blocks.keys;
        let q = q.contiguous()?.index_select(&Tensor::new(rows, q.device())?, 0)?;
        let k = k.to_dtype(DType::F32)?.t()?.contiguous()?;
        let logits = (q.to_dtype(DType::F32)?.matmul(&k)? * f64::from(scale))?;
        let weights = row_softmax(&logits)?.pad_with_zeros(1, 0, missing)?.reshape((
            rows.len(),
            columns,
            key_block,
        ))?;
        let v = v.to_dtype(DType::F32)?.pad_with_zeros(0, 0, missing)?;
        let v = v.reshape((columns, key_block, v.dim(1)?))?;
        let value = weights.transpose(0, 1)?.contiguous()?.matmul(&v)?;
        Ok(Self { mass: weights.sum(2)?, value: value.transpose(0, 1)?.contiguous()? })
    }

    /// Squared errors ‖O' − O‖² over all rows under each of P maps, and ‖O‖²; `kept` `[R, P, columns]` F32 is 1 where a
    /// block is kept and 0 elsewhere. A row that keeps nothing has the output 0.
    pub(crate) fn errors(&self, kept: &Tensor) -> Result<(Vec<f32>, f32)> {
        let (errors, dense) = self.squares(kept)?;
        Ok((errors.to_vec1()?, dense.sqr()?.sum_all()?.to_scalar()?))
    }

    /// The squared errors `[P]` F32, where the operands are, and the dense outputs `[R, 1, D]`.
    pub(crate) fn squares(&self, kept: &Tensor) -> Result<(Tensor, Tensor)> {
        let all = Tensor::ones_like(&self.mass)?.unsqueeze(1)?;
        let dense = self.outputs(&all)?;
        let errors = self.outputs(kept)?.broadcast_sub(&dense)?.sqr()?.sum((0, 2))?;
        Ok((errors, dense))
    }

    /// `[R, P, D]`.
    fn outputs(&self, kept: &Tensor) -> Result<Tensor> {
        let masses = kept.matmul(&self.mass.unsqueeze(D::Minus1)?)?;
        kept.matmul(&self.value)?.broadcast_div(&masses.maximum(f32::MIN_POSITIVE)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_kernels::levels::LevelMap;
    use tessera_kernels::pyramid::{self, Options};

    use super::*;

    #[test]
    fn errors_are_those_of_the_operator() {
        let blocks = Blocks::new(22, 22, 8, 4).unwrap();
        let draw = || Tensor::randn(0.0f32, 1.0, (22, 8), &Device::Cpu).unwrap();
        let (q, k, v) = (draw(), draw(), draw());
        let levels: Vec<u8> = (0..18).map(|i| u8::from(i % 4 < 2 || i % 5 == 0)).collect();
        let map = LevelMap::from_vec(levels.clone(), (1, 1), blocks).unwrap();
        let dense = LevelMap::filled(1, (1, 1), blocks).unwrap();
        let heads = |x: &Tensor| x.unsqueeze(0).unwrap().unsqueeze(0).unwrap();
        let attend = |map: &LevelMap| {
            let options = Options::new(0.4);
            let out = pyramid::attention(&heads(&q), &heads(&k), &heads(&v), map, &options);
            out.unwrap().out.flatten(0, 2).unwrap()
        };
        let (wanted, full) = (attend(&map), attend(&dense));
        let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        let wanted = norm(&(wanted - &full).unwrap());

        let rows: Vec<u32> = (0..22).collect();
        let sums = Sums::new((&q, &k, &v), &rows, 0.4, blocks).unwrap();
        // Two maps: the one above, and one that keeps everything.
        let kept: Vec<f32> = (0..22)
            .flat_map(|row| {
                let own = levels[row / 8 * 6..][..6].iter().map(|level| f32::from(*level));
                own.chain([1.0; 6]).collect::<Vec<_>>()
            })
            .collect();
        let kept = Tensor::from_vec(kept, (22, 2, 6), &Device::Cpu).unwrap();
        let (errors, all) = sums.errors(&kept).unwrap();
        assert!((errors[0] / wanted - 1.0).abs() < 1e-4, "{errors:?} {wanted}");
        assert!(errors[1] < 1e-9 && (all / norm(&full) - 1.0).abs() < 1e-4);
    }
}
