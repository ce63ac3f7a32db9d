//! Plan files: round trip, refusals, and clips that go by one.

use std::path::Path;

use tessera_models::geometry::Grid;

use super::plan::{VERSION, group};
use super::{
    HeadPlan, LayerPlan, MassMap, OrderBy, OrderFacts, PatternFacts, PlanFile, Recipe, Spec,
    calibrate,
};
use crate::Error;
use crate::engine::{Engine, Options};
use crate::events::{Command, EventKind, JobId};
use crate::receipt::Receipt;
use crate::request::Request;
use crate::sparsity::{Arrangement, Mode};

const GRID: Grid = Grid { frames: 3, rows: 5, cols: 10 };

/// Two layers of two heads over 150 tokens: blocks of 2 × 3, two groups.
pub(crate) fn plan() -> PlanFile {
    let head = |order: Arrangement, peak: f32| HeadPlan {
        order,
        orders: vec![OrderFacts {
            order,
            loss: 0.1,
            density95: 0.25,
            sparsity: Some(0.5),
            uniformity: None,
        }],
        mass: vec![
            MassMap::new(&[peak, 0.25, 0.0, 0.5, 0.5, 0.0]),
            MassMap::new(&[0.0, 0.25, peak, 0.5, 0.5, 0.0]),
        ],
        stripes: vec![1.5, 1.5, 0.0],
        budget: 1.25,
        patterns: vec![PatternFacts {
            pattern: "diagonal".into(),
            keep: 0.1,
            density: 0.2,
            error: 0.01,
        }],
        spans: vec![0.5, 0.75, 1.0],
        span_frames: 1.5,
    };
    let layer = |peak| LayerPlan {
        heads: vec![head(Arrangement::RASTER, peak), head(Arrangement::Tiles([1, 2, 3]), peak)],
    };
    PlanFile {
        version: VERSION,
        program: "tessera 0".into(),
        model: "toybox".into(),
        fingerprint: "abc".into(),
        grid: GRID,
        text_tokens: 0,
        query_block: 128,
        key_block: 64,
        groups: 2,
        recipe: Recipe {
            prompts: vec!["a ball".into()],
            steps: 8,
            observed: vec![0, 4],
            sampler: "unipc".into(),
            guidance: 4.0,
            flow_shift: 3.0,
            seed: 0,
            dtype: "f32".into(),
            order_by: "mass".into(),
            query_tokens: 150,
        },
        layers: vec![layer(0.75), layer(0.125)],
    }
}

#[test]
fn a_plan_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan.safetensors");
    let plan = plan();
    plan.write(&path).unwrap();
    let back = PlanFile::read(&path).unwrap();
    assert_eq!(back, plan);
    back.check(&path, "abc", GRID).unwrap();
    assert!(PlanFile::is_one(&path) && !PlanFile::is_one(folder.path()));
    let text = back.to_string();
    assert!(text.contains("3x5x10 tokens") && text.contains("fhw 2, tiles:1x2x3 2"), "{text}");
    let again = folder.path().join("b.plan.safetensors");
    back.write(&again).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
}

#[test]
fn another_model_or_clip_is_refused_by_field() {
    let refusal = |fingerprint: &str, grid| {
        plan().check(Path::new("p"), fingerprint, grid).unwrap_err().to_string()
    };
    let text = refusal("def", GRID);
    assert!(text.contains("fingerprint") && text.contains("def") && text.contains("abc"), "{text}");
    let text = refusal("abc", Grid { frames: 4, ..GRID });
    assert!(text.contains("grid") && text.contains("4x5x10") && text.contains("3x5x10"), "{text}");
}

