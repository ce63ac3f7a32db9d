//! Estimators beside dense attention, heads of the bundled model, F32.
//!
//! `cargo bench -p tessera-kernels --bench scores`. Throughput counts the operations of dense attention's two products,
//! so that figures compare across estimators.
#![expect(clippy::unwrap_used, reason = "a bench stops where a shape is wrong")]

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tessera_kernels::{attention::attention, blocks::Blocks, scores};

/// Heads and their width.
const HEADS: (usize, usize) = (5, 64);
/// S.
const TOKENS: [usize; 2] = [2304, 8192];

fn estimators(c: &mut Criterion) {
    let (h, d) = HEADS;
    let scale = 1.0 / (d as f32).sqrt();
    let mut group = c.benchmark_group("scores");
    group.sample_size(10);
    for s in TOKENS {
        group.throughput(Throughput::Elements((4 * h * s * s * d) as u64));
        let [q, k, v] =
            [(); 3].map(|()| Tensor::randn(0_f32, 1.0, (1, h, s, d), &Device::Cpu).unwrap());
        let blocks = Blocks::of(s);
        let lse = scores::block_mass(&q, &k, blocks, scale, None).unwrap().lse;
        let sampling = scores::Sampling::quarter(blocks, 1);
        let rows: Vec<u32> = (0..64).map(|row| row * (s as u32 / 64)).collect();
        let mut bench = |name: &str, work: &dyn Fn()| {
            group.bench_function(BenchmarkId::new(name, s), |b| b.iter(work));
        };
        bench("dense attention", &|| drop(attention(&q, &k, &v, scale, None).unwrap()));
        bench("mean_pool", &|| drop(scores::mean_pool(&q, &k, blocks, scale).unwrap()));
        bench("sub_block 16", &|| drop(scores::sub_block(&q, &k, blocks, scale, 16).unwrap()));
        bench("sampled_max ¼", &|| {
            drop(scores::sampled_max(&q, &k, blocks, scale, &sampling).unwrap());
        });
        bench("pooling_loss 8", &|| {
            drop(scores::pooling_loss([&q, &k, &v], blocks, scale, 8, 1).unwrap());
        });
        bench("sampled_rows 64", &|| {
            drop(scores::sampled_rows(&q, &k, blocks, scale, &rows).unwrap());
        });
        bench("block_mass", &|| {
            drop(scores::block_mass(&q, &k, blocks, scale, None).unwrap());
        });
        bench("block_mass, cached LSE", &|| {
            drop(scores::block_mass(&q, &k, blocks, scale, Some(&lse)).unwrap());
        });
        bench("self_similarity", &|| drop(scores::self_similarity(&k, 64).unwrap()));
        bench("group_cosine", &|| drop(scores::group_cosine(&k, 64).unwrap()));
    }
}

criterion_group!(benches, estimators);
criterion_main!(benches);
