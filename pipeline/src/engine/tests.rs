//! The engine on the bundled model at its smallest: what is told, what is kept, what stops.

mod pause;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::error::FailureKind;
use crate::events::{FileRole, Phase, WrittenFile};
use crate::machine::Memory;
use crate::receipt::{Embedded, Receipt};
use crate::recording::{Held, Recording, partial_of};
use crate::request::Request;
use crate::resume::Changes;

/// Longer than any of these runs takes, on any machine.
const PATIENCE: Duration = Duration::from_mins(2);

struct Bench {
    folder: tempfile::TempDir,
    engine: Engine,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options =
            Options { data_dir: Some(folder.path().join("data")), machine: None, threads: None };
        Self { engine: Engine::start_with(options).unwrap(), folder, next: 0 }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn request(&self, name: &str) -> Request {
        Request {
            prompt: "a shiny red ball bouncing on a blue floor".into(),
            width: Some(64),
            height: Some(64),
            frames: Some(5),
            steps: Some(2),
            seed: Some(7),
            dtype: Some("f32".into()),
            out: Some(self.out(name)),
            ..Request::default()
        }
    }

    fn send(&mut self, request: Request) -> JobId {
        self.next += 1;
        let job = JobId(self.next);
        self.engine.commands.send(Command::Generate { job, request: Box::new(request) }).unwrap();
        job
    }

    /// Events of a job up to its last; `look` sees each as it comes.
    fn events(&self, job: JobId, mut look: impl FnMut(&EventKind)) -> Vec<EventKind> {
        let mut all = Vec::new();
        loop {
            let event = self.engine.events.recv_timeout(PATIENCE).expect("the engine fell silent");
            if event.job != job {
                continue;
            }
            look(&event.kind);
            let is_last = event.kind.is_last();
            all.push(event.kind);
            if is_last {
                return all;
            }
        }
    }

    fn run(&mut self, request: Request) -> Vec<EventKind> {
        let job = self.send(request);
        self.events(job, |_| ())
    }

    /// Files whose names say that they are half-written.
    fn leftovers(&self) -> Vec<PathBuf> {
        let names =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains(crate::files::PARTIAL_MARK)).collect()
    }
}

fn receipt(events: &[EventKind]) -> &Receipt {
    match events.last() {
        Some(EventKind::Finished { receipt }) => receipt,
        other => panic!("expected a finished job, got {other:?}"),
    }
}

fn kept(events: &[EventKind]) -> &[WrittenFile] {
    match events.last() {
        Some(EventKind::Cancelled { kept } | EventKind::Failed { kept, .. }) => kept,
        other => panic!("expected a job that stopped, got {other:?}"),
    }
}

#[test]
fn a_clip_is_made_told_and_kept() {
    let mut bench = Bench::new();
    let request = Request { save_frames: Some(true), ..bench.request("clip.mp4") };
    let events = bench.run(request);
    let receipt = receipt(&events);

    let phases: Vec<Phase> = events
        .iter()
        .filter_map(|kind| {
            if let EventKind::PhaseStarted { phase, .. } = kind { Some(*phase) } else { None }
        })
        .collect();
    assert_eq!(
        phases,
        [Phase::EncodeText, Phase::Load, Phase::Denoise, Phase::Decode, Phase::EncodeVideo]
    );
    assert!(matches!(events[0], EventKind::Planned { .. }));
    let steps: Vec<u64> = events
        .iter()
        .filter_map(
            |kind| if let EventKind::Step { index, .. } = kind { Some(*index) } else { None },
        )
        .collect();
    assert_eq!(steps, [0, 1]);
    let saved =
        events.iter().position(|kind| matches!(kind, EventKind::LatentsSaved { .. })).unwrap();
    let decoding = events
        .iter()
        .position(|kind| matches!(kind, EventKind::PhaseStarted { phase: Phase::Decode, .. }))
        .unwrap();
    assert!(saved < decoding, "latents must be safe before decoding");

    let roles: Vec<FileRole> = receipt.files.iter().map(|file| file.what).collect();
    assert_eq!(roles, [FileRole::Latents, FileRole::Frames, FileRole::Video, FileRole::Sidecar]);
    for file in &receipt.files {
        assert!(file.path.exists(), "{} is missing", file.path.display());
    }
    assert_eq!(receipt.attention.len(), 1);
    let used = &receipt.attention[0];
    assert_eq!(
        (used.steps, used.layers, used.heads, used.calls),
        ([0, 2], [0, 8], [0, 5], 2 * 2 * 8)
    );
    assert_eq!(receipt.video.frames, 5);
    let sidecar = Receipt::read(&bench.out("clip.mp4.json")).unwrap();
    assert_eq!(sidecar.request, receipt.request);
    let inside = crate::video::read_metadata(&bench.out("clip.mp4")).unwrap().unwrap();
    let inside: Embedded = serde_json::from_str(&inside).unwrap();
    assert_eq!(inside.request, Request { out: None, ..receipt.request.clone() });
    let history = history::History::open(&bench.out("data")).unwrap();
    let ids = history.find(&history::Query::default()).unwrap();
    assert_eq!(ids.len(), 1);
    let strip = history.strip(ids[0]).unwrap().expect("small frames of the clip");
    assert_eq!(strip.frames, history.receipt(ids[0]).unwrap().unwrap().size.frames.min(8));
    assert!(bench.leftovers().is_empty());
}

