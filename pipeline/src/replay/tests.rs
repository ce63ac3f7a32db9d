//! Steps of recorded clips of the bundled model: 320 tokens, 3 × 5 blocks, 8 layers of 5 heads, four guided steps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::engine::{Engine, Options};
use crate::error::FailureKind;
use crate::events::{Command, EventKind, JobId};
use crate::recording::Recording;
use crate::request::Request;
use crate::sparsity::Mode;
use crate::{Error, Result, bundled};

/// Longer than any of these runs takes, on any machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Records a clip, changed by the caller.
fn recorded(folder: &Path, change: impl FnOnce(&mut Request)) -> Recording {
    let mut request = Request {
        prompt: "a shiny red ball bouncing on a blue floor".into(),
        width: Some(128),
        height: Some(128),
        frames: Some(17),
        steps: Some(4),
        seed: Some(7),
        device: Some("cpu".into()),
        dtype: Some("f32".into()),
        out: Some(folder.join("a.mkv")),
        record: Some(folder.join("a.tessera")),
        record_latents: Some("f32".into()),
        ..Request::default()
    };
    change(&mut request);
    let engine = Engine::start_with(Options {
        data_dir: Some(folder.join("data")),
        machine: None,
        threads: None,
    })
    .unwrap();
    let job = JobId(1);
    engine.commands.send(Command::Generate { job, request: Box::new(request) }).unwrap();
    loop {
        match engine.events.recv_timeout(PATIENCE).expect("the engine fell silent").kind {
            EventKind::Finished { .. } => {
                return Recording::open(&folder.join("a.tessera")).unwrap();
            }
            EventKind::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

fn spec(arms: &[&str], steps: &[usize]) -> Spec {
    let arms = arms.iter().map(|name| Arm::new(name).with("density", 0.4)).collect();
    Spec { arms, steps: steps.to_vec(), ..Spec::default() }
}

fn run(recording: &Recording, spec: &Spec) -> Result<Replay> {
    replay(recording, spec, &mut |_| true)
}

fn said(recording: &Recording, spec: &Spec) -> String {
    run(recording, spec).unwrap_err().to_string()
}

fn heads(arm: &ArmReport) -> impl Iterator<Item = &Head> {
    arm.calls.iter().flat_map(|call| &call.heads)
}

#[test]
fn dense_attention_errs_nowhere_and_sparse_attention_by_what_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recorded(folder.path(), |_| ());
    let names = ["dense", "psa", "subblock", "adaspa"];
    let mut spec = spec(&names, &[2]);
    spec.arms.push(Arm::new("psa").with("density", 1.0));
    spec.arms.push(Arm::new("psa").with("density", 0.15));
    let mut told = Vec::new();
    let replayed = replay(&recording, &spec, &mut |progress| {
        told.push(progress);
        true
    })
    .unwrap();
    assert!(told.iter().all(|progress| progress.done <= progress.of));
    assert!(told.iter().any(|progress| progress.doing == "blocks" && progress.done == 16));
    let [dense, psa, _, _, whole, less] = replayed.arms.as_slice() else { panic!("six methods") };
    for arm in [dense, whole] {
        assert_eq!(arm.calls.len(), 2 * 8);
        for head in heads(arm) {
            assert!(head.error < 1e-5 && head.recall == 1.0 && head.density == 1.0, "{head:?}");
        }
    }
    assert!(dense.calls.iter().all(|call| call.mode == Mode::Dense && call.heads.len() == 5));
    for arm in &replayed.arms[1..4] {
        let summary = arm.summary().unwrap();
        assert!((summary.density - 0.4).abs() < 0.05, "{}: {summary:?}", arm.name);
        assert!(summary.error.median > 1e-3 && summary.error.worst < 2.0, "{summary:?}");
        assert!((0.4..1.0).contains(&summary.recall.median), "{}: {summary:?}", arm.name);
        assert!(arm.fallbacks.is_empty() && arm.velocities.is_empty());
        assert_eq!(arm.request.prompt, recording.meta().request.prompt);
    }
    let (psa, less) = (psa.summary().unwrap(), less.summary().unwrap());
    assert!(less.error.mean > psa.error.mean && less.recall.mean < psa.recall.mean);

    // Other methods beside it change nothing of what a method answers.
    let alone = run(&recording, &tests::spec(&["subblock"], &[1, 2])).unwrap();
    let of = |arm: &ArmReport, step| {
        let calls = arm.calls.iter().filter(move |call| call.step == step);
        calls.flat_map(|call| call.heads.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&alone.arms[0], 2), of(&replayed.arms[2], 2));
    assert_ne!(of(&alone.arms[0], 1), of(&alone.arms[0], 2));
}

#[test]
fn a_recorded_sparse_step_is_replayed_as_it_ran() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recorded(folder.path(), |request| {
        request.attention = Some("psa".into());
        request.density = Some(0.4);
        request.floor = Some(7);
        request.warmup = Some("1".into());
        request.refresh = Some("1".into());
        request.dense_layers = Some("5".into());
    });
    let arm = Arm::of("as recorded", &recording.meta().request);
    let propagated = Spec { arms: vec![arm], steps: vec![2], propagate: true, ..Spec::default() };
    let replayed = run(&recording, &propagated).unwrap();
    let [report] = replayed.arms.as_slice() else { panic!("one method") };
    let calls = recording.calls(2).unwrap();
    assert_eq!((report.calls.len(), calls.len()), (16, 16));
    for (ours, theirs) in report.calls.iter().zip(&calls) {
        assert_eq!(ours.layer, theirs.place.site.layer);
        assert_eq!(ours.mode, theirs.mode, "layer {}", ours.layer);
        for (ours, theirs) in ours.heads.iter().zip(&theirs.densities) {
            assert!((ours.density - theirs.exact).abs() < 1e-6, "{ours:?} {theirs:?}");
            assert!((ours.nominal - theirs.nominal).abs() < 1e-6, "{ours:?} {theirs:?}");
        }
    }
    let named: Vec<_> = report.velocities.iter().map(|velocity| velocity.branch).collect();
    assert_eq!(named, ["cond", "uncond", "guided"]);
    assert!(report.velocities.iter().all(|velocity| (1e-4..1.0).contains(&velocity.error)));

    // The first layer meets the same q, k and v whatever the forward goes on with; the last one does not.
    let compared = run(&recording, &Spec { propagate: false, ..propagated }).unwrap();
    let of = |arm: &ArmReport, layer| arm.calls.iter().find(|c| c.layer == layer).unwrap().clone();
    for (a, b) in of(report, 0).heads.iter().zip(&of(&compared.arms[0], 0).heads) {
        assert!((a.error - b.error).abs() < 1e-5 && (a.recall - b.recall).abs() < 1e-5, "{a:?}");
    }
    assert_ne!(of(report, 7).heads, of(&compared.arms[0], 7).heads);
    assert_eq!(of(report, 5).mode, Mode::Dense);
    assert_eq!(of(&compared.arms[0], 5).mode, Mode::Fresh, "dense layers are measured too");
}

#[test]
fn what_the_run_does_not_have_is_refused_with_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let small = |request: &mut Request| {
        (request.width, request.height, request.frames) = (Some(64), Some(64), Some(5));
        request.guidance = Some(1.0);
        request.record_latents = Some("none".into());
    };
    let recording = recorded(folder.path(), small);
    let asked = spec(&["psa"], &[4]);
    let error = run(&recording, &asked).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Input);
    assert_eq!(error.to_string(), "step: expected from 0 to 3, of the run's 4 steps, got 4");
    let uncond = Spec { branches: vec![Branch::Uncond], ..spec(&["psa"], &[1]) };
    assert!(said(&recording, &uncond).starts_with("branch: expected cond"));
    assert!(said(&recording, &spec(&[], &[1])).starts_with("method: expected at least one"));
    assert!(said(&recording, &spec(&["psa"], &[])).starts_with("step: expected steps from 0 to 3"));
    let told = said(&recording, &spec(&["psa"], &[1]));
    assert!(told.contains("the clip before step 1 is not in it"), "{told}");

    let other = folder.path().join("model");
    copy(&bundled::model().unwrap(), &other);
    let config = other.join("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&config).unwrap() + "\n";
    crate::files::write_atomically(&config, |file| {
        std::io::Write::write_all(file, text.as_bytes())
    })
    .unwrap();
    let elsewhere = Spec { model: Some(other.clone()), ..spec(&["psa"], &[1]) };
    let error = run(&recording, &elsewhere).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Model);
    let Error::OtherModel { path, expected, got, .. } = &error else { panic!("{error}") };
    assert_eq!((path, expected), (&other, &recording.meta().model.fingerprint));
    assert_ne!(got, expected);
    assert!(error.to_string().contains("--model"), "{error}");
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_methods_name() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recorded(folder.path(), |_| ());
    let with = |arm: Arm| Spec { arms: vec![Arm::new("psa"), arm], ..spec(&[], &[1]) };
    for (arm, expected) in [
        (Arm::new("paro"), "paro: plan: expected a plan file"),
        (Arm::new("sparce"), "sparce: attention: expected one of dense"),
        (Arm::new("sol/none"), "sol/none: preset: expected a preset of sol"),
        (Arm::new("sol").with("density", 1e-4).with("floor", 7), "sol: density: expected at least"),
        (
            Arm::new("sol").with("dense_layers", "8"),
            "sol: dense_layers: expected layers from 0 to 7",
        ),
    ] {
        let told = said(&recording, &with(arm));
        assert!(told.starts_with(expected), "{told}");
    }
    assert!(replay(&recording, &spec(&["psa"], &[1]), &mut |_| false).unwrap_err().is_cancelled());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry: PathBuf = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}

