//! The softmax of a head, query by query: what everything in calibration is added up from.
//!
//! A query's row of S probabilities is computed once and then cut into blocks in as many orders as are wanted; the matrix
//! of all of them is never held. Every query is looked at up to 4096, above it an even share of them by a hash of their
//! number, so that no order of the tokens sees them unevenly. Work: 2·Q·S·D FLOP a head.

use candle_core::{DType, Result, Tensor};
use tessera_kernels::scores::row_softmax;

use crate::sparsity::seed::mixed;

/// Queries that are looked at.
const QUERIES: usize = 4096;
/// Probabilities that are held at once, 16 MiB.
const HELD: usize = 1 << 22;

/// The queries of `tokens` that are looked at, ascending.
pub(super) fn queries(tokens: usize) -> Vec<u32> {
    let share = (QUERIES as f64 / tokens.max(1) as f64).min(1.0);
    let bound = (share * u64::MAX as f64) as u64;
    (0..tokens as u32).filter(|&token| mixed(0, &[u64::from(token)]) <= bound).collect()
}

/// Shows `each` the softmax over all keys of each of `queries`; q and k `[S, D]`.
pub(super) fn each_row(
    (q, k): (&Tensor, &Tensor),
    queries: &[u32],
    scale: f32,
    mut each: impl FnMut(u32, &[f32]),
) -> Result<()> {
    let tokens = k.dim(0)?;
    let q = q.contiguous()?;
    let k = k.to_dtype(DType::F32)?.t()?.contiguous()?;
    for chunk in queries.chunks((HELD / tokens.max(1)).max(1)) {
        let rows = q.index_select(&Tensor::new(chunk, q.device())?, 0)?.to_dtype(DType::F32)?;
        let rows = row_softmax(&(rows.matmul(&k)? * f64::from(scale))?)?;
        let rows = rows.flatten_all()?.to_vec1::<f32>()?;
        for (&query, row) in chunk.iter().zip(rows.chunks(tokens)) {
            each(query, row);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn every_query_of_a_small_clip_and_an_even_share_of_a_large_one() {
        assert_eq!(queries(2304), (0..2304).collect::<Vec<_>>());
        let some = queries(32_760);
        assert!((3900..4300).contains(&some.len()), "{}", some.len());
        let blocks = some.chunk_by(|a, b| a / 128 == b / 128);
        assert!(blocks.clone().count() == 256 && blocks.clone().all(|block| block.len() >= 4));
    }

    #[test]
    fn rows_are_softmaxes() {
        let draw = || Tensor::randn(0.0f32, 1.0, (40, 8), &Device::Cpu).unwrap();
        let (q, k) = (draw(), draw());
        let mut seen = Vec::new();
        each_row((&q, &k), &[3, 17], 0.3, |query, row| {
            assert_eq!(row.len(), 40);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let dot = |key: usize| -> f32 {
                let of = |x: &Tensor, row: usize| x.get(row).unwrap().to_vec1::<f32>().unwrap();
                of(&q, query as usize).iter().zip(of(&k, key)).map(|(a, b)| a * b).sum()
            };
            let expected = (0.3 * (dot(5) - dot(9))).exp();
            assert!((row[5] / row[9] / expected - 1.0).abs() < 1e-4);
            seen.push(query);
        })
        .unwrap();
        assert_eq!(seen, [3, 17]);
    }
}
