//! From a prompt to a clip, with an engine that says what a real one says.

use std::io::Write as _;
use std::sync::Arc;

use eframe::egui::{Key, MissingGlyphPolicy, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::error::FailureKind;
use tessera_pipeline::events::{Command, EventKind, JobId, Phase};
use tessera_pipeline::files::write_atomically;
use tessera_pipeline::machine::GpuReading;
use tessera_pipeline::preview::Preview;

use super::Desk;
use crate::window::player::Source;
use crate::window::prefs::Prefs;
use crate::window::runs::State;
use crate::window::workers::Errand;

/// A window with a prompt in its form.
pub(super) fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.harness.get_by_label("Prompt").focus();
    desk.harness.run_steps(2);
    desk.harness.event(eframe::egui::Event::Text("a red ball".into()));
    desk.harness.run_steps(3);
    desk
}

pub(super) fn generate(desk: &mut Desk) {
    desk.press(Modifiers::COMMAND, Key::Enter);
}

pub(super) fn sees(desk: &Desk, words: &str) -> bool {
    desk.harness.query_all_by_label_contains(words).next().is_some()
}

pub(super) fn progress(done: u64) -> EventKind {
    EventKind::Progress {
        phase: Phase::Denoise,
        done,
        of: 8,
        elapsed_ms: 1000,
        eta_ms: Some(12_000),
        job_eta_ms: Some(15_000),
    }
}

pub(super) fn step(index: u64) -> EventKind {
    EventKind::Step { index, of: 4, sigma: 1.0, next_sigma: 0.8, elapsed_ms: 500 }
}

pub(super) fn preview(step: u64) -> Preview {
    let rgb = Arc::from(vec![90u8; 3 * 2 * 2 * 3]);
    Preview { job: JobId(1), step, of: 4, frames: 3, width: 2, height: 2, rgb }
}

#[test]
fn events_drive_progress_and_previews() {
    let mut desk = desk();
    generate(&mut desk);
    match desk.sent().as_slice() {
        [Command::Generate { job: JobId(1), request }] => assert_eq!(request.prompt, "a red ball"),
        other => panic!("{other:?}"),
    }
    desk.tell(1, EventKind::PhaseStarted { phase: Phase::Denoise, of: 8 });
    desk.tell(1, progress(2));
    desk.preview(preview(0));
    desk.tell(1, step(0));
    assert!(sees(&desk, "step 1 of 4, 12 s left"));
    assert!(sees(&desk, "15 s left"));
    assert!(sees(&desk, "Preview after step 1 of 4"));
    let uploads = desk.window().store.player.uploads();
    desk.preview(preview(1));
    assert!(desk.window().store.player.uploads() > uploads, "a new preview is a new picture");
    let shown = desk.window().store.player.film().map(|film| film.source);
    assert_eq!(shown, Some(Source::Preview { job: JobId(1), step: 1 }));
}

#[test]
fn stop_names_the_job_that_runs_and_the_next_one_starts() {
    let mut desk = desk();
    generate(&mut desk);
    generate(&mut desk);
    assert_eq!(desk.sent().len(), 1, "the engine gets one at a time");
    desk.harness.get_by_label("Stop now").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.sent(), [Command::Cancel { job: JobId(1) }]);
    desk.tell(1, EventKind::Cancelled { kept: Vec::new() });
    assert!(matches!(desk.sent().as_slice(), [Command::Generate { job: JobId(2), .. }]));
    assert_eq!(desk.window().store.trail.now().run, Some(JobId(2)), "who watched goes on watching");
}

#[test]
fn a_clip_rests_and_goes_on() {
    let mut desk = desk();
    generate(&mut desk);
    desk.sent();
    desk.tell(1, EventKind::PhaseStarted { phase: Phase::Denoise, of: 8 });
    desk.tell(1, progress(2));
    desk.harness.get_by_label("Pause run").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.sent(), [Command::Pause { job: JobId(1) }]);
    assert!(sees(&desk, "Pausing at the next step, 15 s left"));
    desk.tell(1, EventKind::Paused { phase: Phase::Denoise });
    assert!(sees(&desk, "Paused, 15 s left") && sees(&desk, "Paused: Denoise 25 %"));
    desk.press(Modifiers::COMMAND, Key::P);
    assert_eq!(desk.sent(), [Command::Continue { job: JobId(1) }]);
    assert!(sees(&desk, "Paused, 15 s left"), "it goes on when it says so");
    desk.tell(1, EventKind::Continued { phase: Phase::Denoise, paused_ms: 900 });
    assert!(sees(&desk, "Pause run") && !sees(&desk, "Paused"));
}

