//! The CPU paths against the reference.

use candle_core::{DType, Tensor};
use proptest::prelude::*;

use super::{add, gated_add, layer_norm, layer_norm_modulate, rms_norm};
use crate::{
    cpu::{Level, with_level},
    testing::{self, close, close_bf16, levels, random},
};

const EPS: f64 = 1e-6;

/// Every function of this module, results in dtype `dtype`, vectors for each sample when asked.
fn all(level: Level, [b, s, c]: [usize; 3], dtype: DType, each: bool) -> Vec<Tensor> {
    let vector = |seed| if each { random(&[b, c], seed) } else { random(&[c], seed) };
    // Away from zero mean, so that a variance not taken about the mean would show.
    let x = (random(&[b, s, c], 1) + 3.0).unwrap();
    let y = random(&[b, s, c], 2).to_dtype(dtype).unwrap();
    let (weight, bias) = (random(&[c], 3), random(&[c], 4));
    with_level(level, || {
        vec![
            layer_norm_modulate(&x, &vector(5), &vector(6), EPS, dtype).unwrap(),
            layer_norm(&x, &weight, &bias, EPS, dtype).unwrap(),
            layer_norm(&y, &weight, &bias, EPS, dtype).unwrap(),
            rms_norm(&x, &weight, EPS, dtype).unwrap(),
            rms_norm(&y, &weight.to_dtype(dtype).unwrap(), EPS, dtype).unwrap(),
            gated_add(x.clone(), &y, Some(&vector(7))).unwrap(),
            gated_add(x, &y, None).unwrap(),
            add(&y, &y).unwrap(),
        ]
    })
}

proptest! {
    #![proptest_config(testing::config(24))]

    #[test]
    fn any_shape_equals_the_reference(b in 1_usize..4, s in 1_usize..40, c in 2_usize..150, each: bool) {
        let shape = [b, s, c];
        let exact = all(Level::Reference, shape, DType::F32, each);
        let plain = all(Level::Reference, shape, DType::BF16, each);
        for level in levels() {
            for (fast, exact) in all(level, shape, DType::F32, each).iter().zip(&exact) {
                close(fast, exact, 2e-6, level);
            }
            for ((fast, plain), exact) in all(level, shape, DType::BF16, each).iter().zip(&plain).zip(&exact) {
                if fast.dtype() == DType::F32 {
                    close(fast, plain, 1e-6, level);
                } else {
                    close_bf16(fast, plain, exact, level);
                }
            }
        }
    }
}

#[test]
fn one_vector_beside_one_for_each_sample() {
    let x = random(&[3, 5, 20], 1);
    let (scale, shift) = (random(&[20], 2), random(&[3, 20], 3));
    let run = |level| {
        with_level(level, || layer_norm_modulate(&x, &scale, &shift, EPS, DType::F32).unwrap())
    };
    for level in levels() {
        close(&run(level), &run(Level::Reference), 1e-6, level);
    }
}

#[test]
fn errors_name_the_operand() {
    let x = random(&[2, 3, 8], 1);
    let wrong = random(&[7], 2);
    let error =
        layer_norm_modulate(&x, &random(&[8], 3), &wrong, EPS, DType::F32).unwrap_err().to_string();
    assert!(error.contains("`shift`"), "{error}");
    assert!(rms_norm(&x, &wrong, EPS, DType::F32).is_err());
    assert!(
        gated_add(x.clone(), &random(&[2, 3, 7], 4), None).unwrap_err().to_string().contains("`y`")
    );
    assert!(
        gated_add(x.to_dtype(DType::BF16).unwrap(), &x, None)
            .unwrap_err()
            .to_string()
            .contains("`x`")
    );
}
