//! Times on the first GPU, at full size and with random weights: forwards of the transformer, decodings of the VAE.
//!
//! ```sh
//! cargo run --release --features cuda --example gpu_forward -- 1.3b 14b:psa vae:bf16 vae:f32
//! ```
//!
//! A shape alone stands for all its methods. A line a measurement: what, median milliseconds, most memory that tensors took. `scripts/bench-gpu forward` sets them beside
//! diffusers'. Forwards are dense, and by `psa`'s quotas and `sta`'s tiles at density .15, with a new map and with a kept one.

use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use tessera_kernels::gpu::{self, Moment};
use tessera_kernels::ran;
use tessera_models::attention::{Branch, SelfAttention as _, Sequence};
use tessera_models::geometry::Grid;
use tessera_models::text::TextRows;
use tessera_models::wan::{TransformerConfig, VaeConfig, WanDecoder, WanTransformer};
use tessera_models::watch::Unwatched;
use tessera_pipeline::Error;
use tessera_pipeline::attention::{Subject, build};
use tessera_pipeline::request::Request;
use tessera_pipeline::sparsity::{Mode, options};

/// Whatever stops it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Methods and densities of the forwards.
const ATTENTIONS: [(&str, Option<f64>); 3] =
    [("dense", None), ("psa", Some(0.15)), ("sta", Some(0.15))];
const STEPS: usize = 8;

fn main() -> Result<()> {
    let device = gpu::open(0)?;
    for what in std::env::args().skip(1) {
        let (shape, method) = what.split_once(':').unwrap_or((&what, ""));
        match (shape, method) {
            ("1.3b", _) => forwards((shape, method), &small(), [21, 60, 104], &device)?,
            ("14b", _) => {
                let config = TransformerConfig::default();
                forwards((shape, method), &config, [21, 90, 160], &device)?;
            }
            ("vae", "bf16") => decode(DType::BF16, &device)?,
            ("vae", "f32") => decode(DType::F32, &device)?,
            (other, _) => {
                return Err(format!("1.3b, 14b, vae:bf16 or vae:f32, not {other}").into());
            }
        }
    }
    Ok(())
}

fn small() -> TransformerConfig {
    TransformerConfig {
        num_attention_heads: 12,
        ffn_dim: 8960,
        num_layers: 30,
        ..TransformerConfig::default()
    }
}

/// Forwards at latents of `[frames, rows, columns]`.
fn forwards(
    (name, only): (&str, &str),
    config: &TransformerConfig,
    [frames, rows, columns]: [usize; 3],
    device: &Device,
) -> Result<()> {
    let model = WanTransformer::random(config, DType::BF16, device)?;
    let latents = Tensor::randn(0f32, 1.0, (1, config.in_channels, frames, rows, columns), device)?;
    let words = Tensor::randn(0f32, 1.0, (512, config.text_dim), device)?;
    let text = model.prepare_text(&TextRows { rows: words, padded_to: 512 })?;
    let sigmas: Vec<f64> = (0..STEPS).map(|step| 1.0 - step as f64 / STEPS as f64).collect();
    let timesteps: Vec<f64> = sigmas.iter().map(|sigma| sigma * 1000.0).collect();
    let modulations = model.prepare_steps(&timesteps)?;
    let grid = Grid { frames, rows: rows / 2, cols: columns / 2 };
    let sequence: Sequence = model.sequence(grid);
    let wanted = |(method, _): &(&str, Option<f64>)| only.is_empty() || only == *method;
    for (method, density) in ATTENTIONS.into_iter().filter(wanted) {
        let mut request = Request {
            attention: Some(method.into()),
            density,
            warmup: density.map(|_| "2".into()),
            refresh: density.map(|_| "3".into()),
            ..Request::default()
        };
        options::fill(&mut request, config.num_layers).map_err(Error::Settings)?;
        let subject = Subject { fingerprint: "random", sequence, sigmas: &sigmas };
        let mut attention = build(&request, &subject)?;
        attention.begin_clip(&sequence)?;
        gpu::forget_peak(device);
        ran::take();
        let mut times: Vec<(Mode, Duration, f64, f64)> = Vec::new();
        for (step, modulation) in modulations.iter().enumerate() {
            attention.begin_step(step, STEPS, sigmas[step])?;
            let before = Moment::on(device)?;
            let branch = Branch::Cond;
            model.forward(&latents, modulation, &text, branch, &mut attention, &mut Unwatched)?;
            let after = Moment::on(device)?;
            let time = before.until(&after)?;
            let calls = attention.tally().calls();
            let mine = || calls.iter().filter(|call| call.step == step as u64);
            let mode = mine().map(|call| call.mode).max().unwrap_or(Mode::Dense);
            let attended = mine().map(|call| call.attention_ms).sum();
            let estimated = mine().map(|call| call.estimate_ms).sum();
            times.push((mode, time, attended, estimated));
        }
        for mode in [Mode::Dense, Mode::Fresh, Mode::Cached] {
            // The first forward warms the device up.
            let mut of: Vec<_> = times.iter().skip(1).filter(|(of, ..)| *of == mode).collect();
            of.sort_by_key(|(_, time, ..)| *time);
            if let Some((_, time, attended, estimated)) = of.get(of.len() / 2) {
                println!(
                    "{name} {method} {} {}: {:.1} ms, attention {attended:.1}, estimate {estimated:.1}, peak {}",
                    density.map_or(String::new(), |density| format!("{density}")),
                    mode.name(),
                    time.as_secs_f64() * 1e3,
                    peak(device)
                );
            }
        }
        let slow = ran::take().into_iter().filter(|ran| ran.via.is_fallback());
        let slow: Vec<String> = slow.map(|ran| format!("{} {}", ran.kernel, ran.calls)).collect();
        println!("{name} {method} fallbacks: {}", slow.join(", "));
    }
    Ok(())
}

/// Decodings of 480×832, 81 frames.
fn decode(dtype: DType, device: &Device) -> Result<()> {
    let decoder = WanDecoder::random(&VaeConfig::default(), dtype, device)?;
    let latents = Tensor::randn(0f32, 1.0, (1, 16, 21, 60, 104), device)?;
    gpu::forget_peak(device);
    let mut times = Vec::new();
    for _ in 0..3 {
        let before = Moment::on(device)?;
        for pixels in decoder.decode(&latents) {
            pixels?;
        }
        times.push(before.until(&Moment::on(device)?)?);
    }
    times.sort();
    println!("vae {dtype:?}: {:.1} ms, peak {}", times[1].as_secs_f64() * 1e3, peak(device));
    Ok(())
}

fn peak(device: &Device) -> String {
    let bytes = gpu::peak_bytes(device).unwrap_or(0);
    format!("{:.2} GB", bytes as f64 * 1e-9)
}
