//! What the window looks like, drawn by a software rasteriser: images to look at.
//!
//! `TESSERA_PICTURES=DIR` also writes every state here as a PNG into DIR.

use std::path::PathBuf;
use std::sync::Arc;

use eframe::egui::{Key, Modifiers, Vec2};
use egui_kittest::Harness;
use tessera_pipeline::error::FailureKind;
use tessera_pipeline::events::{EventKind, JobId, Phase};
use tessera_pipeline::gaze::Reading;
use tessera_pipeline::preview::Preview;

use super::{Desk, lens, live, open, tuned, words};
use crate::window::cursor::Cursor;
use crate::window::layout::{Pane, reveal};
use crate::window::lens::{Cell, Face, Measure, Sort};
use crate::window::player::Source;
use crate::window::store::Over;
use crate::window::workers::Errand;

/// Whether this machine can draw. One that cannot skips these tests and says so.
pub(super) fn can_draw() -> bool {
    static CAN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *CAN.get_or_init(|| {
        let found = std::panic::catch_unwind(|| {
            egui_kittest::wgpu::create_render_state(
                egui_kittest::wgpu::default_wgpu_setup(),
                eframe::egui_wgpu::RendererOptions::PREDICTABLE,
            )
        });
        if found.is_err() {
            eprintln!("SKIPPED: no graphics adapter, not even a software one (Debian: mesa-vulkan-drivers)");
        }
        found.is_ok()
    })
}

/// Where pictures are put for a person to look at, if anywhere.
fn gallery() -> Option<PathBuf> {
    std::env::var_os("TESSERA_PICTURES").map(PathBuf::from)
}

/// The sizes that windows are looked at in.
const SIZES: [Vec2; 2] = [Vec2::new(1280.0, 800.0), Vec2::new(1920.0, 1080.0)];

/// A window of each theme and size, with the end of its pictures' names.
fn desks() -> impl Iterator<Item = (Desk, String)> {
    desks_in(|| Arc::new(tempfile::tempdir().expect("a folder")))
}

/// The same, each in a folder of its own that holds something already.
pub(super) fn desks_in(
    folder: impl Fn() -> Arc<tempfile::TempDir>,
) -> impl Iterator<Item = (Desk, String)> {
    ["dark", "light"].into_iter().flat_map(|theme| SIZES.map(|size| (theme, size))).map(
        move |(theme, size)| {
            let mut desk = Desk::in_folder(Harness::builder().with_size(size).wgpu(), folder());
            if theme == "light" {
                desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
            }
            (desk, format!("{theme}-{}", size.x))
        },
    )
}

/// Draws, checks that it is no empty image, and keeps it when asked to.
pub(super) fn look(desk: &mut Desk, name: &str) {
    let image = desk.harness.render().unwrap();
    let first = *image.get_pixel(0, 0);
    let other = image.pixels().filter(|pixel| **pixel != first).count();
    assert!(other > 10_000, "{name}: hardly anything was drawn");
    if let Some(folder) = gallery() {
        std::fs::create_dir_all(&folder).unwrap();
        image.save(folder.join(format!("{name}.png"))).unwrap();
    }
}

/// A preview in which each frame is a gradient that moves.
fn preview() -> Preview {
    let (frames, side) = (9usize, 32usize);
    let mut rgb = Vec::new();
    for (frame, y, x) in
        (0..frames).flat_map(|t| (0..side).flat_map(move |y| (0..side).map(move |x| (t, y, x))))
    {
        let ball = (x as i32 - 4 - 3 * frame as i32).pow(2) + (y as i32 - 18).pow(2) < 30;
        rgb.extend(if ball { [200, 60, 50] } else { [40, 70 + 3 * y as u8, 160 - 2 * y as u8] });
    }
    Preview {
        job: JobId(1),
        step: 6,
        of: 20,
        frames,
        width: side,
        height: side,
        rgb: Arc::from(rgb),
    }
}

