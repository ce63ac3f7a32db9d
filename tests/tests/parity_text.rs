//! Prompt → token ids → text rows against transformers' UMT5 and its fast tokenizer.

use anyhow::{Result, ensure};
use candle_core::DType;
use tessera_models::folder::ModelFolder;
use tessera_models::text::{Tokenizer, clean};
use tessera_tests::compare::{BF16_FACTOR, MODEL_BAR, Report};
use tessera_tests::goldens::{self, FOLDERS, Goldens};
use tessera_tests::stages;

/// The golden token ids of one prompt.
fn ids(golden: &Goldens, prompt: &str) -> Result<Vec<u32>> {
    Ok(golden.get(&format!("{prompt}.ids"))?.to_dtype(DType::U32)?.to_vec1()?)
}

#[test]
fn tokens_are_the_fast_tokenizers() -> Result<()> {
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/text.safetensors"))?;
        let tokenizer = Tokenizer::load(&ModelFolder::open(&goldens::checkpoint(folder))?)?;
        for (prompt, facts) in goldens::entries(&goldens::json(&format!("{folder}/text.json"))?)? {
            let tokens = tokenizer.encode(&clean(goldens::text(facts, "prompt")?))?;
            ensure!(tokens.ids == ids(&golden, prompt)?, "{folder} {prompt}: {:?}", tokens.ids);
            ensure!(
                Some(tokens.truncated) == facts["truncated"].as_bool(),
                "{folder} {prompt}: truncated"
            );
            let dropped = goldens::number(facts, "uncut")? - goldens::number(facts, "real")?;
            ensure!(
                tokens.dropped as f64 == dropped,
                "{folder} {prompt}: dropped {} of {dropped}",
                tokens.dropped
            );
        }
    }
    Ok(())
}

/// Rows of every prompt in `dtype`; the bar of a prompt comes from its facts.
fn rows(dtype: DType, bar: impl Fn(&serde_json::Value) -> Result<f64>) -> Result<()> {
    let mut report = Report::default();
    for folder in FOLDERS {
        let golden = Goldens::read(&format!("{folder}/text.safetensors"))?;
        for (prompt, facts) in goldens::entries(&goldens::json(&format!("{folder}/text.json"))?)? {
            let got =
                stages::text_rows(&goldens::checkpoint(folder), &ids(&golden, prompt)?, dtype)?;
            let stride = goldens::number(facts, "stride")? as u32;
            let kept: Vec<u32> = (0..got.dim(0)? as u32).step_by(stride as usize).collect();
            let got = tessera_tests::checkpoint::reorder(&got, 0, &kept)?;
            report.tensor(
                &format!("{folder} rows {prompt} {dtype:?}"),
                &got,
                golden.get(&format!("{prompt}.rows"))?,
                bar(facts)?,
            );
        }
    }
    report.finish()
}

#[test]
fn rows_in_f32() -> Result<()> {
    rows(DType::F32, |_| Ok(MODEL_BAR))
}

#[test]
fn rows_in_bf16_are_at_most_twice_as_wrong_as_plain_bf16() -> Result<()> {
    rows(DType::BF16, |facts| Ok(BF16_FACTOR * goldens::number(facts, "bf16_error")?))
}
