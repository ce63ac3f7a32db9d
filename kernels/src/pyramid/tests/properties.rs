//! The properties of methods.md §6.3, in F64 where they are exact and on the fast path where it has to keep them.

use candle_core::{D, DType, Device, Tensor};
use proptest::prelude::*;

use super::{Case, finite, numbers, run};
use crate::{
    attention::attention_with_lse,
    blocks::Blocks,
    cpu::{Level, with_level},
    levels::{FULL, LevelMap, SKIPPED},
    order::{Order, permute},
    pyramid::{Attended, Bias, Options, merge, reference},
    testing::{self, close, error, levels},
};

fn exact([q, k, v]: &[Tensor; 3], map: &LevelMap, options: &Options<'_>) -> Attended {
    reference::attention(q, k, v, map, options).unwrap()
}

fn dense(case: &Case) -> LevelMap {
    LevelMap::filled(FULL, case.heads, case.blocks).unwrap()
}

fn same(a: &Attended, b: &Attended, limit: f64) {
    close(&a.out, &b.out, limit, Level::Reference);
    close(&finite(&a.lse), &finite(&b.lse), limit, Level::Reference);
}

/// A permutation that a seed determines.
fn shuffled(tokens: usize, seed: u64) -> Order {
    let keys: Vec<usize> = numbers(tokens, seed).collect();
    let mut order: Vec<u32> = (0..tokens as u32).collect();
    order.sort_by_key(|&t| (keys[t as usize], t));
    Order::new(order).unwrap()
}

/// Any small call.
fn cases() -> impl Strategy<Value = Case> {
    let blocks = (1_usize..60, 1_usize..90, 1_usize..40, 1_u32..6);
    ((1_usize..3, 1_usize..3), blocks, 1_usize..20, any::<u64>()).prop_map(
        |(heads, (queries, keys, query_block, key_block), width, seed)| {
            let blocks = Blocks::new(queries, keys, query_block, 1 << key_block).unwrap();
            Case { heads, blocks, width, seed }
        },
    )
}

proptest! {
    #![proptest_config(testing::config(32))]

    /// Property 1.
    #[test]
    fn all_levels_one_is_dense_attention(case in cases()) {
        let operands = case.operands(DType::F32);
        let [q, k, v] = &operands;
        for level in levels().into_iter().chain([Level::Reference]) {
            let result = run(level, &operands, &dense(&case), &case.options());
            let (out, lse) = with_level(level, || {
                attention_with_lse(q, k, v, case.options().scale, None).unwrap()
            });
            close(&result.out, &out, 1e-6, level);
            close(&result.lse, &lse, 1e-6, level);
        }
    }

    /// Property 2: within a block all keys are equal, values are not.
    #[test]
    fn groups_of_equal_keys_are_exact(case in cases(), whole: bool) {
        let mut case = case;
        if whole {
            case.blocks.keys = case.blocks.keys.next_multiple_of(case.blocks.key_block);
        }
        let [q, k, v] = case.operands(DType::F64);
        let firsts: Vec<u32> = (0..case.blocks.keys)
            .map(|t| (t - t % case.blocks.key_block) as u32)
            .collect();
        let k = k.index_select(&Tensor::new(firsts, &Device::Cpu).unwrap(), 2).unwrap();
        let operands = [q, k, v];
        let map = case.map().with_floor(case.blocks.deepest_level()).unwrap();
        let count = exact(&operands, &map, &case.options());
        same(&count, &exact(&operands, &dense(&case), &case.options()), 1e-12);
        if whole {
            let level = Options { bias: Bias::Level, ..case.options() };
            same(&exact(&operands, &map, &level), &count, 1e-12);
        }
    }

    /// Property 3: n·e^(scale·q·k̄) ≤ Σ e^(scale·q·k), so that no pooled map has more mass than the dense one.
    #[test]
    fn pooling_never_adds_mass(case in cases()) {
        let operands = case.operands(DType::F64);
        let map = case.map().with_floor(case.blocks.deepest_level()).unwrap();
        let pooled = exact(&operands, &map, &case.options()).lse;
        let whole = exact(&operands, &dense(&case), &case.options()).lse;
        let excess = (pooled - whole).unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        prop_assert!(excess <= 1e-12, "{excess}");
    }

    /// Property 4: the deepest level adds n·e^s₀ to the denominator and e^s₀·Σv to the numerator, s₀ = scale·q·k̄.
    #[test]
    fn the_deepest_level_is_a_zeroth_order_tail(case in cases()) {
        let [q, k, v] = case.operands(DType::F64);
        let deepest = case.blocks.deepest_level();
        let map = LevelMap::filled(deepest, case.heads, case.blocks).unwrap();
        let (mut denominator, mut numerator) = (q.zeros_like().unwrap(), q.zeros_like().unwrap());
        for column in 0..case.blocks.columns() {
            let tokens = case.blocks.key_range(column);
            let n = tokens.len() as f64;
            let of = |x: &Tensor| x.narrow(2, tokens.start, tokens.len()).unwrap().sum_keepdim(2).unwrap();
            let (k, v) = (of(&k), of(&v));
            let scale = f64::from(case.options().scale) / n;
            let score = (q.broadcast_mul(&k).unwrap().sum_keepdim(D::Minus1).unwrap() * scale).unwrap();
            let weight = score.exp().unwrap().broadcast_as(q.shape()).unwrap();
            numerator = (numerator + weight.broadcast_mul(&v).unwrap()).unwrap();
            denominator = (denominator + (weight * n).unwrap()).unwrap();
        }
        let out = (numerator / &denominator).unwrap();
        let lse = denominator.log().unwrap().narrow(3, 0, 1).unwrap().squeeze(3).unwrap();
        same(&exact(&[q, k, v], &map, &case.options()), &Attended { out, lse }, 1e-12);
    }

    /// Property 5: a map in two parts, on the fast path.
    #[test]
    fn parts_merge_into_the_whole(case in cases()) {
        let map = case.map();
        let levels = map.to_vec().unwrap();
        let part = |which: usize| {
            let pick = |(level, x): (&u8, usize)| if x % 2 == which { *level } else { SKIPPED };
            let levels = levels.iter().zip(numbers(levels.len(), !case.seed)).map(pick).collect();
            LevelMap::from_vec(levels, case.heads, case.blocks).unwrap()
        };
        for (dtype, limit) in [(DType::F32, 2e-6), (DType::BF16, 1e-2)] {
            let operands = case.operands(dtype);
            let of = |map: &LevelMap| run(Level::Avx512Bf16, &operands, map, &case.options());
            let merged = merge(&of(&part(0)), &of(&part(1))).unwrap();
            prop_assert_eq!(merged.out.dtype(), dtype);
            same(&merged, &of(&map), limit);
        }
    }

    /// Property 6: at level 1 the order of keys is nothing, and that of queries comes back.
    #[test]
    fn full_blocks_do_not_know_the_order(case in cases()) {
        let operands = case.operands(DType::F64);
        let [q, k, v] = &operands;
        let queries = [shuffled(case.blocks.queries, case.seed)];
        let keys = [shuffled(case.blocks.keys, !case.seed)];
        let moved =
            [permute(q, &queries), permute(k, &keys), permute(v, &keys)].map(Result::unwrap);
        let moved = exact(&moved, &dense(&case), &case.options());
        let back = permute(&moved.out, &[queries[0].inverse()]).unwrap();
        close(&back, &exact(&operands, &dense(&case), &case.options()).out, 1e-12, Level::Reference);
    }

    /// Property 7: one vector taken from every key shifts the LSE by −scale·q·c and nothing else.
    #[test]
    fn a_shift_of_all_keys_is_a_shift_of_the_lse(case in cases()) {
        let [q, k, v] = case.operands(DType::F64);
        let c = v.narrow(2, 0, 1).unwrap();
        let shifted = k.broadcast_sub(&c).unwrap();
        let map = case.map().with_floor(case.blocks.deepest_level()).unwrap();
        let before = exact(&[q.clone(), k, v.clone()], &map, &case.options());
        let after = exact(&[q.clone(), shifted, v], &map, &case.options());
        let shift = q.broadcast_mul(&c).unwrap().sum(D::Minus1).unwrap();
        let shift = (shift * f64::from(case.options().scale)).unwrap();
        let expected = Attended { lse: (before.lse - shift).unwrap(), ..before };
        same(&after, &expected, 1e-11);
    }
}

