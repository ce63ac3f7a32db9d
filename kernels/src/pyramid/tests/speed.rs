//! Skipped blocks cost nothing: time falls with density.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use candle_core::DType;

use super::{Case, numbers};
use crate::{
    attention::attention,
    blocks::Blocks,
    levels::{FULL, LevelMap, SKIPPED},
    pyramid,
};

/// A row's share of key blocks, each row its own ones.
fn random_map(case: &Case, share: f64) -> LevelMap {
    let (rows, columns) = (case.heads.1 * case.blocks.rows(), case.blocks.columns());
    let kept = (share * columns as f64).round() as usize;
    let mut levels = vec![SKIPPED; rows * columns];
    for (row, levels) in levels.chunks_mut(columns).enumerate() {
        let keys: Vec<usize> = numbers(columns, row as u64).collect();
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by_key(|&column| (keys[column], column));
        order[..kept].iter().for_each(|&column| levels[column] = FULL);
    }
    LevelMap::from_vec(levels, case.heads, case.blocks).unwrap()
}

/// The bound is far above what is measured (.12, see the module) and far below what keeping everything takes (1.06), since
/// tests run on busy machines of two cores: the two take turns and the best of each counts.
#[test]
fn a_tenth_of_the_blocks_takes_far_less_than_the_whole() {
    let case = Case { heads: (1, 2), blocks: Blocks::of(2048), width: 64, seed: 1 };
    let map = random_map(&case, 0.1);
    let density = map.density().unwrap().exact;
    assert!((density - 0.1).abs() < 0.01, "{density}");
    for dtype in [DType::F32, DType::BF16] {
        let [q, k, v] = case.operands(dtype);
        let (mut dense, mut sparse) = (Duration::MAX, Duration::MAX);
        for _ in 0..12 {
            let start = Instant::now();
            black_box(attention(&q, &k, &v, 0.125, None).unwrap());
            dense = dense.min(start.elapsed());
            let start = Instant::now();
            black_box(pyramid::attention(&q, &k, &v, &map, &case.options()).unwrap());
            sparse = sparse.min(start.elapsed());
        }
        let ratio = sparse.as_secs_f64() / dense.as_secs_f64();
        assert!(ratio < 0.6, "{dtype:?}: {sparse:?} against {dense:?}, {ratio:.2}");
    }
}
