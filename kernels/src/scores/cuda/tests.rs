//! Estimators on the GPU against the host's reference; twice, for the same bits.

use candle_core::{DType, Device, Result, Tensor};

use crate::{
    blocks::Blocks,
    cpu::{Level, with_level},
    keep,
    levels::LevelMap,
    order::{Order, permute},
    scores::{
        Sampling, group_cosine, mean_pool, pooling_loss, row_moments, row_softmax, sampled_max,
        self_similarity, sub_block,
    },
    select::{self, Ladder},
    testing::random,
};

fn gpu() -> Device {
    Device::new_cuda(0).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Room that was used by a kernel before holds NaN when it is used again.
fn poison(elements: usize) {
    let held: Vec<Tensor> =
        (0..4).map(|_| Tensor::full(f32::NAN, elements, &gpu()).unwrap()).collect();
    drop(held);
}

/// An estimate of q and k on the GPU, within `limit` of the reference on the host, of values around 1.
fn check(
    operands: [&Tensor; 2],
    limit: f32,
    estimate: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) {
    let host = with_level(Level::Reference, || estimate(operands[0], operands[1]).unwrap());
    let [q, k] = operands.map(|x| x.to_device(&gpu()).unwrap());
    let mut all = Vec::new();
    for _ in 0..2 {
        poison(host.elem_count().max(1 << 20));
        let found = estimate(&q, &k).unwrap();
        assert!(found.device().is_cuda() && found.dims() == host.dims());
        all.push(values(&found));
    }
    assert_eq!(all[0], all[1], "two runs");
    for (place, (found, exact)) in all[0].iter().zip(values(&host)).enumerate() {
        let allowed = limit * exact.abs().max(1.0);
        assert!((found - exact).abs() <= allowed, "{found} for {exact} at {place}");
    }
}

fn cases() -> impl Iterator<Item = (Blocks, [Tensor; 2])> {
    let sizes = [(1, 1), (128, 64), (130, 70), (1000, 1000), (300, 5000), (2311, 2304)];
    let all = [64, 128].into_iter().flat_map(move |width| sizes.map(|size| (width, size)));
    let kinds = all.flat_map(|of| [DType::F32, DType::BF16].map(|dtype| (of, dtype)));
    kinds.map(|((width, (queries, keys)), dtype)| {
        let blocks = Blocks::new(queries, keys, 128, 64).unwrap();
        // Runs that are alike, so that scores spread as in a clip.
        let of = |tokens: usize, seed| {
            let runs = random(&[1, 3, tokens.div_ceil(16), 1, width], seed);
            let runs = runs.broadcast_as((1, 3, tokens.div_ceil(16), 16, width)).unwrap();
            let runs = runs.reshape((1, 3, tokens.div_ceil(16) * 16, width)).unwrap();
            let noise = random(&[1, 3, tokens, width], seed + 1);
            let x = (runs.narrow(2, 0, tokens).unwrap() + noise).unwrap();
            x.to_dtype(dtype).unwrap()
        };
        (blocks, [of(queries, 3), of(keys, 5)])
    })
}

#[test]
#[ignore = "needs a GPU"]
fn estimates_are_those_of_the_reference() {
    for (blocks, [q, k]) in cases() {
        let scale = (q.dim(3).unwrap() as f32).sqrt().recip();
        check([&q, &k], 2e-4, |q, k| mean_pool(q, k, blocks, scale));
        check([&q, &k], 2e-4, |q, k| sub_block(q, k, blocks, scale, 16));
        for seed in [1, 2] {
            let sampling = Sampling::quarter(blocks, seed);
            check([&q, &k], 2e-4, |q, k| sampled_max(q, k, blocks, scale, &sampling));
        }
        check([&q, &k], 1e-5, |q, _| self_similarity(q, 128));
        check([&q, &k], 1e-5, |_, k| self_similarity(k, 64));
        check([&q, &k], 1e-5, |_, k| group_cosine(k, 64));
        check([&q, &k], 1e-5, |q, k| row_softmax(&mean_pool(q, k, blocks, scale)?));
        check([&q, &k], 1e-4, |q, k| Ok(row_moments(&mean_pool(q, k, blocks, scale)?)?.1));
    }
}

#[test]
#[ignore = "needs a GPU"]
fn cuts_without_a_kernel_are_scored_on_the_gpu_too() {
    let blocks = Blocks::new(200, 300, 32, 16).unwrap();
    let (q, k) = (random(&[1, 2, 200, 24], 1), random(&[1, 2, 300, 24], 2));
    check([&q, &k], 1e-4, |q, k| mean_pool(q, k, blocks, 0.2));
    check([&q, &k], 1e-4, |q, k| sub_block(q, k, blocks, 0.2, 8));
    let sampling = Sampling::quarter(blocks, 3);
    check([&q, &k], 1e-4, |q, k| sampled_max(q, k, blocks, 0.2, &sampling));
    check([&q, &k], 1e-4, |q, _| self_similarity(q, 32));
}

type Estimate<'a> = Box<dyn Fn() -> Tensor + 'a>;
type Part<'a> = (&'a str, Box<dyn Fn() + 'a>);

/// Median milliseconds of what makes a map at the shape of Wan-1.3B: `-- --ignored speed --nocapture`.
#[test]
#[ignore = "needs a GPU and takes its time"]
fn speed_of_maps() {
    let device = gpu();
    let blocks = Blocks::of(32_760);
    let of = |seed| {
        let x = random(&[1, 12, 32_760, 128], seed).to_dtype(DType::BF16).unwrap();
        x.to_device(&device).unwrap()
    };
    let (q, k) = (of(1), of(2));
    let scale = 128_f32.sqrt().recip();
    let median = |run: &dyn Fn()| {
        let mut times: Vec<f64> = (0..25)
            .map(|_| {
                device.synchronize().unwrap();
                let began = std::time::Instant::now();
                // Many at once, as a step has layers: what the host adds in between is hidden.
                (0..8).for_each(|_| run());
                device.synchronize().unwrap();
                began.elapsed().as_secs_f64() * 1e3 / 8.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[12]
    };
    let keeps = keep::Keeps { own: true, radius: 1, ..Default::default() };
    let finish = |map: &LevelMap| {
        let map = keep::apply(&keeps, map, None).unwrap().with_floor(7).unwrap();
        map.counted().unwrap();
    };
    let quotas = [(1, 0.07), (2, 0.14), (3, 0.22), (4, 0.42)];
    let shares = [(1, 0.4), (2, 0.5), (3, 0.6), (4, 0.8)];
    let sampling = Sampling::quarter(blocks, 7);
    let all: [(&str, Estimate<'_>); 3] = [
        ("mean_pool", Box::new(|| mean_pool(&q, &k, blocks, scale).unwrap())),
        ("sub_block", Box::new(|| sub_block(&q, &k, blocks, scale, 16).unwrap())),
        ("sampled_max", Box::new(|| sampled_max(&q, &k, blocks, scale, &sampling).unwrap())),
    ];
    for (name, estimate) in &all {
        let scored = median(&|| drop(estimate()));
        let whole = median(&|| finish(&select::quotas(&estimate(), blocks, &quotas).unwrap()));
        println!(
            "{name}: scores {scored:.3}, with quotas, keeps, floor and densities {whole:.3} ms"
        );
    }
    let scores = all[1].1();
    let prob = row_softmax(&scores).unwrap();
    let map = select::quotas(&scores, blocks, &quotas).unwrap();
    let turned = Order::new((0..32_760).map(|place| (place + 7) % 32_760).collect()).unwrap();
    let losses = || pooling_loss([&q, &k, &k], blocks, scale, 8, 1).unwrap().loss;
    let loss = losses();
    let parts: [Part<'_>; 7] = [
        ("quotas", Box::new(|| drop(select::quotas(&scores, blocks, &quotas).unwrap()))),
        ("thresholds", Box::new(|| drop(select::cumulative(&prob, blocks, &shares, 0).unwrap()))),
        ("keeps, floor, densities", Box::new(|| finish(&map))),
        ("pooling losses", Box::new(|| drop(losses()))),
        ("ladder", Box::new(|| drop(Ladder::new(&loss, blocks).unwrap().map(0.25).unwrap()))),
        (
            "tokens in their order",
            Box::new(|| drop(permute(&q, std::slice::from_ref(&turned)).unwrap())),
        ),
        ("likeness", Box::new(|| drop(self_similarity(&k, 64).unwrap()))),
    ];
    for (name, part) in &parts {
        println!("{name}: {:.3} ms", median(part));
    }
}
