//! The CPU paths against the reference.

use candle_core::{D, DType, Tensor};
use proptest::prelude::*;

use super::{Case, finite, run, seen};
use crate::{
    blocks::Blocks,
    cpu::Level,
    levels::{FULL, LevelMap},
    pyramid::{Attended, Bias, Options},
    testing::{self, close, close_bf16, error, levels, random},
};

/// Every level and both dtypes of `case` against the reference. Scores of magnitude m carry an absolute error of m·ε
/// into the exponent.
fn check(operands: &[Tensor; 3], map: &LevelMap, options: &Options<'_>, magnitude: f64) {
    let half = operands.each_ref().map(|x| x.to_dtype(DType::BF16).unwrap());
    let exact = run(Level::Reference, operands, map, options);
    let plain = run(Level::Reference, &half, map, options);
    for level in levels() {
        let compare = |fast: &Attended, of: &Attended, limit: f64| {
            assert_eq!(seen(&fast.lse), seen(&of.lse), "{level:?}: other rows are empty");
            close(&finite(&fast.lse), &finite(&of.lse), limit, level);
            // Where nothing is seen the output is exactly 0, whatever the comparison below would let pass.
            let sizes = fast.out.abs().unwrap().sum(D::Minus1).unwrap();
            let sizes = sizes.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            for (seen, size) in seen(&of.lse).into_iter().zip(sizes.to_vec1::<f32>().unwrap()) {
                assert!(seen || size == 0.0, "{level:?}: an empty row is not 0");
            }
        };
        let fast = run(level, operands, map, options);
        compare(&fast, &exact, 1e-6 * magnitude);
        close(&fast.out, &exact.out, 1e-6 * magnitude, level);
        let fast = run(level, &half, map, options);
        compare(&fast, &plain, 1e-5 * magnitude);
        close_bf16(&fast.out, &plain.out, &exact.out, level);
    }
}

proptest! {
    #![proptest_config(testing::config(24))]

    #[test]
    fn any_shape_equals_the_reference(
        heads in (1_usize..3, 1_usize..4),
        queries in 1_usize..300,
        keys in 1_usize..500,
        (query_block, key_block) in (prop_oneof![Just(128_usize), 1_usize..300], 0_u32..8),
        width in 1_usize..140,
        bias in prop_oneof![Just(Bias::Count), Just(Bias::Level), Just(Bias::None)],
        masked: bool,
        seed: u64,
    ) {
        let blocks = Blocks::new(queries, keys, query_block, 1 << key_block).unwrap();
        let case = Case { heads, blocks, width, seed };
        let valid = case.valid();
        let options = Options { bias, valid: masked.then_some(&valid), ..case.options() };
        check(&case.operands(DType::F32), &case.map(), &options, 1.0);
    }
}

#[test]
fn the_shapes_of_models() {
    for (tokens, width) in [(1000, 64), (700, 128), (300, 256)] {
        let case = Case { heads: (1, 2), blocks: Blocks::of(tokens), width, seed: 5 };
        check(&case.operands(DType::F32), &case.map(), &case.options(), 1.0);
    }
}

#[test]
fn one_key() {
    let blocks = Blocks::new(130, 1, 128, 64).unwrap();
    let case = Case { heads: (2, 1), blocks, width: 24, seed: 1 };
    for level in 0..=blocks.deepest_level() {
        let map = LevelMap::filled(level, case.heads, blocks).unwrap();
        check(&case.operands(DType::F32), &map, &case.options(), 1.0);
    }
}

#[test]
fn scores_of_large_magnitude() {
    let blocks = Blocks::new(150, 300, 128, 64).unwrap();
    let case = Case { heads: (1, 2), blocks, width: 64, seed: 3 };
    let map = case.map().with_floor(7).unwrap();
    let [q, k, v] = case.operands(DType::F32);
    check(&[(&q * 30.0).unwrap(), k.clone(), v.clone()], &map, &case.options(), 30.0);
    // Scores of ±1e4 and far beyond: one key takes it all, and everything is finite.
    for magnitude in [1e4, 1e30] {
        let operands = [(&q * magnitude).unwrap(), k.clone(), v.clone()];
        let exact = run(Level::Reference, &operands, &map, &case.options());
        for level in levels() {
            let fast = run(level, &operands, &map, &case.options());
            assert!(error(&fast.out, &exact.out) < 1e-2, "{level:?}");
            assert!(error(&fast.lse, &exact.lse) < 1e-6, "{level:?}");
        }
    }
}

#[test]
fn what_nobody_sees_is_never_read() {
    let blocks = Blocks::new(200, 256, 128, 64).unwrap();
    let case = Case { heads: (1, 1), blocks, width: 32, seed: 9 };
    let levels_of = vec![1, 0, 7, 2, 0, 0, 0, 0];
    let map = LevelMap::from_vec(levels_of, (1, 1), blocks).unwrap();
    let [q, k, v] = case.operands(DType::F32);
    // Block 1 is NaN, and so are padding keys of block 3.
    let mut hidden = vec![0_u8; 256];
    hidden[64..128].fill(1);
    let mut padding = vec![0_u8; 256];
    padding[210..].fill(1);
    let nan = |x: &Tensor, hidden: &[u8]| {
        let mut rows = x.reshape((256, 32)).unwrap().to_vec2::<f32>().unwrap();
        for (row, _) in rows.iter_mut().zip(hidden).filter(|(_, hidden)| **hidden == 1) {
            row.fill(f32::NAN);
        }
        Tensor::new(rows, x.device()).unwrap().reshape(x.shape()).unwrap()
    };
    let valid: Vec<u8> = padding.iter().map(|p| 1 - p).collect();
    let valid = Tensor::new(valid, k.device()).unwrap();
    let options = Options { valid: Some(&valid), ..case.options() };
    let whole = [q.clone(), k.clone(), v.clone()];
    let holed = [q, nan(&nan(&k, &hidden), &padding), nan(&nan(&v, &hidden), &padding)];
    for level in levels() {
        let (a, b) = (run(level, &whole, &map, &options), run(level, &holed, &map, &options));
        assert_eq!(error(&b.out, &a.out), 0.0, "{level:?}");
        assert_eq!(seen(&a.lse), seen(&b.lse), "{level:?}");
    }
}

#[test]
fn without_valid_keys_every_row_is_empty() {
    let case = Case { heads: (1, 2), blocks: Blocks::of(150), width: 16, seed: 2 };
    let valid = Tensor::zeros(150, DType::U8, &candle_core::Device::Cpu).unwrap();
    let options = Options { valid: Some(&valid), ..case.options() };
    check(&case.operands(DType::F32), &case.map(), &options, 1.0);
    let map = LevelMap::filled(FULL, case.heads, case.blocks).unwrap();
    check(&case.operands(DType::F32), &map, &options, 1.0);
}

#[test]
fn heads_given_as_a_transposed_view() {
    let x = random(&[2, 150, 3, 16], 1).transpose(1, 2).unwrap();
    let case = Case { heads: (2, 3), blocks: Blocks::of(150), width: 16, seed: 4 };
    let (map, options) = (case.map(), case.options());
    let whole = x.contiguous().unwrap();
    let view = run(Level::Avx512Bf16, &[x.clone(), x.clone(), x], &map, &options);
    let whole = run(Level::Avx512Bf16, &[whole.clone(), whole.clone(), whole], &map, &options);
    assert_eq!(error(&view.out, &whole.out), 0.0);
}