/// Property 6, the other half: what is pooled together depends on the order, unless it moves within a group only.
#[test]
fn pooled_blocks_know_the_order() {
    let case = Case { heads: (1, 1), blocks: Blocks::of(256), width: 8, seed: 6 };
    let [q, k, v] = case.operands(DType::F64);
    let map = LevelMap::filled(3, case.heads, case.blocks).unwrap();
    let moved = |order: Order| {
        let order = [order];
        let operands = [q.clone(), permute(&k, &order).unwrap(), permute(&v, &order).unwrap()];
        exact(&operands, &map, &case.options()).out
    };
    let still = moved(Order::identity(256));
    assert!(error(&moved(shuffled(256, 1)), &still) > 0.1);
    let within = Order::new((0..256).map(|t| t ^ 3).collect()).unwrap();
    assert!(error(&moved(within), &still) < 1e-12);
}

/// Where both parts see nothing the whole sees nothing, and where one does the other stands as it is.
#[test]
fn empty_parts_merge() {
    let case = Case { heads: (1, 2), blocks: Blocks::of(200), width: 16, seed: 7 };
    let operands = case.operands(DType::F32);
    let none = LevelMap::filled(SKIPPED, case.heads, case.blocks).unwrap();
    let none = run(Level::Avx512Bf16, &operands, &none, &case.options());
    let nothing = merge(&none, &none).unwrap();
    let lse = nothing.lse.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(lse.iter().all(|&x| x == f32::NEG_INFINITY));
    let size = nothing.out.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(size, 0.0);
    let some = run(Level::Avx512Bf16, &operands, &dense(&case), &case.options());
    for merged in [merge(&none, &some).unwrap(), merge(&some, &none).unwrap()] {
        same(&merged, &some, 0.0);
    }
    let other = run(
        Level::Avx512Bf16,
        &operands.map(|x| x.to_dtype(DType::BF16).unwrap()),
        &dense(&case),
        &case.options(),
    );
    assert!(merge(&some, &other).unwrap_err().to_string().contains("`b.out` must be F32"));
}
