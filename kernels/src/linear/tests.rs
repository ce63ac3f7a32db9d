//! The CPU paths against the reference.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::Linear;
use crate::{
    Activation,
    cpu::{Level, with_level},
    testing::{self, close, close_bf16, levels, random},
};

fn forward(
    level: Level,
    [m, k, n]: [usize; 3],
    bias: bool,
    activation: Activation,
    dtype: DType,
) -> Tensor {
    let x = random(&[m, k], 1).to_dtype(dtype).unwrap();
    let (weight, offsets) = (random(&[n, k], 2), random(&[n], 3));
    with_level(level, || {
        Linear::new(&weight, bias.then_some(&offsets), dtype)
            .unwrap()
            .forward_with(&x, activation)
            .unwrap()
    })
}

proptest! {
    #![proptest_config(testing::config(24))]

    #[test]
    fn any_shape_equals_the_reference(
        m in 1_usize..230,
        k in 1_usize..140,
        n in 1_usize..110,
        bias: bool,
        kind in 0_usize..3,
    ) {
        let activation = [Activation::None, Activation::GeluTanh, Activation::Silu][kind];
        let shape = [m, k, n];
        let exact = forward(Level::Reference, shape, bias, activation, DType::F32);
        let plain = forward(Level::Reference, shape, bias, activation, DType::BF16);
        for level in levels() {
            close(&forward(level, shape, bias, activation, DType::F32), &exact, 1e-6, level);
            close_bf16(&forward(level, shape, bias, activation, DType::BF16), &plain, &exact, level);
        }
    }
}

#[test]
fn depth_beyond_one_slice() {
    for dtype in [DType::F32, DType::BF16] {
        let shape = [29, 3401, 70];
        let exact = forward(Level::Reference, shape, true, Activation::None, DType::F32);
        let plain = forward(Level::Reference, shape, true, Activation::None, dtype);
        for level in levels() {
            let fast = forward(level, shape, true, Activation::None, dtype);
            if dtype == DType::F32 {
                close(&fast, &exact, 2e-6, level);
            } else {
                close_bf16(&fast, &plain, &exact, level);
            }
        }
    }
}

#[test]
fn a_view_of_a_larger_tensor() {
    let wide = random(&[2, 9, 40], 5);
    let x = wide.narrow(1, 2, 5).unwrap().transpose(0, 1).unwrap();
    let layer = Linear::new(&random(&[6, 40], 6), None, DType::F32).unwrap();
    let whole = layer.forward(&x.contiguous().unwrap()).unwrap();
    close(&layer.forward(&x).unwrap(), &whole, 0.0, Level::Reference);
    assert_eq!(whole.dims(), [5, 2, 6]);
}

#[test]
fn errors_name_the_operand() {
    let layer = Linear::new(&random(&[4, 8], 1), None, DType::BF16).unwrap();
    let error = layer.forward(&random(&[2, 8], 2)).unwrap_err().to_string();
    assert!(error.contains("`x` must be BF16, got F32"), "{error}");
    let error =
        layer.forward(&random(&[2, 7], 2).to_dtype(DType::BF16).unwrap()).unwrap_err().to_string();
    assert!(error.contains("8 features"), "{error}");
    let bias = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    assert!(Linear::new(&random(&[4, 8], 1), Some(&bias), DType::F32).is_err());
    assert!(Linear::new(&random(&[4, 8], 1), None, DType::F16).is_err());
}

#[test]
fn no_rows_give_no_rows() {
    let layer = Linear::new(&random(&[4, 8], 1), None, DType::F32).unwrap();
    let none = Tensor::zeros((2, 0, 8), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(layer.forward(&none).unwrap().dims(), [2, 0, 4]);
}

#[test]
fn sizes() {
    let layer = Linear::new(&random(&[40, 8], 1), None, DType::BF16).unwrap();
    assert_eq!((layer.in_features(), layer.out_features()), (8, 40));
    assert!((640..=800).contains(&layer.bytes()), "{}", layer.bytes());
}
