//! Recorded runs of the bundled model at its smallest: what is in the file, and that the clip does not know of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tessera_models::attention::Branch;
use tessera_pipeline::engine::{Engine, Options};
use tessera_pipeline::events::{Command, EventKind, FileRole, JobId, WrittenFile};
use tessera_pipeline::recording::{Held, Outcome, Place, Recording, partial_of};
use tessera_pipeline::request::Request;
use tessera_pipeline::sparsity::observer::Mode;

/// Longer than any of these runs takes, on any machine.
const PATIENCE: Duration = Duration::from_mins(2);

struct Bench {
    folder: tempfile::TempDir,
    engine: Engine,
    jobs: u64,
}

impl Bench {
    fn new() -> Self {
        let engine =
            Engine::start_with(Options { data_dir: None, machine: None, threads: None }).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), engine, jobs: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// 160 x 96 pixels of 9 frames: 3 × 6 × 10 tokens, so that there are two query blocks and three key blocks.
    fn request(&self, name: &str) -> Request {
        Request {
            prompt: "a shiny red ball bouncing on a blue floor".into(),
            width: Some(160),
            height: Some(96),
            frames: Some(9),
            steps: Some(3),
            seed: Some(7),
            dtype: Some("f32".into()),
            attention: Some("psa".into()),
            warmup: Some("1".into()),
            dense_layers: Some("0".into()),
            refresh: Some("2".into()),
            out: Some(self.path(name)),
            ..Request::default()
        }
    }

    fn recorded(&self, name: &str) -> Request {
        let record = self.path(name).with_extension("tessera");
        Request { record: Some(record), ..self.request(name) }
    }

    /// Runs a job to its last event; `look` sees each as it comes, and may have the job cancelled.
    fn run(&mut self, request: Request, mut look: impl FnMut(&EventKind) -> bool) -> EventKind {
        self.jobs += 1;
        let job = JobId(self.jobs);
        self.engine.commands.send(Command::Generate { job, request: Box::new(request) }).unwrap();
        loop {
            let event = self.engine.events.recv_timeout(PATIENCE).unwrap();
            if look(&event.kind) {
                self.engine.commands.send(Command::Cancel { job }).unwrap();
            }
            if event.job == job && event.kind.is_last() {
                return event.kind;
            }
        }
    }

