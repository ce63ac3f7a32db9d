//! Sparse clips of the bundled model from request to receipt: 320 tokens, 3 × 5 blocks, four steps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Tensor;

use crate::engine::{Engine, Options};
use crate::events::{Command, EventKind, FileRole, JobId, WrittenFile};
use crate::receipt::Receipt;
use crate::request::Request;
use crate::sparsity::Mode;

/// Longer than any of these runs takes, on any machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn request(folder: &Path, name: &str, change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request {
        prompt: "a shiny red ball bouncing on a blue floor".into(),
        width: Some(128),
        height: Some(128),
        frames: Some(17),
        steps: Some(4),
        seed: Some(7),
        dtype: Some("f32".into()),
        out: Some(folder.join(name)),
        ..Request::default()
    };
    change(&mut request);
    request
}

/// PSA in the last three steps.
fn psa(request: &mut Request) {
    request.attention = Some("psa".into());
    request.density = Some(0.4);
    request.warmup = Some("1".into());
    request.refresh = Some("2".into());
    request.strict = Some(true);
}

/// Runs a request; the error is what the job said.
fn run(engine: &Engine, request: Request) -> Result<Receipt, String> {
    let job = JobId(1);
    engine.commands.send(Command::Generate { job, request: Box::new(request) }).unwrap();
    answer(engine)
}

/// How the running job ends.
fn answer(engine: &Engine) -> Result<Receipt, String> {
    loop {
        match engine.events.recv_timeout(PATIENCE).expect("the engine fell silent").kind {
            EventKind::Finished { receipt } => return Ok(*receipt),
            EventKind::Failed { error, .. } => return Err(error),
            _ => {}
        }
    }
}

fn latents(video: &Path) -> Tensor {
    crate::latents::read(&crate::plan::files::latents_of(video)).unwrap().latents
}

fn engine(folder: &Path) -> Engine {
    Engine::start_with(Options {
        data_dir: Some(folder.join("data")),
        machine: None,
        threads: None,
    })
    .unwrap()
}

#[test]
fn a_sparse_clip_says_call_by_call_what_ran() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let receipt = run(&engine, request(folder.path(), "a.mkv", psa)).unwrap();
    assert_eq!(receipt.calls.len(), 4 * 2 * 8);
    for call in &receipt.calls {
        let mode = [Mode::Dense, Mode::Fresh, Mode::Cached, Mode::Fresh][call.step as usize];
        assert_eq!(call.mode, mode, "{call:?}");
        let heads = if mode == Mode::Dense { 0 } else { 5 };
        assert_eq!((call.density_exact.len(), call.density_nominal.len()), (heads, heads));
    }
    let sparse: Vec<_> = receipt.attention.iter().filter(|of| of.mode != "dense").collect();
    assert!(sparse.iter().all(|of| (of.density_exact - 0.4).abs() < 0.05), "{sparse:?}");
    let resolved = receipt.sparsity.as_ref().unwrap();
    assert_eq!((resolved.order.as_str(), resolved.sparse_steps), ("gilbert", [1, 4]));
    assert!(receipt.fallbacks.is_empty(), "{:?}", receipt.fallbacks);
    // The sidecar has a line a call and reads back as it was.
    let sidecar = folder.path().join("a.mkv.json");
    let text = std::fs::read_to_string(&sidecar).unwrap();
    let lines = text.lines().filter(|line| line.trim_start().starts_with("{\"step\": ")).count();
    assert_eq!(lines, receipt.calls.len());
    assert_eq!(Receipt::read(&sidecar).unwrap().calls, receipt.calls);
    // The same request, taken from the receipt, gives the same bytes.
    let again = Request { out: Some(folder.path().join("b.mkv")), ..receipt.request.clone() };
    run(&engine, again).unwrap();
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("a.mkv") == bytes("b.mkv"), "another clip");
    assert!(bytes("a.latents.safetensors") == bytes("b.latents.safetensors"), "other latents");
}

