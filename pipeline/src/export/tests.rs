//! What was written is read back by other readers: candle's for NPZ and safetensors, `image` for pictures.

use std::collections::HashMap;

use candle_core::{Device, Tensor, npy::NpzTensors};
use serde_json::Value;
use tessera_kernels::levels::Density;
use tessera_kernels::order::Order;
use tessera_models::attention::Branch;

use super::*;
use crate::capture::LatentFormat;
use crate::events::{EventKind, Phase};
use crate::palette;
use crate::recording::{Call, Kind, Outcome, Place, Writer};
use crate::sparsity::observer::Mode;

const LEVELS: [u8; 12] = [1, 2, 0, 7, 1, 4, 1, 1, 1, 0, 0, 3];
const SCORES: [f32; 6] = [-3.0, 0.5, f32::NEG_INFINITY, 1.0, 2.0, 100.0];
const MASS: [f32; 6] = [0.5, 0.25, 0.25, 1.0, 0.0, 0.0];

/// Two layers of two heads over 2 × 8 × 12 tokens: a dense step, a fresh one, one that used its map again, and a fresh one
/// whose method sorted keys.
fn recording(folder: &Path, limit: u64) -> Recording {
    let target = folder.join("a.tessera");
    let mut meta = crate::recording::tests::meta(limit);
    meta.sigmas = vec![1.0, 0.8, 0.5, 0.2, 0.0];
    meta.timesteps = vec![1000.0, 800.0, 500.0, 200.0];
    let mut writer = Writer::create(&target, &meta).unwrap();
    writer.event(12, &EventKind::PhaseStarted { phase: Phase::Denoise, of: 3 }).unwrap();
    writer.order(0, Some("fhw"), Order::identity(192).tokens()).unwrap();
    let call = |step, mode, map: Option<u32>| Call {
        place: Place::new(step, Branch::Cond, 0),
        mode,
        estimate_ms: 0.25,
        attention_ms: 1.5,
        densities: vec![Density { nominal: 0.5, exact: 0.25 }; 2],
        retained: map.map(|_| vec![0.5, 0.75]),
        estimated_at: map.map(|map| if map == 4 { 1 } else { 3 }),
        map,
        orders: vec![0],
        fallback: map.is_none().then(|| "no map, \"really\"".into()),
    };
    let turned: Vec<u32> = (0..192).map(|place| (place + 64) % 192).collect();
    let keys = [(1, Order::new(turned).unwrap())];
    writer.map(4, &LEVELS, &meta, &[0, 1], None).unwrap();
    writer.map(5, &LEVELS, &meta, &[0, 1], Some(&keys)).unwrap();
    writer.call(&call(0, Mode::Dense, None)).unwrap();
    writer.call(&call(1, Mode::Fresh, Some(4))).unwrap();
    writer.call(&call(2, Mode::Cached, Some(4))).unwrap();
    writer.call(&call(3, Mode::Fresh, Some(5))).unwrap();
    let at = |step| Place::new(step, Branch::Cond, 0);
    writer.capture(Kind::Attention, at(1), 1, None, &MASS).unwrap();
    writer.capture(Kind::Scores, at(1), 1, None, &SCORES).unwrap();
    writer.capture(Kind::Row, at(2), 0, Some(14), &row()).unwrap();
    for step in 0..=4 {
        writer.latents(step, LatentFormat::F32, &clip(step)).unwrap();
    }
    writer.finish(&Outcome::Finished).unwrap();
    Recording::open(&target).unwrap()
}

fn clip(step: usize) -> Vec<f32> {
    (0..48).map(|i| (i as f32 / 7.0).sin() * (1.0 + step as f32)).collect()
}

