//! How long what surrounds attention takes on the first GPU, at Wan 1.3B's shapes for 480p×81, beside a plain copy.
//!
//! `cargo run --release --features cuda --example around -- [all|memory|products|convolutions] [rounds]`
#![expect(clippy::unwrap_used, reason = "an example stops where a shape is wrong")]

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use tessera_kernels::{
    Activation,
    channel_norm::channel_norm,
    conv::{Conv3d, Padding, UpsampleConv2x},
    gpu,
    linear::Linear,
    norm::{gated_add, layer_norm_modulate, rms_norm},
    order::{Volume, gilbert, morton, permute},
    rope::{RopeTables, merge_heads, norm_rope_heads},
};

const TOKENS: usize = 32_760;
const WIDTH: usize = 1536;
const HEADS: usize = 12;

/// Times work and prints a row of a table.
struct Table {
    device: Device,
    rounds: usize,
    /// Bytes a second of a copy, read and written.
    copy: f64,
}

impl Table {
    /// Median seconds of one call; a round is several calls between two waits for the GPU.
    fn seconds(&self, mut work: impl FnMut() -> Result<Tensor>) -> f64 {
        const CALLS: usize = 32;
        for _ in 0..2 {
            work().unwrap();
        }
        let mut times: Vec<f64> = (0..self.rounds)
            .map(|_| {
                self.device.synchronize().unwrap();
                let start = Instant::now();
                for _ in 0..CALLS {
                    work().unwrap();
                }
                self.device.synchronize().unwrap();
                start.elapsed().as_secs_f64() / CALLS as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    /// `bytes` is what must be read and written.
    fn memory(&self, what: &str, bytes: usize, work: impl FnMut() -> Result<Tensor>) {
        let seconds = self.seconds(work);
        let rate = bytes as f64 / seconds;
        println!(
            "| {what} | {:.3} ms | {:.2} TB/s | {:.0} % |",
            seconds * 1e3,
            rate * 1e-12,
            100.0 * rate / self.copy
        );
    }

    fn arithmetic(&self, what: &str, operations: f64, work: impl FnMut() -> Result<Tensor>) {
        let seconds = self.seconds(work);
        println!(
            "| {what} | {:.3} ms | {:.0} TFLOP/s |",
            seconds * 1e3,
            operations / seconds * 1e-12
        );
    }

    fn random(&self, shape: &[usize], dtype: DType) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &self.device).unwrap().to_dtype(dtype).unwrap()
    }
}

fn memory(table: &Table) {
    println!("| pass | time | rate | of a copy |\n|---|---|---|---|");
    let (half, full) = (TOKENS * WIDTH * 2, TOKENS * WIDTH * 4);
    let x = table.random(&[1, TOKENS, WIDTH], DType::F32);
    let y = table.random(&[1, TOKENS, WIDTH], DType::BF16);
    let (scale, shift) = (table.random(&[WIDTH], DType::F32), table.random(&[WIDTH], DType::F32));
    table.memory("layer norm + modulate, F32 to BF16", full + half, || {
        layer_norm_modulate(&x, &scale, &shift, 1e-6, DType::BF16)
    });
    table.memory("gate + residual", 2 * full + half, || gated_add(x.clone(), &y, Some(&scale)));
    table.memory("RMS norm, BF16", 2 * half, || rms_norm(&y, &scale, 1e-6, DType::BF16));
    let angles = table.random(&[TOKENS, WIDTH / HEADS / 2], DType::F32);
    let rope = RopeTables { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() };
    let tables = 2 * TOKENS * WIDTH / HEADS / 2 * 4;
    let norm = Some((&scale, 1e-6));
    table.memory("prepare: RMS norm, RoPE, heads", 2 * half + tables, || {
        norm_rope_heads(&y, norm, HEADS, Some(&rope))
    });
    table.memory("heads alone", 2 * half, || norm_rope_heads(&y, None, HEADS, None));
    let heads = norm_rope_heads(&y, None, HEADS, None).unwrap();
    table.memory("heads side by side", 2 * half, || merge_heads(&heads));
    let volume = Volume { frames: 21, rows: 30, columns: 52 };
    let each: Vec<_> =
        (0..HEADS).map(|i| if i % 2 == 0 { gilbert(volume) } else { morton(volume) }).collect();
    table.memory("an order for each head", 2 * half, || permute(&heads, &each));
    for (channels, [height, width]) in [(96, [480, 832]), (192, [240, 416]), (384, [120, 208])] {
        let x = table.random(&[1, 4, height, width, channels], DType::BF16);
        let gamma = table.random(&[channels], DType::F32);
        let bytes = 2 * x.elem_count() * 2;
        table.memory(
            &format!("channel norm + SiLU, {channels} × 4 × {height} × {width}"),
            bytes,
            || channel_norm(&x, &gamma, true),
        );
    }
}

fn products(table: &Table) {
    println!("| product | time | rate |\n|---|---|---|");
    let shapes = [
        (TOKENS, WIDTH, WIDTH, Activation::None),
        (3744, WIDTH, 8960, Activation::GeluTanh),
        (3744, 8960, WIDTH, Activation::None),
    ];
    for (rows, inputs, outputs, activation) in shapes {
        let x = table.random(&[rows, inputs], DType::BF16);
        let weight = table.random(&[outputs, inputs], DType::F32);
        let bias = table.random(&[outputs], DType::F32);
        let layer = Linear::new(&weight, Some(&bias), DType::BF16).unwrap();
        let operations = 2.0 * (rows * inputs * outputs) as f64;
        table.arithmetic(
            &format!("{rows} × {inputs} → {outputs}, {activation:?}"),
            operations,
            || layer.forward_with(&x, activation),
        );
    }
}

fn convolutions(table: &Table) {
    println!("| convolution | time | rate |\n|---|---|---|");
    let shapes = [
        ([96, 96], [4, 480, 832]),
        ([192, 192], [4, 240, 416]),
        ([384, 384], [2, 120, 208]),
        ([384, 384], [1, 60, 104]),
        ([96, 3], [4, 480, 832]),
    ];
    for ([inputs, outputs], [frames, height, width]) in shapes {
        let before = table.random(&[1, 2, height, width, inputs], DType::BF16);
        let x = table.random(&[1, frames, height, width, inputs], DType::BF16);
        let weight = (table.random(&[outputs, inputs, 3, 3, 3], DType::F32) * 0.02).unwrap();
        let bias = table.random(&[outputs], DType::F32);
        let conv = Conv3d::new(&weight, Some(&bias), [1; 3], Padding::all(1), DType::BF16).unwrap();
        let operations = 2.0 * (frames * height * width * inputs * outputs * 27) as f64;
        let what = format!("3×3×3, {inputs} → {outputs}, {frames} × {height} × {width}");
        table.arithmetic(&what, operations, || conv.forward(&[&before, &x]));
    }
    for ([inputs, outputs], [frames, height, width]) in
        [([192, 96], [4, 240, 416]), ([384, 192], [4, 120, 208])]
    {
        let x = table.random(&[1, frames, height, width, inputs], DType::BF16);
        let weight = (table.random(&[outputs, inputs, 3, 3], DType::F32) * 0.02).unwrap();
        let up = UpsampleConv2x::new(&weight, None, DType::BF16).unwrap();
        let operations = 2.0 * (frames * height * width * inputs * outputs * 16) as f64;
        let what =
            format!("nearest ×2 and 3×3, {inputs} → {outputs}, {frames} × {height} × {width}");
        table.arithmetic(&what, operations, || up.forward(&x));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_else(|| "all".to_owned());
    let rounds = arguments.next().map_or(7, |rounds| rounds.parse().unwrap());
    let device = gpu::open(0).unwrap();
    let mut table = Table { device, rounds, copy: 1.0 };
    let from = table.random(&[1 << 28], DType::F32);
    let seconds = table.seconds(|| from.copy());
    table.copy = 2.0 * 4.0 * f64::from(1 << 28) / seconds;
    println!("copy of 1 GiB: {:.2} TB/s, read and written", table.copy * 1e-12);
    drop(from);
    for (name, work) in [
        ("memory", memory as fn(&Table)),
        ("products", products as fn(&Table)),
        ("convolutions", convolutions as fn(&Table)),
    ] {
        if part == "all" || part == name {
            work(&table);
        }
    }
}
