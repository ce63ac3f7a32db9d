//! What every policy owes, whatever it estimates: same call, same map; a density that never falls as the knob grows, up
//! to everything at 1; and all of that on grids that no block divides, with text behind the video.

use std::collections::HashSet;

use tessera_kernels::levels::FULL;

use super::METHODS;
use super::testing::Case;
use crate::request::Request;
use crate::sparsity::options::fill;
use crate::sparsity::schedule::Schedule;
use crate::sparsity::{Knob, Options, Policy, View};

/// Every policy that needs no calibration, with its name.
fn policies() -> impl Iterator<Item = (String, Box<dyn Policy>)> {
    METHODS
        .iter()
        .flat_map(|method| method.presets.iter().map(move |preset| (method, preset)))
        .map(|(method, preset)| (format!("{} {}", method.name, preset.name), (preset.build)()))
        .filter(|(_, policy)| !policy.needs().plan)
}

fn levels(policy: &dyn Policy, view: &View<'_>, knob: Knob) -> Vec<u8> {
    (policy.prepare(view).unwrap().select)(knob).unwrap().to_vec().unwrap()
}

#[test]
fn names_are_unique_and_everything_is_told() {
    let mut names = HashSet::new();
    for method in METHODS {
        assert!(names.insert(method.name), "{} twice", method.name);
        assert!(!method.presets.is_empty() && !method.summary.is_empty(), "{}", method.name);
        let mut presets = HashSet::new();
        for preset in method.presets {
            assert!(presets.insert(preset.name), "{} {} twice", method.name, preset.name);
            assert!(!preset.source.is_empty(), "{} {}", method.name, preset.name);
        }
    }
}

/// Sources count steps in runs of their own length: a preset must serve every length, and models of any depth.
#[test]
fn presets_fit_runs_of_any_length() {
    let presets = METHODS.iter().flat_map(|method| method.presets.iter().map(move |p| (method, p)));
    for (method, preset) in presets {
        let request = Request {
            attention: Some(method.name.into()),
            preset: Some(preset.name.into()),
            plan: Some("any".into()),
            ..Request::default()
        };
        for (layers, steps) in [(1, 1), (2, 3), (8, 10), (30, 50), (40, 100)] {
            let mut filled = request.clone();
            fill(&mut filled, layers).unwrap();
            let terms = Options::new(&filled).unwrap().unwrap().terms;
            let sigmas: Vec<f64> =
                (0..steps).map(|step| 1.0 - f64::from(step) / f64::from(steps)).collect();
            let schedule = Schedule::new(&terms, &sigmas, layers);
            let schedule = schedule.unwrap_or_else(|problems| {
                panic!("{} of {} in {steps} steps: {problems:?}", preset.name, method.name)
            });
            let sparse = schedule.sparse().len() as f64 / f64::from(steps);
            assert!(sparse >= 0.6, "{} {}: {sparse}", method.name, preset.name);
        }
    }
}

#[test]
fn density_never_falls_as_the_knob_grows() {
    for case in [Case::new([3, 9, 14], 0), Case::new([4, 8, 16], 70)] {
        let view = case.view();
        for (name, policy) in policies() {
            let prepared = policy.prepare(&view).unwrap();
            let mut before = 0.0;
            for keep in [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0] {
                let density = (prepared.select)(Knob::Keep(keep)).unwrap().density().unwrap();
                assert!(density.exact >= before - 1e-9, "{name} at {keep}: {density:?}");
                before = density.exact;
            }
            let all = (prepared.select)(Knob::Keep(1.0)).unwrap().to_vec().unwrap();
            assert!(all.iter().all(|&level| level == FULL), "{name} does not reach everything");
        }
    }
}

/// A plan must know what a preset comes to, by its rule or because it was measured, and a rule must tell the truth.
#[test]
fn rules_say_what_they_select() {
    for case in [Case::new([3, 9, 14], 0), Case::new([9, 16, 16], 0)] {
        let view = case.view();
        let outline = view.outline().unwrap();
        for method in METHODS {
            for preset in method.presets {
                let (name, policy) = (format!("{} {}", method.name, preset.name), (preset.build)());
                let (told, measured) = (policy.density(&outline), preset.defaults.measured_density);
                assert!(told.is_some() != measured.is_some(), "{name}: {told:?} and {measured:?}");
                let Some(told) = told.filter(|_| !policy.needs().plan) else { continue };
                let prepared = policy.prepare(&view).unwrap();
                let got = (prepared.select)(Knob::Preset).unwrap().density().unwrap().nominal;
                assert!((told - got).abs() < 0.02, "{name}: {told} told, {got} selected");
            }
        }
    }
}

#[test]
fn equal_calls_get_equal_maps() {
    let case = Case::new([3, 9, 14], 20);
    for (name, policy) in policies() {
        let view = case.view();
        for knob in [Knob::Preset, Knob::Keep(0.3)] {
            let (first, again) = (levels(&*policy, &view, knob), levels(&*policy, &view, knob));
            assert!(first == again, "{name} {knob:?}");
        }
    }
}

#[test]
fn a_clip_of_a_few_tokens_is_a_call_like_any_other() {
    let case = Case::new([1, 3, 5], 0);
    for (name, policy) in policies() {
        let levels = levels(&*policy, &case.view(), Knob::Preset);
        assert_eq!(levels.len(), 3, "{name}");
    }
}
