//! The estimators against their formulas, written out over single tokens in F64.

use candle_core::{DType, Tensor};
use proptest::prelude::*;

use super::*;
use crate::{
    attention::attention_with_lse,
    cpu::{Level, with_level},
    testing::{self, close, random},
};

/// Scores of a tensor by itself.
type Estimator<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;
/// Tokens of one head in F64.
type Rows = Vec<Vec<f64>>;

fn heads(x: &Tensor) -> Vec<Rows> {
    let (_, _, tokens, width) = x.dims4().unwrap();
    let x = x.to_dtype(DType::F64).unwrap().reshape(((), tokens, width)).unwrap();
    x.to_vec3().unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let sum = |column| rows.iter().map(|row| row[column]).sum::<f64>();
    (0..rows[0].len()).map(|column| sum(column) / rows.len() as f64).collect()
}

/// `[B, H, rows, columns]` from a formula over the tokens of one head's blocks.
fn by_block(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    formula: impl Fn(&[Vec<f64>], &[Vec<f64>], &Rows) -> f64,
) -> Tensor {
    let (batch, count, _, _) = q.dims4().unwrap();
    let mut values = Vec::new();
    for (q, k) in heads(q).iter().zip(&heads(k)) {
        for row in 0..blocks.rows() {
            for column in 0..blocks.columns() {
                let (rows, keys) = (&q[blocks.query_range(row)], &k[blocks.key_range(column)]);
                values.push(formula(rows, keys, k));
            }
        }
    }
    let shape = (batch, count, blocks.rows(), blocks.columns());
    Tensor::from_vec(values, shape, q.device()).unwrap()
}

/// Checks what `work` gives at every level that this machine has, the reference included.
fn check(exact: &Tensor, limit: f64, work: impl Fn() -> Result<Tensor>) {
    for level in std::iter::once(Level::Reference).chain(testing::levels()) {
        close(&with_level(level, || work().unwrap()), exact, limit, level);
    }
}

fn operands_of(shape: [usize; 5], dtype: DType) -> (Tensor, Tensor) {
    let [b, h, sq, sk, d] = shape;
    let q = (random(&[b, h, sq, d], 1) * 2.0).unwrap();
    (q.to_dtype(dtype).unwrap(), random(&[b, h, sk, d], 2).to_dtype(dtype).unwrap())
}

/// Any cut of any tokens: (Sq, Sk, query block, log₂ key block).
fn cuts() -> impl Strategy<Value = Blocks> {
    (1_usize..140, 1_usize..300, 1_usize..70, 0_u32..8)
        .prop_map(|(q, k, rows, log)| Blocks::new(q, k, rows, 1 << log).unwrap())
}

proptest! {
    #![proptest_config(testing::config(24))]

    #[test]
    fn block_mass_is_the_mean_softmax_mass(
        blocks in cuts(),
        b in 1_usize..3,
        h in 1_usize..3,
        d in 1_usize..70,
        bf16: bool,
    ) {
        let dtype = if bf16 { DType::BF16 } else { DType::F32 };
        let (q, k) = operands_of([b, h, blocks.queries, blocks.keys, d], dtype);
        let scale = 1.0 / (d as f32).sqrt();
        let exact = by_block(&q, &k, blocks, |rows, keys, all| {
            let weight = |q: &Vec<f64>, k: &Vec<f64>| (f64::from(scale) * dot(q, k)).exp();
            let of_query = |q: &Vec<f64>| {
                keys.iter().map(|k| weight(q, k)).sum::<f64>()
                    / all.iter().map(|k| weight(q, k)).sum::<f64>()
            };
            rows.iter().map(of_query).sum::<f64>() / rows.len() as f64
        });
        let (_, lse) = attention_with_lse(&q, &k, &k, scale, None).unwrap();
        check(&exact, 1e-5, || Ok(block_mass(&q, &k, blocks, scale, None)?.mass));
        check(&lse, 1e-5, || Ok(block_mass(&q, &k, blocks, scale, None)?.lse));
        check(&exact, 1e-5, || Ok(block_mass(&q, &k, blocks, scale, Some(&lse))?.mass));
    }

    #[test]
    fn pooled_scores_are_mean_logits(blocks in cuts(), d in 1_usize..70, bf16: bool) {
        let dtype = if bf16 { DType::BF16 } else { DType::F32 };
        let (q, k) = operands_of([2, 2, blocks.queries, blocks.keys, d], dtype);
        let exact = by_block(&q, &k, blocks, |rows, keys, _| 0.2 * dot(&mean(rows), &mean(keys)));
        check(&exact, 1e-5, || mean_pool(&q, &k, blocks, 0.2));
    }

    #[test]
    fn sub_blocks_sum_over_runs_with_their_lengths(
        (q, k) in (1_usize..200, 1_usize..200),
        (run, rows, log) in (0_u32..4, 1_usize..5, 0_u32..4),
        d in 1_usize..40,
    ) {
        let run = 1 << run;
        let blocks = Blocks::new(q, k, rows * run, run << log).unwrap();
        let (q, k) = operands_of([1, 2, q, k, d], DType::F32);
        let exact = by_block(&q, &k, blocks, |rows, keys, _| {
            let mut sum = 0.0;
            for a in rows.chunks(run) {
                for b in keys.chunks(run) {
                    sum += (a.len() * b.len()) as f64 * (0.2 * dot(&mean(a), &mean(b))).exp();
                }
            }
            sum.ln()
        });
        check(&exact, 1e-5, || sub_block(&q, &k, blocks, 0.2, run));
    }
}

