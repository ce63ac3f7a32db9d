//! The file, the clips that it comes to, and who makes which.

use serde_json::json;

use super::*;

fn parse(text: &str) -> crate::Result<Sweep> {
    Sweep::parse(text, std::path::Path::new("/sweeps/density.toml"))
}

const FULL: &str = r#"
version = 1
prompts = ["a red ball", "a blue \"cube\""]
seeds = { from = 0, to = 2 }

[settings]
steps = 4
width = 64
plan = "p.safetensors"

[axes]
attention = ["dense", "tessera", "psa"]
density = { from = 0.1, to = 0.3, by = 0.1 }

[paired]
"start" = [{ warmup = "10%", refresh = 1 }, { warmup = "25%", refresh = "2" }]

[[exclude]]
attention = "psa"
density = [0.1, 0.2]
"#;

#[test]
fn a_file_is_read_and_written_back() {
    let sweep = parse(FULL).unwrap();
    assert_eq!((sweep.title.as_str(), sweep.repeats, sweep.latents), ("density", 1, true));
    assert_eq!(sweep.seeds, [0, 1, 2]);
    assert_eq!(sweep.prompts[1], "a blue \"cube\"");
    assert_eq!(sweep.settings["plan"], "/sweeps/p.safetensors", "from the file's folder");
    assert_eq!(sweep.axes[1].values().unwrap(), [&json!(0.1), &json!(0.2), &json!(0.3)]);
    assert_eq!(
        sweep.axes[2].points[0],
        json!({ "warmup": "10%", "refresh": "1" }).as_object().unwrap().clone()
    );
    assert_eq!(parse(&sweep.to_toml()).unwrap(), sweep);
}

#[test]
fn errors_name_line_and_key_with_expected_and_got() {
    let wrong = |text: &str| parse(text).unwrap_err().to_string();
    let head = "version = 1\nprompts = [\"a\"]\n";
    let cases = [
        (
            "version = 2".to_owned(),
            ":1: version: expected 1 (a newer Tessera may read others), got 2",
        ),
        ("prompts = [\"a\"]".into(), ":1: version: expected version = 1, got nothing"),
        ("version = 1\nprompts = []".into(), ":2: prompts: expected a list of prompts"),
        (format!("{head}colour = 1"), ":3: colour: expected one of version, title"),
        (format!("{head}[settings]\nstpes = 4"), ":4: stpes: expected a setting such as"),
        (format!("{head}[settings]\nkeep-self = true"), ":4: keep-self: expected keep_self"),
        (
            format!("{head}[settings]\nseed = 4"),
            ":4: seed: expected a setting that the sweep does not decide",
        ),
        (
            format!("{head}[settings]\nsteps = 0"),
            ":4: steps: expected a whole number from 1 to 1000, got 0",
        ),
        (
            format!("{head}\n[axes]\ndensity = [0.5, 1.5]"),
            ":5: density: expected a number from 0 to 1, got 1.5",
        ),
        (format!("{head}[axes]\nattention = [\"tesera\"]"), ":4: attention: expected one of dense"),
        (format!("{head}[axes]\nsteps = 4"), ":4: steps: expected a list of values, or a range"),
        (format!("{head}[axes]\nsteps = {{ from = 4, to = 2 }}"), ":4: steps: expected a range"),
        (format!("{head}[axes]\nsteps = {{ from = 4, till = 2 }}"), ":4: steps: expected a range"),
        (
            format!("{head}[axes]\nsteps = [4, 4]"),
            ":4: steps: expected each value once, got 4 twice",
        ),
        (
            format!("{head}[axes]\nsteps = [4, 5]\n[[exclude]]\nsteps = 6"),
            ":6: steps: expected values that are on an axis, got 6",
        ),
        (
            format!("{head}[settings]\nsteps = 3\n[axes]\nsteps = [4]"),
            ": steps: expected one axis, or [settings], got it in two places",
        ),
        (
            format!("{head}[reference]\nwidth = 64"),
            ":4: width: expected a setting that leaves the size",
        ),
        (format!("{head}[axes\nsteps = 1"), ":3: file: expected TOML"),
    ];
    for (text, expected) in cases {
        let error = wrong(&text);
        assert!(
            error.starts_with("/sweeps/density.toml:") && error.contains(expected),
            "{text}\n{error}"
        );
    }
}

