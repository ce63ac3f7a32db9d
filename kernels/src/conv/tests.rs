//! The CPU paths against the reference, the reference against the definition, streams against whole clips.

use candle_core::{DType, Tensor};
use proptest::prelude::*;

use super::{Conv3d, Padding, UpsampleConv2x};
use crate::{
    cpu::{Level, with_level},
    testing::{self, close, close_bf16, levels, random},
};

#[derive(Clone, Copy, Debug)]
struct Case {
    /// B, T, H, W, I.
    input: [usize; 5],
    outputs: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
}

impl Case {
    fn layer(&self, level: Level, dtype: DType) -> Conv3d {
        let [kt, kh, kw] = self.kernel;
        let weight = random(&[self.outputs, self.input[4], kt, kh, kw], 2);
        let bias = random(&[self.outputs], 3);
        with_level(level, || {
            Conv3d::new(&weight, Some(&bias), self.stride, self.padding, dtype).unwrap()
        })
    }

    fn run(&self, level: Level, dtype: DType) -> Tensor {
        let x = random(&self.input, 1).to_dtype(dtype).unwrap();
        // Given as two tensors when there are two frames.
        let frames = self.input[1];
        let (first, rest) = (x.narrow(1, 0, 1).unwrap(), x.narrow(1, 1, frames - 1).unwrap());
        self.layer(level, dtype).forward(&[&first, &rest]).unwrap()
    }

    fn check(&self) {
        let exact = self.run(Level::Reference, DType::F32);
        let plain = self.run(Level::Reference, DType::BF16);
        for level in levels() {
            // The portable loops round twice a term: their error grows with the root of the number of terms.
            let terms = self.input[4] * self.kernel.iter().product::<usize>();
            let limit = 1e-6 * (terms as f64 / 1000.0).sqrt().max(1.0);
            close(&self.run(level, DType::F32), &exact, limit, level);
            close_bf16(&self.run(level, DType::BF16), &plain, &exact, level);
        }
    }
}

proptest! {
    #![proptest_config(testing::config(24))]

    #[test]
    fn any_shape_equals_the_reference(
        batch in 1_usize..3,
        t in 0_usize..3,
        h in 1_usize..14,
        w in 1_usize..40,
        inputs in 1_usize..40,
        outputs in 1_usize..40,
        kernel in prop::array::uniform3(1_usize..4),
        stride in prop::array::uniform3(1_usize..3),
        pad in prop::array::uniform4(0_usize..2),
    ) {
        let [kt, kh, kw] = kernel;
        let padding = Padding { top: pad[0], bottom: pad[1], left: pad[2], right: pad[3] };
        let input = [batch, t + kt, h + kh - 1, w + kw - 1, inputs];
        Case { input, outputs, kernel, stride, padding }.check();
    }

    #[test]
    fn upsample_equals_the_reference(
        t in 1_usize..3,
        h in 1_usize..9,
        w in 1_usize..30,
        inputs in 1_usize..40,
        outputs in 1_usize..40,
    ) {
        let (weight, bias) = (random(&[outputs, inputs, 3, 3], 2), random(&[outputs], 3));
        let run = |level, dtype| {
            let x = random(&[2, t, h, w, inputs], 1).to_dtype(dtype).unwrap();
            with_level(level, || UpsampleConv2x::new(&weight, Some(&bias), dtype).unwrap().forward(&x).unwrap())
        };
        let (exact, plain) = (run(Level::Reference, DType::F32), run(Level::Reference, DType::BF16));
        for level in levels() {
            close(&run(level, DType::F32), &exact, 1e-6, level);
            close_bf16(&run(level, DType::BF16), &plain, &exact, level);
        }
    }
}

#[test]
fn the_autoencoders_shapes() {
    let same = Padding::all(1);
    let down = Padding { bottom: 1, right: 1, ..Padding::default() };
    let case =
        |input, outputs, kernel, stride, padding| Case { input, outputs, kernel, stride, padding };
    case([1, 3, 20, 300, 16], 16, [3, 3, 3], [1, 1, 1], same).check();
    case([1, 3, 6, 9, 384], 96, [3, 3, 3], [1, 1, 1], same).check();
    case([1, 3, 9, 14, 96], 3, [3, 3, 3], [1, 1, 1], same).check();
    case([1, 3, 9, 14, 3], 96, [3, 3, 3], [1, 1, 1], same).check();
    case([1, 2, 16, 22, 96], 96, [1, 3, 3], [1, 2, 2], down).check();
    case([1, 3, 6, 8, 24], 48, [3, 1, 1], [2, 1, 1], Padding::default()).check();
    case([1, 2, 6, 8, 24], 12, [1, 1, 1], [1, 1, 1], Padding::default()).check();
}