#[test]
fn the_machine_is_looked_at_while_a_clip_is_made_and_never_else() {
    let mut desk = desk();
    std::thread::sleep(std::time::Duration::from_millis(1200));
    desk.harness.run_steps(2);
    assert!(desk.window().store.reading.is_none());
    generate(&mut desk);
    desk.wait("a reading", |window| window.store.reading.is_some());
    assert!(sees(&desk, "CPU, ") && sees(&desk, "Memory, "));
    desk.tell(1, EventKind::Cancelled { kept: Vec::new() });
    assert!(desk.window().store.reading.is_none() && !sees(&desk, "CPU, "));
    std::thread::sleep(std::time::Duration::from_millis(1200));
    desk.harness.run_steps(2);
    assert!(desk.window().store.reading.is_none(), "nobody reads any more");
}

#[test]
fn a_gpu_that_the_driver_tells_of_is_shown_and_none_otherwise() {
    let mut desk = desk();
    generate(&mut desk);
    desk.wait("a reading", |window| window.store.reading.is_some());
    let mut reading = desk.window().store.reading.clone().unwrap();
    assert_eq!(sees(&desk, "GPU, "), !reading.gpus.is_empty());
    let gpu = |busy| GpuReading {
        name: "NVIDIA H200".into(),
        busy,
        used_bytes: 12_000_000_000,
        total_bytes: 150_000_000_000,
    };
    let mut shows = |gpus: Vec<GpuReading>, words: &str| {
        reading.gpus = gpus;
        // The meter may put a reading of its own in between.
        let is_seen = (0..5).any(|_| {
            desk.harness.state_mut().store.reading = Some(reading.clone());
            desk.harness.step();
            sees(&desk, words)
        });
        assert!(is_seen, "{words}");
    };
    shows(vec![gpu(Some(0.4))], "GPU, 40 %, 12.0 GB of 150.0 GB");
    shows(vec![gpu(None), gpu(Some(1.0))], "GPU 0, 12.0 GB of 150.0 GB");
    shows(vec![gpu(None), gpu(Some(1.0))], "GPU 1, 100 %, 12.0 GB of 150.0 GB");
}

#[test]
fn finish_this_one_holds_the_rest() {
    let mut desk = desk();
    generate(&mut desk);
    generate(&mut desk);
    desk.sent();
    desk.harness.get_by_label("Finish this one, then wait").click();
    desk.harness.run_steps(3);
    desk.tell(1, EventKind::Cancelled { kept: Vec::new() });
    assert!(desk.sent().is_empty());
    desk.harness.get_by_label("Let it go on").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.sent().len(), 1);
}

#[test]
fn a_crash_costs_no_clip_that_waits() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let builder = || Harness::builder().with_size(Vec2::new(1280.0, 800.0));
    let mut desk = Desk::in_folder(builder(), Arc::clone(&folder));
    for prompt in ["a ball", "a cube", "a cone"] {
        desk.harness.state_mut().store.draft.set("prompt", Some(prompt.into()));
        desk.harness.run_steps(2);
        generate(&mut desk);
    }
    let saved = |_: &crate::window::app::Window| {
        let queue = Prefs::read(&folder.path().join("data")).0.queue;
        queue.iter().map(|request| request.prompt.clone()).collect::<Vec<_>>()
    };
    let began = std::time::Instant::now();
    desk.wait("the file", |window| saved(window).len() == 3);
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "at once, not with the rest");
    // An errand that does not end, for nobody writes into this pipe, must not stand before it.
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let to = folder.path().join("copy");
    desk.window().workers.give(Errand::Copy { from: pipe, to });
    let began = std::time::Instant::now();
    desk.harness.get_by_label("Later: a cube").click();
    desk.wait("their order", |window| saved(window) == ["a ball", "a cone", "a cube"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "at once too");
    drop(desk); // without closing
    let desk = Desk::in_folder(builder(), Arc::clone(&folder));
    assert_eq!(saved(desk.window()), ["a ball", "a cone", "a cube"]);
    let queue = &desk.window().store.queue;
    assert!(queue.is_held && queue.waiting().len() == 3);
}

