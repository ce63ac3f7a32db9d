//! The diffusion transformer against diffusers, stage by stage: time vectors, patch embedding, every block, velocity.

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use serde_json::Value;
use tessera_models::attention::Branch;
use tessera_tests::compare::{BF16_FACTOR, MODEL_BAR, Report};
use tessera_tests::goldens::{self, FOLDERS, Goldens};
use tessera_tests::stages::{self, Velocity};

/// The text rows of one prompt, from our own encoder in F32 (its parity is `parity_text`'s matter).
fn rows(folder: &str, prompt: &str) -> Result<Tensor> {
    let golden = Goldens::read(&format!("{folder}/text.safetensors"))?;
    let ids: Vec<u32> = golden.get(&format!("{prompt}.ids"))?.to_dtype(DType::U32)?.to_vec1()?;
    stages::text_rows(&goldens::checkpoint(folder), &ids, DType::F32)
}

/// Runs every case of every folder; `check` gets (label, stage, ours, golden, facts of the case).
fn all(
    dtype: DType,
    mut check: impl FnMut(&str, &str, &Tensor, &Tensor, &Value) -> Result<()>,
) -> Result<()> {
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/transformer.safetensors"))?;
        let model = Velocity::load(&goldens::checkpoint(folder), dtype)?;
        for (case, facts) in
            goldens::entries(&goldens::json(&format!("{folder}/transformer.json"))?["cases"])?
        {
            let (inputs, branch) =
                if case == "uncond" { ("ragged", Branch::Uncond) } else { (case, Branch::Cond) };
            let latents = golden.get(&format!("{inputs}.latents"))?;
            let rows = rows(folder, goldens::text(facts, "prompt")?)?;
            for (stage, got) in
                model.traced(latents, goldens::number(facts, "t")?, &rows, branch)?
            {
                if let Some(want) = golden.find(&format!("{case}.{stage}")) {
                    check(
                        &format!("{folder} {case} {stage} {dtype:?}"),
                        &stage,
                        &got,
                        want,
                        facts,
                    )?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_stage_in_f32() -> Result<()> {
    let mut report = Report::default();
    let mut stages = std::collections::BTreeSet::new();
    all(DType::F32, |label, stage, got, want, _| {
        stages.insert(stage.to_owned());
        report.tensor(label, got, want, MODEL_BAR);
        Ok(())
    })?;
    for stage in ["temb", "six", "patch", "block.0", "block.1", "velocity"] {
        if !stages.contains(stage) {
            report.miss(format!("no trace of {stage}; traced: {stages:?}"));
        }
    }
    report.finish()
}

#[test]
fn bf16_is_at_most_twice_as_wrong_as_plain_bf16() -> Result<()> {
    let mut report = Report::default();
    all(DType::BF16, |label, stage, got, want, facts| {
        if let Some(plain) = facts["bf16_error"][stage].as_f64() {
            report.tensor(label, got, want, BF16_FACTOR * plain);
        }
        Ok(())
    })?;
    report.finish()
}

#[test]
fn time_vectors_of_many_steps_at_once() -> Result<()> {
    // The same as one by one: the golden's times, through the trace of a forward each.
    let mut report = Report::default();
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/transformer.safetensors"))?;
        let model = Velocity::load(&goldens::checkpoint(folder), DType::F32)?;
        let latents = golden.get("single.latents")?;
        let rows = rows(folder, "empty")?;
        let times = goldens::json(&format!("{folder}/transformer.json"))?["times"].clone();
        for (i, t) in times.as_array().context("times")?.iter().enumerate() {
            let seen = model.traced(latents, t.as_f64().context("a time")?, &rows, Branch::Cond)?;
            for stage in ["temb", "six"] {
                let want = golden.get(&format!("times.{stage}"))?.get(i)?;
                report.tensor(
                    &format!("{folder} t={t} {stage}"),
                    seen.get(stage).context("a stage")?,
                    &want,
                    MODEL_BAR,
                );
            }
        }
    }
    report.finish()
}
