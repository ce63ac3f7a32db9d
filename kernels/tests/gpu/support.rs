//! Data and comparisons.

use std::sync::LazyLock;

use candle_core::{DType, Device, Tensor};
use tessera_kernels::{
    cpu::{Level, with_level},
    gpu,
};

/// The first GPU. With `TESSERA_CUDA_POISON=1` results are filled with NaN before a kernel writes them.
static GPU: LazyLock<Device> = LazyLock::new(|| gpu::open(0).unwrap());

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

fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// ‖a − b‖ / ‖b‖.
fn error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let far = norm(&mut a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    far / norm(&mut b.iter().map(|&b| f64::from(b))).max(1e-30)
}

/// Runs `f` on the CPU's reference and on the GPU, in F32 and with 16-bit operands: twice the same bits there, F32
/// within `limit` of the reference, BF16 at most twice as far from F32 as the plain computation.
pub(crate) fn gpu_agrees(limit: f64, f: impl Fn(&Device, DType) -> Vec<Tensor>) {
    let reference = |dtype| with_level(Level::Reference, || f(&Device::Cpu, dtype));
    let (exact, plain) = (reference(DType::F32), reference(DType::BF16));
    for dtype in [DType::F32, DType::BF16] {
        let (fast, again) = (f(&GPU, dtype), f(&GPU, dtype));
        for (index, fast) in fast.iter().enumerate() {
            assert_eq!(fast.dims(), exact[index].dims());
            let what = format!("{dtype:?}, result {index} {:?}", fast.dims());
            let (fast_values, exact) = (values(fast), values(&exact[index]));
            assert!(fast_values.iter().all(|x| x.is_finite()), "{what}: not finite");
            assert_eq!(fast_values, values(&again[index]), "{what}: other bits the second time");
            let plain = values(&plain[index]);
            let (to, limit) = match (dtype, fast.dtype()) {
                (DType::F32, _) => (exact, limit),
                (_, DType::F32) => (plain, limit),
                // One rounding step of one element is let pass, for shapes so small that the plain result is right by
                // luck.
                _ => {
                    let luck = 0.004 / (exact.len() as f64).sqrt();
                    (exact.clone(), 2.0 * error(&plain, &exact) + luck)
                }
            };
            let far = error(&fast_values, &to);
            assert!(far <= limit, "{what}: relative error {far:.2e}, allowed {limit:.2e}");
        }
    }
}
