//! Cases worked by hand, and what keeping must hold to.

use candle_core::Device;
use proptest::prelude::*;

use super::*;
use crate::testing::{self, random};

/// Four query blocks, five key blocks.
fn blocks() -> Blocks {
    Blocks::new(16, 20, 4, 4).unwrap()
}

fn kept(keeps: &Keeps, level: u8, scores: Option<&Tensor>) -> Vec<Vec<u8>> {
    let map = LevelMap::filled(level, (1, 1), blocks()).unwrap();
    let levels = apply(keeps, &map, scores).unwrap().to_vec().unwrap();
    levels.chunks(5).map(<[u8]>::to_vec).collect()
}

#[test]
fn each_rule_by_itself() {
    let none = Keeps::default();
    assert_eq!(kept(&none, 2, None), vec![vec![2; 5]; 4]);
    let own = Keeps { own: true, ..none.clone() };
    assert_eq!(kept(&own, 0, None)[2], [0, 0, 1, 0, 0]);
    let near = Keeps { own: true, radius: 1, ..none.clone() };
    assert_eq!(kept(&near, 3, None)[0], [1, 1, 3, 3, 3]);
    assert_eq!(kept(&near, 3, None)[3], [3, 3, 1, 1, 1]);
    // Tokens 7 and 8 lie in blocks 1 and 2.
    let sink = Keeps { sink: 7..9, ..none.clone() };
    assert_eq!(kept(&sink, 0, None), vec![vec![0, 1, 1, 0, 0]; 4]);
    let text = Keeps { full_rows: 11..12, ..none.clone() };
    assert_eq!(kept(&text, 0, None), [[0; 5], [0; 5], [1; 5], [0; 5]]);
    // Row 0's own block is full already: columns 3 and 1 are the best of the others.
    let scores: Vec<f32> = [9.0, 2.0, 0.0, 3.0, 1.0].repeat(4);
    let scores = Tensor::from_vec(scores, (1, 1, 4, 5), &Device::Cpu).unwrap();
    let least = Keeps { own: true, least_full: 3, ..none };
    assert_eq!(kept(&least, 2, Some(&scores))[0], [1, 1, 2, 1, 2]);
    assert_eq!(kept(&least, 2, Some(&scores))[1], [1, 1, 2, 1, 2]);
    assert_eq!(kept(&least, 2, Some(&scores))[2], [1, 2, 1, 1, 2]);
}

#[test]
fn what_is_missing_or_out_of_range_is_named() {
    let map = LevelMap::filled(0, (1, 1), blocks()).unwrap();
    let text = |keeps: Keeps| apply(&keeps, &map, None).unwrap_err().to_string();
    assert!(text(Keeps { sink: 18..21, ..Keeps::default() }).contains("`sink`"));
    assert!(text(Keeps { full_rows: 0..17, ..Keeps::default() }).contains("16 tokens, got 0..17"));
    assert!(text(Keeps { least_full: 2, ..Keeps::default() }).contains("needs the scores"));
}

proptest! {
    #![proptest_config(testing::config(48))]

    #[test]
    fn keeping_only_refines(
        (queries, keys, query_block, log) in (1_usize..300, 1_usize..300, 1_usize..40, 0_u32..6),
        (own, radius, least_full) in (any::<bool>(), 0_usize..4, 0_usize..9),
        (sink, full_rows) in ([0.0..1.0, 0.0..1.0_f64], [0.0..1.0, 0.0..1.0_f64]),
        seed in 1_u64..1000,
    ) {
        let blocks = Blocks::new(queries, keys, query_block, 1 << log).unwrap();
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let range = |of: [f64; 2], tokens: usize| {
            let [a, b] = of.map(|share| (share * tokens as f64) as usize);
            a.min(b)..a.max(b)
        };
        let keeps = Keeps {
            own,
            radius,
            sink: range(sink, keys),
            full_rows: range(full_rows, queries),
            least_full,
        };
        let scores = random(&[1, 2, rows, columns], seed);
        let deepest = usize::from(blocks.deepest_level());
        let random_levels = random(&[1, 2, rows, columns], seed + 1).flatten_all().unwrap();
        let before: Vec<u8> = random_levels
            .to_vec1::<f32>()
            .unwrap()
            .into_iter()
            .map(|x| (x.to_bits() as usize % (deepest + 1)) as u8)
            .collect();
        let map = LevelMap::from_vec(before.clone(), (1, 2), blocks).unwrap();
        let map = apply(&keeps, &map, Some(&scores)).unwrap();
        let after = map.to_vec().unwrap();
        prop_assert!(before.iter().zip(&after).all(|(a, b)| a == b || *b == FULL));
        for (index, levels) in after.chunks(columns).enumerate() {
            let row = index % rows;
            let tokens = blocks.query_range(row);
            let full = |column: usize| levels[column] == FULL;
            let overlap = |a: &Range<usize>, b: &Range<usize>| a.start.max(b.start) < a.end.min(b.end);
            let count: usize = levels.iter().map(|&level| usize::from(level == FULL)).sum();
            prop_assert!(count >= least_full.min(columns));
            for column in 0..columns {
                let named = overlap(&keeps.sink, &blocks.key_range(column))
                    || overlap(&keeps.full_rows, &tokens)
                    || own && overlap(&tokens, &blocks.key_range(column));
                prop_assert!(!named || full(column), "row {}, column {}", row, column);
            }
        }
        // A second time there is nothing left to do.
        prop_assert_eq!(apply(&keeps, &map, Some(&scores)).unwrap().to_vec().unwrap(), after);
    }
}
