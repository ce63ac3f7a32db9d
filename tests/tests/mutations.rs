//! Each classic mistake of a Wan port must break a golden (wan.md §11). The mistakes are made in a copy of the weights
//! (`checkpoint.rs` says why that is the same), so these tests also prove that the goldens can fail.

use std::path::Path;

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use tessera_tests::checkpoint::{Copy, reorder, swap_halves};
use tessera_tests::compare::relative_error;
use tessera_tests::goldens::{self, Goldens};
use tessera_tests::stages::{Velocity, decode_groups, encode_groups, text_rows};

/// A mistake must move its golden by this much at least: a hundred times the widest bar.
const VISIBLE: f64 = 1e-3;
/// The tiny folder's head width, rows and the channels of one latent.
const HEAD: u32 = 12;
const WIDTH: u32 = 24;
const CHANNELS: u32 = 16;

type Change = fn(&str, &Tensor) -> Result<Option<Tensor>>;
type Measure = fn(&Path) -> Result<f64>;
/// A mistake that takes one tensor for another: a name → the name of the tensor that is taken instead.
type Take<'a> = (&'a str, &'a dyn Fn(&str) -> Option<String>);

/// Error of the velocity of the ragged case.
fn velocity(path: &Path) -> Result<f64> {
    let (golden, text) =
        (Goldens::read("tiny/transformer.safetensors")?, Goldens::read("tiny/text.safetensors")?);
    let got = Velocity::load(path, DType::F32)?.velocity(
        golden.get("ragged.latents")?,
        875.0,
        text.get("one.rows")?,
    )?;
    relative_error(&got, golden.get("ragged.velocity")?)
}

/// Error of the rows of a prompt that is long enough for many bias buckets.
fn rows(path: &Path) -> Result<f64> {
    let golden = Goldens::read("tiny/text.safetensors")?;
    let ids: Vec<u32> = golden.get("entities.ids")?.to_dtype(DType::U32)?.to_vec1()?;
    relative_error(&text_rows(path, &ids, DType::F32)?, golden.get("entities.rows")?)
}

/// Error of five decoded frame groups.
fn decoded(path: &Path) -> Result<f64> {
    let golden = Goldens::read("tiny/vae.safetensors")?;
    let groups = decode_groups(path, golden.get("square.latents")?, DType::F32)?;
    relative_error(&Tensor::cat(&groups, 2)?, golden.get("square.frames")?)
}

/// Error of the four latent frames of thirteen pictures.
fn encoded(path: &Path) -> Result<f64> {
    let golden = Goldens::read("tiny/vae.safetensors")?;
    let pixels = ((golden.get("thirteen.pixels")?.to_dtype(DType::F32)? / 127.5)? - 1.0)?;
    let got = Tensor::cat(&encode_groups(path, &pixels, DType::F32)?, 2)?;
    relative_error(&got, golden.get("thirteen.latents")?)
}

/// The untouched copy passes, each changed copy fails.
fn each_breaks(component: &str, measure: Measure, mistakes: &[(&str, Change)]) -> Result<()> {
    let whole = measure(Copy::of(&goldens::checkpoint("tiny"))?.path())?;
    ensure!(whole < 1e-5, "{component}: the unchanged copy is off by {whole:.2e}");
    let mut unseen = Vec::new();
    for (name, change) in mistakes {
        let copy = Copy::of(&goldens::checkpoint("tiny"))?;
        copy.mutate(component, change)?;
        let error = measure(copy.path())?;
        println!("{component}, {name}: {error:.2e}");
        if error.is_nan() || error < VISIBLE {
            unseen.push(format!("{name}: {error:.2e}"));
        }
    }
    ensure!(unseen.is_empty(), "{component}: mistakes that no golden saw: {unseen:?}");
    Ok(())
}

/// Whether a tensor is a weight or bias of the queries or keys of self-attention, or of their norms: rows that RoPE turns.
fn turned(name: &str) -> bool {
    name.contains("attn1")
        && ["to_q.", "to_k.", "norm_q.", "norm_k."].iter().any(|part| name.contains(part))
}

/// Reorders the channels of every head by `order` (of HEAD).
fn in_heads(tensor: &Tensor, order: impl Fn(u32) -> u32) -> Result<Option<Tensor>> {
    let all: Vec<u32> =
        (0..WIDTH).map(|channel| channel / HEAD * HEAD + order(channel % HEAD)).collect();
    Ok(Some(reorder(tensor, 0, &all)?))
}

