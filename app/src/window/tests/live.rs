//! The Lens on a clip that the real engine is making.

use eframe::egui::{Key, Modifiers, Vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use egui_kittest::{Harness, HarnessBuilder};
use tessera_pipeline::events::{FileRole, JobId};
use tessera_pipeline::recording::Outcome;

use super::Desk;
use crate::window::app::Window;
use crate::window::layout::{Pane, reveal};
use crate::window::runs::State;

/// A window whose form has a clip of so many steps in it, with the Lens in front.
pub(super) fn desk(builder: HarnessBuilder<Window>, steps: u32) -> Desk {
    let mut desk = Desk::with_engine(builder);
    let out = desk.folder.path().join("ball.mp4");
    let draft = &mut desk.harness.state_mut().store.draft;
    let text = [("prompt", "a red ball"), ("attention", "psa"), ("warmup", "1")];
    for (key, value) in text {
        draft.set(key, Some(value.into()));
    }
    for (key, value) in [("width", 128), ("height", 128), ("frames", 9), ("steps", steps)] {
        draft.set(key, Some(value.into()));
    }
    draft.set("out", Some(out.display().to_string().into()));
    reveal(desk.harness.state_mut().store.layout.as_mut(), Pane::Lens);
    desk.harness.run_steps(2);
    desk.wait("a plan", |window| !window.store.planning.is_behind());
    desk
}

fn small() -> HarnessBuilder<Window> {
    Harness::builder().with_size(Vec2::new(1280.0, 800.0))
}

/// Whether the Lens shows an unfinished run of which this step is whole.
pub(super) fn shows_step(step: usize) -> impl Fn(&Window) -> bool {
    move |window| {
        let subject = window.store.lens.subject();
        subject.is_some_and(|subject| {
            subject.outcome == Outcome::Unfinished && subject.newest_step() >= step
        })
    }
}

fn timeline(desk: &Desk) -> String {
    let node = desk
        .harness
        .get_by(|node| node.label().is_some_and(|label| label.starts_with("Timeline, ")));
    node.accesskit_node().label().unwrap_or_default()
}

#[test]
fn the_lens_fills_while_a_clip_is_made_and_stays_when_it_is_done() {
    let mut desk = desk(small(), 8);
    desk.press(Modifiers::COMMAND, Key::Enter);
    desk.wait("a step", shows_step(1));
    assert!(desk.harness.query_by_label("live").is_some());
    let step = desk.window().store.trail.now().step;
    assert!(step >= 1, "the newest step is looked at, not {step}");
    assert!(timeline(&desk).starts_with(&format!("Timeline, step {} of 8", step + 1)));

    // Who chooses a step stays there.
    desk.press(Modifiers::NONE, Key::OpenBracket);
    let chosen = desk.window().store.trail.now().step;
    desk.wait("two more steps", shows_step(step + 2));
    assert_eq!(desk.window().store.trail.now().step, chosen);
    assert!(!desk.window().store.lens.follows);
    desk.harness.get_by_label("Follow").click();
    desk.harness.run_steps(3);
    assert!(desk.window().store.trail.now().step >= step + 2);
    desk.wait("the end", |window| {
        let subject = window.store.lens.subject();
        let is_whole = subject.is_some_and(|subject| subject.outcome == Outcome::Finished);
        is_whole && window.store.runs.running().is_none() // the recording is whole a little earlier
    });
    let window = desk.window();
    let run = window.store.runs.get(JobId(1)).unwrap();
    assert!(matches!(run.state, State::Finished(_)), "{:?}", run.state);
    assert!(run.files.iter().any(|file| file.what == FileRole::Recording));
    let subject = window.store.lens.subject().unwrap();
    assert_eq!(subject.name(), "ball.tessera");
    assert_eq!((window.store.trail.now().step, subject.newest_step()), (7, 7));
    assert!(desk.harness.query_by_label("Follow").is_none() && !timeline(&desk).contains("not"));
}

#[test]
fn a_recording_that_was_opened_by_hand_stays_until_follow_is_pressed() {
    let mut desk = desk(small(), 8);
    desk.press(Modifiers::COMMAND, Key::Enter);
    desk.wait("a step", shows_step(0));
    let example = tessera_pipeline::bundled::recordings().pop().unwrap();
    desk.harness.state_mut().open_recording(example.clone());
    let is_example = move |window: &Window| {
        window.store.lens.subject().is_some_and(|subject| subject.path == example)
    };
    desk.wait("the example", &is_example);
    desk.wait("more steps", |window| {
        window
            .store
            .runs
            .get(JobId(1))
            .is_some_and(|run| run.steps.is_some_and(|(done, _)| done > 2))
    });
    assert!(is_example(desk.window()));
    desk.press(Modifiers::NONE, Key::F);
    desk.wait("the run again", shows_step(2));
    desk.harness.state_mut().close();
}

#[test]
fn without_recordings_nothing_is_written_beside_the_clip() {
    let mut desk = desk(small(), 2);
    desk.harness.state_mut().store.records = false;
    desk.press(Modifiers::COMMAND, Key::Enter);
    desk.wait("the clip", |window| {
        window.store.runs.get(JobId(1)).is_some_and(|run| !run.is_running())
    });
    assert!(desk.window().store.lens.subject().is_none());
    assert!(desk.folder.path().join("ball.mp4").is_file());
    assert!(!desk.folder.path().join("ball.tessera").exists());
    desk.press(Modifiers::NONE, Key::F);
    assert!(!desk.window().store.lens.is_growing());
}
