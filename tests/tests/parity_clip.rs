//! A whole clip against WanPipeline: prompt and starting latents in, latents after every step and frames out.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use tessera_models::attention::{Branch, Dense, SelfAttention, Sequence};
use tessera_models::folder::ModelFolder;
use tessera_models::geometry::Grid;
use tessera_models::guidance::combine;
use tessera_models::samplers::SamplerKind;
use tessera_models::text::prompt::clean;
use tessera_models::text::tokenizer::Tokenizer;
use tessera_models::text::umt5::Umt5Encoder;
use tessera_models::wan::transformer::WanTransformer;
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
    let encoder = Umt5Encoder::load(&folder, dtype, &Device::Cpu, &mut Unwatched)?;
    let model = WanTransformer::load(&folder, dtype, &Device::Cpu, &mut Unwatched)?;
    let mut texts = Vec::new();
    for (field, branch) in [("prompt", Branch::Cond), ("negative_prompt", Branch::Uncond)] {
        let tokens = tokenizer.encode(&clean(goldens::text(request, field)?))?;
        texts.push((branch, model.prepare_text(&encoder.encode(&tokens.ids, &mut Unwatched)?)?));
    }
    let steps = goldens::number(request, "num_inference_steps")? as usize;
    let guidance = goldens::number(request, "guidance_scale")?;
    let mut sampler = SamplerKind::UniPc.build(folder.scheduler_config(), steps, None)?;
    let modulations = model.prepare_steps(sampler.timesteps())?;
    let (_, _, frames, height, width) = start.dims5()?;
    let config = folder.transformer_config();
    let mut attention = Dense;
    attention.begin_clip(&Sequence {
        grid: Grid { frames, rows: height / 2, cols: width / 2 },
        text_tokens: 0,
        heads: config.num_attention_heads,
        layers: config.num_layers,
    })?;
    let (mut latents, mut kept) = (start.clone(), Vec::new());
    for (i, modulation) in modulations.iter().enumerate() {
        attention.begin_step(i, steps, sampler.sigmas()[i])?;
        let mut velocities = Vec::new();
        for (branch, text) in &texts {
            velocities.push(model.forward(
                &latents,
                modulation,
                text,
                *branch,
                &mut attention,
                &mut Unwatched,
            )?);
        }
        let velocity = combine(&velocities[0], &velocities[1], guidance)?;
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
