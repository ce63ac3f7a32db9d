//! Word chips and exact rows: a step of a recorded run again, with the bundled model.

use std::sync::atomic::Ordering;

use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::gaze::{Grain, Reading};
use tessera_pipeline::recording::Held;

use super::Desk;
use super::brush::{brush_at, brushed, take_up};
use super::lens::{desk, is_named, label, open_example, open_with, unpinned};
use crate::window::lens::Face;

fn open_words(desk: &mut Desk) {
    take_up(desk);
    desk.harness.state_mut().store.lens.face = Face::Words;
    desk.harness.run_steps(3);
}

/// Opens the words and measures one.
pub(super) fn show_word(desk: &mut Desk, word: &str) {
    if desk.window().store.lens.face != Face::Words {
        open_words(desk);
    }
    desk.harness.get_by_label(word).click();
    desk.harness.run_steps(2);
    desk.wait("the word", |window| {
        let store = &window.store;
        let look = store.lens.subject().unwrap().look(store.trail.now());
        crate::window::lens::brush::shown_word(&store.lens.brush, look).is_some()
    });
}

#[test]
fn a_click_on_a_word_shows_where_it_acts() {
    let mut desk = desk();
    open_words(&mut desk);
    assert!(label(&desk, "Frame 1 of 5, no word shown").ends_with("shown"));
    show_word(&mut desk, "Word 3, ball");
    assert!(label(&desk, "Frame 1 of 5, the word ball").contains("mean of all heads of layer 0"));
    assert!(label(&desk, "Latent frame 1 of 2, ").contains('%'));
    desk.sees("of the look at words");
    // Another word is there at once: they are measured together.
    desk.harness.get_by_label("Word 2, red").click();
    desk.harness.run_steps(3);
    assert!(label(&desk, "Frame 1 of 5, the word red").contains("layer 0"));
    assert!(desk.window().store.lens.brush.working.is_none());
    let unnamed = desk.harness.unnamed_widgets();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    desk.press(eframe::egui::Modifiers::NONE, eframe::egui::Key::CloseBracket);
    assert!(label(&desk, "Frame 1 of 5, no word shown").ends_with("shown"), "of the step before");
}

#[test]
fn measuring_gives_every_token_its_own_share() {
    let mut desk = desk();
    brushed(&mut desk, [0, 3, 3]);
    let grain = |desk: &Desk| match desk.window().store.lens.brush.grain() {
        Held::Here(grain) => grain,
        other => panic!("{other:?}"),
    };
    assert_eq!(grain(&desk), Grain::Blocks);
    desk.harness.get_by_label("Measure exactly").click();
    desk.harness.run_steps(2);
    desk.wait("the rows", |window| {
        matches!(window.store.lens.brush.grain(), Held::Here(Grain::Tokens))
    });
    desk.sees("Token resolution, exact");
    let bars = desk.harness.query_all_by(|node| is_named(node, "Measuring, "));
    assert_eq!(bars.count(), 0);
}

#[test]
fn a_head_of_which_nothing_was_kept_is_measured_all_the_same() {
    let mut desk = open_with(Desk::new(), unpinned());
    brush_at(&mut desk, [0, 3, 3]);
    let told = "This head's attention was not recorded.";
    desk.wait("what is missing", |window| {
        matches!(window.store.lens.brush.grain(), Held::NotCaptured)
    });
    desk.sees(told);
    desk.harness.get_by_label("Measure exactly").click();
    desk.harness.run_steps(2);
    desk.wait("the rows", |window| {
        matches!(window.store.lens.brush.grain(), Held::Here(Grain::Tokens))
    });
    assert!(label(&desk, "Frame 5 of 5, query token").ends_with("head 0 was not recorded"));
    desk.harness.get_by_label("Kept").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.lens.brush.reading, Reading::Truth, "it cannot be pressed");
}

#[test]
fn a_measurement_can_be_stopped_and_a_run_without_latents_says_why_not() {
    let mut desk = desk();
    open_words(&mut desk);
    desk.harness.get_by_label("Word 1, a").click();
    let working = |desk: &Desk| desk.window().store.lens.brush.working.clone();
    while working(&desk).is_none() {
        desk.harness.step(); // seen at once, before the measurement can have ended
    }
    let is_stopped = working(&desk).unwrap().is_stopped;
    assert!(label(&desk, "Measuring, ").contains("the model"));
    desk.harness.get_by_label("Stop measuring").click();
    desk.wait("the end", |window| window.store.lens.brush.working.is_none());
    assert!(is_stopped.load(Ordering::Relaxed));

    let mut desk = open_example(Desk::new());
    open_words(&mut desk);
    desk.sees("Record latents, under Recording in Studio");
    desk.harness.get_by_label("Word 4, ball").click();
    desk.harness.run_steps(2);
    assert!(desk.window().store.lens.brush.working.is_none(), "the chips cannot be pressed");
}
