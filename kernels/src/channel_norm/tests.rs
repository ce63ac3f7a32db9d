//! The CPU paths against the reference.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::channel_norm;
use crate::{
    cpu::{Level, with_level},
    testing::{self, close, close_bf16, levels, random},
};

fn run(level: Level, pixels: usize, channels: usize, silu: bool, dtype: DType) -> Tensor {
    let x = random(&[1, 2, pixels, channels], 1).to_dtype(dtype).unwrap();
    with_level(level, || channel_norm(&x, &random(&[channels], 2), silu).unwrap())
}

proptest! {
    #![proptest_config(testing::config(32))]

    #[test]
    fn any_shape_equals_the_reference(pixels in 1_usize..60, channels in 1_usize..130, silu: bool) {
        let exact = run(Level::Reference, pixels, channels, silu, DType::F32);
        let plain = run(Level::Reference, pixels, channels, silu, DType::BF16);
        for level in levels() {
            close(&run(level, pixels, channels, silu, DType::F32), &exact, 1e-6, level);
            close_bf16(&run(level, pixels, channels, silu, DType::BF16), &plain, &exact, level);
        }
    }
}

#[test]
fn a_pixel_of_zeros_stays_zero() {
    let x = Tensor::zeros((3, 20), DType::F32, &Device::Cpu).unwrap();
    let gamma = Tensor::ones(20, DType::F32, &Device::Cpu).unwrap();
    for level in Level::ALL {
        let y = with_level(level, || channel_norm(&x, &gamma, true).unwrap());
        assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|&y| y == 0.0));
    }
}