#[test]
fn the_same_request_gives_the_same_bytes_and_keeps_the_model() {
    let mut bench = Bench::new();
    let first = bench.run(bench.request("a.mp4"));
    let second = bench.run(bench.request("b.mp4"));
    let read = |name: &str| std::fs::read(bench.out(name)).unwrap();
    assert_eq!(read("a.latents.safetensors"), read("b.latents.safetensors"));
    assert_eq!(read("a.mp4"), read("b.mp4"));
    assert!(receipt(&first).reused.is_empty());
    assert_eq!(receipt(&second).reused, ["text rows", "VAE", "transformer"]);
    let other = Request { seed: Some(8), ..bench.request("c.mp4") };
    bench.run(other);
    assert_ne!(
        read_file(&bench, "a.latents.safetensors"),
        read_file(&bench, "c.latents.safetensors")
    );
}

fn read_file(bench: &Bench, name: &str) -> Vec<u8> {
    std::fs::read(bench.out(name)).unwrap()
}

#[test]
fn a_watcher_sees_the_clip_after_a_step() {
    let mut bench = Bench::new();
    bench.run(bench.request("clip.mp4"));
    let preview = bench.engine.previews.try_recv().unwrap();
    assert_eq!((preview.job, preview.step, preview.of), (JobId(1), 1, 2), "only the newest waits");
    assert_eq!((preview.frames, preview.height, preview.width), (2, 8, 8));
    assert_eq!(preview.rgb.len(), 2 * 8 * 8 * 3);
}

#[test]
fn who_watches_changes_no_bit_of_the_clip() {
    let mut bench = Bench::new();
    let (seen, counted) = bounded(100);
    let previews = bench.engine.previews.clone();
    let watch = move || previews.iter().for_each(|preview| seen.send(preview.step).unwrap());
    let watcher = std::thread::Builder::new().name("watcher".into()).spawn(watch).unwrap();
    // The second look, as the Lens has it: at the recording, while it grows.
    let record = bench.out("watched.tessera");
    let sparse = |request| Request {
        attention: Some("psa".into()),
        warmup: Some("0".into()),
        steps: Some(4),
        ..request
    };
    bench.send(Request { record: Some(record.clone()), ..sparse(bench.request("watched.mp4")) });
    let partial = partial_of(&record);
    let (mut calls, mut looks) = (Vec::new(), 0);
    bench.events(JobId(1), |event| {
        if matches!(event, EventKind::Progress { .. } | EventKind::Step { .. })
            && let Ok(growing) = Recording::open(&partial)
        {
            calls = (0..4).flat_map(|step| growing.calls(step).unwrap()).collect();
            let maps = calls.iter().map(|call| growing.summary(call.place).unwrap());
            looks += maps.filter(|map| matches!(map, Held::Here(_))).count();
        }
    });
    assert!(looks > 0 && !calls.is_empty(), "nothing was seen of the recording while it grew");
    assert_eq!(counted.recv_timeout(PATIENCE), Ok(0), "somebody watched");
    let mut alone = Bench::new();
    alone.engine.previews = crossbeam_channel::never();
    alone.run(sparse(alone.request("alone.mp4")));
    for kind in ["latents.safetensors", "mp4"] {
        let watched = read_file(&bench, &format!("watched.{kind}"));
        assert!(watched == read_file(&alone, &format!("alone.{kind}")), "another {kind}");
    }
    drop(bench);
    watcher.join().unwrap();
}

