//! The Lens on a recording that the bundled model made a moment ago.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2};
use egui_kittest::kittest::{AccessKitNode, NodeT as _, Queryable as _};
use tessera_pipeline::engine::{Engine, Options};
use tessera_pipeline::events::{Command, EventKind, JobId};
use tessera_pipeline::request::Request;

use super::Desk;
use crate::window::lens::Face;

/// A recording of 3 steps at 64 × 64 × 5 with maps, attention and scores of all heads; made once.
pub(super) fn recording() -> &'static Path {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &MADE.get_or_init(|| made(|_| ())).1
}

/// The same without anything of single heads.
pub(super) fn unpinned() -> &'static Path {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let change = |request: &mut Request| request.capture_heads = Some("none".into());
    &MADE.get_or_init(|| made(change)).1
}

pub(super) fn made(change: impl FnOnce(&mut Request)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.recording");
    let mut request = Request {
        prompt: "a red ball".into(),
        width: Some(128),
        height: Some(128),
        frames: Some(5),
        steps: Some(3),
        seed: Some(1),
        attention: Some("psa".into()),
        warmup: Some("0".into()),
        out: Some(folder.path().join("small.mp4")),
        record: Some(path.clone()),
        capture_heads: Some("all".into()),
        capture_attention: Some(true),
        capture_scores: Some(true),
        ..Request::default()
    };
    change(&mut request);
    let engine =
        Engine::start_with(Options { data_dir: None, machine: None, threads: None }).unwrap();
    let job = JobId(1);
    engine.commands.send(Command::Generate { job, request: Box::new(request) }).unwrap();
    let last = engine.events.iter().find(|event| event.kind.is_last()).unwrap();
    assert!(matches!(last.kind, EventKind::Finished { .. }), "{last:?}");
    (folder, path)
}

/// A window with it open.
pub(super) fn desk() -> Desk {
    open(Desk::new())
}

/// The bundled example in the Lens.
pub(super) fn open_example(mut desk: Desk) -> Desk {
    let example = tessera_pipeline::bundled::recordings().pop().unwrap();
    desk.harness.state_mut().open_recording(example);
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    desk.harness.state_mut().store.trail.go(crate::window::cursor::Cursor {
        step: 4,
        layer: 3,
        head: 2,
        ..Default::default()
    });
    desk.wait("the head", |window| {
        window.store.lens.detail().is_some_and(|detail| detail.look.step == 4)
    });
    desk
}

fn open(desk: Desk) -> Desk {
    open_with(desk, recording())
}

/// This recording in the Lens.
pub(super) fn open_with(mut desk: Desk, recording: &Path) -> Desk {
    desk.drop_file(recording);
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    desk
}

pub(super) fn is_named(node: &AccessKitNode<'_>, start: &str) -> bool {
    node.label().is_some_and(|label| label.starts_with(start))
}

pub(super) fn label(desk: &Desk, start: &str) -> String {
    let node = desk.harness.get_by(|node| is_named(node, start));
    node.accesskit_node().label().unwrap_or_default()
}

fn detail_at(desk: &mut Desk, step: usize, layer: usize, head: usize) {
    desk.wait("the map", |window| {
        let look = window.store.lens.detail().map(|detail| detail.look);
        look.is_some_and(|look| (look.step, look.layer, look.head) == (step, layer, head))
    });
}

#[test]
fn a_dropped_recording_opens_and_its_first_head_is_spoken() {
    let mut desk = desk();
    assert!(label(&desk, "Map, layer 0 head 0, ").contains("pooled"));
    assert!(label(&desk, "Timeline, step 1 of 3, layer 0: map made in this step").contains("ms"));
    desk.sees("small.recording");
}

#[test]
fn a_click_on_the_timeline_changes_the_map() {
    let mut desk = desk();
    let strip = desk.harness.get_by(|node| is_named(node, "Timeline, "));
    let rect = strip.rect();
    let at = Pos2::new(rect.max.x - 6.0, rect.max.y - 26.0);
    for event in [
        Event::PointerMoved(at),
        Event::PointerButton {
            pos: at,
            button: PointerButton::Primary,
            pressed: true,
            modifiers: Modifiers::NONE,
        },
        Event::PointerButton {
            pos: at,
            button: PointerButton::Primary,
            pressed: false,
            modifiers: Modifiers::NONE,
        },
    ] {
        desk.harness.event(event);
        desk.harness.run_steps(1);
    }
    let layers = desk.window().store.lens.subject().unwrap().meta.layers;
    detail_at(&mut desk, 2, layers - 1, 0);
    assert!(label(&desk, &format!("Map, layer {} head 0", layers - 1)).contains("pooled"));
}

