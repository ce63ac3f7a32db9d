//! Convolutions of the bundled model's video decoder, F32 and BF16.
//!
//! `cargo bench -p tessera-kernels --bench conv`. Throughput counts floating-point operations of the plain form, so
//! that the upsampling convolution, which does 4/9 of them, shows above the others.
#![expect(clippy::unwrap_used, reason = "a bench stops where a shape is wrong")]

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tessera_kernels::conv::{Conv3d, Padding, UpsampleConv2x};

/// Side, inputs, outputs.
const SHAPES: [[usize; 3]; 4] = [[256, 16, 16], [128, 32, 32], [64, 64, 64], [256, 16, 3]];

fn random(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::randn(0_f32, 1.0, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn conv(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv");
    group.sample_size(10);
    for [side, inputs, outputs] in SHAPES {
        group.throughput(Throughput::Elements((2 * 27 * side * side * inputs * outputs) as u64));
        for dtype in [DType::F32, DType::BF16] {
            let weight = random(&[outputs, inputs, 3, 3, 3], DType::F32);
            let layer = Conv3d::new(&weight, None, [1, 1, 1], Padding::all(1), dtype).unwrap();
            let frames = random(&[1, 3, side, side, inputs], dtype);
            let id = BenchmarkId::new(dtype.as_str(), format!("{side}x{side} {inputs}to{outputs}"));
            group.bench_function(id, |b| b.iter(|| layer.forward(&[&frames]).unwrap()));
        }
    }
    group.throughput(Throughput::Elements(2 * 9 * 256 * 256 * 32 * 16));
    for dtype in [DType::F32, DType::BF16] {
        let layer = UpsampleConv2x::new(&random(&[16, 32, 3, 3], DType::F32), None, dtype).unwrap();
        let frame = random(&[1, 1, 128, 128, 32], dtype);
        let id = BenchmarkId::new(dtype.as_str(), "up 128x128 32to16");
        group.bench_function(id, |b| b.iter(|| layer.forward(&frame).unwrap()));
    }
}

criterion_group!(benches, conv);
criterion_main!(benches);
