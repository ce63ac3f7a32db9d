//! Cases worked out by hand, and what holds of all values.

use proptest::prelude::*;

use super::*;

fn paired(first: &[f64], second: &[f64]) -> Paired {
    Paired::new(first.iter().copied().enumerate(), second.iter().copied().enumerate())
}

#[test]
fn medians_are_the_middle_and_know_when_there_is_none() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!((median(&[]), median(&[1.0, f64::NAN])), (None, None));
    let infinity = f64::INFINITY;
    assert_eq!(median(&[infinity, infinity]), Some(infinity), "clips that are equal");
    assert_eq!(median(&[-infinity, infinity]), None);
}

#[test]
fn differences_are_of_pairs_and_not_of_medians() {
    // The second is above in most pairs, though the medians of both are 30.
    let first = [10.0, 30.0, 50.0];
    let second = [30.0, 50.0, 10.5];
    assert_eq!((median(&first), median(&second)), (Some(30.0), Some(30.0)));
    let got = paired(&first, &second);
    assert_eq!(got.difference().unwrap().median, -20.0);
    assert_eq!(got.ratio().unwrap().median, 0.6);
    assert_eq!(got.score(0.0), Score { wins: 1, losses: 2, ties: 0 });
    assert_eq!(got.score(20.0), Score { wins: 1, losses: 0, ties: 2 });
}

#[test]
fn clips_are_paired_by_prompt_and_seed() {
    let first = [(("a", 1), 1.0), (("a", 2), 2.0), (("b", 1), 3.0)];
    let second = [(("b", 1), 1.0), (("a", 1), 0.5), (("c", 1), 9.0)];
    let got = Paired::new(first, second);
    assert_eq!(got, Paired::new([(0, 1.0), (1, 3.0)], [(0, 0.5), (1, 1.0)]));
    assert_eq!((got.len(), got.ratio().unwrap().median), (2, 2.5));
    let none = Paired::new(first, [(("z", 1), 1.0)]);
    assert!(none.is_empty() && none.difference().is_none() && none.ratio().is_none());
}

#[test]
fn equal_clips_and_missing_numbers_are_no_difference() {
    let infinity = f64::INFINITY;
    let got = paired(&[infinity, 30.0], &[infinity, 30.0]);
    assert_eq!(got.difference().unwrap(), Interval { median: 0.0, low: 0.0, high: 0.0 });
    assert_eq!(got.score(0.0), Score { ties: 2, ..Score::default() });
    let got = paired(&[f64::NAN, 1.0], &[1.0, 1.0]);
    assert!(got.difference().is_none() && got.ratio().is_none());
    assert_eq!(got.score(0.0).ties, 2);
}

#[test]
fn intervals_repeat_and_narrow_with_agreement() {
    let one = interval(&[1.0, 2.0, 1.5, 0.5, 1.2]).unwrap();
    assert_eq!(one.median, 1.2);
    // A resample's median is the least value when three of its five draws are: in 5.8 %, so the interval reaches it.
    assert_eq!((one.low, one.high), (0.5, 2.0));
    assert_eq!(interval(&[1.0, 2.0, 1.5, 0.5, 1.2]), Some(one));
    let same = interval(&[0.3; 7]).unwrap();
    assert_eq!((same.low, same.median, same.high), (0.3, 0.3, 0.3));
    let many: Vec<f64> = (0..101).map(f64::from).collect();
    let wide = interval(&many).unwrap();
    // The median of 101 even values has a standard error of about 101·√(1/4/101) = 5.
    assert_eq!(wide.median, 50.0);
    assert!((36.0..44.0).contains(&wide.low) && (56.0..64.0).contains(&wide.high), "{wide:?}");
}

#[test]
fn the_front_is_what_nothing_beats() {
    let points =
        [(1.0, 0.5), (2.0, 0.2), (2.0, 0.3), (3.0, 0.2), (4.0, 0.0), (f64::NAN, 0.0), (1.0, 0.5)]
            .map(|(time, distance)| Point { time, distance });
    assert_eq!(front(&points), [true, true, false, false, true, false, true]);
    assert_eq!(front(&[]), Vec::<bool>::new());
    assert_eq!("attention".parse(), Ok(TimeBasis::Attention));
    assert!("fast".parse::<TimeBasis>().unwrap_err().contains("end-to-end"));
}

#[test]
fn bounds_and_noise_are_those_of_the_books() {
    // Mean 2, deviation 1, three values: 2 + 2.920·√(4/3).
    let bound = upper_bound(&[1.0, 2.0, 3.0]).unwrap();
    assert!((bound - (2.0 + 2.920 * (4.0f64 / 3.0).sqrt())).abs() < 1e-12);
    assert_eq!((upper_bound(&[1.0]), upper_bound(&[1.0, f64::INFINITY])), (None, None));
    assert_eq!(upper_bound(&[0.7; 50]).map(|bound| (bound * 1e9).round() / 1e9), Some(0.7));
    assert_eq!(noise_floor(&[0.0, 0.002, 0.001]), Some(0.002));
    assert_eq!((noise_floor(&[]), noise_floor(&[f64::NAN])), (None, None));
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-1e6..1e6, 1..40)
}

proptest! {
    #[test]
    fn an_interval_holds_its_median_and_stays_within_the_values(values in values()) {
        let got = interval(&values).unwrap();
        prop_assert!(got.low <= got.median && got.median <= got.high);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(least <= got.low && got.high <= most);
    }

    #[test]
    fn swapping_the_settings_turns_everything_round(pairs in proptest::collection::vec((-1e3..1e3, -1e3..1e3), 1..30), tie in 0.0..10.0) {
        let (first, second): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let (forth, back) = (paired(&first, &second), paired(&second, &first));
        let (a, b) = (forth.score(tie), back.score(tie));
        prop_assert_eq!((a.wins, a.losses, a.ties), (b.losses, b.wins, b.ties));
        prop_assert_eq!(a.wins + a.losses + a.ties, first.len());
        let (a, b) = (forth.difference().unwrap(), back.difference().unwrap());
        prop_assert!((a.median + b.median).abs() < 1e-9);
    }

    #[test]
    fn what_is_off_the_front_is_beaten_by_something_on_it(points in proptest::collection::vec((0..20_u8, 0..20_u8), 1..40)) {
        let points: Vec<Point> = points
            .into_iter()
            .map(|(time, distance)| Point { time: time.into(), distance: distance.into() })
            .collect();
        let on = front(&points);
        prop_assert!(on.contains(&true));
        for (point, is_on) in points.iter().zip(&on) {
            let mut others = points.iter().zip(&on).filter(|(_, is_on)| **is_on).map(|(other, _)| other);
            let is_beaten = others.any(|other| {
                other != point && other.time <= point.time && other.distance <= point.distance
            });
            prop_assert_eq!(!*is_on, is_beaten);
        }
    }
}
