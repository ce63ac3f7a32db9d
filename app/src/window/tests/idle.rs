//! A window that nobody touches rests: no frame asks for another, and no thread wakes it.

use std::time::{Duration, Instant};

use eframe::egui::ViewportId;

use super::{Desk, PATIENCE, compare, history, lens, open};
use crate::window::player::Source;
use crate::window::workers::Errand;

/// How long it must rest.
const REST: Duration = Duration::from_secs(10);

/// Studio with a finished clip that is held.
fn studio(clip: &std::path::Path) -> Desk {
    let mut desk = Desk::new();
    desk.harness.state().workers.give(Errand::Clip(clip.to_path_buf()));
    desk.wait("the clip", |window| {
        let film = window.store.player.film();
        film.is_some_and(|film| matches!(film.source, Source::Clip { .. }))
    });
    desk.harness.state_mut().store.player.is_playing = false;
    desk
}

/// How long the frame that was drawn last is content to be the last.
fn delay(desk: &Desk) -> Duration {
    desk.harness.output().viewport_output[&ViewportId::ROOT].repaint_delay
}

/// Draws until nothing is under way: what was remembered is saved, toasts are gone.
fn settle(desk: &mut Desk) {
    let start = Instant::now();
    while delay(desk) <= REST {
        assert!(start.elapsed() < PATIENCE, "a frame asks for another after {:?}", delay(desk));
        std::thread::sleep(Duration::from_millis(20));
        desk.harness.step();
    }
}

/// Pictures that were handed over so far.
fn uploads(desk: &Desk) -> u64 {
    let store = &desk.window().store;
    store.player.uploads() + store.lens.uploads() + store.compare.uploads()
}

#[test]
fn nothing_repaints_for_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let clip = open::made(&folder);
    let clips = compare::made(&folder, &[("a", [64, 48], 12, 0), ("b", [64, 48], 12, 9)]);
    let mut scenes = vec![
        ("Studio with a clip that is held", studio(&clip)),
        ("the Lens of a recording", lens::desk()),
        ("Compare of two clips that are held", compare::desk(&clips)),
        ("History", history::desk(&["a red ball", "a blue cube"])),
    ];
    for (_, desk) in &mut scenes {
        settle(desk);
    }
    for (_, desk) in &scenes {
        desk.hush();
    }
    std::thread::sleep(REST);
    for (name, desk) in &mut scenes {
        assert!(!desk.is_woken(), "{name}: a thread asked for a frame");
        let before = uploads(desk);
        for _ in 0..40 {
            desk.harness.step(); // a quarter of a second of the window's own clock
            let wanted = delay(desk);
            assert!(wanted > REST, "{name}: a frame asks for another after {wanted:?}");
        }
        assert_eq!(uploads(desk), before, "{name}: pictures were handed over again");
    }
}

/// What the test above trusts would have told.
#[test]
fn a_playing_clip_asks_for_frames_and_a_worker_wakes_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let clip = open::made(&folder);
    let mut desk = studio(&clip);
    settle(&mut desk);
    desk.hush();
    desk.harness.state().workers.give(Errand::Clip(clip));
    desk.wait("another run", |window| window.store.runs.iter().count() == 2);
    assert!(desk.is_woken());
    desk.harness.state_mut().store.player.is_playing = true;
    desk.harness.step();
    assert!(delay(&desk) < Duration::from_secs(1));
}
