//! Sparse plans of the bundled model: 2304 tokens, 18 × 36 blocks, 8 layers of 5 heads, 20 steps with guidance.

use super::super::tests::{asked, machine};
use crate::error::FailureKind;
use crate::events::Phase;
use crate::plan::Plan;
use crate::request::Request;

fn sparse(change: impl FnOnce(&mut Request)) -> Request {
    asked(|request| {
        request.attention = Some("psa".into());
        request.warmup = Some("5".into());
        request.refresh = Some("1".into());
        request.floor = Some(0);
        request.keep_self = Some(false);
        request.keep_radius = Some(0);
        request.keep_first_frame = Some(false);
        request.least_full = Some(0.0);
        request.dense_layers = Some("none".into());
        request.dense_last = Some(0);
        change(request);
    })
}

fn planned(request: &Request) -> Plan {
    Plan::resolve(request, &machine(16 << 30)).unwrap()
}

fn told(change: impl FnOnce(&mut Request)) -> String {
    let error = Plan::resolve(&sparse(change), &machine(16 << 30)).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Input);
    error.to_string()
}

#[test]
fn the_prediction_knows_the_density() {
    let dense = planned(&asked(|_| ()));
    assert!(dense.attention.is_none());
    let plan = planned(&sparse(|request| request.density = Some(0.2)));
    let attention = plan.attention.as_ref().unwrap();
    assert_eq!((attention.sparse_steps, attention.blocks), ([5, 20], [18, 36]));
    assert!((attention.work_share - (0.25 + 0.75 * 0.2)).abs() < 1e-12);
    // 40 forwards of 8 layers, 4·S²·d each.
    assert!(
        (attention.dense_work / (40.0 * 8.0 * 4.0 * 2304.0 * 2304.0 * 320.0) - 1.0).abs() < 1e-9
    );
    let work = |plan: &Plan| plan.phase(Phase::Denoise).unwrap().work;
    let saved = (1.0 - attention.work_share - attention.estimate_share) * attention.dense_work;
    assert!((work(&dense) - work(&plan) - saved).abs() < 1e-3 * saved);
    let with_layers = planned(&sparse(|request| {
        request.density = Some(0.2);
        request.dense_layers = Some("0-3".into());
    }));
    let share = with_layers.attention.unwrap().work_share;
    assert!((share - (1.0 - 0.75 * 0.5 * 0.8)).abs() < 1e-12);
}

#[test]
fn the_prediction_knows_what_choosing_takes() {
    let share = |method: &str, change: &dyn Fn(&mut Request)| {
        let plan = planned(&sparse(|request| {
            request.attention = Some(method.into());
            change(request);
        }));
        plan.attention.unwrap().estimate_share
    };
    let is_near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-4, "{got}");
    // Three quarters of the steps are sparse, and an estimate takes 3.5 % of a dense call.
    is_near(share("psa", &|_| ()), 0.75 * 0.0349);
    is_near(share("psa", &|r| r.refresh = Some("never".into())), 0.0349 / 20.0);
    is_near(share("psa", &|r| r.refresh = Some("5".into())), 3.0 * 0.0349 / 20.0);
    is_near(share("psa", &|r| r.share_branches = Some(true)), 0.75 * 0.0349 / 2.0);
    // One estimate, and 14 probes of 64 rows.
    is_near(
        share("psa", &|r| r.refresh = Some("adaptive:0.9".into())),
        (0.0349 + 14.0 * 0.0218) / 20.0,
    );
    assert_eq!(share("sta", &|_| ()), 0.0);
    // Of eight layers, 0, 1, 2 and 6 make maps.
    is_near(share("delta", &|_| ()), 0.75 * 0.538 / 2.0);
    let seconds = |refresh: &str| {
        let plan = planned(&sparse(|request| {
            request.attention = Some("adaspa".into());
            request.refresh = Some(refresh.into());
        }));
        plan.phase(Phase::Denoise).unwrap().seconds
    };
    assert!(seconds("1") > seconds("never"), "exact searches take time");
}