#[test]
fn every_point_is_an_arm_and_has_one_dense_clip_a_prompt_and_seed() {
    let text = FULL.replace("plan = \"p.safetensors\"\n", "");
    let sweep = parse(&text).unwrap();
    let manifest = Manifest::new(&sweep).unwrap();
    let names: Vec<_> = manifest.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names[..2], ["dense", "dense, again"]);
    assert_eq!(
        names.len(),
        2 + 6 + 2,
        "dense points are the reference; psa has one density: {names:?}"
    );
    assert!(names.contains(&"psa, density 0.3, warmup 25%, refresh 2"), "{names:?}");
    assert_eq!(manifest.cells.len(), 6 * 10);
    let mut keys: Vec<_> = manifest.cells.iter().map(|cell| &cell.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 60, "each clip has a name of its own");
    for block in manifest.cells.chunks(10) {
        assert_eq!(
            (manifest.arm(&block[0]).role, &block[0].reference),
            (Role::Reference, &block[0].key)
        );
        assert_eq!(block[0].request.attention.as_deref(), Some("dense"));
        for cell in block {
            assert_eq!(cell.reference, block[0].key);
            assert_eq!(
                (&cell.request.prompt, cell.seed()),
                (&block[0].request.prompt, block[0].seed())
            );
            let is_dense = manifest.arm(cell).role != Role::Compared;
            assert_eq!(cell.request.density.is_none(), is_dense);
        }
    }
    assert_eq!(Manifest::new(&sweep).unwrap(), manifest, "planned twice, it is the same");
}

#[test]
fn no_arm_is_early_or_late_over_the_blocks() {
    let sweep = Sweep {
        prompts: vec!["a".into(), "b".into()],
        seeds: (0..6).collect(),
        axes: vec![Axis::new("attention", ["tessera", "psa", "svg", "sta", "gna"].map(Into::into))],
        ..Sweep::default()
    };
    let manifest = Manifest::new(&sweep).unwrap();
    let block = manifest.arms.len();
    assert_eq!(block, 7);
    for arm in 1..block {
        let places = manifest.cells.iter().enumerate().filter(|(_, cell)| cell.arm == arm);
        let sum: usize = places.map(|(place, _)| place % block).sum();
        // The mean place of an even schedule is 3.5 of 1..=6.
        assert!((sum as f64 / 12.0 - 3.5).abs() < 0.01, "arm {arm}: {sum}");
    }
}

#[test]
fn what_is_no_attention_setting_has_a_dense_clip_of_its_own() {
    let head = "version = 1\nprompts = [\"a\"]\nrepeats = 0\n[axes]\nattention = [\"tessera\"]\nsteps = [2, 4]\n";
    let manifest = Manifest::new(&parse(head).unwrap()).unwrap();
    let names: Vec<_> =
        manifest.arms.iter().map(|arm| (arm.name.as_str(), arm.reference)).collect();
    assert_eq!(
        names,
        [
            ("dense, steps 2", 0),
            ("tessera, steps 2", 0),
            ("dense, steps 4", 2),
            ("tessera, steps 4", 2)
        ]
    );
    let pinned =
        format!("{head}[reference]\nsteps = 8\n").replace("\"tessera\"", "\"tessera\", \"dense\"");
    let manifest = Manifest::new(&parse(&pinned).unwrap()).unwrap();
    let names: Vec<_> =
        manifest.arms.iter().map(|arm| (arm.name.as_str(), arm.reference)).collect();
    assert_eq!(
        names,
        [
            ("dense, steps 8", 0),
            ("tessera, steps 2", 0),
            ("tessera, steps 4", 0),
            ("dense, steps 2", 0),
            ("dense, steps 4", 0)
        ]
    );
    assert_eq!(manifest.cells[0].request.steps, Some(8));
}

fn small() -> Manifest {
    let sweep = Sweep { prompts: vec!["a".into()], ..Sweep::default() };
    let sweep = Sweep { axes: vec![Axis::new("attention", ["tessera".into()])], ..sweep };
    Manifest::new(&sweep).unwrap()
}

