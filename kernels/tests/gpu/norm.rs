//! Norms, gated residual and sum.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::norm::{add, gated_add, layer_norm, layer_norm_modulate, rms_norm};

use crate::support::{gpu_agrees, random};

const EPS: f64 = 1e-6;

/// Every function of the module; vectors for each sample when asked.
fn all(device: &Device, dtype: DType, [b, s, c]: [usize; 3], each: bool) -> Vec<Tensor> {
    let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
    let vector = |seed| if each { of(&[b, c], seed) } else { of(&[c], seed) };
    // Away from zero mean, so that a variance not taken about the mean would show.
    let x = (of(&[b, s, c], 1) + 3.0).unwrap();
    let y = of(&[b, s, c], 2).to_dtype(dtype).unwrap();
    let (weight, bias) = (of(&[c], 3), of(&[c], 4));
    vec![
        layer_norm_modulate(&x, &vector(5), &vector(6), EPS, dtype).unwrap(),
        layer_norm_modulate(&x, &of(&[c], 5), &vector(6), EPS, dtype).unwrap(),
        layer_norm(&x, &weight, &bias, EPS, dtype).unwrap(),
        layer_norm(&y, &weight, &bias, EPS, dtype).unwrap(),
        layer_norm(&y, &weight, &bias, EPS, DType::F32).unwrap(),
        rms_norm(&x, &weight, EPS, dtype).unwrap(),
        rms_norm(&y, &weight.to_dtype(dtype).unwrap(), EPS, dtype).unwrap(),
        gated_add(x.clone(), &y, Some(&vector(7))).unwrap(),
        gated_add(x, &y, None).unwrap(),
        add(&y, &y).unwrap(),
    ]
}

#[test]
#[ignore = "needs a GPU"]
fn norms_on_the_gpu_equal_the_reference() {
    let widths = [1, 2, 7, 8, 30, 96, 1000, 1536, 2056, 3072, 5120, 8192, 8200, 33_000];
    for (case, width) in widths.into_iter().enumerate() {
        let (batch, rows) = (1 + case % 3, 1 + 6 * case % 13);
        // In one dimension of 1 or 2 a variance is rounding alone.
        for each in [false, true] {
            if width > 2 {
                gpu_agrees(3e-6, |device, dtype| all(device, dtype, [batch, rows, width], each));
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn rows_of_a_view_that_starts_amid_16_bytes() {
    gpu_agrees(3e-6, |device, dtype| {
        let wide = random(&[1, 9 * 24 + 1], 1).to_device(device).unwrap().to_dtype(dtype).unwrap();
        let x = wide.narrow(1, 1, 9 * 24).unwrap().reshape((1, 9, 24)).unwrap();
        let weight = random(&[24], 2).to_device(device).unwrap();
        vec![rms_norm(&x, &weight, EPS, dtype).unwrap(), add(&x, &x).unwrap()]
    });
}
