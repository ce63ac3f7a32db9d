//! Heads, rotation, and heads side by side.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::rope::{RopeTables, merge_heads, norm_rope_heads};

use crate::support::{gpu_agrees, random};

/// With and without norm and rotation, and merged again.
fn all(device: &Device, dtype: DType, [b, s, heads, head]: [usize; 4]) -> Vec<Tensor> {
    let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
    let x = of(&[b, s, heads * head], 1).to_dtype(dtype).unwrap();
    let weight = of(&[heads * head], 2);
    let rope = head.is_multiple_of(2).then(|| {
        let angles = of(&[s, head / 2], 9);
        RopeTables { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() }
    });
    let norm = Some((&weight, 1e-6));
    let mut results = Vec::new();
    for (norm, rope) in [(norm, rope.as_ref()), (norm, None), (None, rope.as_ref()), (None, None)] {
        let y = norm_rope_heads(&x, norm, heads, rope).unwrap();
        results.push(merge_heads(&y).unwrap());
        results.push(y);
    }
    results
}

#[test]
#[ignore = "needs a GPU"]
fn heads_on_the_gpu_equal_the_reference() {
    let shapes = [
        [1, 1, 1, 1],
        [2, 7, 3, 5],
        [1, 33, 2, 6],
        [2, 5, 3, 8],
        [1, 101, 12, 128],
        [2, 37, 24, 128],
        [1, 50, 40, 128],
        [1, 19, 48, 64],
        [1, 3, 130, 128],
        [1, 3, 300, 128],
    ];
    for shape in shapes {
        gpu_agrees(3e-6, |device, dtype| all(device, dtype, shape));
    }
}