#[test]
fn a_look_into_a_layer_is_what_the_run_recorded_there() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recorded(folder.path(), |request| {
        request.attention = Some("dense".into());
        request.capture_heads = Some("2:1".into());
        request.capture_rows = Some("1,3,4;0,0,7".into());
    });
    let tokens = vec![[1, 3, 4], [0, 0, 7]];
    let looking = Looking {
        step: 2,
        branch: Branch::Cond,
        layer: 2,
        head: 1,
        tokens: tokens.clone(),
        words_of_head: false,
    };
    let mut told = Vec::new();
    let looked = look(&recording, &looking, &mut |progress| {
        told.push((progress.doing, progress.done));
        true
    })
    .unwrap();
    assert!(told.contains(&("blocks", 3)) && !told.contains(&("blocks", 4)), "{told:?}");
    let grid = recording.meta().grid;
    let place = crate::recording::Place::new(2, Branch::Cond, 2);
    for (token, row) in tokens.iter().zip(&looked.rows) {
        let index = crate::gaze::index(grid, *token).unwrap();
        let recorded = recording.row_of(place, 1, index).unwrap().here().unwrap();
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        for (ours, theirs) in row.iter().zip(&recorded) {
            assert!((ours - theirs).abs() < 1e-3 * theirs.max(1e-2), "{ours} {theirs}");
        }
    }
    let words: Vec<&str> = looked.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, ["a", "shiny", "red", "ball", "bouncing", "on", "a", "blue", "floor"]);
    for token in 0..grid.tokens() {
        let sum: f32 = looked.words.iter().map(|word| word.shares[token]).sum();
        assert!((sum + looked.rest[token] - 1.0).abs() < 1e-4, "token {token}");
    }
    let of_head = Looking { words_of_head: true, tokens: Vec::new(), ..looking.clone() };
    let of_head = look(&recording, &of_head, &mut |_| true).unwrap();
    assert!(of_head.rows.is_empty() && of_head.words[3].shares != looked.words[3].shares);

    let stopped = look(&recording, &looking, &mut |progress| progress.doing != "blocks");
    assert!(stopped.unwrap_err().is_cancelled());
    let beyond = Looking { layer: 8, step: 4, ..looking };
    let told = look(&recording, &beyond, &mut |_| true).unwrap_err().to_string();
    assert!(told.contains("layer: expected below 8") && told.contains("step"), "{told}");
}