#[test]
fn every_phase_can_be_cancelled_and_says_what_it_kept() {
    let mut bench = Bench::new();
    for phase in [Phase::EncodeText, Phase::Load, Phase::Denoise, Phase::Decode] {
        let name = format!("{phase}.mp4");
        // Another prompt and number format each time, so that nothing is taken from the job before.
        let dtype = if phase == Phase::Load { "bf16" } else { "f32" };
        let request = Request {
            prompt: format!("a ball {phase}"),
            dtype: Some(dtype.into()),
            frames: Some(33),
            ..bench.request(&name)
        };
        let job = bench.send(request);
        let commands = bench.engine.commands.clone();
        let events = bench.events(job, |kind| {
            if matches!(kind, EventKind::PhaseStarted { phase: now, .. } if *now == phase) {
                commands.send(Command::Cancel { job }).unwrap();
            }
        });
        let kept: Vec<FileRole> = kept(&events).iter().map(|file| file.what).collect();
        let has_stepped = events.iter().any(|kind| matches!(kind, EventKind::Step { .. }));
        let expected: &[FileRole] = match phase {
            Phase::Decode => &[FileRole::Latents],
            Phase::Denoise if has_stepped => &[FileRole::PartialLatents], // the command came late
            _ => &[],
        };
        assert_eq!(kept, expected, "{phase}");
        assert!(!bench.out(&name).exists(), "{phase}: a cancelled video is there");
        assert!(bench.leftovers().is_empty(), "{phase}: {:?}", bench.leftovers());
    }
    // The next job is as if nothing had been.
    let events = bench.run(bench.request("after.mp4"));
    assert!(receipt(&events).files.iter().any(|file| file.what == FileRole::Video));
}

#[test]
fn a_waiting_job_can_be_cancelled_and_others_keep_their_order() {
    let mut bench = Bench::new();
    let (first, second) = (bench.send(bench.request("1.mp4")), bench.send(bench.request("2.mp4")));
    bench.engine.commands.send(Command::Cancel { job: second }).unwrap();
    assert!(matches!(bench.events(first, |_| ()).last(), Some(EventKind::Finished { .. })));
    assert!(
        matches!(bench.events(second, |_| ()).as_slice(), [EventKind::Cancelled { kept }] if kept.is_empty())
    );
}

#[test]
fn latents_are_decoded_again_with_other_settings() {
    let mut bench = Bench::new();
    bench.run(bench.request("clip.mp4"));
    let latents = bench.out("clip.latents.safetensors");
    let job = JobId(99);
    let changes =
        Changes { out: Some(bench.out("again.gif")), fps: Some(8.0), ..Changes::default() };
    bench
        .engine
        .commands
        .send(Command::Resume { job, latents: latents.clone(), changes: Box::new(changes) })
        .unwrap();
    let events = bench.events(job, |_| ());
    let receipt = receipt(&events);
    assert_eq!((receipt.video.codec.as_str(), receipt.request.fps), ("gif", Some(8.0)));
    assert!(receipt.attention.is_empty());
    assert!(
        events
            .iter()
            .all(|kind| !matches!(kind, EventKind::PhaseStarted { phase: Phase::Denoise, .. }))
    );
    assert!(bench.out("again.gif").is_file() && latents.is_file());

    let job = JobId(100);
    bench.engine.commands.send(Command::Resume { job, latents, changes: Box::default() }).unwrap();
    let again = bench.events(job, |_| ());
    let video = self::receipt(&again)
        .files
        .iter()
        .find(|file| file.what == FileRole::Video)
        .unwrap()
        .path
        .clone();
    assert_eq!(video, bench.out("clip-again.mp4"));
    let frames = |path: &Path| {
        crate::video::Decoder::open(path).unwrap().map(|f| f.unwrap().rgb).collect::<Vec<_>>()
    };
    assert_eq!(frames(&video), frames(&bench.out("clip.mp4")));
}

#[test]
fn latents_are_removed_after_success_when_nobody_wants_them() {
    let mut bench = Bench::new();
    let request = Request { save_latents: Some(false), ..bench.request("clip.mp4") };
    let events = bench.run(request);
    assert!(receipt(&events).files.iter().all(|file| file.what != FileRole::Latents));
    assert!(!bench.out("clip.latents.safetensors").exists() && bench.out("clip.mp4").exists());
}

#[test]
fn saved_latents_can_be_started_from() {
    let mut bench = Bench::new();
    bench.run(bench.request("a.mp4"));
    let from = bench.out("a.latents.safetensors");
    let events =
        bench.run(Request { initial_latents: Some(from.clone()), ..bench.request("b.mp4") });
    assert!(receipt(&events).request.initial_latents.is_some());
    assert_ne!(
        read_file(&bench, "a.latents.safetensors"),
        read_file(&bench, "b.latents.safetensors")
    );
    let wrong = bench.run(Request {
        initial_latents: Some(from),
        width: Some(128),
        ..bench.request("c.mp4")
    });
    assert!(
        matches!(wrong.last(), Some(EventKind::Failed { kind: FailureKind::Input, error, .. }) if error.contains("shape"))
    );
}

