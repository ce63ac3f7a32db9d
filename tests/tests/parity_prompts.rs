//! Prompt cleaning against diffusers' `prompt_clean` with ftfy.

use anyhow::{Context, Result, ensure};
use tessera_models::text::clean;
use tessera_tests::goldens;

#[test]
fn prompts_are_cleaned_as_diffusers_cleans_them() -> Result<()> {
    let pairs = goldens::json("prompts.json")?;
    let pairs = pairs.as_array().context("a list")?;
    let mut wrong = Vec::new();
    let mut repaired = 0;
    for pair in pairs {
        let (raw, want) = (goldens::text(pair, "raw")?, goldens::text(pair, "cleaned")?);
        let got = clean(raw);
        match goldens::text(pair, "kind")? {
            "required" if got != want => {
                wrong.push(format!("{raw:?}\n    gave     {got:?}\n    expected {want:?}"));
            }
            "mojibake" if got == want => repaired += 1,
            _ => {}
        }
    }
    println!("mojibake (optional): {repaired} repaired");
    ensure!(
        wrong.is_empty(),
        "{} of {} differ:\n  {}",
        wrong.len(),
        pairs.len(),
        wrong.join("\n  ")
    );
    Ok(())
}

#[test]
fn cleaning_is_idempotent_on_plain_text() {
    for text in ["a red ball", "一只猫在雪地里奔跑,镜头跟随。", "\"quoted\" & <b>"] {
        assert_eq!(clean(text), text);
        assert_eq!(clean(&clean(text)), text);
    }
}
