//! Convolutions, and nearest ×2 before one.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::conv::{Conv3d, Padding, UpsampleConv2x};

use crate::support::{gpu_agrees, random};

/// F32's error: the operands' parts that are left out are 2⁻¹⁷ of a product.
const LIMIT: f64 = 2e-5;

/// A convolution's channels in and out, kernel, stride and padding, of frames that come in parts.
struct Case {
    channels: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
    batch: usize,
    parts: &'static [usize],
    size: [usize; 2],
}

impl Case {
    /// Causal in time, the same size in space.
    fn causal(channels: [usize; 2], size: [usize; 2]) -> Self {
        Self {
            channels,
            kernel: [3, 3, 3],
            stride: [1, 1, 1],
            padding: Padding::all(1),
            batch: 1,
            parts: &[1, 1, 2],
            size,
        }
    }

    /// With bias; without; with a residual.
    fn run(&self, device: &Device, dtype: DType) -> Vec<Tensor> {
        let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
        let ([inputs, outputs], [kt, kh, kw]) = (self.channels, self.kernel);
        let weight = of(&[outputs, inputs, kt, kh, kw], 1);
        let bias = of(&[outputs], 2);
        let [height, width] = self.size;
        let part = |(seed, &frames): (usize, &usize)| {
            let shape = [self.batch, frames, height, width, inputs];
            of(&shape, 10 + seed as u64).to_dtype(dtype).unwrap()
        };
        let frames: Vec<Tensor> = self.parts.iter().enumerate().map(part).collect();
        let frames: Vec<&Tensor> = frames.iter().collect();
        let of_bias = |bias| Conv3d::new(&weight, bias, self.stride, self.padding, dtype).unwrap();
        let plain = of_bias(Some(&bias)).forward(&frames).unwrap();
        let residual = of(plain.dims(), 3).to_dtype(dtype).unwrap();
        let without = of_bias(None).forward(&frames).unwrap();
        let added = of_bias(Some(&bias)).forward_add(&frames, &residual).unwrap();
        vec![plain, without, added]
    }
}

#[test]
#[ignore = "needs a GPU"]
fn causal_convolutions_equal_the_reference() {
    for channels in [[8, 8], [96, 96], [16, 384], [96, 3], [40, 100], [3, 20], [64, 64], [100, 130]]
    {
        for size in [[1, 1], [8, 16], [13, 21]] {
            let case = Case::causal(channels, size);
            gpu_agrees(LIMIT, |device, dtype| case.run(device, dtype));
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn strides_single_taps_and_samples() {
    let beyond = Padding { top: 0, bottom: 1, left: 0, right: 1 };
    let (single, odd) = ([1, 1, 1], Padding { top: 2, bottom: 0, left: 1, right: 3 });
    let cases = [
        ([96, 96], [1, 3, 3], [1, 2, 2], beyond),
        ([32, 64], [3, 1, 1], [2, 1, 1], Padding::default()),
        ([64, 128], [3, 1, 1], single, Padding::default()),
        ([64, 96], [3, 1, 1], single, Padding::default()),
        ([32, 192], [3, 1, 1], [2, 1, 1], Padding::default()),
        ([64, 192], [2, 2, 3], single, odd),
        ([32, 96], [1, 3, 2], single, odd),
        ([32, 192], [1, 1, 1], single, Padding::default()),
        ([48, 24], single, single, Padding::default()),
        ([24, 16], [2, 2, 3], single, odd),
        ([24, 16], [1, 1, 2], [1, 3, 1], odd),
        ([8, 40], [1, 5, 5], [1, 2, 1], Padding::all(2)),
    ];
    for (channels, kernel, stride, padding) in cases {
        for batch in [1, 2] {
            let size = [11, 23];
            let case = Case { channels, kernel, stride, padding, batch, parts: &[2, 3], size };
            gpu_agrees(LIMIT, |device, dtype| case.run(device, dtype));
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn more_parts_than_a_launch_takes_and_a_part_of_a_longer_clip() {
    for channels in [[16, 16], [32, 96]] {
        let case = Case { parts: &[1; 10], ..Case::causal(channels, [9, 9]) };
        gpu_agrees(LIMIT, |device, dtype| case.run(device, dtype));
    }
    gpu_agrees(LIMIT, |device, dtype| {
        let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
        let clip = of(&[2, 6, 5, 7, 12], 1).to_dtype(dtype).unwrap();
        let weight = of(&[20, 12, 3, 3, 3], 2);
        let conv = Conv3d::new(&weight, None, [1, 1, 1], Padding::all(1), dtype).unwrap();
        vec![conv.forward(&[&clip.narrow(1, 1, 4).unwrap()]).unwrap()]
    });
}

#[test]
#[ignore = "needs a GPU"]
fn doubling_equals_the_reference() {
    for (channels, size) in
        [([192, 96], [9, 17]), ([64, 192], [18, 5]), ([12, 20], [3, 5]), ([64, 64], [1, 1])]
    {
        gpu_agrees(LIMIT, |device, dtype| {
            let of = |shape: &[usize], seed| random(shape, seed).to_device(device).unwrap();
            let ([inputs, outputs], [height, width]) = (channels, size);
            let x = of(&[2, 2, height, width, inputs], 1).to_dtype(dtype).unwrap();
            let weight = of(&[outputs, inputs, 3, 3], 2);
            let up = UpsampleConv2x::new(&weight, Some(&of(&[outputs], 3)), dtype).unwrap();
            vec![up.forward(&x).unwrap()]
        });
    }
}
