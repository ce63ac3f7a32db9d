//! The encoder against transformers on the bundled checkpoint, and its refusals.

use std::ops::ControlFlow;

use candle_core::{DType, Device};

use super::*;
use crate::Error;
use crate::folder::ModelFolder;
use crate::folder::tests::toybox;
use crate::watch::Unwatched;

fn rows(prompts: &[Vec<u32>], dtype: DType) -> Vec<Vec<Vec<f32>>> {
    let folder = ModelFolder::open(&toybox()).unwrap();
    let encoded = encode_prompts(&folder, prompts, dtype, &Device::Cpu, &mut Unwatched).unwrap();
    encoded.iter().map(|text| text.rows.to_vec2().unwrap()).collect()
}

/// Largest difference in units of the largest value.
fn error(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let (found, expected) = (found.concat(), expected.concat());
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    difference.fold(0f32, f32::max) / largest
}

#[test]
fn prompts_together_are_prompts_alone() {
    let prompts = [vec![1], vec![5, 9, 30, 1], (4..204).chain([1]).collect::<Vec<u32>>()];
    let together = rows(&prompts, DType::F32);
    for (prompt, expected) in prompts.iter().zip(&together) {
        assert_eq!(rows(std::slice::from_ref(prompt), DType::F32)[0], *expected);
        assert_eq!(expected.len(), prompt.len());
        assert_eq!(expected[0].len(), 192);
    }
    let half = rows(&prompts, DType::BF16);
    for (half, whole) in half.iter().zip(&together) {
        let error = error(half, whole);
        assert!(error > 0.0 && error < 0.03, "{error}");
    }
}

#[test]
fn the_watch_sees_each_matrix_and_can_cancel() {
    let folder = ModelFolder::open(&toybox()).unwrap();
    let mut seen = Vec::new();
    let mut watch = |done, of| {
        seen.push((done, of));
        ControlFlow::Continue(())
    };
    encode_prompts(&folder, &[vec![1]], DType::F32, &Device::Cpu, &mut watch).unwrap();
    assert_eq!(seen, (0..=21).map(|done| (done, 21)).collect::<Vec<_>>());
    let mut cancel =
        |done, _| if done < 9 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let outcome = encode_prompts(&folder, &[vec![1]], DType::F32, &Device::Cpu, &mut cancel);
    assert!(matches!(outcome, Err(Error::Cancelled)));
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let folder = ModelFolder::open(&toybox()).unwrap();
    let beyond = folder.text_config().vocab_size as u32;
    for (ids, dtype) in [
        (vec![], DType::F32),
        (vec![4; 513], DType::F32),
        (vec![beyond, 1], DType::F32),
        (vec![1], DType::F64),
    ] {
        let outcome = encode_prompts(&folder, &[ids], dtype, &Device::Cpu, &mut Unwatched);
        assert!(matches!(outcome, Err(Error::Argument { .. })));
    }
    let none = encode_prompts(&folder, &[], DType::F32, &Device::Cpu, &mut Unwatched).unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_folder_gives_a_prompt_from_end_to_end() {
    let folder = ModelFolder::open(&toybox()).unwrap();
    let tokens =
        Tokenizer::load(&folder).unwrap().encode(&clean("a “red” ball &amp; a cube")).unwrap();
    let text = encode_prompts(
        &folder,
        std::slice::from_ref(&tokens.ids),
        DType::F32,
        &Device::Cpu,
        &mut Unwatched,
    )
    .unwrap();
    assert_eq!(text[0].rows.dims(), [tokens.ids.len(), 192]);
    assert_eq!(text[0].padded_to, 512);
}

#[test]
fn the_public_encoder_has_its_242_tensors() {
    let text = r#"{"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "num_heads": 64, "d_ff": 10240, "num_layers": 24}"#;
    let config = crate::folder::config::read("c", text).unwrap();
    let all = expected(&config, |name| name == "shared.weight");
    assert_eq!(all.len(), 242);
    let parameters: usize = all.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 5_680_910_336);
    // A block of the 22.7 GB encoder in F32, its largest matrix thrice, and the longest prompts: about a GB.
    let peak = peak_bytes(&config, DType::F32, 512, 2);
    assert!((900 << 20..1500 << 20).contains(&peak), "{peak}");
}