    fn finish(&mut self, request: Request) -> Vec<WrittenFile> {
        match self.run(request, |_| false) {
            EventKind::Finished { receipt } => {
                assert_eq!(receipt.warnings, [] as [String; 0]);
                receipt.files.clone()
            }
            other => panic!("expected a finished job, got {other:?}"),
        }
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_clip_has_the_same_bytes_with_and_without_every_capture() {
    let mut bench = Bench::new();
    for method in ["dense", "psa"] {
        let change = |request: Request| match method {
            "dense" => Request {
                attention: Some("dense".into()),
                warmup: None,
                dense_layers: None,
                refresh: None,
                ..request
            },
            _ => request,
        };
        let plain = format!("{method}.mp4");
        let watched = format!("{method}-watched.mp4");
        bench.finish(change(bench.request(&plain)));
        let request = Request {
            capture_heads: Some("all".into()),
            capture_attention: Some(true),
            capture_scores: Some(true),
            capture_rows: Some("0,1,2;2,5,9".into()),
            record_latents: Some("f32".into()),
            ..change(bench.recorded(&watched))
        };
        bench.finish(request);
        let latents = |name: &str| bench.path(name).with_extension("latents.safetensors");
        assert_eq!(bytes(&latents(&plain)), bytes(&latents(&watched)), "{method}: latents");
        assert_eq!(bytes(&bench.path(&plain)), bytes(&bench.path(&watched)), "{method}: video");
    }
}

#[test]
fn a_recording_tells_of_every_call_and_is_among_the_files() {
    let mut bench = Bench::new();
    let request = Request { record_latents: Some("f32".into()), ..bench.recorded("clip.mp4") };
    let files = bench.finish(request.clone());
    let target = request.record.unwrap();
    let written = files.iter().find(|file| file.what == FileRole::Recording).unwrap();
    assert_eq!((&written.path, written.bytes), (&target, bytes(&target).len() as u64));
    let recording = Recording::open(&target).unwrap();
    let meta = recording.meta();
    assert_eq!(recording.outcome().unwrap(), Outcome::Finished);
    assert_eq!((meta.tokens(), meta.steps(), meta.branches().len()), (180, 3, 2));
    assert_eq!(recording.steps().unwrap().len(), 3);
    for step in 0..3 {
        let calls = recording.calls(step).unwrap();
        assert_eq!(calls.len(), 2 * meta.layers, "step {step}");
        for call in calls {
            let expected = match (step, call.place.site.layer) {
                (0, _) | (_, 0) => Mode::Dense,
                (1, _) => Mode::Fresh,
                _ => Mode::Cached,
            };
            assert_eq!(call.mode, expected, "{:?}", call.place);
            assert!(call.attention_ms > 0.0);
            let density = call.density().exact;
            assert!(if expected == Mode::Dense { density == 1.0 } else { density < 1.0 });
        }
    }
    // A pinned head's map is that of its densities, and the cached step has the same one.
    let [layer, head] = *meta.capture.heads.iter().find(|[layer, _]| *layer > 0).unwrap();
    let place = |step| Place::new(step, Branch::Uncond, layer);
    let map = recording.map(place(1), head).unwrap().here().unwrap();
    let call = recording.call(place(1)).unwrap().unwrap();
    assert!((map.density().unwrap().exact - call.densities[head].exact).abs() < 1e-6);
    let cached = recording.map(place(2), head).unwrap().here().unwrap();
    assert_eq!(map.to_vec().unwrap(), cached.to_vec().unwrap());
    let order = recording.order(place(1), head).unwrap().unwrap();
    assert_eq!(order.name.as_deref(), Some("gilbert"));
    assert_eq!(recording.order(place(0), head).unwrap().unwrap().name.as_deref(), Some("fhw"));
    // The clip after the last step is the one that was saved.
    let saved = tessera_pipeline::latents::read(&bench.path("clip.latents.safetensors")).unwrap();
    let last = recording.latents(3).unwrap().here().unwrap();
    let values = |x: &candle_core::Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&last), values(&saved.latents));
    let events = recording.events().unwrap();
    assert!(matches!(events[0].event, EventKind::Planned { .. }));
    assert!(matches!(events.last().unwrap().event, EventKind::Finished { .. }));
    let told = tessera_pipeline::inspect::inspect(&target).unwrap().to_string();
    let layers = meta.layers;
    for line in [
        "recording  of a finished run".to_owned(),
        format!("clip       160x96, 9 frames: 3 x 6 x 10 = 180 tokens, {layers} layers of"),
        "steps      3 of 3".into(),
        format!("calls      {} dense, density 1.000", 2 * (layers + 2)),
        format!("calls      {} fresh, density 0.", 2 * (layers - 1)),
        format!("calls      {} cached, density 0.", 2 * (layers - 1)),
        "holds      4 latents".into(),
        "cost       ".into(),
    ] {
        assert!(told.contains(&line), "{line} is not in\n{told}");
    }
    let cost = recording.cost().unwrap().unwrap();
    assert!(cost.steps_seconds > 0.0 && cost.capture_seconds > 0.0, "{cost:?}");
}

#[test]
fn a_cancelled_run_leaves_what_it_recorded() {
    let mut bench = Bench::new();
    let request = Request { steps: Some(50), ..bench.recorded("clip.mp4") };
    let target = request.record.clone().unwrap();
    let mut grown = None;
    let last = bench.run(request, |event| {
        if let EventKind::Step { index: 1, .. } = event {
            // While it grows it can be looked at.
            let recording = Recording::open(&partial_of(&target)).unwrap();
            grown = Some((recording.outcome().unwrap(), recording.calls(0).unwrap().len()));
            return true;
        }
        false
    });
    let EventKind::Cancelled { kept } = last else { panic!("not cancelled: {last:?}") };
    let roles: Vec<_> = kept.iter().map(|file| file.what).collect();
    assert_eq!(roles, [FileRole::PartialLatents, FileRole::Recording]);
    let recording = Recording::open(&kept[1].path).unwrap();
    assert_eq!(grown, Some((Outcome::Unfinished, 2 * recording.meta().layers)));
    assert_eq!(recording.outcome().unwrap(), Outcome::Cancelled);
    assert!(recording.steps().unwrap().len() >= 2);
    assert!(matches!(recording.latents(1).unwrap(), Held::Here(_)));
    assert!(!partial_of(&target).exists());
}

#[test]
fn a_recording_that_cannot_begin_is_told_before_any_work() {
    let mut bench = Bench::new();
    let nowhere = Request { record: Some(bench.path("no/such.tessera")), ..bench.request("a.mp4") };
    let head = Request { capture_heads: Some("99".into()), ..bench.recorded("b.mp4") };
    for (request, told) in [(nowhere, "there is no such folder"), (head, "capture_heads")] {
        let mut has_begun = false;
        let last = bench.run(request, |event| {
            has_begun |= matches!(event, EventKind::PhaseStarted { .. });
            false
        });
        let EventKind::Failed { error, .. } = last else { panic!("not failed: {last:?}") };
        assert!(error.contains(told), "{error}");
        assert!(!has_begun);
    }
}