fn row() -> Vec<f32> {
    (0..192).map(|i| if i == 14 { 0.75 } else { 0.25 / 191.0 }).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(candle_core::DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn arrays_are_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(folder.path(), 1 << 20);
    let to = folder.path().join("out");
    let formats = [Format::Npz, Format::Safetensors];
    let done = export(&recording, (&What::ALL, &formats), &to, &mut |_| true).unwrap();
    let expected: [(What, &[&str]); 7] = [
        (What::Latents, &["step_000", "step_001", "step_002", "step_003", "step_004"]),
        (
            What::Maps,
            &[
                "map_0004_step_001_cond_layer_00_head_0",
                "map_0004_step_001_cond_layer_00_head_1",
                "map_0005_step_003_cond_layer_00_head_0",
                "map_0005_step_003_cond_layer_00_head_1",
            ],
        ),
        (What::Scores, &["step_001_cond_layer_00_head_1"]),
        (What::Attention, &["step_001_cond_layer_00_head_1"]),
        (What::Tokens, &["step_002_cond_layer_00_head_0_token_0_1_2"]),
        (What::Orders, &["keys_0005_head_1", "order_0_fhw"]),
        (What::Summary, &["thumbnails_0004", "thumbnails_0005"]),
    ];
    let mut arrays: HashMap<(What, String), Tensor> = HashMap::new();
    for (kind, names) in expected {
        assert_eq!(done.arrays[&kind], names.len(), "{}", kind.name());
        let npz = NpzTensors::new(to.join(format!("{}.npz", kind.name()))).unwrap();
        let mut found: Vec<String> = npz.names().into_iter().cloned().collect();
        found.sort();
        assert_eq!(found, names);
        let path = to.join(format!("{}.safetensors", kind.name()));
        let others = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        assert_eq!(others.len(), names.len());
        for name in names {
            let array = npz.get(name).unwrap().unwrap();
            assert_eq!(
                (array.dims(), array.dtype()),
                (others[*name].dims(), others[*name].dtype())
            );
            assert_eq!(flat(&array), flat(&others[*name]), "{name}");
            arrays.insert((kind, (*name).into()), array);
        }
    }
    let get = |kind, name: &str| &arrays[&(kind, name.to_owned())];
    assert_eq!(get(What::Latents, "step_003").dims(), [1, 2, 2, 3, 4]);
    assert_eq!(flat(get(What::Latents, "step_003")), clip(3));
    let map = get(What::Maps, "map_0004_step_001_cond_layer_00_head_1");
    assert_eq!((map.dims(), map.dtype()), (&[2, 3][..], candle_core::DType::U8));
    assert_eq!(flat(map), [1.0, 1.0, 1.0, 0.0, 0.0, 3.0]);
    assert_eq!(flat(get(What::Scores, "step_001_cond_layer_00_head_1")), SCORES);
    assert_eq!(flat(get(What::Attention, "step_001_cond_layer_00_head_1")), MASS);
    let token = get(What::Tokens, "step_002_cond_layer_00_head_0_token_0_1_2");
    assert_eq!(token.dims(), [2, 8, 12]);
    assert!((flat(token)[14] - 0.75).abs() < 1e-3);
    assert_eq!(flat(get(What::Orders, "keys_0005_head_1"))[..2], [64.0, 65.0]);
    assert_eq!(get(What::Summary, "thumbnails_0004").dims(), [2, 2, 3]);
    let names: Vec<_> =
        done.files.iter().map(|file| file.file_name().unwrap().to_string_lossy()).collect();
    assert!(names.contains(&"summary.json".into()) && !names.contains(&"events.jsonl".into()));
    assert!(done.files.iter().all(|file| file.is_file()) && done.dropped.is_empty());
}

#[test]
fn lines_and_tables_tell_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(folder.path(), 1 << 20);
    let to = folder.path().join("out");
    let what = [What::Events, What::Summary];
    export(&recording, (&what, &[Format::Jsonl, Format::Csv]), &to, &mut |_| true).unwrap();
    let json = |name: &str| -> Vec<Value> {
        lines(&to.join(name)).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let events = json("events.jsonl");
    assert_eq!((events.len(), &events[0]["at_ms"]), (1, &Value::from(12)));
    assert!(events[0].to_string().contains("phase_started"), "{}", events[0]);
    let calls = json("calls.jsonl");
    assert_eq!(calls.len(), 4);
    assert_eq!((&calls[2]["mode"], &calls[2]["map"]), (&"cached".into(), &4.into()));
    assert_eq!((&calls[1]["retained"], &calls[1]["density_exact"]), (&0.625.into(), &0.25.into()));
    let table = lines(&to.join("calls.csv"));
    assert_eq!(
        table[0],
        "step,branch,expert,layer,mode,estimate_ms,attention_ms,density_exact,density_nominal,retained,estimated_at,map,orders,fallback"
    );
    assert_eq!(table[1], "0,cond,0,0,dense,0.25,1.5,1.0,1.0,,,,0,\"no map, \"\"really\"\"\"");
    assert_eq!(table[3], "2,cond,0,0,cached,0.25,1.5,0.25,0.5,0.625,1,4,0,");
    let heads = lines(&to.join("heads.csv"));
    assert_eq!(heads.len(), 1 + 4 * 2);
    assert_eq!(heads[4], "1,cond,0,0,1,0,0.25,0.5,0.75,2 3 0 1 0 0 0 0");
    assert_eq!(json("steps.jsonl").len(), 4);
    let summary = std::fs::read_to_string(to.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["run"]["request"]["prompt"], "a ball");
    assert!(!to.join("latents.npz").exists());
}

#[test]
fn pictures_have_the_palettes_colours() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(folder.path(), 1 << 20);
    let to = folder.path().join("out");
    export(&recording, (&What::ALL, &[Format::Png]), &to, &mut |_| true).unwrap();
    let picture = |name: &str| image::open(to.join(name)).unwrap().to_rgb8();
    // Two rows of three blocks, each 170 pixels wide.
    let map = picture("maps/map_0004_step_001_cond_layer_00_head_0.png");
    assert_eq!(map.dimensions(), (510, 340));
    for (place, level) in LEVELS[..6].iter().enumerate() {
        let (x, y) = (place as u32 % 3 * 170, place as u32 / 3 * 170);
        for pixel in [map.get_pixel(x, y), map.get_pixel(x + 169, y + 169)] {
            assert_eq!(pixel.0, palette::level(*level), "block {place}");
        }
    }
    let mass = picture("attention/step_001_cond_layer_00_head_1.png");
    assert_eq!(mass.get_pixel(0, 200).0, palette::heat(1.0), "the largest");
    assert_eq!(mass.get_pixel(509, 339).0, palette::heat(0.0), "nothing");
    let expected = palette::heat(1.0 + 0.5f32.log10() / 4.0);
    assert_eq!(mass.get_pixel(0, 0).0, expected, "half of it, of four decades");
    let scores = picture("scores/step_001_cond_layer_00_head_1.png");
    assert_eq!(scores.get_pixel(509, 339).0, palette::heat(1.0));
    assert_eq!(scores.get_pixel(509, 0).0, palette::heat(0.0), "minus infinity");
    let token = picture("tokens/step_002_cond_layer_00_head_0_token_0_1_2.png");
    assert_eq!(token.dimensions(), (20 * 25, 20 * 8), "two frames of 12 and a gap");
    assert_eq!(token.get_pixel(2 * 20 + 1, 20 + 1).0, palette::heat(1.0), "itself");
    assert_eq!(token.get_pixel(12 * 20 + 1, 1).0, palette::level(0), "the gap");
    let clips: Vec<_> = std::fs::read_dir(to.join("latents")).unwrap().collect();
    assert_eq!(clips.len(), 5 + 4, "clips, and what steps were heading for");
    assert_ne!(picture("latents/step_000.png"), picture("latents/step_004.png"));
    assert!(!to.join("orders").exists() && !to.join("maps.npz").exists());
}

