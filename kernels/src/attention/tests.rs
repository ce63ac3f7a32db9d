//! The CPU paths against the reference.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::{attention, attention_with_lse};
use crate::{
    cpu::{Level, with_level},
    testing::{self, close, close_bf16, error, levels, random},
};

struct Case {
    /// B, H, Sq, Sk, D.
    shape: [usize; 5],
    bias: bool,
    /// What the queries are multiplied by.
    magnitude: f64,
}

impl Case {
    fn run(&self, level: Level, dtype: DType) -> (Tensor, Tensor) {
        let [b, h, sq, sk, d] = self.shape;
        let q = (random(&[b, h, sq, d], 1) * self.magnitude).unwrap().to_dtype(dtype).unwrap();
        let k = random(&[b, h, sk, d], 2).to_dtype(dtype).unwrap();
        let v = random(&[b, h, sk, d], 3).to_dtype(dtype).unwrap();
        let bias = random(&[sk], 4);
        let scale = 1.0 / (d as f32).sqrt();
        with_level(level, || {
            attention_with_lse(&q, &k, &v, scale, self.bias.then_some(&bias)).unwrap()
        })
    }

    fn check(&self) {
        let (exact, exact_lse) = self.run(Level::Reference, DType::F32);
        let (plain, plain_lse) = self.run(Level::Reference, DType::BF16);
        for level in levels() {
            let (fast, lse) = self.run(level, DType::F32);
            // Scores of magnitude m carry an absolute error of m·ε into the exponent.
            let limit = 1e-6 * self.magnitude.max(1.0);
            close(&fast, &exact, limit, level);
            close(&lse, &exact_lse, 1e-6, level);
            let (fast, lse) = self.run(level, DType::BF16);
            close_bf16(&fast, &plain, &exact, level);
            close(&lse, &plain_lse, 1e-5, level);
        }
    }
}

proptest! {
    #![proptest_config(testing::config(16))]

    #[test]
    fn any_shape_equals_the_reference(
        b in 1_usize..3,
        h in 1_usize..4,
        sq in 1_usize..210,
        sk in 1_usize..430,
        d in 1_usize..140,
        bias: bool,
    ) {
        Case { shape: [b, h, sq, sk, d], bias, magnitude: 1.0 }.check();
    }
}

#[test]
fn one_key_and_the_widest_head() {
    for shape in [
        [1, 1, 1, 1, 1],
        [2, 3, 130, 1, 24],
        [1, 1, 40, 500, 256],
        [1, 1, 30, 40, 384],
        [1, 2, 97, 193, 64],
    ] {
        Case { shape, bias: true, magnitude: 1.0 }.check();
    }
}

#[test]
fn scores_of_large_magnitude() {
    Case { shape: [1, 2, 50, 300, 64], bias: false, magnitude: 30.0 }.check();
    let q = (random(&[1, 1, 20, 16], 1) * 1e18).unwrap();
    let k = (random(&[1, 1, 400, 16], 2) * 1e18).unwrap();
    let v = random(&[1, 1, 400, 16], 3);
    let exact = with_level(Level::Reference, || attention(&q, &k, &v, 1.0, None).unwrap());
    for level in levels() {
        let fast = with_level(level, || attention(&q, &k, &v, 1.0, None).unwrap());
        assert!(error(&fast, &exact) < 1e-6, "{level:?}");
    }
}

#[test]
fn hidden_keys_count_nothing() {
    let (q, k, v) =
        (random(&[1, 2, 30, 32], 1), random(&[1, 2, 400, 32], 2), random(&[1, 2, 400, 32], 3));
    // The first block of keys is hidden as a whole.
    let bias: Vec<f32> =
        (0..400).map(|key| if key < 250 { f32::NEG_INFINITY } else { 0.0 }).collect();
    let bias = Tensor::new(bias, &Device::Cpu).unwrap();
    let seen = |x: &Tensor| x.narrow(2, 250, 150).unwrap();
    for level in levels() {
        with_level(level, || {
            let masked = attention(&q, &k, &v, 0.2, Some(&bias)).unwrap();
            let short = attention(&q, &seen(&k), &seen(&v), 0.2, None).unwrap();
            assert!(error(&masked, &short) < 1e-6, "{level:?}");
            let none = Tensor::full(f32::NEG_INFINITY, 400, &Device::Cpu).unwrap();
            let (empty, lse) = attention_with_lse(&q, &k, &v, 0.2, Some(&none)).unwrap();
            assert_eq!(empty.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
            assert!(
                lse.flatten_all()
                    .unwrap()
                    .to_vec1::<f32>()
                    .unwrap()
                    .iter()
                    .all(|&x| x == f32::NEG_INFINITY)
            );
        });
    }
}

#[test]
fn a_bias_of_ln_p_stands_for_p_keys() {
    let (q, k, v) =
        (random(&[1, 1, 9, 24], 1), random(&[1, 1, 3, 24], 2), random(&[1, 1, 3, 24], 3));
    let times = |x: &Tensor| {
        Tensor::cat(&[x, &x.narrow(2, 2, 1).unwrap().repeat((1, 1, 4, 1)).unwrap()], 2).unwrap()
    };
    let bias = Tensor::new(&[0.0, 0.0, 5.0_f32.ln()], &Device::Cpu).unwrap();
    for level in levels() {
        with_level(level, || {
            let short = attention(&q, &k, &v, 0.2, Some(&bias)).unwrap();
            close(&short, &attention(&q, &times(&k), &times(&v), 0.2, None).unwrap(), 1e-6, level);
        });
    }
}

#[test]
fn a_nan_stays_in_its_row() {
    let mut values = random(&[40 * 16], 1).to_vec1::<f32>().unwrap();
    values[5 * 16] = f32::NAN;
    let q = Tensor::from_vec(values, (1, 1, 40, 16), &Device::Cpu).unwrap();
    let k = random(&[1, 1, 70, 16], 2);
    for level in levels() {
        let rows = with_level(level, || attention(&q, &k, &k, 0.25, None).unwrap());
        let rows = rows.reshape((40, 16)).unwrap().to_vec2::<f32>().unwrap();
        for (row, values) in rows.iter().enumerate() {
            assert_eq!(values.iter().any(|x| x.is_nan()), row == 5, "{level:?}, row {row}");
        }
    }
}

#[test]
fn heads_given_as_a_transposed_view() {
    let q = random(&[2, 50, 3, 16], 1).transpose(1, 2).unwrap();
    let whole = q.contiguous().unwrap();
    close(
        &attention(&q, &q, &q, 0.25, None).unwrap(),
        &attention(&whole, &whole, &whole, 0.25, None).unwrap(),
        0.0,
        Level::Reference,
    );
}

#[test]
fn errors_name_the_operand() {
    let x = random(&[1, 1, 4, 8], 1);
    let half = x.to_dtype(DType::BF16).unwrap();
    let error = attention(&x, &half, &x, 1.0, None).unwrap_err().to_string();
    assert!(error.contains("`k` must be F32, got BF16"), "{error}");
    let short = random(&[1, 1, 3, 8], 1);
    assert!(attention(&x, &x, &short, 1.0, None).unwrap_err().to_string().contains("`v`"));
    let wide = random(&[1, 1, 4, 1025], 1);
    assert!(attention(&wide, &wide, &wide, 1.0, None).unwrap_err().to_string().contains("1024"));
}
