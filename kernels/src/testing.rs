//! Data and comparisons that the kernels' tests share.

use candle_core::{DType, Device, Tensor};
use proptest::test_runner::Config;

use crate::cpu::{Level, level};

/// `cases` cases, and no file of failures beside the sources.
pub(crate) fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// The levels above the reference that this machine has.
pub(crate) fn levels() -> Vec<Level> {
    Level::ALL.into_iter().filter(|&l| l > Level::Reference && l <= level()).collect()
}

/// F32 values, roughly uniform in ±1.7 (unit variance), the same for the same seed.
pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 1.732
    };
    for _ in 0..8 {
        next();
    }
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|v| v * v).sum::<f64>().sqrt()
}

/// ‖a − b‖ / ‖b‖.
pub(crate) fn error(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a), values(b));
    assert!(a.iter().all(|x| x.is_finite()), "not finite");
    norm(a.iter().zip(&b).map(|(a, b)| a - b)) / norm(b.iter().copied()).max(1e-30)
}

/// Asserts a relative error of at most `limit`.
pub(crate) fn close(fast: &Tensor, exact: &Tensor, limit: f64, level: Level) {
    let error = error(fast, exact);
    assert!(error <= limit, "{level:?}: relative error {error:.2e}, allowed {limit:.2e}");
}

/// Asserts that `fast` is at most twice as far from the F32 result as the plain BF16 computation is.
pub(crate) fn close_bf16(fast: &Tensor, plain: &Tensor, exact: &Tensor, level: Level) {
    assert_eq!(fast.dtype(), DType::BF16);
    // One rounding step of one element is let pass, for shapes so small that the plain result is right by luck.
    let limit = 2.0 * error(plain, exact) + 0.004 / (exact.elem_count() as f64).sqrt();
    close(fast, exact, limit, level);
}