proptest! {
    #![proptest_config(testing::config(24))]

    /// With every query of a block as its sample, the losses are the formula's and the masses are the block masses.
    #[test]
    fn pooling_losses_are_the_formulas(
        (queries, keys) in (1_usize..5, 1_usize..150),
        (rows, log) in (1_usize..20, 0_u32..7),
        (width, d) in (1_usize..20, 1_usize..40),
        bf16: bool,
    ) {
        let dtype = if bf16 { DType::BF16 } else { DType::F32 };
        let blocks = Blocks::new(queries * rows, keys, rows, 1 << log).unwrap();
        let (q, k) = operands_of([1, 2, blocks.queries, keys, d], dtype);
        let v = random(&[1, 2, keys, width], 3).to_dtype(dtype).unwrap();
        let levels = usize::from(blocks.deepest_level());
        let mut exact = Vec::new();
        for ((q, k), v) in heads(&q).iter().zip(&heads(&k)).zip(&heads(&v)) {
            let weights: Vec<Vec<f64>> = q
                .iter()
                .map(|q| {
                    let weights: Vec<f64> = k.iter().map(|k| (0.2 * dot(q, k)).exp()).collect();
                    let total: f64 = weights.iter().sum();
                    weights.iter().map(|weight| weight / total).collect()
                })
                .collect();
            for (row, column) in
                (0..blocks.rows()).flat_map(|row| (0..blocks.columns()).map(move |c| (row, c)))
            {
                let keys = blocks.key_range(column);
                for level in 1..=levels {
                    let of_query = |weights: &Vec<f64>| {
                        let groups = weights[keys.clone()].chunks(1 << (level - 1));
                        let values = v[keys.clone()].chunks(1 << (level - 1));
                        groups.zip(values).map(|(p, v)| spread(p.iter().map(|p| vec![*p])) *
                            spread(v.iter().cloned()) / p.len() as f64).sum::<f64>()
                    };
                    let of_block = &weights[blocks.query_range(row)];
                    exact.push(of_block.iter().map(of_query).sum::<f64>() / of_block.len() as f64);
                }
            }
        }
        let shape = (1, 2, blocks.rows(), blocks.columns(), levels);
        let exact = Tensor::from_vec(exact, shape, q.device()).unwrap();
        let found = || pooling_loss([&q, &k, &v], blocks, 0.2, rows, 7);
        if levels > 1 && keys > 1 {
            check(&exact, 1e-5, || Ok(found()?.loss));
        }
        let mass = block_mass(&q, &k, blocks, 0.2, None).unwrap().mass;
        check(&mass, 1e-5, || Ok(found()?.mass));
    }
}

/// Σ ‖x − x̄‖².
fn spread(rows: impl Iterator<Item = Vec<f64>>) -> f64 {
    let rows: Vec<Vec<f64>> = rows.collect();
    let centre = mean(&rows);
    let squared =
        |row: &Vec<f64>| row.iter().zip(&centre).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    rows.iter().map(squared).sum()
}

