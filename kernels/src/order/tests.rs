//! Golden sequences of methods.md §6.9, and what makes an order an order.

use candle_core::{DType, Tensor};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::testing::{self, random};

fn volume([frames, rows, columns]: [usize; 3]) -> Volume {
    Volume { frames, rows, columns }
}

/// Every kind of order over a box.
fn kinds(volume: Volume, tile: [usize; 3]) -> Vec<Order> {
    let mut all = vec![raster(volume), gilbert(volume), morton(volume), tiles(volume, tile)];
    all.extend(AxisOrder::ALL.map(|order| axes(volume, order)));
    all
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

proptest! {
    #![proptest_config(testing::config(64))]

    #[test]
    fn every_order_of_any_box_is_a_bijection(
        edges in [1_usize..14, 1_usize..14, 1_usize..14],
        tile in [0_usize..5, 1_usize..5, 1_usize..20],
        text in 0_usize..9,
    ) {
        let volume = volume(edges);
        for order in kinds(volume, tile) {
            prop_assert_eq!(order.tokens().len(), volume.tokens());
            // `new` is what refuses anything else.
            prop_assert!(Order::new(order.tokens().to_vec()).is_ok());
            prop_assert_eq!(order.inverse().inverse(), order.clone());
            let with_text = order.then_text(text);
            prop_assert!(Order::new(with_text.tokens().to_vec()).is_ok());
            let (video, last) = with_text.tokens().split_at(volume.tokens());
            prop_assert!(last.iter().copied().eq(0..text as u32));
            prop_assert!(video.iter().zip(order.tokens()).all(|(a, b)| *a == b + text as u32));
        }
    }

    #[test]
    fn an_order_and_its_inverse_cancel(
        edges in [1_usize..5, 1_usize..6, 1_usize..7],
        batch in 1_usize..3,
        width in 1_usize..40,
        each: bool,
        transposed: bool,
        bf16: bool,
    ) {
        let volume = volume(edges);
        let mut orders = kinds(volume, [2, 3, 2]);
        if !each {
            orders = orders.split_off(9);
        }
        let heads = if each { orders.len() } else { 3 };
        let mut x = random(&[batch, heads, volume.tokens(), width], 1);
        if transposed {
            x = random(&[batch, volume.tokens(), heads, width], 1).transpose(1, 2).unwrap();
        }
        if bf16 {
            x = x.to_dtype(DType::BF16).unwrap();
        }
        let there = permute(&x, &orders).unwrap();
        prop_assert_eq!(flat(&there), flat(&permute::selected(&x, &orders).unwrap()));
        let inverses: Vec<Order> = orders.iter().map(Order::inverse).collect();
        prop_assert_eq!(flat(&permute(&there, &inverses).unwrap()), flat(&x));
    }
}

#[test]
fn gilbert_gives_the_golden_sequences() {
    let golden: [([usize; 3], &[u32]); 3] = [
        ([2, 2, 2], &[0, 2, 6, 4, 5, 7, 3, 1]),
        (
            [3, 2, 4],
            &[0, 1, 5, 4, 12, 13, 9, 8, 16, 20, 21, 17, 18, 22, 23, 19, 11, 10, 14, 15, 7, 6, 2, 3],
        ),
        (
            [3, 3, 3],
            &[
                0, 9, 10, 1, 4, 13, 12, 3, 6, 15, 7, 16, 25, 24, 21, 22, 18, 19, 20, 23, 26, 17, 8,
                5, 14, 11, 2,
            ],
        ),
    ];
    for (edges, tokens) in golden {
        assert_eq!(gilbert(volume(edges)).tokens(), tokens, "{edges:?}");
    }
    let long = gilbert(volume([21, 45, 80]));
    assert_eq!(
        long.tokens()[..12],
        [0, 1, 81, 80, 3680, 3681, 3601, 3600, 7200, 7280, 10880, 10800]
    );
    assert_eq!(long.tokens()[75_596..], [159, 158, 78, 79]);
}

#[test]
fn gilbert_has_the_golden_hashes_and_jumps() {
    // (frames, rows, columns), the first 16 hexadecimal digits of the sequence's SHA-256, steps that are no unit moves.
    let golden = [
        ([18, 48, 80], 0x93a0_040e_e28b_ac18, Some(0)),
        ([21, 45, 80], 0x2e08_bfe6_bda6_ba91, Some(360)),
        ([13, 30, 45], 0x82fe_433a_250f_0dac, Some(151)),
        ([31, 44, 80], 0x8164_d03a_0f31_5227, None),
    ];
    for (edges, hash, jumps) in golden {
        let volume = volume(edges);
        let order = gilbert(volume);
        let bytes: Vec<u8> = order.tokens().iter().flat_map(|token| token.to_le_bytes()).collect();
        let digest = Sha256::digest(bytes);
        let start = u64::from_be_bytes(digest[..8].try_into().unwrap());
        assert_eq!(start, hash, "{edges:?}");
        let moves = order.tokens().windows(2).filter(|pair| {
            let [a, b] = [pair[0], pair[1]].map(|token| volume.place(token as usize));
            a.iter().zip(b).map(|(a, b)| a.abs_diff(b)).sum::<usize>() > 1
        });
        if let Some(jumps) = jumps {
            assert_eq!(moves.count(), jumps, "{edges:?}");
        }
    }
}

#[test]
fn morton_interleaves_the_bits() {
    // The frame's bit is the lowest: (f, h, w) = 000, 100, 010, 110, 001, … as raster indices w + 2h + 4f.
    assert_eq!(morton(volume([2, 2, 2])).tokens(), [0, 4, 2, 6, 1, 5, 3, 7]);
    // One frame of 2×4: columns 0 and 1 of both rows, then 2 and 3.
    assert_eq!(morton(volume([1, 2, 4])).tokens(), [0, 4, 1, 5, 2, 6, 3, 7]);
}

#[test]
fn tiles_come_whole_and_the_ragged_last() {
    // One frame of 3×5 in tiles of 2×2.
    let order = tiles(volume([1, 3, 5]), [1, 2, 2]);
    assert_eq!(order.tokens(), [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]);
}

#[test]
fn axis_orders_are_transposes_by_their_numbers() {
    let volume = volume([2, 3, 4]);
    let raster: Vec<u32> = (0..24).collect();
    let clip = Tensor::from_vec(raster, (2, 3, 4), &Device::Cpu).unwrap();
    for (index, order) in AxisOrder::ALL.into_iter().enumerate() {
        assert_eq!(order.index(), index);
        assert_eq!(order.to_string().parse::<AxisOrder>().unwrap(), order);
        let [a, b, c] = order.axes();
        let turned = clip.permute((a, b, c)).unwrap().flatten_all().unwrap();
        assert_eq!(axes(volume, order).tokens(), turned.to_vec1::<u32>().unwrap(), "{order}");
    }
    assert!(axes(volume, AxisOrder::Fhw).is_identity());
    assert!("hwc".parse::<AxisOrder>().unwrap_err().to_string().contains("`hwc`"));
}

#[test]
fn what_is_no_order_is_refused() {
    assert!(Order::new(vec![0, 0]).is_err() && Order::new(vec![2, 0]).is_err());
    let x = random(&[1, 3, 4, 2], 1);
    let order = Order::new(vec![2, 0, 3, 1]).unwrap();
    assert!(permute(&x, &[order.clone(), order]).unwrap_err().to_string().contains("1 or 3"));
    assert!(permute(&x, &[Order::identity(5)]).unwrap_err().to_string().contains("4 tokens"));
}
