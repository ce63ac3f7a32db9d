//! Pooling losses on the GPU against the host's; twice, for the same bits.

use candle_core::{DType, Device, Tensor};

use crate::{
    blocks::Blocks,
    cpu::{Level, with_level},
    scores::pooling_loss,
    testing::{close, random},
};

#[test]
#[ignore = "needs a GPU"]
fn losses_are_those_of_the_host() {
    let device = Device::new_cuda(0).unwrap();
    let sizes = [(1, 1), (128, 64), (130, 70), (300, 1000), (1000, 257), (2311, 2304)];
    for (width, dtype) in
        [(64, DType::BF16), (128, DType::BF16), (64, DType::F32), (128, DType::F32)]
    {
        for (seed, (queries, keys)) in (0..).zip(sizes) {
            let blocks = Blocks::new(queries, keys, 128, 64).unwrap();
            let of = |tokens: usize, seed: u64| {
                let x = (random(&[1, 3, tokens, width], seed) * 1.5).unwrap();
                x.to_dtype(dtype).unwrap()
            };
            let operands = [of(queries, seed), of(keys, seed + 1), of(keys, seed + 2)];
            let scale = (width as f32).sqrt().recip();
            let run = |operands: &[Tensor; 3]| {
                let [q, k, v] = operands.each_ref();
                pooling_loss([q, k, v], blocks, scale, 8, seed + 5).unwrap()
            };
            let host = with_level(Level::Reference, || run(&operands));
            let there = operands.each_ref().map(|x| x.to_device(&device).unwrap());
            let (first, again) = (run(&there), run(&there));
            assert!(first.loss.device().is_cuda() && first.mass.device().is_cuda());
            let pairs = [(first.loss, again.loss, host.loss), (first.mass, again.mass, host.mass)];
            for (first, again, host) in pairs {
                let [first, again] = [first, again].map(|x| x.to_device(&Device::Cpu).unwrap());
                let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(values(&first), values(&again));
                if keys > 1 || first.rank() == 4 {
                    close(&first, &host, 1e-3, Level::Reference);
                }
                for level in 0..first.dims().get(4).copied().unwrap_or_default() {
                    let of = |x: &Tensor| x.narrow(4, level, 1).unwrap();
                    let sum = |x: &Tensor| values(&of(x)).iter().sum::<f32>();
                    let (ours, theirs) = (sum(&first), sum(&host));
                    assert!((ours - theirs).abs() <= 1e-3 * theirs.max(1e-6), "level {level}");
                }
            }
        }
    }
}