#[test]
fn states_are_drawn() {
    if !can_draw() {
        return;
    }
    for (mut desk, end) in desks() {
        let name = |state: &str| format!("{state}-{end}");
        look(&mut desk, &name("empty"));
        let words = "a shiny red ball bounces on a blue floor ".repeat(60);
        desk.harness.state_mut().store.draft.set("prompt", Some(words.into()));
        desk.harness.run_steps(2);
        desk.wait("a plan", |window| !window.store.planning.is_behind());
        desk.press(Modifiers::COMMAND, Key::ArrowDown);
        look(&mut desk, &name("truncated"));
        desk.harness.state_mut().store.draft.set(
            "prompt",
            Some(
                "a shiny red ball bouncing on a blue floor, the camera slowly orbits around".into(),
            ),
        );
        desk.harness.run_steps(2);
        desk.wait("a plan", |window| !window.store.planning.is_behind());
        let plan = Box::new(desk.window().store.planning.plan().unwrap().clone());
        desk.press(Modifiers::COMMAND, Key::Enter);
        desk.press(Modifiers::COMMAND, Key::Enter);
        desk.press(Modifiers::COMMAND, Key::Enter);
        desk.tell(1, EventKind::Planned { plan });
        for phase in [Phase::EncodeText, Phase::Load] {
            desk.tell(1, EventKind::PhaseStarted { phase, of: 4 });
            desk.tell(1, EventKind::PhaseFinished { phase, elapsed_ms: 240 });
        }
        desk.tell(1, EventKind::PhaseStarted { phase: Phase::Denoise, of: 320 });
        let progress = EventKind::Progress {
            phase: Phase::Denoise,
            done: 112,
            of: 320,
            elapsed_ms: 7_400,
            eta_ms: Some(13_700),
            job_eta_ms: Some(18_200),
        };
        desk.tell(1, progress);
        desk.preview(preview());
        desk.tell(
            1,
            EventKind::Step { index: 6, of: 20, sigma: 0.9, next_sigma: 0.85, elapsed_ms: 1_050 },
        );
        desk.wait("a reading", |window| window.store.reading.is_some());
        look(&mut desk, &name("running"));
        desk.tell(1, EventKind::Paused { phase: Phase::Denoise });
        look(&mut desk, &name("paused"));
        desk.press(Modifiers::COMMAND, Key::K);
        look(&mut desk, &name("palette"));
        desk.press(Modifiers::NONE, Key::Escape);
        desk.press(Modifiers::COMMAND, Key::Comma);
        look(&mut desk, &name("preferences"));
        desk.press(Modifiers::NONE, Key::Escape);
        desk.harness.state_mut().store.over = Over::Keys;
        desk.harness.run_steps(3);
        look(&mut desk, &name("keys"));
        desk.press(Modifiers::NONE, Key::Escape);
        let error = "the disk is full: 3 MB of 40 MB of out/ball.mp4 were written".to_owned();
        desk.tell(1, EventKind::Failed { error, kind: FailureKind::Output, kept: Vec::new() });
        let first = Cursor { run: Some(JobId(1)), ..desk.window().store.trail.now() };
        desk.harness.state_mut().store.trail.go(first);
        desk.harness.run_steps(2);
        look(&mut desk, &name("failed"));
        let folder = tempfile::tempdir().unwrap();
        desk.harness.state().workers.give(Errand::Clip(open::made(&folder)));
        desk.wait("the clip", |window| {
            let film = window.store.player.film();
            film.is_some_and(|film| matches!(film.source, Source::Clip { .. }))
        });
        look(&mut desk, &name("done"));
        tuned::tune(&mut desk);
        look(&mut desk, &name("tuned"));
    }
}

#[test]
fn the_lens_is_drawn() {
    if !can_draw() {
        return;
    }
    for (mut desk, end) in desks() {
        let name = |state: &str| format!("lens-{state}-{end}");
        reveal(desk.harness.state_mut().store.layout.as_mut(), Pane::Lens);
        desk.harness.run_steps(3);
        look(&mut desk, &name("empty"));
        let mut desk = lens::open_example(desk);
        look(&mut desk, &name("map"));
        for face in [Face::Scores, Face::Order] {
            desk.harness.state_mut().store.lens.face = face;
            desk.harness.run_steps(3);
            if face == Face::Scores {
                desk.wait("the cut-offs", |window| window.store.lens.cuts.cut().is_some());
            }
            look(&mut desk, &name(if face == Face::Scores { "scores" } else { "order" }));
        }
        super::brush::brushed(&mut desk, [3, 9, 8]);
        look(&mut desk, &name("brush"));
        for reading in [Reading::Kept, Reading::Missed] {
            desk.harness.state_mut().store.lens.brush.reading = reading;
            desk.harness.run_steps(3);
            look(&mut desk, &name(&format!("brush-{}", reading.name())));
        }
        desk.harness.state_mut().store.lens.face = Face::Words;
        desk.harness.run_steps(3);
        look(&mut desk, &name("words-refused"));
        desk.harness.state_mut().store.lens.face = Face::Map;
        desk.harness.run_steps(3);
        look(&mut desk, &name("map-brushed"));
        let lens = &mut desk.harness.state_mut().store.lens;
        (lens.face, lens.changes) = (Face::Map, true);
        (lens.sort, lens.cell) = (Sort::By(Measure::Density), Cell::Number(Measure::Density));
        desk.harness.run_steps(3);
        look(&mut desk, &name("numbers"));
    }
}

#[test]
fn the_lens_is_drawn_while_a_clip_is_made() {
    if !can_draw() {
        return;
    }
    for theme in ["dark", "light"] {
        let builder = Harness::builder().with_size(Vec2::new(1280.0, 800.0)).wgpu();
        let mut desk = live::desk(builder, 12);
        if theme == "light" {
            desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
        }
        desk.press(Modifiers::COMMAND, Key::Enter);
        desk.wait("some steps", live::shows_step(3));
        look(&mut desk, &format!("lens-live-{theme}-1280"));
        desk.harness.state_mut().close();
        let builder = Harness::builder().with_size(Vec2::new(1280.0, 800.0)).wgpu();
        let mut desk = Desk::with(builder);
        if theme == "light" {
            desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
        }
        let mut desk = lens::open_with(desk, lens::recording());
        words::show_word(&mut desk, "Word 3, ball");
        look(&mut desk, &format!("lens-words-{theme}-1280"));
    }
}
