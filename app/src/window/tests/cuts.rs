//! Cut-offs moved by pointer, by keys and by who cannot see them.

use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, accesskit};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use serde_json::Value;
use tessera_pipeline::recording::Held;

use super::Desk;
use super::lens::{is_named, open_example, recording};
use crate::window::cursor::Cursor;
use crate::window::lens::Face;
use crate::window::lens::cuts::Cut;

/// The small recording with its cut-offs on show; its scores are kept, so that they are exactly the method's.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.drop_file(recording());
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    shown(desk)
}

/// The bundled recording of PSA, of which exact attention is kept.
fn psa() -> Desk {
    let mut desk = Desk::new();
    let path = tessera_pipeline::bundled::recordings().remove(0);
    desk.harness.state_mut().open_recording(path);
    desk.harness.state_mut().store.trail.go(Cursor { step: 5, layer: 3, ..Cursor::default() });
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    shown(desk)
}

fn shown(mut desk: Desk) -> Desk {
    desk.harness.get_by_label("Attention").click();
    desk.harness.run_steps(3);
    desk.wait("the cut-offs", |window| window.store.lens.cuts.cut().is_some());
    desk
}

fn cut(desk: &Desk) -> &Cut {
    match desk.window().store.lens.cuts.cut() {
        Some(Held::Here(cut)) => cut,
        other => panic!("{other:?}"),
    }
}

fn ends(desk: &Desk) -> String {
    desk.window().store.lens.cuts.ends().unwrap().to_string()
}

/// Waits for a density that is not `old`; the new one.
fn other_density(desk: &mut Desk, old: f64) -> f64 {
    desk.wait("another density", |window| match window.store.lens.cuts.cut() {
        Some(Held::Here(cut)) => cut.exact != old,
        _ => false,
    });
    cut(desk).exact
}

fn drag(desk: &mut Desk, from: Pos2, to: Pos2) {
    let button = |pos, pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    let middle = from + (to - from) / 2.0;
    for event in [
        Event::PointerMoved(from),
        button(from, true),
        Event::PointerMoved(middle),
        Event::PointerMoved(to),
        button(to, false),
    ] {
        desk.harness.event(event);
        desk.harness.run_steps(1);
    }
}

#[test]
fn with_the_runs_own_cut_offs_the_predicted_map_is_the_recorded_one() {
    let desk = desk();
    let Held::Here(recorded) = &desk.window().store.lens.detail().unwrap().levels else {
        panic!("a map")
    };
    let cut = cut(&desk);
    assert!(cut.is_own && !cut.is_exact);
    // Scores are kept in half precision, which may turn a tie around.
    let others = cut.levels.iter().zip(recorded).filter(|(a, b)| a != b).count();
    assert!(others * 20 <= recorded.len(), "{others} of {}", recorded.len());
}

#[test]
fn dragging_a_cut_off_changes_density_time_and_map_at_once() {
    let mut desk = psa();
    let (density, time) = (cut(&desk).exact, cut(&desk).time.unwrap());
    let grip = desk.harness.get_by_label("Cut-off of level 4").rect();
    drag(&mut desk, grip.center(), grip.center() - eframe::egui::Vec2::new(90.0, 0.0));
    let moved = desk.window().store.lens.cuts.ends().unwrap().as_slice()[3];
    assert!((0.6..0.75).contains(&moved.1), "{moved:?}");
    let less = other_density(&mut desk, density);
    assert!(less < density, "{less} after {density}");
    assert!(cut(&desk).time.unwrap() < time);
    let told = format!("Predicted density {:.1} % (nominal", less * 100.0);
    desk.sees(&told);
    desk.sees("Predicted attention time");
    desk.harness.get_by_label("Reset").click();
    desk.harness.run_steps(3);
    assert!((other_density(&mut desk, less) - density).abs() < 1e-12);
}

#[test]
fn keys_and_screen_readers_move_a_cut_off() {
    let mut desk = psa();
    let density = cut(&desk).exact;
    desk.harness.get_by_label("Cut-off of level 4").focus();
    desk.harness.run_steps(2);
    let look = desk.window().store.trail.now();
    for _ in 0..5 {
        desk.press(Modifiers::NONE, Key::ArrowRight);
    }
    desk.press(Modifiers::SHIFT, Key::ArrowLeft);
    assert_eq!(ends(&desk), "1:0.4,2:0.5,3:0.6,4:0.849");
    let more = other_density(&mut desk, density);
    assert!(more > density);
    assert_eq!(desk.window().store.trail.now(), look, "the head stays");
    let slider = desk.harness.get_by_label("Cut-off of level 4");
    let node = slider.accesskit_node();
    assert_eq!(node.role(), accesskit::Role::Slider);
    assert_eq!(node.numeric_value(), Some(0.849));
    let request = accesskit::ActionRequest {
        action: accesskit::Action::SetValue,
        target_tree: accesskit::TreeId::ROOT,
        target_node: node.locate().0,
        data: Some(accesskit::ActionData::NumericValue(0.7)),
    };
    desk.harness.event(Event::AccessKitActionRequest(request));
    desk.harness.run_steps(3);
    assert_eq!(ends(&desk), "1:0.4,2:0.5,3:0.6,4:0.7");
}

#[test]
fn thresholds_go_to_the_form() {
    let mut desk = desk();
    desk.harness.state_mut().store.draft.set("density", Some(0.3.into()));
    desk.harness.get_by_label("Cut-off of level 1").focus();
    desk.harness.run_steps(2);
    desk.press(Modifiers::NONE, Key::ArrowLeft);
    desk.harness.get_by_label("Use these thresholds").click();
    desk.harness.run_steps(3);
    let draft = &desk.window().store.draft;
    assert_eq!(draft.text("attention"), "psa");
    assert_eq!(draft.get("thresholds"), Some(&Value::from("1:0.39,2:0.5,3:0.6,4:0.8")));
    assert_eq!(draft.get("density"), None, "a density would move them");
    let (_, wrong) = draft.request();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_method_without_cut_offs_is_shown_those_of_psa() {
    let desk = shown(open_example(Desk::new()));
    assert_eq!(desk.window().store.lens.face, Face::Scores);
    assert!(!cut(&desk).is_own && cut(&desk).is_exact);
    assert!(desk.harness.get_all_by(|node| is_named(node, "Cut-off of level")).count() == 4);
}
