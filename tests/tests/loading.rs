//! A model is its numbers: neither the file's type nor how it is cut into shards may show.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use tessera_tests::checkpoint::Copy;
use tessera_tests::compare::values;
use tessera_tests::goldens::{self, Goldens};
use tessera_tests::stages::{Velocity, decode_groups, text_rows};

/// One result of each component of a tiny folder: text rows, velocity, frames, as plain numbers.
fn outputs(path: &std::path::Path) -> Result<[Vec<f64>; 3]> {
    let text = Goldens::read("tiny/text.safetensors")?;
    let ids: Vec<u32> = text.get("entities.ids")?.to_dtype(DType::U32)?.to_vec1()?;
    let latents = Goldens::read("tiny/transformer.safetensors")?.get("last.latents")?.clone();
    let decoded = Goldens::read("tiny/vae.safetensors")?.get("ragged.latents")?.clone();
    let velocity =
        Velocity::load(path, DType::F32)?.velocity(&latents, 500.0, text.get("one.rows")?)?;
    let frames = Tensor::cat(&decode_groups(path, &decoded, DType::F32)?, 2)?;
    Ok([values(&text_rows(path, &ids, DType::F32)?)?, values(&velocity)?, values(&frames)?])
}

const COMPONENTS: [&str; 3] = ["text_encoder", "transformer", "vae"];

#[test]
fn shards_give_the_same_bits_as_one_file() -> Result<()> {
    let whole = outputs(&goldens::checkpoint("tiny"))?;
    for shards in [1, 2, 5] {
        let copy = Copy::of(&goldens::checkpoint("tiny"))?;
        for component in COMPONENTS {
            copy.write(component, &copy.tensors(component)?, DType::F32, shards)?;
        }
        ensure!(outputs(copy.path())? == whole, "{shards} shards differ from the folder as it was");
    }
    Ok(())
}

#[test]
fn a_half_file_gives_the_same_bits_as_its_values_in_f32() -> Result<()> {
    for dtype in [DType::F16, DType::BF16] {
        let half = Copy::of(&goldens::checkpoint("tiny"))?;
        let wide = Copy::of(&goldens::checkpoint("tiny"))?;
        for component in COMPONENTS {
            let mut tensors = half.tensors(component)?;
            half.write(component, &tensors, dtype, 2)?;
            for tensor in tensors.values_mut() {
                *tensor = tensor.to_dtype(dtype)?.to_dtype(DType::F32)?;
            }
            wide.write(component, &tensors, DType::F32, 1)?;
        }
        ensure!(
            outputs(half.path())? == outputs(wide.path())?,
            "{dtype:?} files differ from the same numbers in F32"
        );
    }
    Ok(())
}
