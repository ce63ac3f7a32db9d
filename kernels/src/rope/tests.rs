//! The CPU paths against the reference.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::{RopeTables, merge_heads, norm_rope_heads};
use crate::{
    cpu::{Level, with_level},
    testing::{self, close, close_bf16, levels, random},
};

fn tables(tokens: usize, head: usize) -> RopeTables {
    let angles = random(&[tokens, head / 2], 9);
    RopeTables { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() }
}

fn run(
    level: Level,
    [b, s, heads, head]: [usize; 4],
    [norm, rope]: [bool; 2],
    dtype: DType,
) -> Tensor {
    let x = random(&[b, s, heads * head], 1).to_dtype(dtype).unwrap();
    let weight = random(&[heads * head], 2);
    let tables = tables(s, head);
    with_level(level, || {
        norm_rope_heads(&x, norm.then_some((&weight, 1e-6)), heads, rope.then_some(&tables))
            .unwrap()
    })
}

proptest! {
    #![proptest_config(testing::config(24))]

    #[test]
    fn any_shape_equals_the_reference(
        b in 1_usize..3,
        s in 1_usize..40,
        heads in 1_usize..6,
        half in 1_usize..40,
        norm: bool,
        rope: bool,
    ) {
        let shape = [b, s, heads, 2 * half];
        let exact = run(Level::Reference, shape, [norm, rope], DType::F32);
        let plain = run(Level::Reference, shape, [norm, rope], DType::BF16);
        for level in levels() {
            close(&run(level, shape, [norm, rope], DType::F32), &exact, 1e-6, level);
            close_bf16(&run(level, shape, [norm, rope], DType::BF16), &plain, &exact, level);
        }
    }

    #[test]
    fn merging_undoes_splitting(b in 1_usize..3, s in 1_usize..40, heads in 1_usize..6, head in 1_usize..40) {
        let x = random(&[b, s, heads * head], 1);
        for level in levels() {
            for dtype in [DType::F32, DType::BF16] {
                let x = x.to_dtype(dtype).unwrap();
                let back = with_level(level, || {
                    merge_heads(&norm_rope_heads(&x, None, heads, None).unwrap()).unwrap()
                });
                close(&back, &x, 0.0, level);
            }
        }
    }
}

#[test]
fn a_quarter_turn() {
    let x = Tensor::new(&[[[1.0_f32, 2.0, 3.0, 4.0]]], &Device::Cpu).unwrap();
    let rope = RopeTables {
        cos: Tensor::new(&[[0.0_f32, 1.0]], &Device::Cpu).unwrap(),
        sin: Tensor::new(&[[1.0_f32, 0.0]], &Device::Cpu).unwrap(),
    };
    for level in Level::ALL {
        let y = with_level(level, || norm_rope_heads(&x, None, 1, Some(&rope)).unwrap());
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [-2.0, 1.0, 3.0, 4.0]);
    }
}

#[test]
fn errors_name_the_operand() {
    let x = random(&[1, 3, 12], 1);
    assert!(norm_rope_heads(&x, None, 5, None).unwrap_err().to_string().contains("5 heads"));
    let error = norm_rope_heads(&x, None, 2, Some(&tables(4, 6))).unwrap_err().to_string();
    assert!(error.contains("`cos`"), "{error}");
    assert!(norm_rope_heads(&x, None, 4, Some(&tables(3, 4))).is_err());
}
