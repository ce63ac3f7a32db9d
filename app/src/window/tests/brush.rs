//! The query brush, on a recording that the bundled model made a moment ago and on the bundled ones.

use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2};
use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::gaze::Reading;
use tessera_pipeline::recording::Held;

use super::Desk;
use super::lens::{desk, is_named, label, open_example};
use crate::window::cursor::Cursor;
use crate::window::lens::Face;
use crate::window::lens::brush::Token;

/// Opens the brush on what is open and waits for its frames.
pub(super) fn take_up(desk: &mut Desk) {
    desk.harness.state_mut().store.lens.face = Face::Brush;
    desk.wait("frames", |window| window.store.lens.brush.player.film().is_some());
}

/// Chooses a token and waits for where it looks.
pub(super) fn brushed(desk: &mut Desk, token: Token) {
    brush_at(desk, token);
    looked(desk, &[token]);
}

/// Chooses a token.
pub(super) fn brush_at(desk: &mut Desk, token: Token) {
    take_up(desk);
    let now = desk.window().store.trail.now();
    let cursor = Cursor { token: Some(token), frame: 11, ..now };
    desk.harness.state_mut().store.trail.go(cursor);
    desk.harness.run_steps(2);
}

fn looked(desk: &mut Desk, tokens: &[Token]) {
    let tokens = tokens.to_vec();
    desk.wait("the overlay", move |window| {
        let subject = window.store.lens.subject().unwrap();
        let brush = &window.store.lens.brush;
        brush.tokens(subject, window.store.trail.now()) == tokens && brush.is_over(&tokens)
    });
}

fn press(desk: &mut Desk, at: Pos2, pressed: bool, modifiers: Modifiers) {
    let button = PointerButton::Primary;
    desk.harness.event(Event::PointerButton { pos: at, button, pressed, modifiers });
    desk.harness.run_steps(1);
}

fn drag(desk: &mut Desk, way: &[Pos2]) {
    desk.harness.event(Event::PointerMoved(way[0]));
    desk.harness.run_steps(1);
    press(desk, way[0], true, Modifiers::NONE);
    for at in &way[1..] {
        desk.harness.event(Event::PointerMoved(*at));
        desk.harness.run_steps(1);
    }
    press(desk, way[way.len() - 1], false, Modifiers::NONE);
}

fn stage(desk: &Desk) -> eframe::egui::Rect {
    desk.harness.get_by(|node| is_named(node, "Frame 1 of")).rect()
}

#[test]
fn painting_chooses_tokens_and_the_overlay_follows() {
    let mut desk = desk();
    take_up(&mut desk);
    assert!(label(&desk, "Frame 1 of 5, no query token chosen").ends_with("chosen"));
    let rect = stage(&desk);
    let side = rect.width() / 8.0;
    let at = |row: f32, column: f32| {
        rect.min + eframe::egui::Vec2::new((column + 0.5) * side, (row + 0.5) * side)
    };
    drag(&mut desk, &[at(2.0, 1.0)]);
    looked(&mut desk, &[[0, 2, 1]]);
    assert_eq!(desk.window().store.trail.now().token, Some([0, 2, 1]));
    let one = label(&desk, "Frame 1 of 5, query token latent frame 1 of 2, row 2, column 1");
    assert!(one.contains("dense truth, the map of layer 0 head 0 keeps"), "{one}");
    let share = label(&desk, "Latent frame 1 of 2, ");
    assert!(share.contains("% of the mass, 1 token chosen"), "{share}");
    let uploads = desk.window().store.lens.brush.uploads();
    // A stroke over three tokens, of which two lie between two events.
    drag(&mut desk, &[at(5.0, 4.0), at(5.0, 6.0)]);
    looked(&mut desk, &[[0, 5, 4], [0, 5, 5], [0, 5, 6]]);
    assert!(label(&desk, "Frame 1 of 5, 3 query tokens").contains("dense truth"));
    assert!(desk.window().store.lens.brush.uploads() > uploads, "another overlay");
    let uploads = desk.window().store.lens.brush.uploads();
    desk.harness.run_steps(10);
    assert_eq!(desk.window().store.lens.brush.uploads(), uploads, "nothing is painted when idle");
    assert!(desk.harness.unnamed_widgets().is_empty());
}

#[test]
fn readings_part_the_mass_and_switch_by_name() {
    let mut desk = open_example(Desk::new());
    brushed(&mut desk, [0, 3, 3]);
    let shares = |desk: &Desk| -> f32 {
        let brush = &desk.window().store.lens.brush;
        let Held::Here(of) = brush.of_frames(brush.reading) else { panic!("an overlay") };
        of.iter().sum()
    };
    let truth = shares(&desk);
    assert!((truth - 1.0).abs() < 1e-3, "{truth}");
    desk.harness.get_by_label("Kept").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.lens.brush.reading, Reading::Kept);
    assert!(label(&desk, "Frame 12 of ").contains(", kept, "));
    let kept = shares(&desk);
    desk.harness.get_by_label("Missed").click();
    desk.harness.run_steps(3);
    let missed = shares(&desk);
    assert!((kept + missed - truth).abs() < 1e-3 && kept < truth, "{kept} and {missed}");
}

#[test]
fn arrows_move_the_query_token_and_its_row_stands_out_in_the_map() {
    let mut desk = desk();
    take_up(&mut desk);
    desk.harness.get_by(|node| is_named(node, "Frame 1 of")).focus();
    desk.harness.run_steps(2);
    desk.press(Modifiers::NONE, Key::ArrowDown);
    looked(&mut desk, &[[0, 4, 4]]);
    desk.press(Modifiers::NONE, Key::ArrowUp);
    desk.press(Modifiers::NONE, Key::ArrowLeft);
    looked(&mut desk, &[[0, 3, 3]]);
    desk.press(Modifiers::SHIFT, Key::ArrowRight);
    looked(&mut desk, &[[0, 3, 3], [0, 3, 4]]);
    assert_eq!(
        desk.window().store.lens.subject().map(|_| desk.window().store.trail.now().layer),
        Some(0)
    );
    desk.press(Modifiers::NONE, Key::PageDown);
    assert_eq!(desk.window().store.trail.now().frame, 4, "the last frame of the second latent one");
    desk.harness.state_mut().store.lens.face = Face::Map;
    desk.harness.run_steps(3);
    assert!(label(&desk, "Map, ").contains("query block 0 chosen by the brush"));
    desk.press(Modifiers::COMMAND, Key::OpenBracket);
    assert_eq!(desk.window().store.trail.now().token, Some([0, 3, 3]), "back to the token before");
}

#[test]
fn the_examples_clip_is_found_and_plays_under_the_overlay() {
    let mut desk = open_example(Desk::new());
    brushed(&mut desk, [3, 9, 8]);
    desk.sees("On tessera.mp4.");
    desk.sees("Block resolution");
    let frame = desk.window().store.trail.now().frame;
    assert!(label(&desk, "Frame 12 of 33, query token latent frame 4 of 9").contains("head 2"));
    desk.press(Modifiers::NONE, Key::Period);
    assert_eq!(desk.window().store.trail.now().frame, frame + 1, "the keys of the player work it");
    desk.harness.get_by_label("Play the frames").click();
    desk.harness.run_steps(20);
    assert!(desk.window().store.lens.brush.player.is_playing);
    assert_ne!(desk.window().store.trail.now().frame, frame + 1);
    desk.harness.get_by(|node| is_named(node, "Latent frame 9 of 9")).click();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.trail.now().frame, 32);
}
