//! A window that the processor draws draws seldom while a clip is made, until it is touched.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::bounded;
use eframe::egui::{Context, Event as Touch, Pos2, RawInput, ViewportId};
use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::events::{Event, EventKind, JobId, Phase};

use super::Desk;
use super::generate::{desk, generate, preview, progress, sees, step};
use crate::window::bridge::{Bridge, Line};
use crate::window::pace::{Drawing, RARELY, WHY};

/// How long the frame that was drawn last is content to be the last.
fn delay(desk: &Desk) -> Duration {
    desk.harness.output().viewport_output[&ViewportId::ROOT].repaint_delay
}

/// A clip is made, a preview is there, and nobody has touched the window for three seconds of its own clock.
fn busy(software: Option<&str>) -> Desk {
    let mut desk = desk();
    desk.harness.state_mut().store.drawing = Drawing::new(software.map(ToOwned::to_owned), true);
    generate(&mut desk);
    desk.tell(1, EventKind::PhaseStarted { phase: Phase::Denoise, of: 8 });
    desk.tell(1, progress(2));
    desk.preview(preview(0));
    desk.tell(1, step(0));
    desk.harness.run_steps(12);
    desk
}

#[test]
fn previews_rest_without_a_graphics_device_until_the_window_is_touched() {
    let mut desk = busy(Some("llvmpipe"));
    assert!(desk.harness.query_by_label(WHY).is_some(), "the window says why");
    assert!(delay(&desk) >= RARELY, "a frame asks for another after {:?}", delay(&desk));
    let uploads = desk.window().store.player.uploads();
    desk.harness.run_steps(12);
    assert_eq!(desk.window().store.player.uploads(), uploads, "the preview moved");
    desk.preview(preview(1));
    assert!(sees(&desk, "Preview after step 2 of 4"), "the newest preview is shown");
    assert!(delay(&desk) >= RARELY);

    desk.harness.event(Touch::PointerMoved(Pos2::new(300.0, 300.0)));
    desk.harness.run_steps(2);
    assert!(delay(&desk) < Duration::from_secs(1), "a touch lets the preview play");
    assert!(desk.harness.query_by_label(WHY).is_none());
    desk.harness.run_steps(12);
    assert!(delay(&desk) >= RARELY, "left alone it rests again");

    desk.tell(1, EventKind::Cancelled { kept: Vec::new() });
    assert!(!desk.window().store.drawing.is_sparing(), "nothing is made any more");
}

#[test]
fn a_graphics_device_or_a_persons_wish_keeps_previews_playing() {
    let desk = busy(None);
    assert!(delay(&desk) < Duration::from_secs(1));
    let mut desk = busy(Some("llvmpipe"));
    desk.harness.state_mut().store.drawing.spares = false;
    desk.harness.run_steps(2);
    assert!(delay(&desk) < Duration::from_secs(1));
}

/// The delays with which `count` events of a running clip wake a window of this renderer, and that of its end.
fn wakes(software: Option<&str>, count: u64) -> (Vec<Duration>, Vec<Duration>) {
    let ctx = Context::default();
    let mut drawing = Drawing::new(software.map(ToOwned::to_owned), true);
    for time in [10.0, 20.0, 30.0] {
        let input = RawInput { time: Some(time), ..RawInput::default() };
        ctx.run_ui(input, |ui| drawing.find(ui.ctx(), true)).textures_delta.clear();
    }
    let woken = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&woken);
    ctx.set_request_repaint_callback(move |info| hears.lock().unwrap().push(info.delay));
    let (commands, _) = bounded(1);
    let (engine, events) = bounded(64);
    let (_, previews) = bounded(1);
    let bridge = Bridge::open(Line { commands, events, previews, engine: None }, &ctx).unwrap();
    let tell = |kind| {
        engine.send(Event { job: JobId(1), kind }).unwrap();
        while bridge.events().is_empty() {
            std::thread::yield_now();
        }
    };
    for index in 0..count {
        tell(progress(index));
        tell(step(index));
    }
    let running = std::mem::take(&mut *woken.lock().unwrap());
    tell(EventKind::Cancelled { kept: Vec::new() });
    drop(engine);
    while !bridge.is_gone() {
        std::thread::yield_now();
    }
    let last = woken.lock().unwrap().clone();
    (running, last)
}

#[test]
fn what_comes_while_the_processor_is_spared_is_one_frame_and_the_end_is_seen_at_once() {
    let (running, last) = wakes(Some("llvmpipe"), 20);
    assert!(running.len() <= 1 && running.iter().all(|delay| *delay >= RARELY), "{running:?}");
    assert_eq!(last.first(), Some(&Duration::ZERO), "the end of a run does not wait");
    let (running, _) = wakes(None, 20);
    assert!(running.contains(&Duration::ZERO), "a graphics device draws at once: {running:?}");
}