#[test]
fn clips_that_wait_are_moved_and_taken_out() {
    let mut desk = desk();
    for _ in 0..3 {
        generate(&mut desk);
    }
    let name = "Duplicate: a red ball";
    desk.harness.get_all_by_label(name).next().unwrap().click();
    desk.harness.run_steps(3);
    let ids = |desk: &Desk| {
        desk.window().store.queue.waiting().iter().map(|item| item.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(&desk), [2, 4, 3]);
    desk.harness.get_all_by_label("Later: a red ball").next().unwrap().click();
    desk.harness.run_steps(3);
    assert_eq!(ids(&desk), [4, 2, 3]);
    desk.harness.get_all_by_label("Remove: a red ball").next().unwrap().click();
    desk.harness.run_steps(3);
    assert_eq!(ids(&desk), [2, 3]);
}

#[test]
fn a_failure_is_told_and_can_be_tried_again() {
    let mut desk = desk();
    generate(&mut desk);
    desk.sent();
    let error = "the disk is full: 3 MB of 40 MB written".to_owned();
    desk.tell(1, EventKind::Failed { error, kind: FailureKind::Output, kept: Vec::new() });
    desk.sees("the disk is full");
    desk.harness.get_by_label("Try again").click();
    desk.harness.run_steps(3);
    assert!(matches!(desk.sent().as_slice(), [Command::Generate { job: JobId(2), .. }]));
}

#[test]
fn a_file_that_is_there_already_is_never_written_over() {
    let mut desk = desk();
    let mine = desk.folder.path().join("mine.mp4");
    write_atomically(&mine, |file| file.write_all(b"a year of work")).unwrap();
    let draft = &mut desk.harness.state_mut().store.draft;
    draft.set("out", Some(mine.display().to_string().into()));
    desk.harness.run_steps(2);
    desk.wait("a plan", |window| !window.store.planning.is_behind());
    let spare = mine.with_file_name("mine-2.mp4");
    let planned = desk.window().store.planning.plan().unwrap().request.out.clone();
    assert_eq!(planned.as_ref(), Some(&spare), "the plan names the file that will be written");
    generate(&mut desk);
    desk.wait("its name", |window| {
        window.store.runs.running().is_some_and(|run| run.request.out.as_ref() == Some(&spare))
    });
    match desk.sent().as_slice() {
        [Command::Generate { request, .. }] => assert_eq!(request.out.as_ref(), Some(&spare)),
        other => panic!("{other:?}"),
    }
    let log = desk.window().store.log.lines();
    assert!(log.iter().any(|line| line.text.contains("mine.mp4 is there already")), "{log:?}");
    assert_eq!(std::fs::read(&mine).unwrap(), b"a year of work");
}

#[test]
fn an_engine_that_dies_leaves_window_and_queue_and_is_started_again() {
    let mut desk = desk();
    generate(&mut desk);
    generate(&mut desk);
    desk.tell(1, EventKind::PhaseStarted { phase: Phase::Load, of: 8 });
    desk.kill_engine();
    assert!(matches!(desk.window().store.runs.get(JobId(1)).unwrap().state, State::Failed(_)));
    assert_eq!(desk.window().store.queue.waiting().len(), 1);
    desk.harness.get_by_label("Start it again").click();
    desk.harness.run_steps(3);
    assert!(desk.window().store.engine_lost.is_none());
    desk.harness.get_by_label("Let it go on").click();
    desk.harness.run_steps(3);
    assert!(matches!(desk.sent().as_slice(), [Command::Generate { job: JobId(2), .. }]));
}

#[test]
fn the_plan_follows_the_form_and_an_illegal_size_is_snapped() {
    let mut desk = desk();
    desk.harness.state_mut().store.draft.set("width", Some(100.into()));
    desk.harness.run_steps(2);
    desk.wait("a new plan", |window| !window.store.planning.is_behind());
    desk.harness.get_by_label_contains("Snap to 96").click();
    desk.harness.run_steps(3);
    desk.wait("a new plan", |window| !window.store.planning.is_behind());
    assert_eq!(desk.window().store.planning.plan().unwrap().size.width, 96);
}

#[test]
fn absurd_prompts_are_taken_as_they_are() {
    // Fonts for these scripts are the system's, which a test has not.
    let builder = Harness::builder().with_size(Vec2::new(1280.0, 800.0)).allow_missing_glyphs();
    let mut desk = Desk::with(builder);
    for prompt in ["🦀🎬 クマ", "كرة حمراء", &"word ".repeat(2000)] {
        desk.harness.state_mut().store.draft.set("prompt", Some(prompt.into()));
        desk.harness.run_steps(2);
        desk.wait("a plan", |window| !window.store.planning.is_behind());
        assert!(desk.window().store.planning.plan().is_some());
    }
    assert!(
        desk.harness.query_all_by_label_contains("are not seen").next().is_some(),
        "truncation is told"
    );
    let read = desk.window().store.planning.plan().unwrap().words_read[0];
    assert!(read.is_some_and(|words| (100..600).contains(&words)), "{read:?}");
}

#[test]
fn signs_that_no_font_has_are_told() {
    let mut desk = desk();
    // As the program has it; a harness would panic instead.
    desk.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    assert!(!sees(&desk, "Signs that no font"));
    for (prompt, is_told) in [("一个红色的球 🎈", true), ("der grüne Würfel, ‘sehr’ groß", false)]
    {
        desk.harness.state_mut().store.draft.set("prompt", Some(prompt.into()));
        desk.harness.run_steps(3);
        assert_eq!(sees(&desk, "Signs that no font"), is_told, "{prompt}");
    }
}
