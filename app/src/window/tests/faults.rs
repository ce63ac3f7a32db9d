//! What may be missing around the window: a model, a place to write.

use std::sync::Arc;

use eframe::egui::{Key, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::files::write_atomically;

use super::Desk;

#[test]
fn a_model_folder_that_is_gone_is_named_and_another_can_be_taken() {
    let mut desk = Desk::new();
    let draft = &mut desk.harness.state_mut().store.draft;
    draft.set("prompt", Some("a red ball".into()));
    draft.set("model", Some("/nowhere/model".into()));
    desk.harness.run_steps(2);
    desk.wait("its plan", |window| !window.store.planning.is_behind());
    assert!(desk.harness.query_all_by_label_contains("/nowhere/model").next().is_some());
    desk.press(Modifiers::COMMAND, Key::Enter);
    let log = desk.window().store.log.lines();
    assert!(log.iter().any(|line| line.text.contains("/nowhere/model")), "{log:?}");
    assert!(desk.sent().is_empty());
    desk.harness.state_mut().store.draft.set("model", None);
    desk.harness.run_steps(2);
    desk.wait("its plan", |window| !window.store.planning.is_behind());
    desk.press(Modifiers::COMMAND, Key::Enter);
    assert_eq!(desk.sent().len(), 1);
}

#[test]
fn without_a_place_to_write_it_says_so_and_works() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_atomically(&folder.path().join("data"), |_| Ok(())).unwrap(); // a file in the way
    let builder = Harness::builder().with_size(Vec2::new(1280.0, 800.0));
    let mut desk = Desk::in_folder(builder, folder);
    desk.harness.state_mut().store.draft.set("prompt", Some("a red ball".into()));
    desk.harness.run_steps(2);
    desk.press(Modifiers::COMMAND, Key::Enter);
    assert_eq!(desk.sent().len(), 1);
    desk.wait("the warning", |window| {
        window.store.log.lines().iter().any(|line| line.text.contains("could not be saved"))
    });
    desk.harness.state_mut().close();
}
