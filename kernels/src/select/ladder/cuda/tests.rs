//! The ladder on the GPU against the host's, from the same losses.

use candle_core::{Device, Tensor};

use crate::{blocks::Blocks, select::Ladder, testing::random};

#[test]
#[ignore = "needs a GPU"]
fn budgets_are_spent_as_on_the_host() {
    let device = Device::new_cuda(0).unwrap();
    let sizes = [(1, 1), (128, 64), (130, 70), (1000, 1000), (300, 5000), (2311, 2304)];
    for (seed, (queries, keys)) in (0..).zip(sizes) {
        let blocks = Blocks::new(queries, keys, 128, 64).unwrap();
        let shape = [2, 3, blocks.rows(), blocks.columns(), 7];
        let any = random(&shape, seed).sqr().unwrap();
        // Rising with the level, and of few values: gains that are equal.
        let rising = any.cumsum(4).unwrap();
        let few = (&rising * 2.0).unwrap().round().unwrap();
        for loss in [&any, &rising, &few, &few.zeros_like().unwrap()] {
            let host = Ladder::new(loss, blocks).unwrap();
            let there = Ladder::new(&loss.to_device(&device).unwrap(), blocks).unwrap();
            for budget in [0.0, 0.01, 0.02, 0.1, 0.25, 0.5, 0.9, 1.0, 2.0] {
                let (ours, theirs) = (there.map(budget).unwrap(), host.map(budget).unwrap());
                assert!(ours.levels().device().is_cuda());
                assert_eq!(ours.to_vec().unwrap(), theirs.to_vec().unwrap(), "{budget} {blocks:?}");
                let (ours, theirs) = (there.loss(budget).unwrap(), host.loss(budget).unwrap());
                assert!((ours - theirs).abs() <= 1e-4 * theirs.abs().max(1.0), "{ours} {theirs}");
            }
        }
    }
}

/// Losses that are no numbers are seen first of all.
#[test]
#[ignore = "needs a GPU"]
fn blocks_without_a_loss_are_full() {
    let blocks = Blocks::new(128, 192, 128, 64).unwrap();
    let losses = [[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [f32::NAN; 7], [0.0; 7]];
    let loss = Tensor::new(&losses, &Device::new_cuda(0).unwrap()).unwrap();
    let loss = loss.reshape((1, 1, 1, 3, 7)).unwrap();
    let map = Ladder::new(&loss, blocks).unwrap().map(0.345).unwrap();
    assert_eq!(map.to_vec().unwrap(), [7, 1, 7]);
}
