//! LPIPS and MS-SSIM against their reference implementations (`tests/reference/distances.py`).

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use candle_core::{Device, Tensor};
use serde_json::Value;
use tessera_pipeline::files::write_atomically;
use tessera_pipeline::metrics::{Lpips, ms_ssim};
use tessera_pipeline::noise::torch_randn;
use tessera_tests::goldens::{json, number};

/// The reference implementation's names and shapes, in the order of the seeds.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let convolutions = [
        (0, [64, 3, 11, 11]),
        (3, [192, 64, 5, 5]),
        (6, [384, 192, 3, 3]),
        (8, [256, 384, 3, 3]),
        (10, [256, 256, 3, 3]),
    ];
    let mut all = Vec::new();
    for (slice, (number, shape)) in (1..).zip(convolutions) {
        all.push((format!("net.slice{slice}.{number}.weight"), shape.to_vec()));
        all.push((format!("net.slice{slice}.{number}.bias"), vec![shape[0]]));
    }
    for (index, (_, shape)) in convolutions.iter().enumerate() {
        all.push((format!("lin{index}.model.1.weight"), vec![1, shape[0], 1, 1]));
    }
    all
}

/// The weights that the script drew.
fn weights() -> Result<HashMap<String, Tensor>> {
    let draw = |(seed, (name, shape)): (usize, (String, Vec<usize>))| {
        let fan_in: usize = shape[1..].iter().product();
        let scale = |value: f32| match name.as_str() {
            name if name.ends_with("bias") => value * 0.1,
            name if name.starts_with("lin") => value.abs() / shape[1] as f32,
            _ => value * (2.0 / fan_in as f64).sqrt() as f32,
        };
        let values = torch_randn(seed as u64, &shape).into_iter().map(scale).collect::<Vec<_>>();
        Ok((name.clone(), Tensor::from_vec(values, shape.clone(), &Device::Cpu)?))
    };
    tensors().into_iter().enumerate().map(draw).collect()
}

fn saved(folder: &Path, weights: &HashMap<String, Tensor>) -> Result<std::path::PathBuf> {
    let path = folder.join("alex.safetensors");
    candle_core::safetensors::save(weights, &path)?;
    Ok(path)
}

/// The script's picture.
fn picture(width: usize, height: usize, shift: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            rgb.extend((0..3).map(|c| ((x * (3 + c) + y * y / 7 + shift * (x % 2)) % 256) as u8));
        }
    }
    rgb
}

fn extent(case: &Value) -> Result<[usize; 3]> {
    Ok([
        number(case, "width")? as usize,
        number(case, "height")? as usize,
        number(case, "shift")? as usize,
    ])
}

#[test]
fn lpips_is_that_of_its_reference_implementation() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weights = weights()?;
    let lpips = Lpips::load(&saved(folder.path(), &weights)?)?;
    for case in json("distances.json")?["lpips"].as_array().unwrap() {
        let [width, height, shift] = extent(case)?;
        let (a, b) = (picture(width, height, 0), picture(width, height, shift));
        let (ours, theirs) =
            (lpips.distance(&a, &b, width, height)?.unwrap(), number(case, "lpips")?);
        let error = (ours / theirs - 1.0).abs();
        assert!(error < 1e-4 && theirs > 1e-3, "{width}×{height}: {ours} against {theirs}");
        assert_eq!(lpips.distance(&a, &a, width, height)?, Some(0.0));
    }
    assert_eq!(lpips.distance(&[], &[], 30, 64)?, None, "too small for its poolings");

    // torchvision's names for the convolutions do too.
    for (name, _) in tensors() {
        if let Some((_, rest)) = name.split_once("net.slice").and_then(|(_, r)| r.split_once('.')) {
            let tensor = weights.remove(&name).unwrap();
            weights.insert(format!("features.{rest}"), tensor);
        }
    }
    let renamed = Lpips::load(&saved(folder.path(), &weights)?)?;
    let (a, b) = (picture(40, 40, 0), picture(40, 40, 9));
    assert_eq!(renamed.distance(&a, &b, 40, 40)?, lpips.distance(&a, &b, 40, 40)?);
    Ok(())
}

#[test]
fn weights_that_will_not_do_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = weights()?;
    let told = |weights: &HashMap<String, Tensor>| {
        Lpips::load(&saved(folder.path(), weights).unwrap()).err().unwrap().to_string()
    };
    let mut wrong = whole.clone();
    wrong.remove("lin2.model.1.weight");
    let error = told(&wrong);
    assert!(error.contains("lin2.model.1.weight") && error.contains("alex.safetensors"), "{error}");
    let mut wrong = whole.clone();
    wrong.insert(
        "net.slice2.3.bias".into(),
        Tensor::zeros(7, candle_core::DType::F32, &Device::Cpu)?,
    );
    let error = told(&wrong);
    assert!(error.contains("expected shape [192], got [7]"), "{error}");
    let mut wrong = whole;
    wrong.insert("net.slice2.3.bias".into(), Tensor::full(f32::NAN, 192, &Device::Cpu)?);
    let error = told(&wrong);
    assert!(error.contains("net.slice2.3.bias") && error.contains("finite"), "{error}");
    let absent = Lpips::load(&folder.path().join("absent.safetensors")).err().unwrap();
    assert!(absent.to_string().contains("absent.safetensors"), "{absent}");
    let text = folder.path().join("text.pth");
    write_atomically(&text, |file| file.write_all(b"not a state dict"))?;
    assert!(Lpips::load(&text).err().unwrap().to_string().contains("state dict"));
    Ok(())
}

#[test]
fn ms_ssim_is_that_of_pytorch_msssim() -> Result<()> {
    for case in json("distances.json")?["ms_ssim"].as_array().unwrap() {
        let [width, height, shift] = extent(case)?;
        // It is of one plane: red stands for luma.
        let grey = |shift| {
            let rgb = picture(width, height, shift);
            rgb.as_chunks::<3>().0.iter().flat_map(|[red, ..]| [*red; 3]).collect::<Vec<u8>>()
        };
        let ours = ms_ssim(&grey(0), &grey(shift), width, height).unwrap();
        let theirs = number(case, "ms_ssim")?;
        assert!((ours - theirs).abs() < 1e-4, "{width}×{height}: {ours} against {theirs}");
        assert!((0.01..0.999).contains(&theirs), "{theirs}");
    }
    Ok(())
}
