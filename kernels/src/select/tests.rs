//! Cases worked by hand, and what every selection must hold to.

use proptest::prelude::*;

use super::*;
use crate::{
    levels::FULL,
    testing::{self, random},
};

/// One query block and five key blocks, levels to 4.
fn five() -> Blocks {
    Blocks::new(8, 40, 8, 8).unwrap()
}

fn tensor(values: &[f32], blocks: Blocks) -> Tensor {
    let shape = (1, (), blocks.rows(), blocks.columns());
    Tensor::new(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
}

/// By descending score: columns 1, 3, 4, 0, 2; cumulative .4, .65, .85, .95, 1.
fn shares() -> Tensor {
    tensor(&[0.1, 0.4, 0.05, 0.25, 0.2], five())
}

fn levels(map: Result<LevelMap>) -> Vec<u8> {
    map.unwrap().to_vec().unwrap()
}

#[test]
fn cumulative_includes_the_crossing_block() {
    // τ .4: one share does not exceed it, and the next block crosses: columns 1 and 3. τ .6: the same two, so level 2
    // stays empty. τ .8: two do not exceed it, and column 4 crosses. τ .9: three, and column 0 crosses.
    let ends = [(1, 0.4), (2, 0.6), (3, 0.8), (4, 0.9)];
    assert_eq!(levels(cumulative(&shares(), five(), &ends, 1)), [4, 1, 0, 1, 3]);
    // Three at level 1 at least: column 4 too.
    assert_eq!(levels(cumulative(&shares(), five(), &ends, 3)), [4, 1, 0, 1, 1]);
    assert_eq!(levels(cumulative(&shares(), five(), &ends, 9)), [1; 5]);
    // Unnormalised shares are normalised.
    let scaled = (shares() * 7.0).unwrap();
    assert_eq!(levels(cumulative(&scaled, five(), &ends, 1)), [4, 1, 0, 1, 3]);
    // The first block alone exceeds every τ: it is the one that crosses.
    let peak = tensor(&[0.02, 0.02, 0.92, 0.02, 0.02], five());
    assert_eq!(levels(cumulative(&peak, five(), &ends, 0)), [0, 0, 1, 0, 0]);
    // Nothing known is uniform: shares .2, .4, …: up to .4 two and the crossing third, nearest first.
    let zeros = tensor(&[0.0; 5], five());
    assert_eq!(levels(cumulative(&zeros, five(), &[(1, 0.4)], 0)), [1, 1, 1, 0, 0]);
}

#[test]
fn quotas_round_down() {
    // 5·.2 = 1, 5·.5 = 2.5 → 2, 5·.9 = 4.5 → 4.
    let ends = [(1, 0.2), (2, 0.5), (4, 0.9)];
    assert_eq!(levels(quotas(&shares(), five(), &ends)), [4, 1, 0, 2, 4]);
}

#[test]
fn places_say_where_ends_part_a_row() {
    let values =
        |places: Result<Tensor>| places.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    // Best first: columns 1, 3, 4, 0, 2.
    let before = values(share_before(&shares(), five()));
    let expected = [0.85, 0.0, 0.95, 0.4, 0.65];
    assert!(before.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{before:?}");
    assert_eq!(values(rank_share(&shares(), five())), [0.8, 0.2, 1.0, 0.4, 0.6]);
}

#[test]
fn top_p_stops_before_or_after_the_crossing_block() {
    let of = |crossing, clamp| levels(top_p(&shares(), five(), 0.6, crossing, clamp));
    // .4 is below .6, .65 is not: column 1, and column 3 crosses.
    assert_eq!(of(true, (0, 5)), [0, 1, 0, 1, 0]);
    assert_eq!(of(false, (0, 5)), [0, 1, 0, 0, 0]);
    assert_eq!(of(false, (3, 4)), [0, 1, 0, 1, 1]);
    assert_eq!(of(true, (0, 1)), [0, 1, 0, 0, 0]);
    assert_eq!(levels(top_p(&shares(), five(), 1.0, true, (0, 5))), [1; 5]);
}

#[test]
fn mean_sigma_takes_what_exceeds_its_bar() {
    // Bars 3 + 1.5·1 = 4.5 and 3 − 1.5·.5 = 2.25; a score on the bar does not exceed it.
    let scores = tensor(&[1.0, 6.0, 2.25, 3.0, 4.5], five());
    let [mean, sigma] = [3.0_f32, 1.5].map(|x| Tensor::full(x, (1, 1, 1), &Device::Cpu).unwrap());
    let map = mean_sigma(&scores, five(), &mean, &sigma, &[(1, 1.0), (3, -0.5)]);
    assert_eq!(levels(map), [0, 1, 0, 3, 3]);
    let none = mean_sigma(&scores, five(), &mean, &sigma, &[(1, 1000.0)]);
    assert_eq!(levels(none), [0; 5]);
    let all = mean_sigma(&scores, five(), &mean, &sigma, &[(1, -1000.0)]);
    assert_eq!(levels(all), [1; 5]);
}

#[test]
fn top_k_counts_by_row_or_by_head() {
    let blocks = Blocks::new(16, 24, 8, 8).unwrap();
    // Two heads of two rows and three columns.
    let scores = [5.0, 1.0, 2.0, 4.0, 3.0, 0.0, -5.0, -1.0, -2.0, 0.0, -0.0, -9.0];
    let scores = tensor(&scores, blocks);
    assert_eq!(levels(top_k_rows(&scores, blocks, &[1, 2])), [1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0]);
    assert_eq!(levels(top_k_head(&scores, blocks, &[3, 2])), [1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0]);
    assert_eq!(levels(top_k_rows(&scores, blocks, &[99])), [1; 12]);
    assert_eq!(levels(top_k_head(&scores, blocks, &[0])), [0; 12]);
}

#[test]
fn equal_scores_favour_the_neighbourhood_and_neither_side() {
    let blocks = Blocks::of(128 * 400);
    let scores = Tensor::zeros((1, 1, 400, 800), DType::F32, &Device::Cpu).unwrap();
    // The two own blocks, then one of two neighbours.
    let map = levels(top_k_rows(&scores, blocks, &[3]));
    let mut left = 0;
    for (row, levels) in map.chunks(800).enumerate().skip(1).take(398) {
        let own = blocks.own_columns(row);
        assert!(levels[own.clone()].iter().all(|&level| level == FULL));
        left += usize::from(levels[own.start - 1]);
        assert_eq!(levels[own.start - 1] + levels[own.end], 1);
    }
    // 398 tosses of a coin: 199 ± 4 deviations of 10.
    assert!((159..=239).contains(&left), "{left} of 398 to the left");

    // A head's budget: every row's own two blocks, then neighbours anywhere in the clip.
    let map = levels(top_k_head(&scores, blocks, &[800 + 300]));
    let extra = |rows: std::ops::Range<usize>| {
        map[rows.start * 800..rows.end * 800].iter().map(|&level| usize::from(level)).sum::<usize>()
            - 2 * rows.len()
    };
    // 300 of 798 candidates: 150 ± 4 deviations of 7 in each half.
    assert!((122..=178).contains(&extra(0..200)), "{} of 300 in the first half", extra(0..200));
}

/// A cut, and scores for two heads in which ties are common.
fn any_scores() -> impl Strategy<Value = (Blocks, Tensor)> {
    (1_usize..400, 1_usize..400, 1_usize..40, 0_u32..6, 1_u64..1000, 1_u32..40).prop_map(
        |(queries, keys, query_block, key_log, seed, steps)| {
            let blocks = Blocks::new(queries, keys, query_block, 1 << key_log).unwrap();
            let scores = random(&[1, 2, blocks.rows(), blocks.columns()], seed);
            let coarse = (scores * f64::from(steps)).unwrap().round().unwrap();
            (blocks, (coarse / f64::from(steps)).unwrap())
        },
    )
}

/// Kept and skipped scores of each chunk of `size` blocks.
fn parted(scores: &Tensor, map: &[u8], size: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
    let scores = scores.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let chunks = scores.chunks(size).zip(map.chunks(size));
    let part = |(scores, levels): (&[f32], &[u8])| {
        let of = |full| {
            let pairs = scores.iter().zip(levels);
            pairs.filter(|(_, level)| (**level > 0) == full).map(|(score, _)| *score).collect()
        };
        (of(true), of(false))
    };
    chunks.map(part).collect()
}

/// Blocks at level `of`.
fn count(levels: &[u8], of: u8) -> usize {
    levels.iter().map(|&level| usize::from(level == of)).sum()
}

/// Whether no kept score is below a skipped one.
fn best_are_kept((kept, skipped): &(Vec<f32>, Vec<f32>)) -> bool {
    let worst = kept.iter().copied().fold(f32::INFINITY, f32::min);
    skipped.iter().all(|&score| score <= worst)
}

/// 2^(1−ℓ), 0 for a skipped block.
fn weight(level: u8) -> f64 {
    if level == 0 { 0.0 } else { 0.5_f64.powi(i32::from(level) - 1) }
}

proptest! {
    #![proptest_config(testing::config(48))]

    #[test]
    fn cumulative_keeps_its_shares_and_grows_with_them(
        (blocks, scores) in any_scores(),
        mut shares in [0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0_f64],
        min_full in 0_usize..9,
    ) {
        shares.sort_by(f64::total_cmp);
        let [a, b, c, d] = shares;
        let prob = scores.exp().unwrap();
        let deepest = blocks.deepest_level();
        let of = |first, last| match deepest {
            1 => vec![(1, first)],
            deepest => vec![(1, first), (deepest, last)],
        };
        let small = levels(cumulative(&prob, blocks, &of(a, c), min_full));
        let large = levels(cumulative(&prob, blocks, &of(b, d), min_full));
        prop_assert!(small.iter().zip(&large).all(|(a, b)| weight(*a) <= weight(*b)));
        let columns = blocks.columns();
        for (row, (kept, skipped)) in small.chunks(columns).zip(parted(&prob, &small, columns)) {
            let sum = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>();
            let share = sum(&kept) / (sum(&kept) + sum(&skipped));
            prop_assert!(share >= of(a, c).last().unwrap().1 - 1e-6);
            prop_assert!(count(row, FULL) >= min_full.clamp(1, columns));
            prop_assert!(best_are_kept(&(kept, skipped)));
        }
    }

    #[test]
    fn levels_are_those_of_the_ends_that_places_do_not_exceed(
        (blocks, scores) in any_scores(),
        mut shares in [0.0..1.0, 0.0..1.0_f64],
    ) {
        shares.sort_by(f64::total_cmp);
        let prob = scores.exp().unwrap();
        let ends: Vec<(u8, f64)> =
            (1..=blocks.deepest_level().min(2)).zip(shares).collect();
        let values =
            |places: Result<Tensor>| places.unwrap().flatten_all().unwrap().to_vec1::<f32>();
        for (places, map) in [
            (share_before(&prob, blocks), cumulative(&prob, blocks, &ends, 0)),
            (rank_share(&prob, blocks), quotas(&prob, blocks, &ends)),
        ] {
            for (place, level) in values(places).unwrap().into_iter().zip(levels(map)) {
                let place = f64::from(place);
                if ends.iter().any(|(_, end)| (place - end).abs() < 1e-5) {
                    continue; // rounding decides
                }
                let end = ends.iter().find(|(_, end)| place <= *end);
                prop_assert_eq!(level, end.map_or(SKIPPED, |(level, _)| *level));
            }
        }
    }

    #[test]
    fn quotas_and_top_k_count_exactly(
        (blocks, scores) in any_scores(),
        mut shares in [0.0..1.0, 0.0..1.0_f64],
        k in [0_usize..20, 0_usize..20],
        total in 0_usize..300,
    ) {
        shares.sort_by(f64::total_cmp);
        let columns = blocks.columns();
        if blocks.deepest_level() > 1 {
            let map = levels(quotas(&scores, blocks, &[(1, shares[0]), (2, shares[1])]));
            let ends = shares.map(|share| (columns as f64 * share) as usize);
            for (row, parts) in map.chunks(columns).zip(parted(&scores, &map, columns)) {
                prop_assert_eq!([count(row, 1), count(row, 2)], [ends[0], ends[1] - ends[0]]);
                prop_assert!(best_are_kept(&parts));
            }
        }
        let map = levels(top_k_rows(&scores, blocks, &k));
        let more = levels(top_k_rows(&scores, blocks, &k.map(|k| k + 1)));
        prop_assert!(map.iter().zip(&more).all(|(a, b)| a <= b));
        for (index, row) in map.chunks(columns).enumerate() {
            prop_assert_eq!(count(row, FULL), k[index / blocks.rows()].min(columns));
        }
        prop_assert!(parted(&scores, &map, columns).iter().all(best_are_kept));
        let map = levels(top_k_head(&scores, blocks, &[total]));
        let pairs = blocks.rows() * columns;
        for head in map.chunks(pairs) {
            prop_assert_eq!(count(head, FULL), total.min(pairs));
        }
        prop_assert!(parted(&scores, &map, pairs).iter().all(best_are_kept));
    }

    #[test]
    fn top_p_is_the_shortest_prefix_that_reaches_it(
        (blocks, scores) in any_scores(),
        p in 0.01..0.99_f64,
    ) {
        let prob = scores.exp().unwrap();
        let columns = blocks.columns();
        let map = levels(top_p(&prob, blocks, p, true, (0, columns)));
        let before = levels(top_p(&prob, blocks, p, false, (0, columns)));
        for (row, (kept, skipped)) in parted(&prob, &map, columns).into_iter().enumerate() {
            let sum = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>();
            let total = sum(&kept) + sum(&skipped);
            let least = kept.iter().copied().fold(f32::INFINITY, f32::min);
            prop_assert!(sum(&kept) / total >= p - 1e-6);
            prop_assert!((sum(&kept) - f64::from(least)) / total < p + 1e-6);
            prop_assert_eq!(count(&before[row * columns..][..columns], FULL) + 1, kept.len());
        }
    }

    #[test]
    fn mean_sigma_grows_as_its_bar_falls((blocks, scores) in any_scores(), tau in -2.0..2.0_f64) {
        let (mean, sigma) = crate::scores::row_moments(&scores).unwrap();
        let of = |tau| levels(mean_sigma(&scores, blocks, &mean, &sigma, &[(1, tau)]));
        let (few, more) = (of(tau), of(tau - 0.3));
        prop_assert!(few.iter().zip(&more).all(|(a, b)| a <= b));
        prop_assert!(parted(&scores, &few, blocks.columns()).iter().all(best_are_kept));
    }
}

#[test]
fn what_cannot_be_selected_from_is_refused() {
    let text = |map: Result<LevelMap>| map.unwrap_err().to_string();
    let mut values = [0.1, 0.4, 0.05, f32::NAN, 0.2];
    let nan = tensor(&values, five());
    let moment = Tensor::ones((1, 1, 1), DType::F32, &Device::Cpu).unwrap();
    for map in [
        cumulative(&nan, five(), &[(1, 0.5)], 1),
        quotas(&nan, five(), &[(1, 0.5)]),
        top_p(&nan, five(), 0.5, true, (0, 5)),
        mean_sigma(&nan, five(), &moment, &moment, &[(1, 0.0)]),
        top_k_rows(&nan, five(), &[1]),
        top_k_head(&nan, five(), &[1]),
    ] {
        assert!(text(map).contains("NaN at row 0 and column 3 of head 0"));
    }
    values[3] = -0.1;
    let negative = tensor(&values, five());
    assert!(text(cumulative(&negative, five(), &[(1, 0.5)], 1)).contains("got -0.1"));
    let ends = |ends: &[(u8, f64)]| text(cumulative(&shares(), five(), ends, 1));
    assert!(ends(&[(1, 0.5), (2, 0.4)]).contains("ascending order"));
    assert!(ends(&[(1, 0.5), (5, 0.6)]).contains("levels from 1 to 4"));
    assert!(ends(&[(2, 0.5), (1, 0.6)]).contains("levels from 1 to 4"));
    assert!(ends(&[(1, 1.5)]).contains("from 0 to 1"));
    assert!(text(top_p(&shares(), five(), 0.5, true, (3, 2))).contains("(3, 2)"));
    let taus = [(1, 0.0), (2, 1.0)];
    let map = mean_sigma(&shares(), five(), &moment, &moment, &taus);
    assert!(text(map).contains("`taus` must descend"));
    assert!(text(top_k_rows(&shares(), five(), &[1, 2])).contains("must be 1 or 1 numbers, got 2"));
    assert!(text(top_k_rows(&shares(), Blocks::of(40), &[1])).contains("`scores` must have shape"));
}

#[test]
fn rows_are_sorted_as_powers_of_two() {
    let sizes = [1, 2, 3, 512, 513, 8192, 8193].map(sort_size);
    assert_eq!(sizes, [Some(2), Some(2), Some(4), Some(512), Some(1024), Some(8192), None]);
}
