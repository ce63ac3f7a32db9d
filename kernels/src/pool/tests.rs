//! The CPU path against the reference, and the reference against loops.

use candle_core::{DType, Tensor};
use proptest::prelude::*;

use super::mean_pool;
use crate::{
    cpu::{Level, with_level},
    testing::{self, close, levels, random},
};

fn loops(x: &Tensor, run: usize) -> Vec<f64> {
    let (b, h, s, d) = x.dims4().unwrap();
    let x: Vec<f64> = x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let mut means = Vec::new();
    for head in x.chunks(s * d).take(b * h) {
        for tokens in head.chunks(run * d) {
            let n = tokens.len() / d;
            means.extend((0..d).map(|c| (0..n).map(|t| tokens[t * d + c]).sum::<f64>() / n as f64));
        }
    }
    means
}

proptest! {
    #![proptest_config(testing::config(32))]

    #[test]
    fn any_shape_equals_the_definition(
        b in 1_usize..3,
        h in 1_usize..4,
        s in 1_usize..300,
        d in 1_usize..140,
        run in prop_oneof![Just(1_usize), Just(2), Just(4), Just(16), Just(64), 1_usize..400],
    ) {
        for dtype in [DType::F32, DType::BF16] {
            let x = random(&[b, h, s, d], 1).to_dtype(dtype).unwrap();
            let exact = loops(&x, run);
            let shape = [b, h, s.div_ceil(run), d];
            let exact = Tensor::from_vec(exact, &shape[..], x.device()).unwrap();
            // Means are rounded once: half of BF16's step, 2^−8 of the value.
            let limit = if dtype == DType::F32 { 1e-6 } else { 2_f64.powi(-8) };
            let plain = with_level(Level::Reference, || mean_pool(&x, run).unwrap());
            prop_assert_eq!((plain.dtype(), plain.dims()), (dtype, &shape[..]));
            close(&plain, &exact, limit, Level::Reference);
            for level in levels() {
                let fast = with_level(level, || mean_pool(&x, run).unwrap());
                prop_assert_eq!(fast.dtype(), dtype);
                close(&fast, &exact, limit, level);
            }
        }
    }
}

#[test]
fn sums_of_bf16_do_not_lose_their_small_parts() {
    // 256 + 1 is 256 in BF16: only a wider sum sees the ones.
    let mut values = vec![1.0_f32; 64];
    values[0] = 256.0;
    let x = Tensor::from_vec(values, (1, 1, 64, 1), &candle_core::Device::Cpu).unwrap();
    let x = x.to_dtype(DType::BF16).unwrap();
    for level in levels().into_iter().chain([Level::Reference]) {
        let mean = with_level(level, || mean_pool(&x, 64).unwrap()).to_dtype(DType::F32).unwrap();
        // 319/64 lies halfway between 318/64 and 320/64; the latter is even.
        assert_eq!(mean.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5.0], "{level:?}");
    }
}

#[test]
fn a_transposed_view_is_taken() {
    let x = random(&[2, 50, 3, 16], 1).transpose(1, 2).unwrap();
    let whole = x.contiguous().unwrap();
    close(&mean_pool(&x, 8).unwrap(), &mean_pool(&whole, 8).unwrap(), 0.0, Level::Reference);
}

#[test]
fn nothing_to_pool_is_an_error() {
    let x = random(&[1, 1, 4, 8], 1);
    assert!(mean_pool(&x, 0).unwrap_err().to_string().contains("and 0"));
    assert!(
        mean_pool(&x.to_dtype(DType::F64).unwrap(), 2).unwrap_err().to_string().contains("F64")
    );
}
