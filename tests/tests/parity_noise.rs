//! Starting noise against torch's CPU generator: every bit, for many seeds and sizes.

use anyhow::{Context, Result};
use tessera_pipeline::noise::torch_randn;
use tessera_tests::goldens::Goldens;

#[test]
fn every_bit_is_torchs() -> Result<()> {
    let golden = Goldens::read("noise.safetensors")?;
    let mut checked = 0;
    for (key, want) in golden.all() {
        // "seed.AxBxC" is what x86 users get; ".plain" is torch without its vector code, which we do not follow.
        let Some((seed, shape)) = key.split_once('.').filter(|(_, shape)| !shape.contains("plain"))
        else {
            continue;
        };
        let shape = shape
            .split('x')
            .map(str::parse)
            .collect::<Result<Vec<usize>, _>>()
            .with_context(|| key.clone())?;
        let got = torch_randn(seed.parse()?, &shape);
        let want = want.flatten_all()?.to_vec1::<f32>()?;
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got), bits(&want), "{key}");
        checked += 1;
    }
    assert!(checked >= 30, "only {checked} goldens");
    Ok(())
}

#[test]
fn seeds_differ() {
    assert_ne!(torch_randn(1, &[16]), torch_randn(2, &[16]));
    // torch seeds with the low 32 bits alone.
    assert_eq!(torch_randn(5, &[17]), torch_randn((1 << 32) + 5, &[17]));
}