#[test]
fn transformer_mistakes_are_seen() -> Result<()> {
    each_breaks(
        "transformer",
        velocity,
        &[
            ("sines before cosines", |name, x| {
                name.ends_with("time_embedder.linear_1.weight")
                    .then(|| swap_halves(x, 1))
                    .transpose()
            }),
            ("rows and columns of an input patch swapped", |name, x| {
                name.ends_with("patch_embedding.weight")
                    .then(|| Ok(x.transpose(3, 4)?.contiguous()?))
                    .transpose()
            }),
            ("input patch read channel fastest", |name, x| {
                let read = || -> Result<Tensor> {
                    let (d, channels) = (x.dim(0)?, x.dim(1)?);
                    Ok(x.reshape((d, 1, 2, 2, channels))?.permute((0, 4, 1, 2, 3))?.contiguous()?)
                };
                name.ends_with("patch_embedding.weight").then(read).transpose()
            }),
            ("output patch written channel slowest", |name, x| {
                let order: Vec<u32> =
                    (0..4 * CHANNELS).map(|i| i % CHANNELS * 4 + i / CHANNELS).collect();
                name.starts_with("proj_out").then(|| reorder(x, 0, &order)).transpose()
            }),
            ("scale and shift of the head swapped", |name, x| {
                (name == "scale_shift_table").then(|| swap_halves(x, 1)).transpose()
            }),
            ("scale and shift of the blocks swapped", |name, x| {
                let order = [1, 0, 2, 4, 3, 5];
                if name.contains("time_proj") {
                    let rows: Vec<u32> = (0..6 * WIDTH)
                        .map(|i| order[(i / WIDTH) as usize] * WIDTH + i % WIDTH)
                        .collect();
                    return Ok(Some(reorder(x, 0, &rows)?));
                }
                (name.starts_with("blocks") && name.ends_with("scale_shift_table"))
                    .then(|| reorder(x, 1, &order))
                    .transpose()
            }),
            ("the affine norm before cross-attention left plain", |name, x| {
                let plain = if name.ends_with("weight") { x.ones_like()? } else { x.zeros_like()? };
                Ok(name.contains("norm2.").then_some(plain))
            }),
            ("norm of the queries without its weight", |name, x| {
                Ok(if name.contains("attn1.norm_q") { Some(x.ones_like()?) } else { None })
            }),
            ("norm weights of one head used for all", |name, x| {
                let order: Vec<u32> = (0..WIDTH).map(|channel| channel % HEAD).collect();
                name.contains("attn1.norm_k").then(|| reorder(x, 0, &order)).transpose()
            }),
            ("RoPE on halves in place of neighbours", |name, x| {
                if !turned(name) {
                    return Ok(None);
                }
                in_heads(
                    x,
                    |channel| if channel % 2 == 0 { channel / 2 } else { channel / 2 + HEAD / 2 },
                )
            }),
            ("RoPE with time and rows swapped", |name, x| {
                if !turned(name) {
                    return Ok(None);
                }
                in_heads(x, |channel| [4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11][channel as usize])
            }),
            ("the text's second layer without bias", |name, x| {
                Ok(if name.ends_with("text_embedder.linear_2.bias") {
                    Some(x.zeros_like()?)
                } else {
                    None
                })
            }),
        ],
    )
}

#[test]
fn unattended_padding_is_seen() -> Result<()> {
    // Attending to the real rows only is the commonest mistake of all; it is a matter of the text, not of the weights.
    let (golden, text) =
        (Goldens::read("tiny/transformer.safetensors")?, Goldens::read("tiny/text.safetensors")?);
    let got = Velocity::load(&goldens::checkpoint("tiny"), DType::F32)?.velocity_padded_to(
        golden.get("ragged.latents")?,
        875.0,
        text.get("one.rows")?,
        text.get("one.rows")?.dim(0)?,
    )?;
    let error = relative_error(&got, golden.get("ragged.velocity")?)?;
    ensure!(error > VISIBLE, "{error:.2e}");
    Ok(())
}

