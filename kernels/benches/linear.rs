//! Linear layers of the bundled model and of a larger one: F32 and BF16 beside candle's own product, in one run.
//!
//! `cargo bench -p tessera-kernels --bench linear`. Throughput counts floating-point operations.
#![expect(clippy::unwrap_used, reason = "a bench stops where a shape is wrong")]

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tessera_kernels::{Activation, linear::Linear};

/// M, K, N.
const SHAPES: [[usize; 3]; 4] =
    [[2304, 320, 320], [2304, 320, 1280], [2304, 1280, 320], [512, 1536, 1536]];

fn linear(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear");
    group.sample_size(20);
    for [m, k, n] in SHAPES {
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        let name = format!("{m}x{k}x{n}");
        let x = Tensor::randn(0_f32, 1.0, (m, k), &Device::Cpu).unwrap();
        let weight = Tensor::randn(0_f32, 1.0, (n, k), &Device::Cpu).unwrap();
        let transposed = weight.t().unwrap().contiguous().unwrap();
        group.bench_function(BenchmarkId::new("candle", &name), |b| {
            b.iter(|| x.matmul(&transposed).unwrap());
        });
        for dtype in [DType::F32, DType::BF16] {
            let layer = Linear::new(&weight, None, dtype).unwrap();
            let x = x.to_dtype(dtype).unwrap();
            let id = BenchmarkId::new(dtype.as_str(), &name);
            group.bench_function(id, |b| b.iter(|| layer.forward(&x).unwrap()));
            let id = BenchmarkId::new(format!("{}+gelu", dtype.as_str()), &name);
            group.bench_function(id, |b| {
                b.iter(|| layer.forward_with(&x, Activation::GeluTanh).unwrap());
            });
        }
    }
}

criterion_group!(benches, linear);
criterion_main!(benches);
