//! Selection, keeps, densities and orders on the GPU against the host, from the same scores.

use candle_core::{DType, Device, Tensor};

use crate::{
    blocks::Blocks,
    keep::{self, Keeps},
    levels::LevelMap,
    order::{Order, permute},
    scores::{row_moments, row_softmax},
    select,
    testing::random,
};

fn gpu() -> Device {
    Device::new_cuda(0).unwrap()
}

/// Scores of two samples of three heads: of all kinds, of few values (ties everywhere), all equal, and with −∞.
fn scores(blocks: Blocks, seed: u64) -> Vec<Tensor> {
    let shape = [2, 3, blocks.rows(), blocks.columns()];
    let smooth = (random(&shape, seed) * 4.0).unwrap();
    let rough = smooth.round().unwrap();
    let equal = rough.zeros_like().unwrap();
    let minus = Tensor::full(f32::NEG_INFINITY, &shape[..], &Device::Cpu).unwrap();
    let some = random(&shape, seed + 1).gt(1.0).unwrap();
    vec![some.where_cond(&minus, &rough).unwrap(), smooth, rough, equal]
}

fn cuts() -> impl Iterator<Item = Blocks> {
    let sizes = [(1, 1), (128, 64), (130, 70), (1000, 1000), (300, 5000), (700, 33_000)];
    sizes.into_iter().map(|(queries, keys)| Blocks::new(queries, keys, 128, 64).unwrap())
}

/// The same map from scores on the host and on the GPU, where it stays; twice the same.
fn same(scores: &Tensor, select: impl Fn(&Tensor) -> LevelMap) -> LevelMap {
    let host = select(scores);
    let scores = scores.to_device(&gpu()).unwrap();
    for _ in 0..2 {
        let device = select(&scores);
        assert!(!device.levels().device().is_cpu(), "chosen on the host");
        assert_eq!(device.to_vec().unwrap(), host.to_vec().unwrap(), "{:?}", host.blocks());
        let of = |map: &LevelMap| map.densities().unwrap();
        assert_eq!(of(&device), of(&host));
        assert!(device.to_vec().unwrap().iter().all(|&level| device.uses(level)));
    }
    select(&scores)
}

#[test]
#[ignore = "needs a GPU"]
fn every_selector_chooses_as_on_the_host() {
    for (seed, blocks) in (0..).zip(cuts()) {
        for scores in scores(blocks, seed) {
            for ends in [&[(1, 0.3)][..], &[(1, 0.05), (2, 0.1), (3, 0.15), (7, 0.8)]] {
                same(&scores, |scores| select::quotas(scores, blocks, ends).unwrap());
            }
            for k in [&[1][..], &[5], &[0, 1, 2, 900, 3, 70]] {
                same(&scores, |scores| select::top_k_rows(scores, blocks, k).unwrap());
            }
            let prob = row_softmax(&scores).unwrap();
            for (ends, least) in
                [(&[(1, 0.4), (2, 0.5), (3, 0.6), (4, 0.8)][..], 0), (&[(1, 0.0), (2, 1.0)], 3)]
            {
                same(&prob, |prob| select::cumulative(prob, blocks, ends, least).unwrap());
            }
            for (p, crossing, clamp) in [(0.9, true, (1, 1 << 40)), (0.5, false, (2, 9))] {
                same(&prob, |prob| select::top_p(prob, blocks, p, crossing, clamp).unwrap());
            }
        }
        let scores = (random(&[2, 3, blocks.rows(), blocks.columns()], seed) * 4.0).unwrap();
        let (mean, sigma) = row_moments(&scores).unwrap();
        same(&scores, |scores| {
            select::mean_sigma(scores, blocks, &mean, &sigma, &[(1, 1.5), (2, 0.5), (5, -0.5)])
                .unwrap()
        });
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_row_of_nan_is_seen_in_full() {
    let blocks = Blocks::new(256, 640, 128, 64).unwrap();
    let mut values = vec![0.5_f32; 20];
    values[13] = f32::NAN;
    let scores = Tensor::from_vec(values, (1, 1, 2, 10), &gpu()).unwrap();
    let rows = |map: LevelMap| {
        let levels = map.to_vec().unwrap();
        let full = |row: &[u8]| row.iter().map(|level| usize::from(*level == 1)).sum::<usize>();
        levels.chunks(10).map(full).collect::<Vec<_>>()
    };
    assert_eq!(rows(select::top_k_rows(&scores, blocks, &[3]).unwrap()), [3, 10]);
    assert_eq!(rows(select::top_p(&scores, blocks, 0.2, true, (1, 10)).unwrap()), [2, 10]);
    let moments = Tensor::ones((1, 1, 2), DType::F32, &gpu()).unwrap();
    let map = select::mean_sigma(&scores, blocks, &moments, &moments, &[(1, 1.0)]).unwrap();
    assert_eq!(rows(map), [0, 10]);
    let keeps = Keeps { least_full: 4, ..Keeps::default() };
    let nothing = LevelMap::filled(0, (1, 1), blocks).unwrap().to_device(&gpu()).unwrap();
    assert_eq!(rows(keep::apply(&keeps, &nothing, Some(&scores)).unwrap()), [4, 10]);
}

#[test]
#[ignore = "needs a GPU"]
fn keeps_floors_and_marks_are_the_hosts() {
    for (seed, blocks) in (0..).zip(cuts()) {
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let marks = random(&[2, 3, rows, columns], seed + 9).gt(1.2).unwrap();
        let bounds = (marks.broadcast_add(&marks.ones_like().unwrap())).unwrap();
        for scores in scores(blocks, seed) {
            for (own, radius, least_full) in [(false, 0, 0), (true, 0, 7), (true, 3, columns / 2)] {
                let keeps = Keeps {
                    own,
                    radius,
                    sink: blocks.keys / 3..blocks.keys / 2,
                    full_rows: blocks.queries - blocks.queries / 4..blocks.queries,
                    least_full,
                };
                let ends = [(1, 0.05), (2, 0.1), (3, 0.15), (4, 0.3)];
                same(&scores, |scores| {
                    let map = select::quotas(scores, blocks, &ends).unwrap();
                    let map = map.relabelled(&[0, 1, 1, 3]).unwrap().at_most(&bounds).unwrap();
                    let map = keep::apply(&keeps, &map, Some(scores)).unwrap();
                    map.with_full(&marks).unwrap().with_floor(7).unwrap()
                });
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn tokens_move_as_on_the_host() {
    let turned = |by: u32| Order::new((0..301).map(|place| (place + by) % 301).collect()).unwrap();
    for dtype in [DType::F32, DType::BF16] {
        for width in [1, 8, 64, 128] {
            let x = random(&[2, 301, 3, width], 1).to_dtype(dtype).unwrap();
            // As projections leave it: heads beside each other in a token.
            let x = x.transpose(1, 2).unwrap();
            let there = x.to_device(&gpu()).unwrap().transpose(1, 2).unwrap();
            let there = there.contiguous().unwrap().transpose(1, 2).unwrap();
            for orders in [vec![turned(7)], vec![turned(1), turned(2), turned(300)]] {
                let values = |x: &Tensor| {
                    let x = permute(x, &orders).unwrap().to_dtype(DType::F32).unwrap();
                    x.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                };
                assert_eq!(values(&there), values(&x));
            }
        }
    }
}