#[test]
fn the_prediction_knows_what_a_preset_comes_to() {
    let density = |change: &dyn Fn(&mut Request)| {
        let plan = planned(&sparse(|request| change(request)));
        plan.attention.unwrap().expected_density
    };
    let method = |name: &'static str| move |r: &mut Request| r.attention = Some(name.into());
    let is_near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-3, "{got}");
    // 7 of 36 blocks; and with a floor of 7 a 64th of the others.
    is_near(density(&method("adaspa")), 7.0 / 36.0);
    let floored = density(&|r| {
        method("adaspa")(r);
        r.floor = Some(7);
    });
    is_near(floored, 7.0 / 36.0 + 29.0 / 36.0 / 64.0);
    assert_eq!(density(&method("minference")), 1.0, "100 blocks are all there are");
    is_near(density(&method("vmoba")), (3.0 * 9.0 + 3.0 * 5.0 + 2.0 * 9.0) / 8.0 / 36.0);
    // Of one latent frame, everything lies in the window.
    let one_frame = density(&|r| {
        method("sta")(r);
        (r.frames, r.width, r.height) = (Some(1), Some(64), Some(64));
    });
    assert_eq!(one_frame, 1.0);
}

#[test]
fn the_prediction_knows_what_maps_take() {
    let bytes = |change: &dyn Fn(&mut Request)| {
        let plan = planned(&sparse(|request| change(request)));
        (plan.attention.clone().unwrap().cache_bytes, plan)
    };
    let map = 5 * 18 * 36 / 2;
    assert_eq!(bytes(&|_| ()).0, 0, "a map that is used once is not kept");
    assert_eq!(bytes(&|r| r.refresh = Some("4".into())).0, 16 * map);
    let shared = |r: &mut Request| r.share_branches = Some(true);
    assert_eq!(bytes(&shared).0, 8 * map, "each map of the prompt serves the other branch");
    let few = |r: &mut Request| {
        r.refresh = Some("never".into());
        r.cache_limit = Some("10000".into());
    };
    let warnings = bytes(&few).1.warnings.join("\n");
    assert!(warnings.contains("cache_limit") && warnings.contains("estimated again"), "{warnings}");
    let peak = |plan: &Plan| plan.phase(Phase::Denoise).unwrap().peak_bytes;
    assert!(peak(&bytes(&|_| ()).1) > peak(&planned(&asked(|_| ()))));
}

#[test]
fn every_resolved_value_is_shown_and_resolves_to_itself() {
    let plan = planned(&sparse(|request| {
        request.warmup = Some("sigma>0.9".into());
        request.refresh = Some("at:12".into());
        request.keep_self = Some(true);
        request.keep_first_frame = Some(true);
        request.floor = Some(7);
        request.density = Some(0.6);
    }));
    let steps = plan.attention.as_ref().unwrap().sparse_steps[0];
    assert!((2..12).contains(&steps), "{steps}");
    let shown = plan.to_string();
    for part in [
        "psa (",
        "order gilbert",
        "18 x 36 blocks",
        "floor 7",
        "bias count",
        &format!("steps {} to 20", steps + 1),
        "2 maps (refresh at:12)",
        "own place, first frame",
        "density 0.6",
        "dense layers none",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    assert_eq!(planned(&plan.request).request, plan.request);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn what_a_clip_makes_impossible_is_refused_with_the_bound() {
    assert_eq!(
        told(|r| r.warmup = Some("30".into())),
        "warmup: expected at most 19 of the run's 20 steps, got 30"
    );
    assert!(told(|r| r.dense_layers = Some("3,8".into())).contains("layers from 0 to 7, got 8"));
    assert!(told(|r| r.levels = Some("1,4,2".into())).contains("levels: expected 1,2,3,4"));
    assert!(
        told(|r| r.floor = Some(8)).contains("floor: expected a whole number from 0 to 7, got 8")
    );
    assert!(told(|r| r.preset = Some("mine".into())).contains("a preset of psa: "));
    assert!(told(|r| r.order = Some("calibrated".into())).contains("plan: expected a plan file"));
    let text = told(|r| {
        r.density = Some(0.01);
        r.floor = Some(7);
    });
    assert!(text.contains("density: expected at least 0.0157 for this clip"), "{text}");
    let own = told(|r| {
        r.density = Some(0.05);
        r.keep_self = Some(true);
    });
    assert!(own.contains("at least 0.0556"), "2 of 36 blocks: {own}");
    assert!(told(|r| r.plan = Some("nowhere.plan".into())).contains("nowhere.plan"));
}

#[test]
fn settings_beside_dense_attention_are_told_to_do_nothing() {
    let plan = planned(&asked(|request| {
        request.density = Some(0.2);
        request.floor = Some(7);
    }));
    assert!(plan.attention.is_none());
    let warnings = plan.warnings.join("\n");
    assert!(warnings.contains("no effect: density, floor"), "{warnings}");
}