/// Equal keys have equal weights, equal values do not care: both may be pooled without loss.
#[test]
fn pooling_what_is_alike_loses_nothing() {
    let blocks = Blocks::new(40, 100, 16, 32).unwrap();
    let (q, k) = operands_of([1, 2, 40, 100, 8], DType::F32);
    let same = k.narrow(2, 0, 1).unwrap().broadcast_as(k.shape()).unwrap().contiguous().unwrap();
    let most = |k: &Tensor, v: &Tensor| {
        let loss = pooling_loss([&q, k, v], blocks, 0.2, 4, 1).unwrap().loss;
        loss.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
    };
    let v = random(&[1, 2, 100, 8], 3);
    assert!(most(&k, &v) > 1e-4 && most(&same, &v) < 1e-9 && most(&k, &same) < 1e-9);
    for queries in [0, 17] {
        let error = pooling_loss([&q, &k, &v], blocks, 0.2, queries, 1).unwrap_err();
        assert!(error.to_string().contains("1 to 16 sampled queries"), "{error}");
    }
}

#[test]
fn runs_of_equal_tokens_give_the_exact_mass() {
    // Each token 16 times, but the last run 5 times only: Jensen's bound is met.
    let repeat = |x: &Tensor| {
        let rows: Vec<u32> = (0..133).map(|token| token / 16).collect();
        x.index_select(&Tensor::new(rows, x.device()).unwrap(), 2).unwrap()
    };
    let (q, k) = (repeat(&random(&[1, 2, 9, 24], 1)), repeat(&random(&[1, 2, 9, 24], 2)));
    let blocks = Blocks::new(133, 133, 64, 32).unwrap();
    let exact = by_block(&q, &k, blocks, |rows, keys, _| {
        rows.iter().flat_map(|q| keys.iter().map(|k| (0.2 * dot(q, k)).exp())).sum::<f64>().ln()
    });
    check(&exact, 1e-6, || sub_block(&q, &k, blocks, 0.2, 16));
}

#[test]
fn sampling_everything_gives_the_largest_weights() {
    let blocks = Blocks::new(75, 50, 16, 8).unwrap();
    let (q, k) = operands_of([2, 2, 75, 50, 24], DType::F32);
    let exact = by_block(&q, &k, blocks, |rows, keys, all| {
        let highest = |q: &Vec<f64>, keys: &[Vec<f64>]| {
            keys.iter().map(|k| 0.2 * dot(q, k)).fold(f64::MIN, f64::max)
        };
        rows.iter().map(|q| highest(q, keys) - highest(q, all)).fold(f64::MIN, f64::max).exp()
    });
    let all = Sampling { queries: 16, keys: 8, seed: 1 };
    check(&exact, 1e-5, || sampled_max(&q, &k, blocks, 0.2, &all));
}