#[test]
fn what_is_no_plan_or_a_broken_one_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p");
    let field = |change: &dyn Fn(&mut PlanFile)| {
        let mut plan = plan();
        change(&mut plan);
        plan.write(&path).unwrap();
        match PlanFile::read(&path).unwrap_err() {
            Error::PlanFile { field, .. } => field,
            other => panic!("{other}"),
        }
    };
    assert_eq!(field(&|plan| plan.version = VERSION + 1), "version");
    assert_eq!(field(&|plan| plan.layers[1].heads[0].budget = 0.0), "layers[1].heads[0].budget");
    assert_eq!(
        field(&|plan| plan.layers[0].heads[1].order = Arrangement::Calibrated),
        "layers[0].heads[1].order"
    );
    assert_eq!(field(&|plan| plan.layers[0].heads[0].spans.clear()), "layers[0].heads[0].spans");
    assert_eq!(
        field(&|plan| plan.layers[0].heads[0].patterns[0].keep = 1.5),
        "layers[0].heads[0].patterns"
    );

    plan().write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::File::create(&path).unwrap();
        crate::files::write_atomically(&path, |file| {
            std::io::Write::write_all(file, &bytes[..length])
        })
        .unwrap();
        let text = PlanFile::read(&path).unwrap_err().to_string();
        assert!(text.contains("tessera calibrate"), "{text}");
    }
    assert!(matches!(PlanFile::read(&folder.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn the_first_half_of_a_run_has_groups_of_its_own() {
    let groups = |of, groups| -> Vec<usize> { (0..of).map(|i| group(i, of, groups)).collect() };
    assert_eq!(groups(12, 4), [0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3]);
    assert_eq!(groups(5, 2), [0, 0, 1, 1, 1]);
    assert_eq!(groups(3, 1), [0, 0, 0]);
    assert_eq!(groups(1, 4), [3]);
}

/// A job's receipt, or what it said when it failed.
fn run(engine: &Engine, request: Request) -> Result<Receipt, String> {
    engine.commands.send(Command::Generate { job: JobId(1), request: Box::new(request) }).unwrap();
    loop {
        let patience = std::time::Duration::from_mins(2);
        match engine.events.recv_timeout(patience).expect("the engine fell silent").kind {
            EventKind::Finished { receipt } => return Ok(*receipt),
            EventKind::Failed { error, .. } => return Err(error),
            _ => {}
        }
    }
}

#[test]
fn a_plan_drives_clips_of_its_size_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toybox.plan.safetensors");
    let base = Request {
        width: Some(128),
        height: Some(128),
        frames: Some(17),
        steps: Some(3),
        guidance: Some(1.0),
        dtype: Some("f32".into()),
        ..Request::default()
    };
    let spec = Spec {
        base: base.clone(),
        prompts: vec!["a red ball".into()],
        groups: 2,
        order_by: OrderBy::Mass,
    };
    calibrate(&spec, &mut |_| true).unwrap().write(&path).unwrap();

    let options = Options { data_dir: None, machine: None, threads: None };
    let engine = Engine::start_with(options).unwrap();
    let clip = |method: &str, frames: u32| Request {
        prompt: "a blue cube".into(),
        attention: Some(method.into()),
        density: Some(0.5),
        warmup: Some("1".into()),
        dense_layers: Some("none".into()),
        strict: Some(true),
        plan: Some(path.clone()),
        frames: Some(frames),
        out: Some(folder.path().join(format!("{method}.mkv"))),
        ..base.clone()
    };
    for method in ["paro", "sparse-vdit", "moa"] {
        let receipt = run(&engine, clip(method, 17)).unwrap();
        let sparse: Vec<f64> = receipt
            .calls
            .iter()
            .filter(|call| call.mode != Mode::Dense)
            .flat_map(|call| call.density_exact.clone())
            .collect();
        assert_eq!(sparse.len(), 2 * 8 * 5, "{method}");
        let mean = sparse.iter().sum::<f64>() / sparse.len() as f64;
        assert!((0.3..0.7).contains(&mean), "{method}: {mean}");
    }
    let refusal = run(&engine, clip("paro", 21)).unwrap_err();
    assert!(refusal.contains("grid: expected 6x8x8") && refusal.contains("5x8x8"), "{refusal}");
}
