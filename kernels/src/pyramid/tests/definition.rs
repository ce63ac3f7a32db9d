//! The reference against the definition of methods.md §6.3, written as loops in F64.

use candle_core::{DType, Tensor};
use proptest::prelude::*;

use super::{Case, finite, seen};
use crate::{
    blocks::Blocks,
    levels::{LevelMap, pool},
    pyramid::{Bias, Options, reference},
    testing::{self, error},
};

/// O and LSE of every query of one head, and the number of scores that they came from.
struct Rows {
    out: Vec<f64>,
    lse: Vec<f64>,
    scores: usize,
}

fn loops(
    [q, k, v]: [&[f64]; 3],
    levels: &[u8],
    blocks: Blocks,
    width: usize,
    options: &Options<'_>,
    valid: &[u8],
) -> Rows {
    let mut rows = Rows { out: Vec::new(), lse: Vec::new(), scores: 0 };
    for (query, q) in q.chunks(width).enumerate() {
        let row = query / blocks.query_block;
        let (mut weights, mut sums) = (0.0, vec![0.0; width]);
        for (j, &level) in levels[row * blocks.columns()..][..blocks.columns()].iter().enumerate() {
            let run = if level == 0 { blocks.key_block } else { pool(level) };
            for g in 0..blocks.key_block / run {
                let start = j * blocks.key_block + g * run;
                let tokens: Vec<usize> = (start..(start + run).min(blocks.keys))
                    .filter(|&t| level > 0 && valid[t] == 1)
                    .collect();
                if tokens.is_empty() {
                    continue;
                }
                let n = tokens.len() as f64;
                let mean =
                    |x: &[f64], c: usize| tokens.iter().map(|t| x[t * width + c]).sum::<f64>() / n;
                let beta = match options.bias {
                    Bias::Count => n.ln(),
                    Bias::Level => f64::from(level - 1) * 2_f64.ln(),
                    Bias::None => 0.0,
                };
                let product: f64 = q.iter().enumerate().map(|(c, q)| q * mean(k, c)).sum();
                // Scores of unit variance: e^s needs no maximum.
                let weight = (f64::from(options.scale) * product + beta).exp();
                weights += weight;
                sums.iter_mut().enumerate().for_each(|(c, sum)| *sum += weight * mean(v, c));
                rows.scores += 1;
            }
        }
        let divisor = if weights == 0.0 { 1.0 } else { weights };
        rows.out.extend(sums.iter().map(|sum| sum / divisor));
        rows.lse.push(weights.ln());
    }
    rows
}

proptest! {
    #![proptest_config(testing::config(48))]

    /// Property 8 beside it: without a mask, exactly the scores that the exact density counts are computed.
    #[test]
    fn the_reference_is_the_definition(
        heads in (1_usize..3, 1_usize..3),
        queries in 1_usize..40,
        keys in 1_usize..70,
        query_block in 1_usize..20,
        key_block in 0_u32..6,
        width in 1_usize..9,
        bias in prop_oneof![Just(Bias::Count), Just(Bias::Level), Just(Bias::None)],
        masked: bool,
        seed: u64,
    ) {
        let blocks = Blocks::new(queries, keys, query_block, 1 << key_block).unwrap();
        let case = Case { heads, blocks, width, seed };
        let (map, mask) = (case.map(), case.valid());
        let options = Options { bias, valid: masked.then_some(&mask), ..case.options() };
        let valid = if masked { mask.to_vec1().unwrap() } else { vec![1; keys] };
        let operands = case.operands(DType::F64);
        let [q, k, v] = operands.each_ref();
        let result = reference::attention(q, k, v, &map, &options).unwrap();

        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let [q, k, v] = [q, k, v].map(flat);
        let levels = map.to_vec().unwrap();
        let densities = map.densities().unwrap();
        let (mut out, mut lse) = (Vec::new(), Vec::new());
        for (head, density) in densities.iter().enumerate() {
            let of = |x: &'_ [f64], tokens: usize| x[head * tokens * width..][..tokens * width].to_vec();
            let (q, k, v) = (of(&q, queries), of(&k, keys), of(&v, keys));
            let count = blocks.rows() * blocks.columns();
            let levels = &levels[head * count..][..count];
            let rows = loops([&q, &k, &v], levels, blocks, width, &options, &valid);
            if !masked {
                let exact = rows.scores as f64 / (queries * keys) as f64;
                prop_assert!((density.exact - exact).abs() < 1e-12);
            }
            out.extend(rows.out);
            lse.extend(rows.lse);
        }
        let out = Tensor::from_vec(out, result.out.shape(), result.out.device()).unwrap();
        let lse = Tensor::from_vec(lse, result.lse.shape(), result.lse.device()).unwrap();
        prop_assert_eq!(seen(&result.lse), seen(&lse));
        prop_assert!(error(&result.out, &out) < 1e-13);
        prop_assert!(error(&finite(&result.lse), &finite(&lse)) < 1e-13);
    }
}

#[test]
fn densities_agree_where_blocks_are_whole() {
    let case = Case { heads: (1, 2), blocks: Blocks::of(512), width: 1, seed: 8 };
    let density = case.map().density().unwrap();
    assert!((density.exact - density.nominal).abs() < 1e-12, "{density:?}");
    // Eight tokens of a block of 64 are left, a whole block by the nominal count.
    let ragged = Blocks::new(128, 72, 128, 64).unwrap();
    let map = LevelMap::from_vec(vec![0, 4], (1, 1), ragged).unwrap();
    let density = map.density().unwrap();
    assert_eq!((density.nominal, density.exact), (1.0 / 16.0, 1.0 / 72.0));
}