#[test]
fn damaged_weights_are_told_at_the_first_step() {
    let mut bench = Bench::new();
    let model = bench.out("model");
    copy(&crate::bundled::model().unwrap(), &model);
    spoil(&model.join("transformer/diffusion_pytorch_model.safetensors"));
    let events = bench.run(Request { model: Some(model), ..bench.request("clip.mp4") });
    match events.last() {
        Some(EventKind::Failed { kind: FailureKind::Model, error, kept }) => {
            assert!(error.contains("not finite at step"), "{error}");
            assert!(kept.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(events.iter().all(|kind| !matches!(kind, EventKind::Step { .. })));
}

#[test]
fn what_cannot_work_is_refused_before_any_work() {
    let mut bench = Bench::new();
    let refused = |events: &[EventKind]| {
        assert!(
            events.iter().all(|kind| !matches!(kind, EventKind::PhaseStarted { .. })),
            "work was done"
        );
        match events.last() {
            Some(EventKind::Failed { kind, error, .. }) => (*kind, error.clone()),
            other => panic!("{other:?}"),
        }
    };
    let (kind, error) = refused(&bench.run(Request { width: Some(17), ..bench.request("a.mp4") }));
    assert!(kind == FailureKind::Input && error.contains("nearest: 16 or 32"), "{error}");
    let (kind, error) = refused(
        &bench.run(Request { out: Some(bench.out("no/folder/a.mp4")), ..bench.request("a.mp4") }),
    );
    assert!(kind == FailureKind::Output && error.contains("no such folder"), "{error}");
    let (kind, _) = refused(
        &bench.run(Request { model: Some(bench.out("nothing")), ..bench.request("a.mp4") }),
    );
    assert_eq!(kind, FailureKind::Model);

    let memory = Memory { total: 1 << 30, available: 50 << 20, limit: None };
    let machine = Machine {
        memory,
        cores: 1,
        kernels: "avx2".into(),
        gpus: Vec::new(),
        no_gpu: None,
        driver: None,
        warnings: Vec::new(),
    };
    bench.engine =
        Engine::start_with(Options { data_dir: None, machine: Some(machine), threads: None })
            .unwrap();
    let (kind, error) = refused(&bench.run(bench.request("a.mp4")));
    assert!(kind == FailureKind::Memory && error.contains("52 MB are available"), "{error}");
}

#[test]
fn a_history_that_fails_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("data");
    crate::files::write_atomically(&in_the_way, |_| Ok(())).unwrap();
    let engine =
        Engine::start_with(Options { data_dir: Some(in_the_way), machine: None, threads: None })
            .unwrap();
    let mut bench = Bench { folder, engine, next: 0 };
    let events = bench.run(bench.request("clip.mp4"));
    receipt(&events);
    assert!(
        events
            .iter()
            .any(|kind| matches!(kind, EventKind::Warning { text } if text.contains("history")))
    );
}

#[test]
fn a_panic_fails_its_job_and_the_engine_goes_on() {
    let (_commands, inbox) = bounded(1);
    let (outbox, events) = bounded(10);
    let mut studio = Studio::new(Options { data_dir: None, machine: None, threads: None });
    let outbox = (outbox, Latest::channel().0);
    attend(JobId(1), &mut Inbox::new(inbox), &outbox, &mut studio, |_, _| {
        panic!("tensor {} is upside down", 3)
    });
    match events.try_recv().unwrap().kind {
        EventKind::Failed { kind: FailureKind::Internal, error, .. } => {
            assert!(error.contains("tensor 3 is upside down"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn dropping_the_engine_ends_what_runs() {
    let mut bench = Bench::new();
    let request = Request { steps: Some(1000), ..bench.request("long.mp4") };
    bench.send(request);
    let started = std::time::Instant::now();
    let Bench { engine, folder, .. } = bench;
    while !matches!(engine.events.recv_timeout(PATIENCE).unwrap().kind, EventKind::Step { .. }) {}
    drop(engine);
    assert!(started.elapsed() < PATIENCE);
    assert!(!folder.path().join("long.mp4").exists());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}

/// Makes the last numbers of a safetensors file NaN (bf16 and f32 alike).
fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for byte in &mut bytes[8 + header..] {
        *byte = 0xff;
    }
    crate::files::write_atomically(path, |file| std::io::Write::write_all(file, &bytes)).unwrap();
}
