//! Sparse plans of the bundled model: 2304 tokens, 18 × 36 blocks, 8 layers of 5 heads, 20 steps with guidance.

use super::super::tests::{asked, machine};
use crate::error::FailureKind;
use crate::events::Phase;
use crate::plan::Plan;
use crate::request::Request;
use crate::sparsity::calibration::{self, PlanFile};

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
fn the_prediction_knows_cut_offs_and_dense_heads() {
    let density = |change: &dyn Fn(&mut Request)| {
        planned(&sparse(|request| change(request))).attention.unwrap().expected_density
    };
    let preset = density(&|_| ());
    assert_eq!(preset, 0.23, "as it was measured");
    assert_eq!(density(&|r| r.thresholds = Some("1:0.4,2:0.5,3:0.6,4:0.8".into())), preset);
    // Twice the work of even blocks.
    let twice = density(&|r| r.thresholds = Some("1:1".into()));
    assert!((twice - 0.46).abs() < 1e-9, "{twice}");
    // Two of forty heads.
    let opened = density(&|r| r.dense_heads = Some("0:1,3:4".into()));
    assert!((opened - (0.95 * preset + 0.05)).abs() < 1e-9, "{opened}");
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
fn every_setting_is_refused_beyond_its_bound() {
    type Change = dyn Fn(&mut Request);
    let steps = "warmup: expected at most 19 of the run's 20 steps";
    let cases: [(&Change, &str); 21] = [
        (
            &|r| r.attention = Some("sparce".into()),
            "attention: expected one of dense, tessera, psa, ",
        ),
        (&|r| r.preset = Some("mine".into()), "preset: expected a preset of psa: wan2.1-14b, "),
        (&|r| r.density = Some(1.01), "density: expected a number from 0 to 1, got 1.01"),
        (&|r| r.density = Some(-0.1), "density: expected a number from 0 to 1, got -0.1"),
        (&|r| r.levels = Some("1,3,2".into()), "in ascending order, 1 among them, got \"1,3,2\""),
        (&|r| r.levels = Some("1,8".into()), "other levels from 1 to 7"),
        (&|r| r.floor = Some(8), "floor: expected a whole number from 0 to 7, got 8"),
        (
            &|r| (r.levels, r.floor) = (Some("1,2,4".into()), Some(3)),
            "floor: expected 0 or one of the levels 1,2,4, got 3",
        ),
        (&|r| r.bias = Some("mean".into()), "bias: expected one of count, level, none"),
        (&|r| r.warmup = Some("21".into()), steps),
        (&|r| r.warmup = Some("100%".into()), steps),
        (&|r| r.warmup = Some("sigma>0".into()), steps),
        (
            &|r| r.dense_last = Some(15),
            "dense_last: expected at most 14 after 5 steps of warm-up, of 20, got 15",
        ),
        (
            &|r| r.dense_layers = Some("8".into()),
            "dense_layers: expected layers from 0 to 7, got 8",
        ),
        (
            &|r| r.dense_layers = Some("0-7".into()),
            "dense_layers: expected fewer than all 8 layers",
        ),
        (
            &|r| r.dense_heads = Some("3:5".into()),
            "dense_heads: expected layers 0 to 7 with heads 0 to 4, got 3:5",
        ),
        (&|r| r.thresholds = Some("1:0.5,2:0.4".into()), "thresholds: expected 1:0.4,2:0.5"),
        (&|r| r.refresh = Some("at:6,20".into()), "refresh: expected steps from 0 to 19, got 20"),
        (&|r| r.refresh = Some("0".into()), "refresh: expected 1 or another number of steps"),
        (&|r| r.least_full = Some(1.5), "least_full: expected a number from 0 to 1, got 1.5"),
        (&|r| r.keep_radius = Some(1001), "keep_radius: expected a whole number from 0 to 1000"),
    ];
    for (change, expected) in cases {
        let text = told(change);
        assert!(text.contains(expected), "{expected} is not in: {text}");
    }
    let few = |r: &mut Request| {
        r.refresh = Some("2".into());
        r.cache_limit = Some("1600".into());
    };
    let text = told(few);
    // 5 heads of 18 × 36 blocks at four bits.
    assert!(text.contains("cache_limit: expected at least 1620 bytes"), "{text}");
    planned(&sparse(|r| {
        few(r);
        r.refresh = Some("1".into()); // no map is used again
    }));
}

#[test]
fn a_plan_file_of_another_model_or_clip_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan.safetensors");
    let told_of = |plan: &PlanFile| {
        plan.write(&path).unwrap();
        told(|r| r.plan = Some(path.clone()))
    };
    let plan = calibration::tests::plan();
    let text = told_of(&plan);
    assert!(text.contains("fingerprint: expected") && text.contains("got abc (toybox)"), "{text}");
    let fingerprint = planned(&asked(|_| ())).model.fingerprint;
    let text = told_of(&PlanFile { fingerprint, ..plan });
    assert!(text.contains("grid: expected 9x16x16") && text.contains("3x5x10"), "{text}");
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
