//! Random weights for tests: the same for the same name and shape in every run.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};

use super::source::Source;
use crate::weights::Expected;
use crate::{Error, Result};

/// Numbers in [−1, 1), a different stream for each seed (SplitMix64).
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).map(|_| (next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// A random tensor of `shape`.
pub(crate) fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    Tensor::from_vec(numbers(seed, shape.iter().product()), shape, &Device::Cpu).unwrap()
}

/// Weights for `expected`: matrices that keep the size of their input, gains around 1, small biases and tables.
pub(crate) fn weights(expected: &[Expected]) -> BTreeMap<String, Tensor> {
    let one = |(seed, Expected { name, shape }): (usize, &Expected)| {
        let random = tensor(seed as u64 + 1, shape);
        let gain = name.ends_with("gamma") || (name.contains("norm") && name.ends_with("weight"));
        let value = if gain {
            random.affine(0.2, 1.0)
        } else if shape.len() == 1 || name.ends_with("table") {
            random.affine(0.3, 0.0)
        } else {
            let inputs: usize = shape[1..].iter().product();
            random.affine((3.0 / inputs as f64).sqrt(), 0.0)
        };
        (name.clone(), value.unwrap())
    };
    expected.iter().enumerate().map(one).collect()
}

/// Builds a layer from `weights`; also the number of tensors that it read.
pub(crate) fn build<T>(
    weights: &BTreeMap<String, Tensor>,
    compute: DType,
    build: impl FnOnce(&mut Source<'_>) -> Result<T>,
) -> (T, usize) {
    let mut read = |name: &str, dtype: DType| -> Result<Tensor> {
        let missing = || Error::argument("weight", "one that is expected", name);
        Ok(weights.get(name).ok_or_else(missing)?.to_dtype(dtype)?)
    };
    let mut count = 0;
    let mut watch = |done: usize, of: usize| {
        assert!(done <= of, "{done} of {of}");
        count = done;
        ControlFlow::Continue(())
    };
    let built = build(&mut Source::new(&mut read, compute, weights.len(), &mut watch)).unwrap();
    (built, count)
}

/// The largest |a − b|.
pub(crate) fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap();
    difference.to_scalar::<f32>().unwrap()
}