fn failed(planned: &Planned, manifest: &Manifest) -> Cell {
    let arm = manifest.arm(planned);
    Cell {
        version: 1,
        key: planned.key.clone(),
        arm: arm.name.clone(),
        role: arm.role,
        settings: arm.settings.clone(),
        prompt: planned.request.prompt.clone(),
        seed: planned.seed(),
        reference: planned.reference.clone(),
        finished_at: 1,
        outcome: Outcome::Failed { error: "no".into(), kind: crate::error::FailureKind::Input },
    }
}

#[test]
fn a_clip_is_claimed_once_and_finished_once() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = small();
    let folder = Folder::prepare(temporary.path(), &manifest).unwrap();
    let mut watcher = Watcher::open(temporary.path()).unwrap();
    let (first, second) = (&manifest.cells[0], &manifest.cells[1]);
    let mut claim = folder.claim(first).unwrap().unwrap();
    assert!(folder.claim(first).unwrap().is_none(), "somebody has it");
    assert!(Folder::open(temporary.path()).unwrap().claim(first).unwrap().is_none());
    let doing = Doing { pid: 7, phase: crate::events::Phase::Denoise, done: 1, of: 4 };
    claim.tell(&doing);
    let seen = watcher.look().unwrap();
    assert_eq!(seen.doing, [(first.key.clone(), doing)]);
    drop(claim);
    let claim = folder.claim(first).unwrap().expect("dropped unfinished, it is free");
    let cell = failed(first, &manifest);
    folder.finish(claim, &cell).unwrap();
    assert!(folder.claim(first).unwrap().is_none(), "finished");
    assert!(folder.claim(second).unwrap().is_some());
    let seen = watcher.look().unwrap();
    assert_eq!((seen.new, seen.finished, seen.of), (vec![first.key.clone()], 1, 3));
    let results = Results::open(temporary.path()).unwrap();
    assert_eq!(results.cells().collect::<Vec<_>>(), [&cell]);
    assert_eq!(results.missing().count(), 2);
    assert_eq!(folder.forget_failures().unwrap(), 1);
    assert!(folder.claim(first).unwrap().is_some(), "forgotten, it is made again");
}

#[test]
fn two_sweeps_or_two_runs_in_one_folder_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = small();
    let folder = Folder::prepare(temporary.path(), &manifest).unwrap();
    Folder::prepare(temporary.path(), &manifest).expect("the same again goes on");
    let other = Sweep { seeds: vec![1], ..manifest.sweep.clone() };
    let error = Folder::prepare(temporary.path(), &Manifest::new(&other).unwrap()).unwrap_err();
    assert!(error.to_string().contains("holds another"), "{error}");
    let alone = folder.alone().unwrap();
    for refused in [folder.alone(), folder.together()] {
        assert!(refused.unwrap_err().to_string().contains("another run"));
    }
    drop(alone);
    let (_one, _two) = (folder.together().unwrap(), folder.together().unwrap());
    assert!(folder.alone().is_err());
    let empty = tempfile::tempdir().unwrap();
    let error = Results::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("expected the folder of a sweep"), "{error}");
}

/// Three clips that take about a second together.
fn tiny(arms: &[&str]) -> Sweep {
    let size = json!({ "width": 64, "height": 64, "frames": 5, "steps": 2, "warmup": "0" });
    Sweep {
        title: "tiny".into(),
        prompts: vec!["a red ball".into()],
        settings: size.as_object().cloned().unwrap_or_default(),
        axes: vec![Axis::new("attention", arms.iter().map(|arm| json!(arm)))],
        ..Sweep::default()
    }
}

