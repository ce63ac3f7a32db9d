//! Every view in every format, on the bundled recordings.

use std::sync::Arc;

use candle_core::npy::NpzTensors;
use tessera_models::attention::Branch;

use super::*;
use crate::gaze::{Gaze, Reading};
use crate::replay::{ArmReport, Call, Head, Replay};
use crate::request::Request;
use crate::sparsity::observer::Mode;
use crate::video::Decoder;
use crate::{bundled, palette};

fn recording() -> Recording {
    let path = bundled::recordings().into_iter().find(|path| path.ends_with("tessera.recording"));
    Recording::open(&path.unwrap()).unwrap()
}

fn overlay(recording: &Recording) -> View {
    let place = Place::new(4, Branch::Cond, 3);
    let gaze = Gaze::read(recording, place, 2, &[[3, 9, 8]]).unwrap().here().unwrap();
    let shares =
        Reading::ALL.map(|reading| (reading.name().to_owned(), gaze.reading(reading).unwrap()));
    let grey: Arc<[u8]> = Arc::from(vec![128u8; 32 * 32 * 3]);
    View::Overlay(Box::new(Overlay {
        name: "brush".into(),
        grid: gaze.grid,
        scale: palette::Scale::log(&gaze.truth),
        shares: shares.to_vec(),
        shown: 0,
        under: Under { size: [32, 32], frames: vec![grey; 33], fps: 16.0 },
        latents: (0..33usize).map(|frame| frame.div_ceil(4)).collect(),
    }))
}

#[test]
fn every_view_is_written_in_every_format_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording();
    let place = Place::new(4, Branch::Cond, 3);
    let views = [
        (View::Timeline(place), "density", vec![8, 6], 8 * 6),
        (View::Heads(place), "density", vec![8, 5], 8 * 5),
        (View::Map(place, 2), "levels", vec![18, 36], 18 * 36),
        (View::Scores(place, 2), "attention", vec![18, 36], 18 * 36),
        (View::Order(place, 2), "order", vec![2304], 2304),
        (overlay(&recording), "truth", vec![9, 16, 16], 2304),
    ];
    for (view, array, shape, lines) in views {
        for ending in view.endings() {
            let to = folder.path().join(format!("{}.{ending}", view.name()));
            let mut pictures = 0;
            export_view(&recording, &view, &to, &mut |done, of| {
                pictures = of;
                done < of
            })
            .unwrap();
            match *ending {
                "png" => {
                    let picture = image::open(&to).unwrap().to_rgb8();
                    let side = picture.width().max(picture.height());
                    assert!((256..=512).contains(&side), "{} {side}", view.name());
                    let first = *picture.get_pixel(0, 0);
                    assert!(picture.pixels().any(|pixel| *pixel != first));
                }
                "csv" => {
                    let text = std::fs::read_to_string(&to).unwrap();
                    assert_eq!(text.lines().count(), lines + 1, "{}", view.name());
                    let cells = |line: &str| line.split(',').count();
                    let header = cells(text.lines().next().unwrap());
                    assert!(text.lines().all(|line| cells(line) == header));
                }
                "npz" => {
                    let npz = NpzTensors::new(&to).unwrap();
                    assert_eq!(npz.get(array).unwrap().unwrap().dims(), shape);
                }
                _ => {
                    let mut film = Decoder::open(&to).unwrap();
                    let expected = if view.name() == "brush" { 33 } else { 6 };
                    assert_eq!(film.count_frames().unwrap(), expected, "{}", view.name());
                    assert_eq!(pictures, expected as usize);
                }
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2 * 3 + 4 * 4);
}

#[test]
fn a_map_has_the_numbers_and_colours_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording();
    let place = Place::new(4, Branch::Cond, 3);
    let levels = recording.map(place, 2).unwrap().here().unwrap().to_vec().unwrap();
    let write = |name: &str| {
        let to = folder.path().join(name);
        export_view(&recording, &View::Map(place, 2), &to, &mut |_, _| true).unwrap();
        to
    };
    let table = std::fs::read_to_string(write("map.csv")).unwrap();
    assert_eq!(table.lines().next(), Some("query_block,key_block,level"));
    for (line, (at, level)) in table.lines().skip(1).zip(levels.iter().enumerate()) {
        assert_eq!(line, format!("{},{},{level}", at / 36, at % 36));
    }
    let picture = image::open(write("map.PNG")).unwrap().to_rgb8();
    let side = picture.width() / 36;
    for (at, level) in levels.iter().enumerate() {
        let (x, y) = (at as u32 % 36 * side, at as u32 / 36 * side);
        assert_eq!(picture.get_pixel(x, y).0, palette::level(*level));
    }
}