#[test]
fn keys_move_the_cursor_and_stop_at_the_ends() {
    let mut desk = desk();
    for key in [Key::CloseBracket, Key::ArrowDown, Key::ArrowRight] {
        desk.press(Modifiers::NONE, key);
    }
    detail_at(&mut desk, 1, 1, 1);
    for _ in 0..9 {
        desk.press(Modifiers::NONE, Key::OpenBracket);
        desk.press(Modifiers::NONE, Key::ArrowUp);
        desk.press(Modifiers::NONE, Key::ArrowLeft);
    }
    detail_at(&mut desk, 0, 0, 0);
    desk.press(Modifiers::COMMAND, Key::OpenBracket);
    detail_at(&mut desk, 0, 0, 1);
}

#[test]
fn the_pointer_and_keys_tell_blocks_tokens_and_places() {
    let mut desk = desk();
    let map = desk.harness.get_by(|node| is_named(node, "Map, "));
    let corner = map.rect().min;
    desk.harness.event(Event::PointerMoved(corner + eframe::egui::Vec2::splat(4.0)));
    desk.harness.run_steps(3);
    let words = label(&desk, "Map, ");
    assert!(
        words.contains("query block 0: tokens 0–127, latent frame") && words.contains("column"),
        "{words}"
    );
    assert!(words.contains("level") || words.contains("skipped"), "{words}");
    desk.harness.event(Event::PointerMoved(Pos2::ZERO));
    desk.harness.get_by(|node| is_named(node, "Map, ")).focus();
    desk.harness.run_steps(2);
    desk.press(Modifiers::NONE, Key::ArrowDown);
    desk.press(Modifiers::NONE, Key::ArrowRight);
    let words = label(&desk, "Map, ");
    assert!(words.contains("key block 1: tokens 64–127"), "{words}");
    let look = desk.window().store.lens.detail().map(|detail| detail.look.layer);
    assert_eq!(look, Some(0), "arrows work the map while it has the keyboard");
}

#[test]
fn faces_show_attention_with_its_histogram_and_the_order() {
    let mut desk = desk();
    desk.harness.get_by_label("Attention").click();
    desk.harness.run_steps(3);
    desk.wait("the cut-offs", |window| window.store.lens.cuts.cut().is_some());
    assert!(label(&desk, "Histogram of blocks").contains("thresholds 1:0.4,2:0.5,3:0.6,4:0.8"));
    assert!(!label(&desk, "Scores that levels were chosen by, layer 0 head 0").is_empty());
    assert!(label(&desk, "Map of these cut-offs").contains("percent dense"));
    desk.harness.get_by_label("Order").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.lens.face, Face::Order);
    assert!(label(&desk, "Way of order").contains("latent frames"));
    desk.sees("in the raster,");
    let unnamed = desk.harness.unnamed_widgets();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}

#[test]
fn textures_change_only_when_data_does() {
    let mut desk = desk();
    desk.wait("thumbnails", |window| window.store.lens.uploads() >= 7);
    let uploads = desk.window().store.lens.uploads();
    desk.harness.run_steps(10);
    assert_eq!(desk.window().store.lens.uploads(), uploads);
}

#[test]
fn what_cannot_be_opened_is_told_and_what_was_open_stays() {
    let mut desk = desk();
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(recording()).unwrap();
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&99u32.to_be_bytes()); // SQLite's user_version
    let files = [
        ("text.recording", b"no recording at all".to_vec(), "not a recording"),
        ("cut.recording", whole[..whole.len() / 2].to_vec(), "damaged"),
        ("newer.recording", newer, "format 99"),
    ];
    for (name, bytes, expected) in files {
        let path = folder.path().join(name);
        tessera_pipeline::files::write_atomically(&path, |out| out.write_all(&bytes)).unwrap();
        desk.drop_file(&path);
        desk.wait(expected, |window| {
            window.store.log.lines().iter().any(|line| line.text.contains(expected))
        });
        assert!(!desk.window().store.lens.is_opening(), "{name}");
    }
    let shown = desk.window().store.lens.subject().unwrap();
    assert_eq!(shown.path, recording());
}

#[test]
fn an_example_opens_from_the_empty_lens() {
    let mut desk = Desk::new();
    desk.wait("the examples", |window| window.store.lens.examples.len() == 2);
    crate::window::layout::reveal(
        desk.harness.state_mut().store.layout.as_mut(),
        crate::window::layout::Pane::Lens,
    );
    desk.harness.run_steps(3);
    desk.harness.get_by_label("Example: tessera").click();
    desk.harness.run_steps(2);
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    desk.sees("tessera.recording");
}

#[test]
fn a_recording_opens_where_it_begins_to_be_sparse() {
    let mut desk = Desk::new();
    let example = tessera_pipeline::bundled::recordings().remove(0);
    desk.harness.state_mut().open_recording(example);
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    assert_eq!(desk.window().store.trail.now().step, 1, "the first step is dense");
    desk.wait("its map", |window| {
        window.store.lens.detail().is_some_and(|detail| detail.look.step == 1)
    });
}
