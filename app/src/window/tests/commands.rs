//! Commands by palette, keys and menu.

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;

use super::Desk;
use crate::window::commands::Command;
use crate::window::store::Over;
use crate::window::theme::Choice;

fn write(desk: &mut Desk, text: &str) {
    desk.harness.event(eframe::egui::Event::Text(text.into()));
    desk.harness.run_steps(3);
}

#[test]
fn the_palette_finds_a_command_by_some_letters_and_runs_it() {
    let mut desk = Desk::new();
    desk.press(Modifiers::COMMAND, Key::K);
    assert!(matches!(desk.window().store.over, Over::Palette { .. }));
    write(&mut desk, "daol");
    assert!(desk.harness.query_by_label_contains("Dark or light").is_some());
    assert!(desk.harness.query_by_label_contains("Quit").is_none());
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.window().store.choice, Choice::Light);
    assert_eq!(desk.window().store.over, Over::Nothing);
}

#[test]
fn arrows_choose_in_the_palette_and_escape_leaves_it() {
    let mut desk = Desk::new();
    desk.press(Modifiers::COMMAND, Key::K);
    desk.press(Modifiers::NONE, Key::ArrowDown);
    assert!(matches!(desk.window().store.over, Over::Palette { chosen: 1, .. }));
    write(&mut desk, "zzzz");
    assert!(desk.harness.query_by_label_contains("No command has these letters").is_some());
    desk.press(Modifiers::NONE, Key::Escape);
    assert_eq!(desk.window().store.over, Over::Nothing);
}

#[test]
fn keys_can_be_given_to_another_command() {
    let mut desk = Desk::new();
    desk.press(Modifiers::COMMAND, Key::Comma);
    desk.harness.get_by_label("Change the keys of Dark or light").click_accesskit();
    desk.harness.run_steps(2);
    desk.press(Modifiers::NONE, Key::F9);
    assert_eq!(desk.window().store.keys.text(Command::NextTheme), "F9");
    assert_eq!(desk.window().store.choice, Choice::Dark, "the keys were taken, not run");
    desk.press(Modifiers::NONE, Key::Escape);
    desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
    assert_eq!(desk.window().store.choice, Choice::Dark, "the old keys do nothing");
    desk.press(Modifiers::NONE, Key::F9);
    assert_eq!(desk.window().store.choice, Choice::Light);
}

#[test]
fn signs_are_written_while_one_writes_and_run_commands_otherwise() {
    let mut desk = Desk::new();
    desk.harness.get_by_label("Prompt").focus();
    desk.harness.run_steps(2);
    desk.press(Modifiers::SHIFT, Key::Questionmark);
    assert_eq!(desk.window().store.over, Over::Nothing);
    desk.harness.get_by_label("?  Keys").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.over, Over::Keys);
}

#[test]
fn a_command_that_cannot_run_says_why() {
    let mut desk = Desk::new();
    desk.press(Modifiers::COMMAND, Key::Enter);
    let log = desk.window().store.log.lines();
    assert!(log.iter().any(|line| line.text.contains("Write what the clip shows")), "{log:?}");
    assert!(desk.sent().is_empty());
}
