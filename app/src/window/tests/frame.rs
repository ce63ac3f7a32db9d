//! The frame: it opens, everything has a name, it rests, and what it remembers comes back.

use std::sync::Arc;

use eframe::egui::{Key, Modifiers, Vec2, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::Desk;
use crate::window::layout;
use crate::window::theme::Choice;

fn builder() -> egui_kittest::HarnessBuilder<crate::window::app::Window> {
    Harness::builder().with_size(Vec2::new(1280.0, 800.0))
}

#[test]
fn it_opens_with_every_pane_and_the_bundled_model() {
    let desk = Desk::new();
    for name in ["Studio", "Screen", "Run", "Queue", "Log", "File", "Help"] {
        assert!(desk.harness.query_all_by_label(name).next().is_some(), "no {name}");
    }
    for name in ["Prompt", "Negative prompt", "Width", "Height", "Frames", "Model"] {
        assert!(desk.harness.query_all_by_label(name).next().is_some(), "no field named {name}");
    }
    let plan = desk.window().store.planning.plan().expect("a plan");
    assert_eq!(plan.model.name, "toybox");
    assert!(desk.harness.query_by_label_contains("2,304 tokens").is_some());
}

/// A control that a screen reader cannot name is a control that is not there for who needs one.
#[test]
fn everything_that_can_be_worked_has_a_name() {
    let mut desk = Desk::new();
    for over in [None, Some(Key::K), Some(Key::Comma)] {
        if let Some(key) = over {
            desk.press(Modifiers::COMMAND, key);
        }
        let unnamed = desk.harness.unnamed_widgets();
        assert!(unnamed.is_empty(), "{over:?}: {unnamed:#?}");
        desk.press(Modifiers::NONE, Key::Escape);
    }
}

#[test]
fn an_idle_window_asks_for_no_repaint() {
    let mut desk = Desk::new();
    desk.harness.run();
    let delay = desk.harness.output().viewport_output[&ViewportId::ROOT].repaint_delay;
    assert!(delay.as_secs() >= 10, "an idle window repaints after {delay:?}");
    let uploads = desk.window().store.player.uploads();
    desk.harness.run_steps(5);
    assert_eq!(desk.window().store.player.uploads(), uploads);
}

#[test]
fn what_was_changed_is_there_the_next_time() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut desk = Desk::in_folder(builder(), Arc::clone(&folder));
    desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
    assert_eq!(desk.window().store.choice, Choice::Light);
    desk.harness.get_by_label("Prompt").focus();
    desk.harness.run_steps(1);
    desk.harness.state_mut().store.draft.set("prompt", Some("a cone".into()));
    desk.harness.state_mut().close();
    drop(desk);
    let desk = Desk::in_folder(builder(), folder);
    assert_eq!(desk.window().store.choice, Choice::Light);
    assert_eq!(desk.window().store.draft.text("prompt"), "a cone");
}

#[test]
fn a_changed_layout_can_be_reset() {
    let mut desk = Desk::new();
    let first = serde_json::to_string(&layout::first()).unwrap();
    let tree = desk.harness.state_mut().store.layout.as_mut().unwrap();
    let log = tree.tiles.find_pane(&layout::Pane::Log).unwrap();
    tree.remove_recursively(log);
    desk.harness.run_steps(2);
    assert!(desk.harness.query_by_label("Log").is_none());
    desk.harness.get_by_label("View").click();
    desk.harness.run_steps(3);
    desk.harness.get_by_label_contains("Reset layout").click();
    desk.harness.run_steps(3);
    assert!(desk.harness.query_by_label("Log").is_some());
    let now = serde_json::to_string(desk.window().store.layout.as_ref().unwrap()).unwrap();
    assert_eq!(now.len(), first.len());
}

#[test]
fn a_saved_size_too_small_or_large_still_shows_everything() {
    for size in [Vec2::new(720.0, 480.0), Vec2::new(2560.0, 1440.0)] {
        let desk = Desk::with(Harness::builder().with_size(size));
        let button = desk.harness.get_by_label("Generate").rect();
        assert!(button.max.y <= size.y && button.min.x >= 0.0, "{size}: {button}");
        assert!(desk.harness.root().accesskit_node().children().next().is_some());
    }
}