#[test]
fn the_reference_follows_the_definition() {
    let (input, outputs, kernel, stride) = ([1, 4, 5, 6, 2], 3, [2, 3, 2], [1, 2, 2]);
    let padding = Padding { top: 1, bottom: 0, left: 0, right: 1 };
    let case = Case { input, outputs, kernel, stride, padding };
    let y = case.run(Level::Reference, DType::F32);
    let x = random(&input, 1).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let w = random(&[outputs, 2, 2, 3, 2], 2).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let b = random(&[outputs], 3).to_vec1::<f32>().unwrap();
    assert_eq!(y.dims(), [1, 3, 2, 3, 3]);
    let mut expected = Vec::new();
    for (t, h, v, o) in itertools(3, 2, 3, outputs) {
        let mut sum = b[o];
        for (dt, dh, dw, i) in itertools(2, 3, 2, 2) {
            let (row, column) = (h * 2 + dh, v * 2 + dw);
            if (1..=5).contains(&row) && column < 6 {
                sum += x[(((t + dt) * 5 + row - 1) * 6 + column) * 2 + i]
                    * w[(((o * 2 + i) * 2 + dt) * 3 + dh) * 2 + dw];
            }
        }
        expected.push(sum);
    }
    let expected = Tensor::from_vec(expected, y.shape(), y.device()).unwrap();
    close(&y, &expected, 1e-6, Level::Reference);
}

/// All index tuples, last fastest.
fn itertools(
    a: usize,
    b: usize,
    c: usize,
    d: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

#[test]
fn a_stream_equals_the_whole_clip() {
    let padding = Padding::all(1);
    let case = Case {
        input: [2, 9, 7, 10, 12],
        outputs: 8,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        padding,
    };
    for dtype in [DType::F32, DType::BF16] {
        let x = random(&case.input, 1).to_dtype(dtype).unwrap();
        for level in levels() {
            let layer = case.layer(level, dtype);
            let whole = layer.forward(&[&x]).unwrap();
            let mut parts = Vec::new();
            let mut context = x.narrow(1, 0, 2).unwrap();
            for (start, count) in [(2, 1), (3, 4), (7, 2)] {
                let frames = x.narrow(1, start, count).unwrap();
                parts.push(layer.forward(&[&context, &frames]).unwrap());
                let seen = Tensor::cat(&[&context, &frames], 1).unwrap();
                context = seen.narrow(1, count, 2).unwrap();
            }
            let streamed = Tensor::cat(&parts, 1).unwrap();
            close(&streamed, &whole, 0.0, level);
        }
    }
}

#[test]
fn a_residual_is_added_before_rounding() {
    let padding = Padding::all(1);
    let case = Case {
        input: [1, 3, 7, 30, 12],
        outputs: 20,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        padding,
    };
    let run = |level, dtype| {
        let x = random(&case.input, 1).to_dtype(dtype).unwrap();
        let residual = random(&[1, 1, 7, 30, 20], 7).to_dtype(dtype).unwrap();
        with_level(level, || case.layer(level, dtype).forward_add(&[&x], &residual).unwrap())
    };
    let (exact, plain) = (run(Level::Reference, DType::F32), run(Level::Reference, DType::BF16));
    for level in levels() {
        close(&run(level, DType::F32), &exact, 1e-6, level);
        close_bf16(&run(level, DType::BF16), &plain, &exact, level);
    }
    let layer = case.layer(Level::Reference, DType::F32);
    let error =
        layer.forward_add(&[&random(&case.input, 1)], &random(&[1], 2)).unwrap_err().to_string();
    assert!(error.contains("`residual`"), "{error}");
}

#[test]
fn errors_name_the_operand() {
    let layer =
        Conv3d::new(&random(&[4, 2, 3, 3, 3], 1), None, [1, 1, 1], Padding::all(1), DType::F32)
            .unwrap();
    let frames = random(&[1, 2, 5, 5, 2], 2);
    let error = layer.forward(&[&frames]).unwrap_err().to_string();
    assert!(error.contains("3 frames"), "{error}");
    assert!(layer.forward(&[]).unwrap_err().to_string().contains("no frames"));
    let half = frames.to_dtype(DType::BF16).unwrap();
    assert!(layer.forward(&[&frames, &half]).unwrap_err().to_string().contains("must be F32"));
    assert!(
        Conv3d::new(&random(&[4, 2, 3, 3, 3], 1), None, [1, 0, 1], Padding::all(1), DType::F32)
            .is_err()
    );
}
