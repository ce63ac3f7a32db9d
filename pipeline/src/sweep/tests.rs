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
