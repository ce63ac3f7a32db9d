//! Dense attention of one call in one token order, and how far a method's answer is from it.

use candle_core::{DType, Tensor};
use tessera_kernels::levels::{Density, LevelMap};
use tessera_kernels::order::{Order, permute};
use tessera_kernels::scores::block_mass;

use super::report::Head;
use crate::Result;
use crate::sparsity::probe;

/// What every query of a call sees of every key.
pub(super) struct Truth {
    /// Queries `[B, H, S, D]`.
    pub(super) q: Tensor,
    /// Keys `[B, H, S, D]`.
    pub(super) k: Tensor,
    /// The dense output `[B, H, S, D]`.
    pub(super) out: Tensor,
    /// Natural log of each query's softmax denominator, `[B, H, S]` F32.
    pub(super) lse: Tensor,
    /// What the products of queries and keys are multiplied by.
    pub(super) scale: f32,
    /// The exact softmax mass of every pair of blocks, once it was asked for.
    mass: Option<Tensor>,
}

impl Truth {
    /// Tensors in one order, `out` and `lse` those of dense attention of q, k and v.
    pub(super) fn new([q, k, out]: [Tensor; 3], lse: Tensor, scale: f32) -> Self {
        Self { q, k, out, lse, scale, mass: None }
    }

    /// How a method's answer `out` `[B, H, S, D]` by a map compares, for each (sample, head). `keys` is the order in which
    /// the map counts each head's keys, behind the order of this truth.
    pub(super) fn heads(
        &mut self,
        out: &Tensor,
        (map, floor): (&LevelMap, u8),
        keys: Option<&[Order]>,
        densities: &[Density],
    ) -> Result<Vec<Head>> {
        let far = norms(&(widened(out)? - widened(&self.out)?)?)?;
        let whole = norms(&widened(&self.out)?)?;
        let recalls = probe::exact(&self.mass(map, keys)?, map, floor)?;
        let ratio = |(far, whole): (f64, f64)| if far == 0.0 { 0.0 } else { far / whole };
        let errors = far.into_iter().zip(whole).map(ratio);
        let heads = errors.zip(recalls).zip(densities).enumerate();
        Ok(heads
            .map(|(head, ((error, recall), density))| Head {
                head,
                error,
                recall,
                density: density.exact,
                nominal: density.nominal,
            })
            .collect())
    }

    /// The exact mass of every pair of blocks `[B, H, rows, columns]`; as good as a whole attention to compute, so methods
    /// that count blocks alike share it.
    fn mass(&mut self, map: &LevelMap, keys: Option<&[Order]>) -> Result<Tensor> {
        let of = |k: &Tensor| {
            Ok::<_, crate::Error>(
                block_mass(&self.q, k, map.blocks(), self.scale, Some(&self.lse))?.mass,
            )
        };
        match (keys, &self.mass) {
            (Some(orders), _) => of(&permute(&self.k, orders)?),
            (None, Some(mass)) => Ok(mass.clone()),
            (None, None) => {
                let mass = of(&self.k)?;
                self.mass = Some(mass.clone());
                Ok(mass)
            }
        }
    }
}

/// ‖a − b‖ / ‖b‖ over all numbers.
pub(super) fn relative_error(a: &Tensor, b: &Tensor) -> Result<f64> {
    let norm = |x: &Tensor| -> Result<f64> {
        Ok(x.sqr()?.flatten_all()?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?.sqrt())
    };
    let far = norm(&(widened(a)? - widened(b)?)?)?;
    Ok(if far == 0.0 { 0.0 } else { far / norm(&widened(b)?)? })
}

/// As F32.
fn widened(x: &Tensor) -> Result<Tensor> {
    Ok(x.to_dtype(DType::F32)?)
}

/// The Euclidean norm of each (sample, head) of x `[B, H, S, D]`; the long sum is in F64.
fn norms(x: &Tensor) -> Result<Vec<f64>> {
    let squares = x.sqr()?.sum(3)?.to_dtype(DType::F64)?.sum(2)?.sqrt()?;
    Ok(squares.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_kernels::attention::attention_with_lse;
    use tessera_kernels::blocks::Blocks;

    use super::*;

    /// Two heads of 150 tokens, 8 wide: 2 × 3 blocks.
    fn random(seed: u64) -> Tensor {
        let values = crate::noise::torch_randn(seed, &[1, 2, 150, 8]);
        Tensor::from_vec(values, (1, 2, 150, 8), &Device::Cpu).unwrap()
    }

    #[test]
    fn error_and_recall_are_those_of_their_definitions() {
        let (q, k, v, scale) = (random(1), random(2), random(3), 0.3);
        let (out, lse) = attention_with_lse(&q, &k, &v, scale, None).unwrap();
        let mut truth = Truth::new([q.clone(), k.clone(), out.clone()], lse, scale);
        let blocks = Blocks::of(150);
        let levels = vec![1, 0, 2, 0, 1, 7, 2, 2, 0, 0, 0, 1];
        let map = LevelMap::from_vec(levels.clone(), (1, 2), blocks).unwrap();
        let densities = map.densities().unwrap();
        // The first head is off by a tenth of itself, the second not at all.
        let factors = Tensor::new(&[1.1f32, 1.0], &Device::Cpu).unwrap().reshape((1, 2, 1, 1));
        let ours = out.broadcast_mul(&factors.unwrap()).unwrap();
        // Keys turned by one block: the map is about keys 64.. first.
        let turned = Order::new((0..150).map(|place| (place + 64) % 150).collect()).unwrap();
        for (keys, floor) in [(None, 0), (None, 7), (Some(vec![turned.clone(), turned]), 0)] {
            let heads = truth.heads(&ours, (&map, floor), keys.as_deref(), &densities).unwrap();
            assert!((heads[0].error - 0.1).abs() < 1e-5 && heads[1].error == 0.0, "{heads:?}");
            for head in &heads {
                assert_eq!(head.density, densities[head.head].exact);
                let of_head = |x: &Tensor| {
                    x.get(0).unwrap().get(head.head).unwrap().to_vec2::<f32>().unwrap()
                };
                let (q, mut k) = (of_head(&q), of_head(&k));
                if keys.is_some() {
                    k.rotate_left(64);
                }
                let mut kept = 0.0;
                for (row, q) in q.iter().enumerate() {
                    let weight = |k: &Vec<f32>| {
                        let product: f32 = q.iter().zip(k).map(|(a, b)| a * b).sum();
                        f64::from(product * scale).exp()
                    };
                    let weights: Vec<f64> = k.iter().map(weight).collect();
                    let is_selected = |column: &usize| {
                        let level = levels[6 * head.head + row / 128 * 3 + column / 64];
                        level > 0 && (floor == 0 || level < floor)
                    };
                    let seen: f64 = (0..150).filter(is_selected).map(|j| weights[j]).sum();
                    kept += seen / weights.iter().sum::<f64>() / 150.0;
                }
                assert!((head.recall - kept).abs() < 1e-5, "{head:?}: {kept}");
            }
        }
    }

    #[test]
    fn nothing_against_nothing_is_no_error() {
        let zeros = random(1).zeros_like().unwrap();
        assert_eq!(relative_error(&zeros, &zeros).unwrap(), 0.0);
        let (a, b) = (random(1), random(2));
        let expected = relative_error(&(&b + &a).unwrap(), &b).unwrap();
        let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!((expected - f64::from(norm(&a) / norm(&b)).sqrt()).abs() < 1e-5);
    }
}
