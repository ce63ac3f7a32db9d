//! The video autoencoder against diffusers: decode and encode, frame group by frame group.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use tessera_tests::compare::{BF16_FACTOR, Report, VAE_BAR};
use tessera_tests::goldens::{self, FOLDERS, Goldens};
use tessera_tests::stages::{decode_groups, encode_groups};

/// U8 pixels → [-1, 1].
fn unit(pixels: &Tensor) -> Result<Tensor> {
    Ok(((pixels.to_dtype(DType::F32)? / 127.5)? - 1.0)?)
}

#[test]
fn every_frame_group_in_f32() -> Result<()> {
    let mut report = Report::default();
    let mut most = 0;
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/vae.safetensors"))?;
        for (case, _) in goldens::entries(&goldens::json(&format!("{folder}/vae.json"))?["decode"])?
        {
            let frames = golden.get(&format!("{case}.frames"))?;
            let groups = decode_groups(
                &goldens::checkpoint(folder),
                golden.get(&format!("{case}.latents"))?,
                DType::F32,
            )?;
            let mut first = 0;
            for (i, group) in groups.iter().enumerate() {
                let count = if i == 0 { 1 } else { 4 };
                ensure!(
                    group.dim(2)? == count,
                    "{folder} {case}: group {i} has {} frames",
                    group.dim(2)?
                );
                report.tensor(
                    &format!("{folder} decode {case} group {i}"),
                    group,
                    &frames.narrow(2, first, count)?,
                    VAE_BAR,
                );
                first += count;
            }
            ensure!(first == frames.dim(2)?, "{folder} {case}: {first} frames");
            most = most.max(groups.len());
        }
    }
    ensure!(most >= 3, "no golden has three groups");
    report.finish()
}

#[test]
fn every_latent_frame_of_an_encode_in_f32() -> Result<()> {
    let mut report = Report::default();
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/vae.safetensors"))?;
        for (case, _) in goldens::entries(&goldens::json(&format!("{folder}/vae.json"))?["encode"])?
        {
            let pixels = unit(golden.get(&format!("{case}.pixels"))?)?;
            let want = golden.get(&format!("{case}.latents"))?;
            let groups = encode_groups(&goldens::checkpoint(folder), &pixels, DType::F32)?;
            ensure!(
                groups.len() == want.dim(2)?,
                "{folder} {case}: {} latent frames",
                groups.len()
            );
            for (i, group) in groups.iter().enumerate() {
                report.tensor(
                    &format!("{folder} encode {case} frame {i}"),
                    group,
                    &want.narrow(2, i, 1)?,
                    VAE_BAR,
                );
            }
        }
    }
    report.finish()
}

#[test]
fn bf16_is_at_most_twice_as_wrong_as_plain_bf16() -> Result<()> {
    let mut report = Report::default();
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/vae.safetensors"))?;
        let facts = goldens::json(&format!("{folder}/vae.json"))?;
        for (case, facts) in goldens::entries(&facts["decode"])? {
            let groups = decode_groups(
                &goldens::checkpoint(folder),
                golden.get(&format!("{case}.latents"))?,
                DType::BF16,
            )?;
            let bar = BF16_FACTOR * goldens::number(facts, "bf16_error")?;
            let got = Tensor::cat(&groups, 2)?;
            report.tensor(
                &format!("{folder} decode {case} BF16"),
                &got,
                golden.get(&format!("{case}.frames"))?,
                bar,
            );
        }
        for (case, facts) in goldens::entries(&facts["encode"])? {
            let pixels = unit(golden.get(&format!("{case}.pixels"))?)?;
            let got = Tensor::cat(
                &encode_groups(&goldens::checkpoint(folder), &pixels, DType::BF16)?,
                2,
            )?;
            let bar = BF16_FACTOR * goldens::number(facts, "bf16_error")?;
            report.tensor(
                &format!("{folder} encode {case} BF16"),
                &got,
                golden.get(&format!("{case}.latents"))?,
                bar,
            );
        }
    }
    report.finish()
}

#[test]
fn a_prefix_decodes_to_the_same_bits() -> Result<()> {
    // Causality and state: frames of the first three latents do not depend on what follows, nor on having been decoded before.
    let golden = Goldens::read("tiny/vae.safetensors")?;
    let latents = golden.get("square.latents")?;
    let whole = decode_groups(&goldens::checkpoint("tiny"), latents, DType::F32)?;
    let prefix =
        decode_groups(&goldens::checkpoint("tiny"), &latents.narrow(2, 0, 3)?, DType::F32)?;
    for (i, (a, b)) in whole.iter().zip(&prefix).enumerate() {
        let (a, b) = (a.flatten_all()?.to_vec1::<f32>()?, b.flatten_all()?.to_vec1::<f32>()?);
        ensure!(a == b, "group {i} differs");
    }
    ensure!(prefix.len() == 3);
    Ok(())
}
