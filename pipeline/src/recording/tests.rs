use std::path::PathBuf;

use tessera_kernels::levels::Density;
use tessera_models::attention::Branch;
use tessera_models::geometry::{Grid, Size};

use super::*;
use crate::Error;
use crate::capture::{LatentFormat, Options};
use crate::events::{EventKind, Phase};
use crate::plan::PlannedModel;
use crate::request::Request;
use crate::sparsity::observer::Mode;

/// 2 layers of 2 heads over 2 × 8 × 12 tokens: 2 query blocks, 3 key blocks; 3 steps.
pub(crate) fn meta(limit: u64) -> Meta {
    Meta {
        program: "tessera 0".into(),
        request: Request { prompt: "a ball".into(), ..Request::default() },
        model: PlannedModel {
            name: "toybox".into(),
            path: "/m".into(),
            fingerprint: "abc".into(),
            parameters: 5,
        },
        size: Size { width: 192, height: 128, frames: 5 },
        latent_shape: [1, 2, 2, 3, 4],
        grid: Grid { frames: 2, rows: 8, cols: 12 },
        text_tokens: 0,
        heads: 2,
        layers: 2,
        blocks: [128, 64],
        sigmas: vec![1.0, 0.7, 0.3, 0.0],
        timesteps: vec![1000.0, 700.0, 300.0],
        is_guided: true,
        capture: Options {
            heads: vec![[0, 0], [0, 1], [1, 0]],
            attention: true,
            scores: true,
            rows: vec![[0, 1, 2]],
            latents: LatentFormat::F32,
            limit,
        },
    }
}

struct Bench {
    folder: tempfile::TempDir,
    meta: Meta,
    writer: Writer,
}

impl Bench {
    fn new(limit: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meta = meta(limit);
        let writer = Writer::create(&folder.path().join("a.tessera"), &meta).unwrap();
        Self { folder, meta, writer }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("a.tessera")
    }

    fn map(&mut self, id: u32, levels: &[u8]) {
        self.writer.map(id, levels, &self.meta, &[0, 1], None).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn sparse(step: usize, branch: Branch, mode: Mode, map: u32) -> Call {
    Call {
        place: Place::new(step, branch, 0),
        mode,
        estimate_ms: 0.25,
        attention_ms: 1.5,
        densities: vec![
            Density { nominal: 0.5, exact: 0.25 },
            Density { nominal: 1.0, exact: 0.75 },
        ],
        retained: Some(vec![0.5, 0.75]),
        estimated_at: Some(0),
        map: Some(map),
        orders: vec![0, 1],
        fallback: None,
    }
}

fn dense(step: usize, layer: usize) -> Call {
    Call {
        place: Place::new(step, Branch::Cond, layer),
        mode: Mode::Dense,
        estimate_ms: 0.0,
        attention_ms: 4.0,
        densities: Vec::new(),
        retained: None,
        estimated_at: None,
        map: None,
        orders: vec![0],
        fallback: Some("no map for it".into()),
    }
}

/// Levels of two heads.
const LEVELS: [u8; 12] = [1, 2, 0, 7, 1, 4, 1, 1, 1, 0, 0, 3];

#[test]
fn everything_comes_back_and_cached_calls_inherit_their_map() {
    let mut bench = Bench::new(1 << 20);
    let meta = bench.meta.clone();
    let event = EventKind::PhaseStarted { phase: Phase::Denoise, of: 3 };
    bench.writer.event(12, &event).unwrap();
    let tokens: Vec<u32> = (0..192).rev().collect();
    let raster: Vec<u32> = (0..192).collect();
    bench.writer.order(0, Some("fhw"), &raster).unwrap();
    bench.writer.order(1, None, &tokens).unwrap();
    bench.map(4, &LEVELS);
    bench.writer.call(&sparse(0, Branch::Cond, Mode::Fresh, 4)).unwrap();
    bench.writer.call(&sparse(1, Branch::Cond, Mode::Cached, 4)).unwrap();
    bench.writer.call(&dense(1, 1)).unwrap();
    let place = Place::new(0, Branch::Cond, 0);
    let mass = [0.5f32, 0.25, 0.25, 1.0, 0.0, 0.0];
    bench.writer.capture(Kind::Attention, place, 1, None, &mass).unwrap();
    let scores = [-3.0f32, 0.5, f32::NEG_INFINITY, 1.0, 2.0, 100.0];
    bench.writer.capture(Kind::Scores, place, 1, None, &scores).unwrap();
    let row: Vec<f32> = (0..192).map(|i| if i == 14 { 0.75 } else { 0.25 / 191.0 }).collect();
    bench.writer.capture(Kind::Row, place, 0, Some(14), &row).unwrap();
    let clips = [0, 1].map(|step| -> Vec<f32> {
        (0..48).map(|i| (i as f32 / 7.0).sin() * (1.0 + step as f32)).collect()
    });
    for (step, clip) in clips.iter().enumerate() {
        bench.writer.latents(step, LatentFormat::F32, clip).unwrap();
    }
    let target = bench.target();
    let bytes = bench.writer.finish(&Outcome::Finished).unwrap();
    assert_eq!(bytes, std::fs::metadata(&target).unwrap().len());

    let recording = Recording::open(&target).unwrap();
    assert!(Recording::is_one(&target));
    assert_eq!((recording.meta(), recording.outcome().unwrap()), (&meta, Outcome::Finished));
    assert_eq!(recording.events().unwrap(), [Happened { at_ms: 12, event }]);
    let steps = recording.steps().unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[1].calls, steps[1].sigma, steps[1].next_sigma), (2, 0.7, 0.3));
    assert_eq!(steps[1].attention_ms, 1.75 + 4.0);
    let cached = sparse(1, Branch::Cond, Mode::Cached, 4);
    let full = Density { nominal: 1.0, exact: 1.0 };
    let calls = recording.calls(1).unwrap();
    assert_eq!(calls, [cached, Call { densities: vec![full; 2], ..dense(1, 1) }]);