#[test]
fn an_export_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(folder.path(), 1 << 20);
    let to = folder.path().join("out");
    let npz = (&What::ALL[..], &[Format::Npz][..]);
    let mut told = 0;
    let stopped = export(&recording, npz, &to, &mut |_| {
        told += 1;
        told < 4
    });
    assert!(stopped.unwrap_err().is_cancelled());
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names(), 1, "the recording alone");
    std::fs::create_dir(&to).unwrap();
    export(&recording, npz, &to, &mut |_| true).unwrap();
    let again = export(&recording, npz, &to, &mut |_| true).unwrap_err().to_string();
    assert!(again.contains("not empty") && again.contains("another folder"), "{again}");
    assert_eq!(names(), 2);
    let nowhere = folder.path().join("no/such");
    assert!(export(&recording, npz, &nowhere, &mut |_| true).is_err());
}

#[test]
fn what_the_limit_dropped_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(folder.path(), 1_000);
    let held = recording.dropped().unwrap();
    let latents = held[&Kind::Latents].blobs as usize;
    let to = folder.path().join("out");
    let latents_only = (&[What::Latents][..], &[Format::Npz][..]);
    let done = export(&recording, latents_only, &to, &mut |_| true).unwrap();
    assert_eq!(done.dropped.get(&What::Latents), Some(&latents));
    assert_eq!(done.arrays.get(&What::Latents).copied().unwrap_or(0) + latents, 5);
}
