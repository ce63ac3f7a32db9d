//! How much of the softmax a map keeps: exactly where the exact masses of all blocks are known, otherwise from a few sampled
//! rows a head.
//!
//! Retained mass is the share of a query's softmax that lies in blocks which the map sees finer than the floor, averaged
//! over queries. A block at the floor is what nobody selected, whether the floor drops it or keeps its mean.

use candle_core::Tensor;
use tessera_kernels::levels::{LevelMap, SKIPPED};
use tessera_kernels::scores::sampled_rows;

use super::seed::mixed;
use crate::Result;

/// Queries that are probed: of 32,760 tokens a two-thousandth, so about a four-thousandth of dense attention's work.
const ROWS: usize = 16;

/// The queries to probe, the same for the same seed.
pub fn rows(tokens: usize, seed: u64) -> Vec<u32> {
    spread(tokens, ROWS, seed)
}

/// One token from each of `count` equal parts of the sequence (as many as there are tokens at most), by the seed.
pub fn spread(tokens: usize, count: usize, seed: u64) -> Vec<u32> {
    let count = count.min(tokens);
    let start = |part: usize| part * tokens / count;
    (0..count)
        .map(|part| {
            let length = start(part + 1) - start(part);
            (start(part) + (mixed(seed, &[part as u64]) % length as u64) as usize) as u32
        })
        .collect()
}

/// The retained mass of each (sample, head) over the probed `rows` of q `[B, H, S, D]`.
pub fn sampled(
    (q, k): (&Tensor, &Tensor),
    scale: f32,
    rows: &[u32],
    (map, floor): (&LevelMap, u8),
) -> Result<Vec<f64>> {
    let blocks = map.blocks();
    let mass = sampled_rows(q, k, blocks, scale, rows)?;
    let weighted: Vec<_> =
        rows.iter().map(|token| (*token as usize / blocks.query_block, 1.0)).collect();
    retained(&mass, &weighted, map, floor)
}

/// The retained mass of each (sample, head), from the exact mass of every block `[B, H, rows, columns]`.
pub fn exact(mass: &Tensor, map: &LevelMap, floor: u8) -> Result<Vec<f64>> {
    let blocks = map.blocks();
    let weighted: Vec<_> =
        (0..blocks.rows()).map(|row| (row, blocks.query_range(row).len() as f64)).collect();
    retained(mass, &weighted, map, floor)
}

/// The mean of the retained mass.
pub fn mean(retained: &[f64]) -> f64 {
    retained.iter().sum::<f64>() / retained.len().max(1) as f64
}

/// `mass [B, H, n, columns]`, each of its n rows with its row of blocks and its weight.
fn retained(
    mass: &Tensor,
    weighted: &[(usize, f64)],
    map: &LevelMap,
    floor: u8,
) -> Result<Vec<f64>> {
    let (rows, columns) = (map.blocks().rows(), map.blocks().columns());
    let mass: Vec<f32> = mass.flatten_all()?.to_vec1()?;
    let levels = map.to_vec()?;
    let heads = levels.chunks(rows * columns).zip(mass.chunks(weighted.len() * columns));
    let of_head = |(levels, mass): (&[u8], &[f32])| {
        let (mut kept, mut all) = (0.0, 0.0);
        for ((row, weight), mass) in weighted.iter().zip(mass.chunks(columns)) {
            let levels = &levels[row * columns..(row + 1) * columns];
            let total: f64 = mass.iter().map(|mass| f64::from(*mass)).sum();
            let seen: f64 = mass
                .iter()
                .zip(levels)
                .filter(|(_, level)| is_selected(**level, floor))
                .map(|(mass, _)| f64::from(*mass))
                .sum();
            kept += weight * seen / total.max(f64::MIN_POSITIVE);
            all += weight;
        }
        kept / all
    };
    Ok(heads.map(of_head).collect())
}

fn is_selected(level: u8, floor: u8) -> bool {
    level != SKIPPED && (floor <= 1 || level < floor)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_kernels::blocks::Blocks;

    use super::*;

    #[test]
    fn one_row_is_probed_in_every_part() {
        let of = rows(1000, 3);
        assert_eq!(of.len(), 16);
        assert!(
            of.iter()
                .enumerate()
                .all(|(part, row)| (*row as usize * 16 / 1000).abs_diff(part) <= 1)
        );
        assert_eq!(of, rows(1000, 3));
        assert_ne!(of, rows(1000, 4));
        assert_eq!(rows(3, 9), [0, 1, 2]);
    }

    #[test]
    fn retained_mass_is_what_was_selected() {
        // Two query blocks of 4 and 2 rows over three key blocks.
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        let map = LevelMap::from_vec(vec![1, 2, 0, 3, 1, 0], (1, 1), blocks).unwrap();
        let mass = [0.5f32, 0.3, 0.2, 0.1, 0.6, 0.3];
        let mass = Tensor::from_slice(&mass, (1, 1, 2, 3), &Device::Cpu).unwrap();
        let of = |floor| exact(&mass, &map, floor).unwrap()[0];
        assert!((of(0) - (4.0 * 0.8 + 2.0 * 0.7) / 6.0).abs() < 1e-6, "{}", of(0));
        assert!((of(3) - (4.0 * 0.8 + 2.0 * 0.6) / 6.0).abs() < 1e-6, "level 3 is the floor");
    }

    #[test]
    fn a_probe_of_every_row_is_the_exact_mass() {
        let blocks = Blocks::of(150);
        let random = |seed: u64| {
            let values: Vec<f32> = (0..2 * 150 * 8)
                .map(|i| (mixed(seed, &[i]) >> 40) as f32 / (1 << 23) as f32 - 1.0)
                .collect();
            Tensor::from_vec(values, (1, 2, 150, 8), &Device::Cpu).unwrap()
        };
        let (q, k) = (random(1), random(2));
        let map =
            LevelMap::from_vec(vec![1, 0, 2, 0, 1, 7, 2, 2, 0, 0, 0, 1], (1, 2), blocks).unwrap();
        let all: Vec<u32> = (0..150).collect();
        let probed = sampled((&q, &k), 0.3, &all, (&map, 0)).unwrap();
        let mass = tessera_kernels::scores::block_mass(&q, &k, blocks, 0.3, None).unwrap().mass;
        let exact = exact(&mass, &map, 0).unwrap();
        for (probed, exact) in probed.iter().zip(&exact) {
            assert!(
                (probed - exact).abs() < 1e-5 && *exact > 0.1 && *exact < 0.9,
                "{probed} {exact}"
            );
        }
    }
}