    let levels = |step, head| {
        let map = recording.map(Place::new(step, Branch::Cond, 0), head).unwrap().here().unwrap();
        map.to_vec().unwrap()
    };
    assert_eq!((levels(0, 0), levels(0, 1)), (LEVELS[..6].to_vec(), LEVELS[6..].to_vec()));
    assert_eq!(levels(1, 1), levels(0, 1), "cached");
    let of_dense = recording.map(Place::new(1, Branch::Cond, 1), 0).unwrap().here().unwrap();
    assert_eq!(of_dense.to_vec().unwrap(), [1; 6]);
    let summary = recording.summary(Place::new(1, Branch::Cond, 0)).unwrap().here().unwrap();
    assert_eq!(summary.thumbnails[0], [15, 8, 0, 0, 15, 2]);
    assert_eq!(summary.counts[1], [2, 3, 0, 1, 0, 0, 0, 0]);
    assert_eq!(recording.counts_from(0).unwrap().values().next(), Some(&summary.counts));
    let order = |head| recording.order(place, head).unwrap().unwrap();
    assert_eq!((order(0).name.as_deref(), order(0).order.tokens()), (Some("fhw"), &raster[..]));
    assert_eq!((order(1).name, order(1).order.tokens()), (None, &tokens[..]));

    let flat = |held: Held<candle_core::Tensor>| {
        held.here().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(flat(recording.attention(place, 1).unwrap()), mass);
    assert_eq!(flat(recording.scores(place, 1).unwrap()), scores);
    assert_eq!(
        flat(recording.scores(Place::new(1, Branch::Cond, 0), 1).unwrap()),
        scores,
        "a cached call's map was chosen by its refresh's scores"
    );
    let back = recording.row_of(place, 0, 14).unwrap().here().unwrap();
    assert!(back.iter().zip(&row).all(|(back, was)| (back - was).abs() <= was * 5e-4));
    assert_eq!(flat(recording.latents(1).unwrap()), clips[1]);
    let heading = flat(recording.predicted(0).unwrap());
    for (heading, (before, after)) in heading.iter().zip(clips[0].iter().zip(&clips[1])) {
        assert!((heading - (before + (after - before) / 0.3)).abs() < 1e-5);
    }
    for nothing in [recording.attention(place, 0), recording.latents(2), recording.predicted(1)] {
        assert_eq!(nothing.unwrap().here().map(|_| ()), None);
    }
    assert_eq!(recording.row_of(place, 0, 15).unwrap(), Held::NotCaptured);
    assert_eq!(bench.folder.path().read_dir().unwrap().count(), 1, "one file");
}

#[test]
fn a_map_says_which_keys_its_columns_count() {
    let mut bench = Bench::new(1 << 20);
    let raster = tessera_kernels::order::Order::identity(192);
    let turned: Vec<u32> = (0..192).map(|place| (place + 64) % 192).collect();
    let turned = tessera_kernels::order::Order::new(turned).unwrap();
    for id in 0..2 {
        bench.writer.order(id, None, raster.tokens()).unwrap();
    }
    bench.map(3, &LEVELS);
    let keys = [(0, turned.clone())];
    bench.writer.map(4, &LEVELS, &bench.meta, &[0], Some(&keys)).unwrap();
    bench.writer.call(&sparse(0, Branch::Cond, Mode::Fresh, 3)).unwrap();
    bench.writer.call(&sparse(1, Branch::Cond, Mode::Fresh, 4)).unwrap();
    bench.writer.call(&sparse(2, Branch::Cond, Mode::Cached, 4)).unwrap();
    bench.writer.call(&dense(2, 1)).unwrap();
    let target = bench.target();
    bench.writer.finish(&Outcome::Finished).unwrap();
    let keys = |step, layer, head| {
        let place = Place::new(step, Branch::Cond, layer);
        Recording::open(&target).unwrap().key_order(place, head).unwrap()
    };
    assert_eq!(keys(0, 0, 0), Held::Here(raster.clone()), "keys stand as the queries do");
    assert_eq!(keys(2, 1, 1), Held::Here(raster.clone()), "dense");
    assert_eq!((keys(1, 0, 0), keys(2, 0, 0)), (Held::Here(turned.clone()), Held::Here(turned)));
    assert_eq!(keys(1, 0, 1), Held::NotCaptured, "a head that was not pinned");
    assert_eq!(keys(1, 1, 0), Held::NotCaptured, "no call");

    // As the first version wrote it.
    let old = rusqlite::Connection::open(&target).unwrap();
    old.execute_batch(
        "ALTER TABLE maps DROP COLUMN sorts_keys; DROP TABLE key_orders; PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    assert_eq!(keys(1, 0, 1), Held::Here(raster));
    let recording = Recording::open(&target).unwrap();
    let map = recording.map(Place::new(0, Branch::Cond, 0), 1).unwrap().here().unwrap();
    assert_eq!(map.to_vec().unwrap(), LEVELS[6..]);
}

#[test]
fn equal_maps_are_stored_once() {
    let mut bench = Bench::new(1 << 20);
    for id in 0..50 {
        bench.map(id, &LEVELS);
    }
    let target = bench.target();
    bench.writer.finish(&Outcome::Finished).unwrap();
    let recording = Recording::open(&target).unwrap();
    let content = recording.contents().unwrap();
    assert_eq!(content[&Kind::Levels].blobs, 2, "one a head");
    assert_eq!(content[&Kind::Thumbnails].blobs, 1);
    assert_eq!(recording.levels(49, 1).unwrap().here().unwrap().to_vec().unwrap(), LEVELS[6..]);
}

#[test]
fn over_the_limit_the_oldest_large_things_go_and_are_counted() {
    let mut bench = Bench::new(24_000);
    for id in 0..100u32 {
        // No two maps are alike.
        let levels: Vec<u8> = (0..12).map(|i| ((id >> (i % 7)) & 1) as u8).collect();
        bench.map(id, &levels);
        bench.writer.call(&sparse(id as usize, Branch::Uncond, Mode::Fresh, id)).unwrap();
        let clip: Vec<f32> = (0..48).map(|i| (i * id) as f32).collect();
        bench.writer.latents(id as usize, LatentFormat::F32, &clip).unwrap();
    }
    let target = bench.target();
    let bytes = bench.writer.finish(&Outcome::Finished).unwrap();
    let recording = Recording::open(&target).unwrap();
    assert_eq!(recording.latents(0).unwrap().here().map(|_| ()), None);
    assert!(matches!(recording.latents(0).unwrap(), Held::Dropped));
    assert!(matches!(recording.latents(99).unwrap(), Held::Here(_)), "the newest stay");
    assert!(matches!(recording.map(Place::new(0, Branch::Uncond, 0), 0).unwrap(), Held::Dropped));
    assert_eq!(recording.call(Place::new(0, Branch::Uncond, 0)).unwrap().unwrap().map, Some(0));
    let held = recording.contents().unwrap();
    let dropped = recording.dropped().unwrap();
    let latents = dropped[&Kind::Latents];
    assert_eq!(latents.blobs + held[&Kind::Latents].blobs, 100);
    assert!(latents.bytes > latents.blobs * 192 && dropped[&Kind::Levels].blobs > 0);
    let large: u64 = held.values().map(|amount| amount.bytes).sum();
    assert!(large <= 24_000, "{large}");
    assert!(bytes < 110_000, "the tables and what is in them: {bytes}");
}

/// What another process would find if this one died now: a copy of the files as they are.
fn dead(bench: &Bench) -> (tempfile::TempDir, PathBuf) {
    let grave = tempfile::tempdir().unwrap();
    for name in bench.names() {
        std::fs::copy(bench.folder.path().join(&name), grave.path().join(&name)).unwrap();
    }
    let path = partial_of(&grave.path().join("a.tessera"));
    (grave, path)
}

#[test]
fn what_was_recorded_before_a_crash_can_be_read() {
    let mut bench = Bench::new(1 << 20);
    bench.map(0, &LEVELS);
    bench.writer.call(&sparse(0, Branch::Cond, Mode::Fresh, 0)).unwrap();
    bench.writer.commit().unwrap();
    bench.writer.call(&dense(1, 0)).unwrap(); // not committed: the crash comes first
    let (grave, path) = dead(&bench);
    assert!(!bench.target().exists(), "the name is for whole files");
    let recording = Recording::open(&path).unwrap();
    assert_eq!(recording.outcome().unwrap(), Outcome::Unfinished);
    assert_eq!((recording.calls(0).unwrap().len(), recording.calls(1).unwrap().len()), (1, 0));
    assert_eq!(recording.levels(0, 0).unwrap().here().unwrap().to_vec().unwrap(), LEVELS[..6]);
    drop(recording);
    // The log was cut off in the middle of a write.
    let log = grave.path().join("a.tessera.partial-wal");
    let length = std::fs::metadata(&log).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 3000).unwrap();
    let recording = Recording::open(&path).unwrap();
    assert_eq!(recording.meta(), &bench.meta, "what was whole is there");
    // Whoever records to that name again begins anew.
    drop(recording);
    let target = grave.path().join("a.tessera");
    drop(Writer::create(&target, &bench.meta).unwrap());
    assert_eq!(Recording::open(&path).unwrap().calls(0).unwrap().len(), 0);
}

#[test]
fn a_growing_recording_can_be_read_and_is_finished_under_its_readers() {
    let mut bench = Bench::new(1 << 20);
    let reader = Recording::open(bench.writer.path()).unwrap();
    assert_eq!(reader.calls(0).unwrap().len(), 0);
    bench.writer.call(&dense(0, 0)).unwrap();
    bench.writer.commit().unwrap();
    assert_eq!(reader.calls(0).unwrap().len(), 1);
    let target = bench.target();
    bench.writer.finish(&Outcome::Cancelled).unwrap();
    assert_eq!(reader.calls(0).unwrap().len(), 1, "the old name is gone, its content is held");
    drop(reader);
    let recording = Recording::open(&target).unwrap();
    assert_eq!(recording.outcome().unwrap(), Outcome::Cancelled);
    // On a medium that cannot be written to: the whole file needs nothing beside it.
    let header = std::fs::read(&target).unwrap();
    assert_eq!(header[18..20], [1, 1], "no log belongs to it");
}

#[test]
fn two_runs_do_not_share_a_file() {
    let bench = Bench::new(1 << 20);
    let error = Writer::create(&bench.target(), &bench.meta).err().unwrap();
    assert!(error.to_string().contains("another run is recording to it"), "{error}");
    let nowhere = bench.folder.path().join("no/such.tessera");
    assert!(matches!(Writer::create(&nowhere, &bench.meta), Err(Error::File(_))));
}

#[test]
fn what_is_no_recording_and_what_is_damaged_are_told_apart() {
    let mut bench = Bench::new(1 << 20);
    for id in 0..40u32 {
        let levels: Vec<u8> = (0..12).map(|i| ((id >> (i % 6)) & 1) as u8).collect();
        bench.map(id, &levels);
        bench.writer.call(&sparse(id as usize, Branch::Cond, Mode::Fresh, id)).unwrap();
    }
    let (folder, target) = (bench.folder.path().to_path_buf(), bench.target());
    let meta = bench.meta.clone();
    bench.writer.finish(&Outcome::Finished).unwrap();
    let whole = std::fs::read(&target).unwrap();
    let error = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        crate::files::write_atomically(&path, |file| std::io::Write::write_all(file, bytes))
            .unwrap();
        let opened = Recording::open(&path).map(|recording| recording.calls(39));
        match opened {
            Err(error) | Ok(Err(error)) => error.to_string(),
            Ok(Ok(calls)) => panic!("{name} was read: {calls:?}"),
        }
    };
    for (name, bytes) in [("text", b"hello, this is a text file".as_slice()), ("empty", b"")] {
        let error = error(name, bytes);
        assert!(error.contains("not a recording") && error.contains("--record"), "{error}");
    }
    for length in [whole.len() / 2, whole.len() - 4096, 700] {
        let error = error("cut", &whole[..length]);
        assert!(error.contains("damaged") && error.contains("copy it again"), "{error}");
    }
    let mut newer = whole.clone();
    newer[63] = 9; // the last byte of user_version
    let error_of_newer = error("newer", &newer);
    assert!(
        error_of_newer.contains("format 9") && error_of_newer.contains("newer"),
        "{error_of_newer}"
    );
    let mut other = whole.clone();
    other[68..72].fill(0); // application_id
    assert!(error("other", &other).contains("not a recording"));
    assert!(!Recording::is_one(&folder.join("other")) && !Recording::is_one(&folder));
    assert!(matches!(Recording::open(&folder.join("absent")), Err(Error::Io { .. })));
    let recording = Recording::open(&target).unwrap();
    assert_eq!((recording.meta(), recording.calls(39).unwrap().len()), (&meta, 1));
}
