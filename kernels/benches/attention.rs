//! Self-attention of the bundled model and heads of width 128, F32 and BF16.
//!
//! `cargo bench -p tessera-kernels --bench attention`. Throughput counts floating-point operations of the two products.
#![expect(clippy::unwrap_used, reason = "a bench stops where a shape is wrong")]

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tessera_kernels::attention::attention;

/// H, S, D.
const SHAPES: [[usize; 3]; 2] = [[5, 2304, 64], [2, 2304, 128]];

fn dense(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    group.sample_size(10);
    for [h, s, d] in SHAPES {
        group.throughput(Throughput::Elements((4 * h * s * s * d) as u64));
        for dtype in [DType::F32, DType::BF16] {
            let [q, k, v] = [(); 3].map(|()| {
                Tensor::randn(0_f32, 1.0, (1, h, s, d), &Device::Cpu)
                    .unwrap()
                    .to_dtype(dtype)
                    .unwrap()
            });
            let id = BenchmarkId::new(dtype.as_str(), format!("{h}x{s}x{d}"));
            let scale = 1.0 / (d as f32).sqrt();
            group.bench_function(id, |b| b.iter(|| attention(&q, &k, &v, scale, None).unwrap()));
        }
    }
}

criterion_group!(benches, dense);
criterion_main!(benches);
