//! Pyramid attention at falling densities, beside dense attention of the same operands.
//!
//! `cargo bench -p tessera-kernels --bench pyramid`. Throughput counts the operations of the dense products, so that it
//! rises as density falls; `examples/pyramid.rs` prints the ratios themselves.
#![expect(clippy::unwrap_used, reason = "a bench stops where a shape is wrong")]

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tessera_kernels::{
    attention::attention,
    blocks::Blocks,
    levels::LevelMap,
    pyramid::{self, Options},
};

/// H, S.
const SHAPE: (usize, usize) = (2, 2304);
/// One block in so many is seen; of the others none, or all as one key each (floor 7).
const SEEN: [(usize, u8); 4] = [(1, 0), (4, 0), (10, 0), (10, 7)];

/// Every n-th block of a row at level 1, the rows shifted against each other.
fn map(blocks: Blocks, nth: usize, floor: u8) -> LevelMap {
    let (rows, columns) = (SHAPE.0 * blocks.rows(), blocks.columns());
    let levels = (0..rows * columns)
        .map(|i| if (i / columns * 7 + i % columns).is_multiple_of(nth) { 1 } else { floor })
        .collect();
    LevelMap::from_vec(levels, (1, SHAPE.0), blocks).unwrap()
}

fn densities(c: &mut Criterion) {
    let (heads, tokens) = SHAPE;
    let mut group = c.benchmark_group("pyramid");
    group.sample_size(10);
    for width in [64, 128] {
        group.throughput(Throughput::Elements((4 * heads * tokens * tokens * width) as u64));
        for dtype in [DType::F32, DType::BF16] {
            let [q, k, v] = [(); 3].map(|()| {
                let x = Tensor::randn(0_f32, 1.0, (1, heads, tokens, width), &Device::Cpu);
                x.unwrap().to_dtype(dtype).unwrap()
            });
            let options = Options::new(1.0 / (width as f32).sqrt());
            let shape = format!("{heads}x{tokens}x{width}");
            let id = BenchmarkId::new(format!("{} dense", dtype.as_str()), &shape);
            group.bench_function(id, |b| {
                b.iter(|| attention(&q, &k, &v, options.scale, None).unwrap());
            });
            for (nth, floor) in SEEN {
                let map = map(Blocks::of(tokens), nth, floor);
                let density = map.density().unwrap().exact;
                let name = format!("{} {density:.2} floor {floor}", dtype.as_str());
                group.bench_function(BenchmarkId::new(name, &shape), |b| {
                    b.iter(|| pyramid::attention(&q, &k, &v, &map, &options).unwrap());
                });
            }
        }
    }
}

criterion_group!(benches, densities);
criterion_main!(benches);
