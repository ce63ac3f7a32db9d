//! Products with bias and activation.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::{Activation, linear::Linear};

use crate::support::{gpu_agrees, random};

fn all(device: &Device, dtype: DType, [m, k, n]: [usize; 3]) -> Vec<Tensor> {
    let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
    let x = of(&[m, k], 1).to_dtype(dtype).unwrap();
    let (weight, offsets) = (of(&[n, k], 2), of(&[n], 3));
    let mut results = Vec::new();
    for activation in [Activation::None, Activation::GeluTanh, Activation::Silu] {
        for bias in [None, Some(&offsets)] {
            let layer = Linear::new(&weight, bias, dtype).unwrap();
            results.push(layer.forward_with(&x, activation).unwrap());
        }
    }
    results
}

#[test]
#[ignore = "needs a GPU"]
fn products_on_the_gpu_equal_the_reference() {
    let shapes =
        [[1, 1, 1], [1, 256, 48], [5, 7, 3], [30, 64, 33], [77, 130, 96], [200, 1536, 520]];
    for shape in shapes {
        gpu_agrees(5e-6, |device, dtype| all(device, dtype, shape));
    }
}

#[test]
#[ignore = "needs a GPU"]
fn parts_of_larger_tensors() {
    gpu_agrees(5e-6, |device, dtype| {
        let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
        let weight = of(&[30, 24], 1).narrow(0, 10, 10).unwrap();
        let bias = of(&[30], 2).narrow(0, 10, 10).unwrap();
        let x = of(&[1, 20, 24], 3).to_dtype(dtype).unwrap().narrow(1, 3, 11).unwrap();
        let layer = Linear::new(&weight, Some(&bias), dtype).unwrap();
        vec![layer.forward_with(&x, Activation::GeluTanh).unwrap()]
    });
}
