//! A whole clip against WanPipeline: prompt and starting latents in, latents after every step and frames out.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use tessera_models::attention::{Branch, Dense, SelfAttention};
use tessera_models::folder::ModelFolder;
use tessera_models::geometry::Grid;
use tessera_models::guidance::combine;
use tessera_models::samplers::SamplerKind;
use tessera_models::text::{Tokenizer, clean, encode_prompts};
use tessera_models::wan::WanTransformer;
use tessera_models::watch::Unwatched;
use tessera_tests::compare::{BF16_FACTOR, CLIP_BAR, Report};
use tessera_tests::goldens::{self, FOLDERS, Goldens};
use tessera_tests::stages::decode_groups;

/// The latents after every step of a golden's request.
fn denoise(
    folder: &str,
    request: &serde_json::Value,
    start: &Tensor,
    dtype: DType,
) -> Result<Vec<Tensor>> {
    let folder = ModelFolder::open(&goldens::checkpoint(folder))?;
    let tokenizer = Tokenizer::load(&folder)?;
    let mut prompts = Vec::new();
    for field in ["prompt", "negative_prompt"] {
        prompts.push(tokenizer.encode(&clean(goldens::text(request, field)?))?.ids);
    }
    let rows = encode_prompts(&folder, &prompts, dtype, &Device::Cpu, &mut Unwatched)?;
    let model = WanTransformer::load(&folder, dtype, &Device::Cpu, &mut Unwatched)?;
    let (cond, uncond) = (model.prepare_text(&rows[0])?, model.prepare_text(&rows[1])?);
    let steps = goldens::number(request, "num_inference_steps")? as usize;
    let guidance = goldens::number(request, "guidance_scale")?;
    let mut sampler = SamplerKind::UniPc.build(folder.scheduler_config(), steps, None)?;
    let modulations = model.prepare_steps(sampler.timesteps())?;
    let (_, _, frames, height, width) = start.dims5()?;
    let mut attention = Dense;
    attention.begin_clip(&model.sequence(Grid { frames, rows: height / 2, cols: width / 2 }))?;
    let (mut latents, mut kept) = (start.clone(), Vec::new());
    for (i, modulation) in modulations.iter().enumerate() {
        attention.begin_step(i, steps, sampler.sigmas()[i])?;
        let mut forward = |text, branch| {
            model.forward(&latents, modulation, text, branch, &mut attention, &mut Unwatched)
        };
        let velocity =
            combine(&forward(&cond, Branch::Cond)?, &forward(&uncond, Branch::Uncond)?, guidance)?;
        latents = sampler.step(&velocity, &latents)?;
        kept.push(latents.clone());
    }
    Ok(kept)
}

/// Frames `[F, H, W, 3]` in [0, 1] of model-space latents, through the VAE in F32.
fn frames(folder: &str, latents: &Tensor) -> Result<Tensor> {
    let video = Tensor::cat(&decode_groups(&goldens::checkpoint(folder), latents, DType::F32)?, 2)?;
    Ok(((video.squeeze(0)?.permute((1, 2, 3, 0))? * 0.5)? + 0.5)?)
}

#[test]
fn the_clip_in_f32() -> Result<()> {
    let mut report = Report::default();
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/clip.safetensors"))?;
        let facts = goldens::json(&format!("{folder}/clip.json"))?;
        let kept = denoise(folder, &facts["request"], golden.get("start")?, DType::F32)?;
        for (i, latents) in kept.iter().enumerate() {
            report.tensor(
                &format!("{folder} clip step {i}"),
                latents,
                golden.get(&format!("step.{i}"))?,
                CLIP_BAR,
            );
        }
        if let Some(want) = golden.find("frames") {
            let got = frames(folder, kept.last().context("a step")?)?;
            report.tensor(&format!("{folder} clip frames"), &got, want, CLIP_BAR);
        }
    }
    report.finish()
}

#[test]
fn the_clip_in_bf16_is_at_most_twice_as_wrong_as_plain_bf16() -> Result<()> {
    let mut report = Report::default();
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/clip.safetensors"))?;
        let facts = goldens::json(&format!("{folder}/clip.json"))?;
        let kept = denoise(folder, &facts["request"], golden.get("start")?, DType::BF16)?;
        let latents = kept.last().context("a step")?;
        let bar = |stage| {
            Ok::<_, anyhow::Error>(BF16_FACTOR * goldens::number(&facts["bf16_error"], stage)?)
        };
        report.tensor(
            &format!("{folder} clip latents BF16"),
            latents,
            golden.get("latents")?,
            bar("latents")?,
        );
        if let Some(want) = golden.find("frames") {
            report.tensor(
                &format!("{folder} clip frames BF16"),
                &frames(folder, latents)?,
                want,
                bar("frames")?,
            );
        }
    }
    report.finish()
}