#[test]
fn a_density_of_one_is_the_dense_clip_and_less_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let clip = |name: &str, change: &dyn Fn(&mut Request)| -> (PathBuf, Tensor) {
        let out = folder.path().join(name);
        run(&engine, request(folder.path(), name, change)).unwrap();
        let latents = latents(&out);
        (out, latents)
    };
    let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    let (_, dense) = clip("dense.mkv", &|_| ());
    let far = |other: &Tensor| norm(&(other - &dense).unwrap()) / norm(&dense);
    let (_, whole) = clip("whole.mkv", &|request| {
        psa(request);
        request.density = Some(1.0);
    });
    assert!(far(&whole) < 1e-4, "{}", far(&whole));
    let (_, part) = clip("part.mkv", &psa);
    assert!(far(&part) > 1e-3, "nothing was left out");
}

/// Stops a clip after its first step, or a little later; the file that it leaves.
fn stopped(engine: &Engine, request: Request) -> WrittenFile {
    let job = JobId(2);
    engine.commands.send(Command::Generate { job, request: Box::new(request) }).unwrap();
    loop {
        match engine.events.recv_timeout(PATIENCE).expect("the engine fell silent").kind {
            EventKind::Step { .. } => engine.commands.send(Command::Cancel { job }).unwrap(),
            EventKind::Cancelled { kept } => {
                let [only] = kept.try_into().unwrap();
                return only;
            }
            EventKind::Finished { .. } => panic!("it was not stopped"),
            _ => {}
        }
    }
}

#[test]
fn a_stopped_run_keeps_the_clip_of_its_last_step() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let euler = |name: &str, steps: u32| {
        request(folder.path(), name, |request| {
            request.sampler = Some("euler".into());
            request.steps = Some(steps);
        })
    };
    // From the same noise a run of one step of Euler's goes all the way at once: x − σ·v.
    run(&engine, euler("one.mkv", 1)).unwrap();
    let expected = latents(&folder.path().join("one.mkv"));
    let file = (0..5).find_map(|_| {
        let file = stopped(&engine, euler("clip.mkv", 50));
        assert_eq!(file.what, FileRole::PartialLatents);
        assert_eq!(file.path, folder.path().join("clip.partial.latents.safetensors"));
        let saved = crate::latents::read(&file.path).unwrap();
        let denoised = saved.description.unwrap().denoised.unwrap();
        assert!(denoised.of == 50 && (1..50).contains(&denoised.steps), "{denoised}");
        let is_first = denoised.steps == 1;
        if is_first {
            let far = (saved.latents - &expected).unwrap().abs().unwrap().max_all().unwrap();
            let far = far.to_scalar::<f32>().unwrap();
            assert!(far < 1e-4, "{far}");
        }
        is_first.then_some(file)
    });
    let file = file.expect("one of five runs is stopped in its second step");
    let shown = crate::inspect::inspect(&file.path).unwrap().to_string();
    assert!(shown.contains("stopped after step 1 of 50"), "{shown}");

    let job = JobId(3);
    let (latents, changes) = (file.path, Box::default());
    engine.commands.send(Command::Resume { job, latents, changes }).unwrap();
    let receipt = answer(&engine).unwrap();
    assert!(receipt.warnings.iter().any(|text| text.contains("step 1 of 50")), "{receipt:?}");
    let video = receipt.files.iter().find(|file| file.what == FileRole::Video).unwrap();
    assert_eq!(video.path, folder.path().join("clip.partial.mp4"));
    assert!(!folder.path().join("clip.mkv").exists());
}

#[test]
fn a_strict_run_fails_where_another_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let bounded = |strict: bool| {
        request(folder.path(), "c.mkv", |request| {
            psa(request);
            request.strict = Some(strict);
            request.cache_limit = Some("40".into()); // one map: 5 heads of 3 × 5 blocks are 38 bytes
        })
    };
    let error = run(&engine, bounded(true)).unwrap_err();
    assert!(error.contains("strict") && error.contains("step 2 of 4, layer 1, cond"), "{error}");
    let receipt = run(&engine, bounded(false)).unwrap();
    assert_eq!(receipt.fallbacks.len(), 1);
    assert!(receipt.fallbacks[0].contains("45 times"), "{:?}", receipt.fallbacks);
    let told = receipt.warnings.iter().filter(|text| text.contains("A map was not kept")).count();
    assert_eq!(told, 1, "{:?}", receipt.warnings);
}