#[test]
fn a_sweep_that_was_stopped_goes_on_and_says_what_it_found() {
    let temporary = tempfile::tempdir().unwrap();
    let sweep = tiny(&["tessera", "psa"]);
    let stop = |progress: &Progress| progress.finished < 2;
    let error = run(&sweep, temporary.path(), &Local { jobs: 1 }, &stop).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    let before = Results::open(temporary.path()).unwrap();
    assert_eq!((before.cells().count(), before.missing().count()), (2, 2));

    let told = std::sync::Mutex::new(Vec::new());
    let hear = |progress: &Progress| {
        if let Told::Finished { arm, error, .. } = &progress.event {
            told.lock().unwrap().push((progress.finished, arm.clone(), error.clone()));
        }
        true
    };
    let results = run(&sweep, temporary.path(), &Local { jobs: 1 }, &hear).unwrap();
    let told = told.into_inner().unwrap();
    assert_eq!(told.iter().map(|(finished, ..)| *finished).collect::<Vec<_>>(), [3, 4]);
    assert!(results.is_complete());
    assert!(before.cells().all(|cell| results.cell(&cell.key) == Some(cell)), "kept as they were");

    let summary = Summary::new(&results);
    let row = |arm: &str| summary.rows.iter().find(|row| row.arm == arm).unwrap();
    assert_eq!(row("dense, again").ssim.unwrap().median, 1.0, "dense repeats");
    assert_eq!(row("dense, again").psnr, Some(f64::INFINITY));
    assert_eq!(summary.noise.as_ref().unwrap().ssim, Some(1.0));
    let ours = row("tessera");
    assert!(ours.ssim.unwrap().median > 0.5 && ours.latent_cosine.len() == 2, "{ours:?}");
    assert!(ours.against.is_none() && row("psa").against.as_ref().unwrap().arm == "tessera");
    assert!(summary.rows.iter().any(|row| row.on_front));

    for cell in results.cells() {
        let made = cell.made().unwrap();
        assert!(results.file(&made.master).is_file() && results.file(&made.receipt).is_file());
        let thumbnail = std::fs::read(results.file(&made.thumbnail)).unwrap();
        assert!(thumbnail.starts_with(&[0xff, 0xd8]), "a JPEG");
        assert!(made.clip_seconds() >= made.denoise_seconds() && made.attention_seconds > 0.0);
        let recording = results.file(&Folder::master(&cell.key, "recording"));
        assert_eq!(recording.is_file(), cell.role == Role::Reference);
    }
}

#[test]
fn several_workers_make_what_one_makes() {
    let (one, several) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sweep = Sweep { seeds: vec![3, 4], ..tiny(&["psa"]) };
    let alone = run(&sweep, one.path(), &Local { jobs: 1 }, &|_| true).unwrap();
    let crew = run(&sweep, several.path(), &Local { jobs: 2 }, &|_| true).unwrap();
    assert_eq!(alone.cells().count(), 6);
    for (a, b) in alone.cells().zip(crew.cells()) {
        let distance = |cell: &Cell| (cell.key.clone(), cell.made().unwrap().fidelity.clone());
        assert_eq!(distance(a), distance(b));
    }
}

#[test]
fn a_dense_clip_whose_files_were_tidied_away_is_made_again() {
    let temporary = tempfile::tempdir().unwrap();
    let sweep = tiny(&["psa"]);
    let stop = |progress: &Progress| progress.finished < 1;
    assert!(run(&sweep, temporary.path(), &Local { jobs: 1 }, &stop).is_err());
    let dense = Results::open(temporary.path()).unwrap().cells().next().unwrap().clone();
    std::fs::remove_file(temporary.path().join(&dense.made().unwrap().master)).unwrap();
    let results = run(&sweep, temporary.path(), &Local { jobs: 1 }, &|_| true).unwrap();
    assert!(results.cells().all(|cell| cell.made().is_some()));
    assert_eq!(results.cell(&dense.key), Some(&dense), "its row is what it was");
}

#[test]
fn an_estimate_counts_what_is_left_and_names_what_cannot_be() {
    let mut sweep = tiny(&["psa", "paro"]);
    sweep.seeds = vec![0, 1];
    let manifest = Manifest::new(&sweep).unwrap();
    let (machine, rates) =
        (crate::machine::Machine::detect(), crate::plan::rates::Rates::default());
    let all = Estimate::new(&manifest, &|_| false, &machine, &rates).unwrap();
    assert_eq!((all.clips, all.finished, all.is_measured), (8, 0, false));
    assert!(all.seconds > 0.0 && all.bytes > 6 * 64 * 64 * 5);
    assert_eq!(all.refused.len(), 1, "once for the arm");
    assert!(all.refused[0].0 == "paro", "{:?}", all.refused);
    let half = Estimate::new(&manifest, &|planned| planned.seed() == 0, &machine, &rates).unwrap();
    assert_eq!(half.finished, 4);
    assert!((half.bytes * 2).abs_diff(all.bytes) < 2, "{half:?}");
}
