//! A small table of dense runs from end to end, and the arithmetic of the rows.

use super::*;
use crate::metrics::{Fidelity, FrameFidelity};

fn cell(arm: &str, asked: Option<f64>, prompt: &str, ssim: f64, seconds: f64) -> Cell {
    let frame = FrameFidelity {
        mean_squared_error: 1.0,
        psnr: 48.1,
        ssim: Some(ssim),
        ms_ssim: None,
        lpips: None,
        flicker: None,
    };
    Cell {
        version: 2,
        arm: arm.into(),
        asked,
        prompt: prompt.into(),
        request: Request {
            prompt: prompt.into(),
            attention: Some(arm.into()),
            seed: Some(7),
            ..Request::default()
        },
        density_sparse: asked,
        density: asked.unwrap_or(1.0),
        attention_seconds: seconds,
        estimate_seconds: seconds / 4.0,
        denoise_seconds: 10.0 + seconds,
        clip_seconds: 20.0 + seconds,
        fidelity: Fidelity {
            psnr: 48.1,
            ssim: Some(ssim),
            ms_ssim: None,
            lpips: None,
            flicker: None,
            shift: None,
            frames: vec![frame],
        },
        latent_cosine: vec![1.0, ssim],
    }
}

#[test]
fn rows_are_medians_of_pairs() {
    let mut cells = Vec::new();
    for (prompt, shift) in [("a", 0.0), ("b", 0.1), ("c", 0.2)] {
        cells.push(cell(REFERENCE, None, prompt, 1.0, 8.0 + shift));
        cells.push(cell("tessera", Some(0.25), prompt, 0.7 + shift, 4.0));
        cells.push(cell("psa", Some(0.25), prompt, 0.6 + shift, 2.0));
        cells.push(cell("svg", Some(0.25), prompt, 0.5 + shift, 3.0));
    }
    let summary = Summary::new(&cells);
    let names: Vec<_> = summary.rows.iter().map(|row| row.arm.as_str()).collect();
    assert_eq!(names, ["dense", "tessera", "psa", "svg"], "dense first, then by SSIM");
    let (ours, psa, svg) = (&summary.rows[1], &summary.rows[2], &summary.rows[3]);
    assert!((ours.ssim.unwrap() - 0.8).abs() < 1e-12 && ours.ssim_against_tessera.is_none());
    let against = psa.ssim_against_tessera.unwrap();
    assert!((against.median + 0.1).abs() < 1e-9 && (against.low + 0.1).abs() < 1e-9);
    assert!((psa.attention_time - 2.0 / 8.1).abs() < 1e-9, "the median of the paired ratios");
    assert!((psa.estimate_share - 0.25).abs() < 1e-12);
    assert!(ours.on_front && psa.on_front && !svg.on_front, "svg is slower and worse than psa");
    assert_eq!(psa.latent_cosine.len(), 2);
    assert_eq!(summary.densities(), [0.25]);
    let told: Value = serde_json::from_str(&json(&summary, &cells).unwrap()).unwrap();
    assert_eq!(told["settings"]["seed"], 7, "what all have in common stands once");
    assert_eq!(told["arms"][1]["settings"], serde_json::json!({ "attention": "tessera" }));
    assert_eq!(told["arms"].as_array().unwrap().len(), 4, "an arm stands once");
    let clips = cells_csv(&cells);
    assert_eq!(clips.lines().count(), 13);
    assert!(
        clips.lines().nth(2).unwrap().starts_with("\"tessera\",0.2500,\"a\",0.25000,"),
        "{clips}"
    );
    let text = markdown(&summary, &[], "# Methods");
    assert!(text.contains("## Density 0.25") && text.contains("| psa ★ | 0.250 |"), "{text}");
    let lines: Vec<_> = csv(&summary).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 5);
    let fields = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| fields(line) == fields(&lines[0])), "{lines:?}");
}

#[test]
fn a_table_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let spec = Spec {
        base: Request {
            width: Some(64),
            height: Some(64),
            frames: Some(5),
            steps: Some(2),
            ..Request::default()
        },
        prompts: vec!["a red ball".into(), "a blue cube".into()],
        arms: Vec::new(),
        folder: folder.path().join("table"),
        jobs: 1,
    };
    let mut told = Vec::new();
    let error = run(&spec, |progress| {
        told.push((progress.done, progress.arm.clone()));
        progress.done < 3
    })
    .unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(told.len(), 4, "{told:?}");
    let times = |spec: &Spec| {
        let mut files: Vec<_> = std::fs::read_dir(&spec.folder)
            .unwrap()
            .map(|file| file.unwrap())
            .filter(|file| file.path().extension().is_some_and(|ending| ending == "json"))
            .map(|file| (file.path(), file.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = times(&spec);
    let Outcome { cells, refused } = run(&spec, |_| true).unwrap();
    assert!(refused.is_empty());
    assert!(before.iter().all(|file| times(&spec).contains(file)), "finished cells are kept");
    let arms: Vec<_> = cells.iter().map(|cell| cell.arm.as_str()).collect();
    assert_eq!(arms, [REFERENCE, REPEAT, REFERENCE, REPEAT]);
    for cell in &cells {
        assert_eq!(
            (cell.fidelity.psnr, cell.fidelity.ssim),
            (f64::INFINITY, Some(1.0)),
            "dense repeats"
        );
        assert_eq!((cell.density, cell.density_sparse), (1.0, None));
        assert_eq!(cell.latent_cosine.len(), 2);
        assert!(cell.latent_cosine.iter().all(|cosine| (cosine - 1.0).abs() < 1e-9));
        assert!(cell.attention_seconds > 0.0 && cell.denoise_seconds >= cell.attention_seconds);
    }
    assert_eq!(run(&spec, |_| true).unwrap().cells, cells, "nothing is made twice");

    let several = Spec { folder: folder.path().join("several"), jobs: 2, ..spec };
    let at_once = run(&several, |_| true).unwrap().cells;
    assert_eq!(at_once.len(), cells.len());
    for (one, other) in cells.iter().zip(&at_once) {
        assert_eq!(
            (&one.arm, &one.prompt, &one.fidelity),
            (&other.arm, &other.prompt, &other.fidelity)
        );
    }
}
