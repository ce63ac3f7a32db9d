//! Every view in every format, on the bundled recordings.

use std::sync::Arc;

use candle_core::npy::NpzTensors;
use tessera_models::attention::Branch;

use super::*;
use crate::gaze::{Gaze, Reading};
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
