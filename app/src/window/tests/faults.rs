//! What may be missing around the window, or break in it: a model, a place to write, the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eframe::egui::{Key, Modifiers, Vec2, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::events::JobId;
use tessera_pipeline::files::write_atomically;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::Desk;
use crate::window::runs::State;

#[test]
fn a_model_folder_that_is_gone_is_named_and_another_can_be_taken() {
    let mut desk = Desk::new();
    let draft = &mut desk.harness.state_mut().store.draft;
    draft.set("prompt", Some("a red ball".into()));
    draft.set("model", Some("/nowhere/model".into()));
    desk.harness.run_steps(2);
    desk.wait("its plan", |window| !window.store.planning.is_behind());
    desk.sees("/nowhere/model");
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
fn on_a_screen_of_another_scale_everything_is_where_it_was() {
    let mut desk = Desk::new();
    let places = |desk: &Desk| {
        ["Generate", "Prompt", "Play", "Queue"].map(|name| {
            let node = desk.harness.get_all_by_label(name).next().unwrap();
            node.rect()
        })
    };
    let before = places(&desk);
    for scale in [2.0, 1.25, 1.0] {
        let viewports = &mut desk.harness.input_mut().viewports;
        viewports.entry(ViewportId::ROOT).or_default().native_pixels_per_point = Some(scale);
        desk.harness.run_steps(4);
        assert!((desk.harness.ctx.pixels_per_point() - scale).abs() < 1e-3);
        for (before, after) in before.iter().zip(places(&desk)) {
            let moved = (before.min - after.min).length().max((before.max - after.max).length());
            assert!(moved < 2.0, "{before} became {after} at a scale of {scale}");
        }
    }
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

/// A log that panics, once, in the engine's thread when that speaks of a trap.
struct Trap;

static IS_SET: AtomicBool = AtomicBool::new(false);

impl<S: tracing::Subscriber> Layer<S> for Trap {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut heard = Heard(false);
        event.record(&mut heard);
        let is_engine = std::thread::current().name() == Some("tessera-engine");
        assert!(!(is_engine && heard.0 && IS_SET.swap(false, Ordering::SeqCst)), "a wire is loose");
    }
}

/// Whether a line of the log speaks of the trap.
struct Heard(bool);

impl Visit for Heard {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        self.0 |= format!("{value:?}").contains("trap.mp4");
    }
}

#[test]
fn a_panic_in_the_engine_is_told_and_the_queue_goes_on_and_the_clip_is_tried_again() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Trap)).unwrap();
    let mut desk = Desk::with_engine(Harness::builder().with_size(Vec2::new(1280.0, 800.0)));
    let folder = desk.folder.path().to_path_buf();
    desk.harness.state_mut().store.queue.is_held = true;
    for (name, prompt) in [("trap.mp4", "a red ball"), ("after.mp4", "a blue cube")] {
        let draft = &mut desk.harness.state_mut().store.draft;
        draft.set("prompt", Some(prompt.into()));
        draft.set("out", Some(folder.join(name).display().to_string().into()));
        // A setting that nobody knows, so that the engine warns of it.
        draft.set("trap.mp4", (name == "trap.mp4").then(|| true.into()));
        for (key, value) in [("width", 64), ("height", 64), ("frames", 5), ("steps", 2)] {
            draft.set(key, Some(value.into()));
        }
        desk.harness.run_steps(2);
        desk.wait("a plan", |window| !window.store.planning.is_behind());
        let requests = desk.harness.state_mut().store.draft.requests(0);
        for request in requests {
            desk.harness.state_mut().store.queue.add(request);
        }
    }
    IS_SET.store(true, Ordering::SeqCst);
    desk.harness.state_mut().store.queue.is_held = false;
    desk.harness.run_steps(2);
    desk.wait("the failure", |window| {
        let run = window.store.runs.get(JobId(1));
        run.is_some_and(
            |run| matches!(&run.state, State::Failed(why) if why.contains("a wire is loose")),
        )
    });
    let done = |job: u64| {
        move |window: &crate::window::app::Window| {
            let run = window.store.runs.get(JobId(job));
            run.is_some_and(|run| matches!(run.state, State::Finished(_)))
        }
    };
    desk.wait("the clip that waited", done(2));
    let first = crate::window::cursor::Cursor { run: Some(JobId(1)), ..Default::default() };
    desk.harness.state_mut().store.trail.go(first);
    desk.harness.run_steps(2);
    desk.sees("a wire is loose");
    desk.harness.get_by_label("Try again").click();
    desk.harness.run_steps(3);
    desk.wait("the clip again", done(3));
    assert!(desk.window().store.engine_lost.is_none());
    assert!(std::fs::metadata(folder.join("trap.mp4")).unwrap().len() > 1000);
}
