//! What a frame of each view costs on the largest recording, in CPU time of the window's thread, and what the Lens holds meanwhile.
//!
//! Each view is drawn alone in a window of its own, laid out and cut into triangles, with the pointer moving over it.
//! `cargo test --release --workspace --lib -- --ignored --nocapture the_largest_recording` runs it.

use std::time::Duration;

use eframe::egui::{CentralPanel, Context, Event, Pos2, RawInput, Rect, Ui, Vec2};
use rustix::time::{ClockId, clock_gettime};
use tessera_pipeline::recording::Held;
use tessera_pipeline::recording::synthetic::{self, Extent};

use super::{Cell, Face, Measure, Sort, heads, map, order, scores, timeline, view};
use crate::window::cursor::Cursor;
use crate::window::store::Store;
use crate::window::tests::Desk;

/// Frames that each view is drawn.
const FRAMES: usize = 300;
/// What a frame of a view may cost, nineteen times of twenty.
const MOST_MS: f64 = 4.0;
/// Bytes that the Lens may add to the window: the subject, a detail with its pictures, answers that wait, SQLite's pages.
const MOST_BYTES: u64 = 96 << 20;
/// Looks that are read one after another.
const LOOKS: usize = 40;

/// CPU time that this thread has spent so far, in milliseconds: others that load the machine do not count.
fn spent_ms() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

/// Median and 95th percentile.
fn middle_and_high(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [0.5, 0.95].map(|share| times[(share * (times.len() - 1) as f64).round() as usize])
}

/// Times frames of a view that has the whole window.
fn frames(store: &Store, mut draw: impl FnMut(&mut Ui)) -> [f64; 2] {
    let ctx = Context::default();
    crate::window::theme::install_fonts(&ctx);
    store.theme.apply(&ctx);
    let size = Vec2::new(1280.0, 800.0);
    let frame = |index: usize, draw: &mut dyn FnMut(&mut Ui)| {
        let pos = Pos2::new((index * 37 % 1200) as f32 + 20.0, (index * 23 % 700) as f32 + 40.0);
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, size)),
            time: Some(index as f64 / 60.0),
            events: vec![Event::PointerMoved(pos)],
            ..RawInput::default()
        };
        let begun = spent_ms();
        let mut output = ctx.run_ui(input, |ui| {
            CentralPanel::default().show(ui, |ui| draw(ui));
        });
        output.textures_delta.clear(); // there is no graphics device
        ctx.tessellate(output.shapes, output.pixels_per_point);
        spent_ms() - begun
    };
    let times = (0..FRAMES + 10).map(|index| frame(index, &mut draw));
    middle_and_high(times.skip(10).collect()) // letters are painted once
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn go(desk: &mut Desk, cursor: Cursor) {
    desk.harness.state_mut().store.trail.go(cursor);
    desk.wait("the look", |window| {
        window.store.lens.detail().is_some_and(|detail| detail.look.step == cursor.step)
    });
}

#[test]
#[ignore = "a bench: it writes a large recording first"]
fn the_largest_recording_is_drawn_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("largest.recording");
    synthetic::write(&path, Extent::LARGEST).unwrap();
    let file_mib = std::fs::metadata(&path).unwrap().len() >> 20;
    let mut desk = Desk::new();
    let before = resident_bytes();
    desk.harness.state_mut().open_recording(path);
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    let mut rows = Vec::new();

    // A new look: its pictures are handed over and the frame is drawn, all on the window's thread.
    let mut times = Vec::new();
    for index in 0..LOOKS {
        let cursor = Cursor { step: 2 + index, layer: 15, ..Cursor::default() };
        desk.harness.state_mut().store.trail.go(cursor);
        loop {
            let begun = spent_ms();
            desk.harness.step();
            let spent = spent_ms() - begun;
            if desk.window().store.lens.detail().is_some_and(|of| of.look.step == cursor.step) {
                times.push(spent);
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    rows.push(("whole window, a new look", middle_and_high(times)));
    let held = resident_bytes().saturating_sub(before);

    go(&mut desk, Cursor { step: 30, layer: 15, ..Cursor::default() });
    let faces = [Face::Map, Face::Scores, Face::Order];
    for (sort, cell, name) in [
        (Sort::Model, Cell::Picture, "head grid, maps"),
        (Sort::By(Measure::Density), Cell::Number(Measure::Density), "head grid, sorted numbers"),
    ] {
        let lens = &mut desk.harness.state_mut().store.lens;
        (lens.sort, lens.cell) = (sort, cell);
        let store = &desk.window().store;
        let subject = store.lens.subject().unwrap();
        let look = subject.look(store.trail.now());
        let draw = |ui: &mut Ui| heads::show(ui, store, subject, look, &mut Vec::new());
        rows.push((name, frames(store, draw)));
    }
    let store = &desk.window().store;
    let (subject, detail) = (store.lens.subject().unwrap(), store.lens.detail().unwrap());
    assert!(matches!((&detail.levels, &detail.attention), (Held::Here(_), Held::Here(_))));
    assert!(detail.walk.as_ref().is_some_and(|walk| !walk.is_raster));
    let look = subject.look(store.trail.now());
    let strip = |ui: &mut Ui| timeline::show(ui, store, subject, look, &mut Vec::new());
    rows.push(("timeline", frames(store, strip)));
    let level_map = |ui: &mut Ui| map::show(ui, store, subject, detail, &mut Vec::new());
    rows.push(("level map", frames(store, level_map)));
    rows.push((
        "scores",
        frames(store, |ui| scores::show(ui, store, subject, detail, &mut Vec::new())),
    ));
    rows.push(("order", frames(store, |ui| order::show(ui, store, subject, detail))));
    for face in faces {
        desk.harness.state_mut().store.lens.face = face;
        let store = &desk.window().store;
        let name = match face {
            Face::Scores => "the Lens with scores",
            Face::Order => "the Lens with the order",
            _ => "the Lens with the map",
        };
        rows.push((name, frames(store, |ui| view::show(ui, store, &mut Vec::new()))));
    }

    println!("recording of {file_mib} MiB; ms of CPU a frame, {FRAMES} frames at 1280 × 800");
    for (name, [median, high]) in &rows {
        println!("{name:<28} median {median:6.2}  p95 {high:6.2}");
    }
    println!("held after {LOOKS} looks: {} MiB (cap {} MiB)", held >> 20, MOST_BYTES >> 20);
    for (name, [_, high]) in &rows {
        assert!(*high <= MOST_MS, "{name}: {high:.2} ms");
    }
    assert!(held <= MOST_BYTES, "{held} bytes");
}