#[test]
fn sampling_follows_its_seed_and_its_head() {
    let blocks = Blocks::new(150, 150, 32, 16).unwrap();
    let (q, k) = operands_of([1, 2, 150, 150, 24], DType::F32);
    // Both heads hold the same.
    let same = |x: &Tensor| x.narrow(1, 0, 1).unwrap().repeat((1, 2, 1, 1)).unwrap();
    let (q, k) = (same(&q), same(&k));
    let of = |seed| {
        let sampling = Sampling { queries: 8, keys: 4, seed };
        let scores = sampled_max(&q, &k, blocks, 0.2, &sampling).unwrap();
        scores.reshape((2, ())).unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    assert_ne!(of(7)[0], of(7)[1], "heads look at different places");
    assert!(of(7).concat().iter().all(|score| (0.0..=1.0).contains(score)));
    for row in of(7).concat().chunks(blocks.columns()) {
        assert_eq!(row.iter().copied().fold(0.0, f32::max), 1.0, "a query's best block scores 1");
    }
}

#[test]
fn single_rows_are_rows_of_the_softmax() {
    let (q, k) = operands_of([2, 2, 90, 70, 24], DType::F32);
    let blocks = Blocks::new(90, 70, 32, 16).unwrap();
    let rows = [3, 89, 0, 3];
    let exact = block_mass(&q, &k, Blocks::new(90, 70, 1, 16).unwrap(), 0.2, None).unwrap().mass;
    let index = Tensor::new(&rows, q.device()).unwrap();
    let exact = exact.index_select(&index, 2).unwrap();
    check(&exact, 1e-6, || sampled_rows(&q, &k, blocks, 0.2, &rows));
    let error = sampled_rows(&q, &k, blocks, 0.2, &[90]).unwrap_err().to_string();
    assert!(error.contains("below 90, got 90"), "{error}");
}

#[test]
fn a_stale_lse_scales_the_rows() {
    let (q, k) = operands_of([1, 1, 40, 40, 16], DType::F32);
    let blocks = Blocks::new(40, 40, 8, 8).unwrap();
    let fresh = block_mass(&q, &k, blocks, 0.2, None).unwrap();
    let stale = (&fresh.lse + f64::ln(2.0)).unwrap();
    let halved = (&fresh.mass / 2.0).unwrap();
    check(&halved, 1e-6, || Ok(block_mass(&q, &k, blocks, 0.2, Some(&stale))?.mass));
    check(&stale, 0.0, || Ok(block_mass(&q, &k, blocks, 0.2, Some(&stale))?.lse));
}

#[test]
fn nothing_is_lost_beside_larger_logits() {
    // Logits of up to ±1000 nats in one row: each block's own mass stands, where a sum in units of the row's largest
    // would be 0.
    let blocks = Blocks::new(64, 96, 32, 16).unwrap();
    let (q, k) = operands_of([1, 2, 64, 96, 16], DType::F32);
    let exact = by_block(&q, &k, blocks, |rows, keys, _| {
        let logits: Vec<f64> =
            rows.iter().flat_map(|q| keys.iter().map(|k| 30.0 * dot(q, k))).collect();
        let highest = logits.iter().copied().fold(f64::MIN, f64::max);
        logits.iter().map(|s| (s - highest).exp()).sum::<f64>().ln() + highest
    });
    check(&exact, 1e-5, || sub_block(&q, &k, blocks, 30.0, 1));
    let mass = block_mass(&q, &k, blocks, 30.0, None).unwrap().mass;
    check(&mass, 1e-3, || Ok(block_mass(&q, &k, blocks, 30.0, None)?.mass));
    check(&Tensor::ones((1, 2, 2), DType::F32, q.device()).unwrap(), 1e-5, || mass.sum(D::Minus1));
}

#[test]
fn a_nan_query_reaches_its_row_of_scores() {
    let blocks = Blocks::new(40, 70, 8, 16).unwrap();
    let (q, k) = operands_of([1, 1, 40, 70, 16], DType::F32);
    let mut values = q.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values[19 * 16] = f32::NAN;
    let q = Tensor::from_vec(values, (1, 1, 40, 16), q.device()).unwrap();
    let all = Sampling { queries: 8, keys: 4, seed: 1 };
    let estimators: [Estimator<'_>; 4] = [
        &|q| mean_pool(q, &k, blocks, 0.2),
        &|q| sub_block(q, &k, blocks, 0.2, 4),
        &|q| sampled_max(q, &k, blocks, 0.2, &all),
        &|q| Ok(block_mass(q, &k, blocks, 0.2, None)?.mass),
    ];
    for level in testing::levels() {
        for (which, estimator) in estimators.iter().enumerate() {
            let scores = with_level(level, || estimator(&q).unwrap());
            let scores = scores.reshape((5, 5)).unwrap().to_vec2::<f32>().unwrap();
            for (row, scores) in scores.iter().enumerate() {
                let nan = scores.iter().all(|x| x.is_nan());
                let none = scores.iter().all(|x| !x.is_nan());
                assert!(if row == 2 { nan } else { none }, "{level:?}, {which}, row {row}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let blocks = Blocks::new(300, 300, 32, 16).unwrap();
    let (q, k) = operands_of([1, 5, 300, 300, 24], DType::F32);
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mass = pool.install(|| block_mass(&q, &k, blocks, 0.2, None).unwrap().mass);
        let runs = pool.install(|| sub_block(&q, &k, blocks, 0.2, 8).unwrap());
        Tensor::cat(&[mass, runs], 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(of(1), of(3));
}

#[test]
fn views_that_are_not_contiguous_are_read_right() {
    let blocks = Blocks::new(50, 50, 16, 8).unwrap();
    let q = random(&[2, 50, 3, 24], 1).transpose(1, 2).unwrap();
    let whole = q.contiguous().unwrap();
    let sampling = Sampling { queries: 5, keys: 3, seed: 1 };
    let all: [Estimator<'_>; 7] = [
        &|q| mean_pool(q, q, blocks, 0.2),
        &|q| sub_block(q, q, blocks, 0.2, 4),
        &|q| sampled_max(q, q, blocks, 0.2, &sampling),
        &|q| sampled_rows(q, q, blocks, 0.2, &[7, 30]),
        &|q| Ok(block_mass(q, q, blocks, 0.2, None)?.mass),
        &|q| self_similarity(q, 16),
        &|q| group_cosine(q, 16),
    ];
    for estimator in all {
        check(&estimator(&whole).unwrap(), 1e-5, || estimator(&q));
    }
}

#[test]
fn similarity_is_the_mean_of_the_gram_matrix() {
    let x = random(&[2, 2, 37, 12], 1);
    let cosine = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let blocks = Blocks::new(37, 37, 1, 8).unwrap();
    let mut exact = Vec::new();
    let mut groups = Vec::new();
    for rows in heads(&x) {
        for column in 0..blocks.columns() {
            let rows = &rows[blocks.key_range(column)];
            let pairs = rows.iter().flat_map(|a| rows.iter().map(|b| cosine(a, b)));
            exact.push(pairs.sum::<f64>() / (rows.len() * rows.len()) as f64);
            for pool in [2, 4, 8] {
                let ends =
                    rows.chunks(pool).map(|group| cosine(&group[0], &group[group.len() - 1]));
                groups.push(ends.sum::<f64>() / rows.len().div_ceil(pool) as f64);
            }
        }
    }
    let exact = Tensor::from_vec(exact, (2, 2, 5), x.device()).unwrap();
    check(&exact, 1e-5, || self_similarity(&x, 8));
    let groups = Tensor::from_vec(groups, (2, 2, 5, 3), x.device()).unwrap();
    check(&groups, 1e-5, || group_cosine(&x, 8));
}

#[test]
fn rows_become_shares_and_moments() {
    // e⁰ : e^ln3 = 1 : 3; mean ½·ln 3 and deviation ½·ln 3.
    let scores = Tensor::new(&[[[[0.0, 3.0_f32.ln()]]]], &candle_core::Device::Cpu).unwrap();
    let shares = row_softmax(&scores).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!((shares[0] - 0.25).abs() < 1e-6 && (shares[1] - 0.75).abs() < 1e-6);
    let (mean, sigma) = row_moments(&scores).unwrap();
    for moment in [mean, sigma] {
        assert_eq!(moment.dims(), [1, 1, 1]);
        let value = moment.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((value - 3.0_f32.ln() / 2.0).abs() < 1e-5);
    }
    let empty = Tensor::full(f32::NEG_INFINITY, (1, 1, 1, 3), scores.device()).unwrap();
    let zeros = row_softmax(&empty).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(zeros, [0.0; 3]);
}

#[test]
fn errors_name_the_operand() {
    let x = random(&[1, 1, 40, 8], 1);
    let blocks = Blocks::new(40, 40, 8, 8).unwrap();
    let text = |result: Result<Tensor>| result.unwrap_err().to_string();
    let wrong = Blocks::new(41, 40, 8, 8).unwrap();
    assert!(text(mean_pool(&x, &x, wrong, 1.0)).contains("`q` must have shape [1, 1, 41, 8]"));
    assert!(text(sub_block(&x, &x, blocks, 1.0, 3)).contains("`run`"));
    let sampling = Sampling { queries: 9, keys: 1, seed: 0 };
    assert!(text(sampled_max(&x, &x, blocks, 1.0, &sampling)).contains("1 to 8 queries"));
    let empty = Blocks { queries: 0, ..blocks };
    assert!(text(mean_pool(&x, &x, empty, 1.0)).contains("got 0 queries"));
    assert!(text(self_similarity(&x, 0)).contains("`block`"));
    assert!(text(group_cosine(&x, 6)).contains("power of two, got 6"));
    assert!(block_mass(&x, &x, blocks, 1.0, Some(&x)).unwrap_err().to_string().contains("`lse`"));
}
