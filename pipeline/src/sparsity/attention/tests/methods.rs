//! Every method of the registry, at sizes that no block divides.

use super::*;
use crate::sparsity::Arrangement;
use crate::sparsity::registry::{METHODS, Method, Preset};

/// Every preset of every sparse method.
fn presets() -> impl Iterator<Item = (&'static Method, &'static Preset)> {
    METHODS.iter().flat_map(|method| method.presets.iter().map(move |preset| (method, preset)))
}

/// A strict request for a preset, with a plan file where it goes by one.
fn strict(method: &Method, preset: &Preset) -> Request {
    let policy = (preset.build)();
    let is_calibrated = policy.needs().plan || policy.arrangement(0) == Arrangement::Calibrated;
    asked(method.name, |request| {
        request.preset = Some(preset.name.into());
        request.strict = Some(true);
        request.plan = is_calibrated.then(|| "a.plan".into());
    })
}

#[test]
fn every_method_runs_sparse_at_any_size() {
    // One token, one latent frame, less than a block, ragged in both, and several whole blocks.
    for size in [[1, 1, 1], [1, 3, 5], [3, 7, 9], [2, 12, 11], [4, 8, 16]] {
        let scene = Scene::new(size, 2);
        for (method, preset) in presets() {
            let name = format!("{} {} {size:?}", method.name, preset.name);
            let mut attention = attention_of(&scene, &strict(method, preset));
            let answers = scene.run(&mut attention, true).unwrap_or_else(|e| panic!("{name}: {e}"));
            for answer in &answers {
                let shape = [1, 2, scene.sequence.tokens(), 16];
                assert_eq!(answer.dims(), shape, "{name}");
                assert!(values(answer).iter().all(|value| value.is_finite()), "{name}");
            }
            assert_eq!(counted(attention.tally().calls())[0], 0, "{name} ran dense");
            let again =
                scene.run(&mut attention_of(&scene, &strict(method, preset)), true).unwrap();
            let is_same = answers.iter().zip(&again).all(|(a, b)| values(a) == values(b));
            assert!(is_same, "{name}: the same request gave other bytes");
        }
    }
}

#[test]
fn everything_in_full_is_dense_attention() {
    let scene = Scene::new([3, 7, 9], 1);
    let dense = scene.dense();
    for (method, preset) in presets() {
        let request = Request { density: Some(1.0), ..strict(method, preset) };
        for is_carried in [false, true] {
            let answers = scene.run(&mut attention_of(&scene, &request), is_carried).unwrap();
            for (answer, dense) in answers.iter().zip(&dense) {
                let far = distance(answer, dense);
                assert!(far < 1e-5, "{} {}: {far}", method.name, preset.name);
            }
        }
    }
}

/// Methods with a score for each block of a row can come as near to a density as a row has blocks.
#[test]
fn a_density_that_was_asked_for_is_met() {
    let scene = Scene::new([5, 16, 16], 1);
    for name in ["psa", "sol", "subblock", "adaspa"] {
        for (wanted, floor) in [(0.15, 0), (0.15, 7), (0.3, 0), (0.3, 7), (0.6, 7)] {
            let request = asked(name, |request| {
                request.density = Some(wanted);
                request.floor = Some(floor);
                request.keep_self = Some(false);
                request.keep_radius = Some(0);
                request.least_full = Some(0.0);
            });
            let mut attention = attention_of(&scene, &request);
            scene.run(&mut attention, true).unwrap();
            for call in attention.tally().calls() {
                let got = call.density_exact.iter().sum::<f64>() / 2.0;
                // Ten rows of twenty blocks: one block a row is a twentieth.
                assert!((got - wanted).abs() <= 0.03, "{name}: {got} for {wanted}, floor {floor}");
            }
        }
    }
}