#[test]
fn text_mistakes_are_seen() -> Result<()> {
    each_breaks(
        "text_encoder",
        rows,
        &[
            ("scores scaled by 1/√d", |name, x| {
                Ok(if name.ends_with("SelfAttention.q.weight") {
                    Some((x / 8f64.sqrt())?)
                } else {
                    None
                })
            }),
            ("a position bias that looks the wrong way", |name, x| {
                let order: Vec<u32> = (0..32)
                    .map(|bucket| if bucket % 16 == 0 { bucket } else { (bucket + 16) % 32 })
                    .collect();
                name.contains("relative_attention_bias").then(|| reorder(x, 0, &order)).transpose()
            }),
            ("embeddings scaled", |name, x| {
                Ok(if name == "shared.weight" { Some((x * 32f64.sqrt())?) } else { None })
            }),
            ("the last norm without its weight", |name, x| {
                Ok(if name == "encoder.final_layer_norm.weight" {
                    Some(x.ones_like()?)
                } else {
                    None
                })
            }),
        ],
    )?;
    let copies =
        |name: &str, from: &str, to: &str| name.contains(to).then(|| name.replace(to, from));
    let takes: [Take<'_>; 2] = [
        ("T5's one bias for all blocks", &|name| {
            name.contains("relative_attention_bias")
                .then(|| copies(name, "block.0.", "block.1."))
                .flatten()
        }),
        ("GELU on the other branch", &|name| {
            copies(name, "wi_1", "wi_0").or_else(|| copies(name, "wi_0", "wi_1"))
        }),
    ];
    for (what, source) in takes {
        let copy = Copy::of(&goldens::checkpoint("tiny"))?;
        let all = copy.tensors("text_encoder")?;
        copy.mutate("text_encoder", |name, _| {
            Ok(source(name).and_then(|from| all.get(&from).cloned()))
        })?;
        let error = rows(copy.path())?;
        println!("text_encoder, {what}: {error:.2e}");
        ensure!(error > VISIBLE, "{what}: {error:.2e}");
    }
    Ok(())
}

/// Zeroes the tap of the oldest frame of a causal convolution `[O, I, 3, h, w]`.
fn without_oldest(x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[x.narrow(2, 0, 1)?.zeros_like()?, x.narrow(2, 1, 2)?], 2)?)
}

#[test]
fn decoder_mistakes_are_seen() -> Result<()> {
    each_breaks(
        "vae",
        decoded,
        &[
            ("one cached frame dropped everywhere", |name, x| {
                (name.starts_with("decoder") && x.rank() == 5 && x.dim(2)? == 3)
                    .then(|| without_oldest(x))
                    .transpose()
            }),
            ("one cached frame dropped in conv_in", |name, x| {
                (name == "decoder.conv_in.weight").then(|| without_oldest(x)).transpose()
            }),
            ("one cached frame dropped in conv_out", |name, x| {
                (name == "decoder.conv_out.weight").then(|| without_oldest(x)).transpose()
            }),
            ("halves of the doubled time swapped", |name, x| {
                (name.starts_with("decoder") && name.contains("time_conv"))
                    .then(|| swap_halves(x, 0))
                    .transpose()
            }),
            ("channel norm without √C", |name, x| {
                let channels = x.dim(0)? as f64;
                Ok(if name.starts_with("decoder") && name.contains("gamma") {
                    Some((x / channels.sqrt())?)
                } else {
                    None
                })
            }),
            ("queries and values of the middle attention swapped", |name, x| {
                let third = x.dim(0)? as u32 / 3;
                let order: Vec<u32> =
                    (0..3 * third).map(|i| (2 - i / third) * third + i % third).collect();
                name.contains("decoder.mid_block.attentions.0.to_qkv")
                    .then(|| reorder(x, 0, &order))
                    .transpose()
            }),
            ("post_quant_conv left out", |name, x| match name {
                "post_quant_conv.weight" => {
                    Ok(Some(Tensor::eye(16, DType::F32, x.device())?.reshape((16, 16, 1, 1, 1))?))
                }
                "post_quant_conv.bias" => Ok(Some(x.zeros_like()?)),
                _ => Ok(None),
            }),
        ],
    )
}

#[test]
fn encoder_mistakes_are_seen() -> Result<()> {
    each_breaks(
        "vae",
        encoded,
        &[
            ("one cached frame dropped everywhere", |name, x| {
                (name.starts_with("encoder") && x.rank() == 5 && x.dim(2)? == 3)
                    .then(|| without_oldest(x))
                    .transpose()
            }),
            ("the cached frame of the time halving dropped", |name, x| {
                (name.starts_with("encoder") && name.ends_with("time_conv.weight"))
                    .then(|| without_oldest(x))
                    .transpose()
            }),
            ("log-variances taken for means", |name, x| {
                name.starts_with("quant_conv").then(|| swap_halves(x, 0)).transpose()
            }),
        ],
    )
}