#[test]
fn what_cannot_be_written_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording();
    let place = Place::new(4, Branch::Cond, 3);
    let refused = |view: &View, name: &str| {
        let to = folder.path().join(name);
        export_view(&recording, view, &to, &mut |_, _| true).unwrap_err().to_string()
    };
    let told = refused(&View::Timeline(place), "timeline.mp4");
    assert!(told.contains("png, csv, npz"), "{told}");
    assert!(refused(&View::Map(place, 2), "map").contains("png, csv, npz, mp4"));
    let beyond = Place::new(99, Branch::Cond, 3);
    assert!(refused(&View::Map(beyond, 2), "map.png").contains("not recorded"));
    let to = folder.path().join("map.mp4");
    let stopped = export_view(&recording, &View::Map(place, 2), &to, &mut |done, _| done < 2);
    assert!(stopped.unwrap_err().is_cancelled());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Two layers of two heads, of which the last is missing.
fn replayed() -> View {
    let head = |head, error| Head { head, error, recall: 0.9, density: 0.25, nominal: 0.3 };
    let call = |layer, branch, heads| Call {
        step: 2,
        branch,
        layer,
        mode: Mode::Fresh,
        estimate_ms: 1.0,
        attention_ms: 2.0,
        dense_ms: 4.0,
        heads,
    };
    let calls = vec![
        call(0, "cond", vec![head(0, 0.1), head(1, 0.4)]),
        call(1, "cond", vec![head(0, 0.2)]),
        call(0, "uncond", vec![head(0, 0.8)]),
    ];
    let (request, velocities, fallbacks) = (Request::default(), Vec::new(), Vec::new());
    let arm = ArmReport { name: "psa, density 0.3".into(), request, calls, velocities, fallbacks };
    let replay = Replay {
        model: "toybox".into(),
        prompt: "a ball".into(),
        steps: vec![2],
        of: 3,
        dtype: "f32".into(),
        is_exact: true,
        is_propagated: false,
        arms: vec![arm],
    };
    View::Replay(Box::new(Replayed { replay: Arc::new(replay), branch: Branch::Cond }))
}

#[test]
fn a_replay_is_written_head_by_head() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording();
    let write = |name: &str| {
        let to = folder.path().join(name);
        export_view(&recording, &replayed(), &to, &mut |_, _| true).map(|()| to)
    };
    let table = std::fs::read_to_string(write("replay.csv").unwrap()).unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 4, "both branches");
    assert!(lines[0].starts_with("method,step,branch,layer,head,mode,error,recall,density_exact"));
    assert_eq!(lines[2], "\"psa, density 0.3\",2,cond,0,1,fresh,0.4,0.9,0.25,0.3,1.0,2.0,4.0");
    let npz = NpzTensors::new(write("replay.npz").unwrap()).unwrap();
    let errors: Vec<f32> =
        npz.get("error").unwrap().unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(errors[..3], [0.1, 0.4, 0.2]);
    assert!(errors[3].is_nan());
    let picture = image::open(write("replay.png").unwrap()).unwrap().to_rgb8();
    let side = picture.width() / 2;
    let colour = |head: u32, layer: u32| picture.get_pixel(head * side, layer * side).0;
    assert_eq!(colour(1, 0), palette::heat(1.0), "the worst");
    assert_eq!((colour(0, 1), colour(1, 1)), (palette::heat(0.5), palette::level(0)));
    assert!(write("replay.mp4").unwrap_err().to_string().contains("png, csv, npz"));
}
