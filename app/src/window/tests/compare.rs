//! Compare: clips on one playhead, every way to see them by mouse and by keys, metrics, and clips that do not match.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, Vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use tempfile::TempDir;
use tessera_pipeline::engine::{Engine, Options};
use tessera_pipeline::events::{Command, EventKind, JobId};
use tessera_pipeline::plan::files::sidecar_of;
use tessera_pipeline::request::Request;
use tessera_pipeline::video::{Codec, Encoder, Fps, Frame, Quality, VideoPlan};

use super::{Desk, history, pictures};
use crate::window::compare::{Mode, Source, Wish, apply};
use crate::window::layout::{Pane, reveal};

/// The frame in which clips made here differ most.
const WORST: usize = 7;

/// A clip without loss: a ball that crosses a floor, a little brighter by `fault`, and far more so in one frame.
pub(in crate::window) fn clip(path: &Path, size: [usize; 2], frames: usize, fault: u8) {
    let plan = VideoPlan {
        path: path.to_path_buf(),
        codec: Codec::Ffv1,
        width: size[0] as u32,
        height: size[1] as u32,
        fps: Fps::from_decimal(16.0).unwrap(),
        quality: Quality::Lossless,
        metadata: String::new(),
    };
    let mut encoder = Encoder::create(&plan).unwrap();
    for frame in 0..frames {
        let fault = if frame == WORST { fault.saturating_mul(4) } else { fault };
        let rgb = picture(size, frame as f32 / frames as f32, fault);
        let picture = Frame { width: plan.width, height: plan.height, rgb: &rgb };
        encoder.push(&picture).unwrap();
    }
    encoder.finish().unwrap();
}

fn picture([width, height]: [usize; 2], share: f32, fault: u8) -> Vec<u8> {
    let radius = height as f32 * 0.16;
    let ball = (
        width as f32 * (0.15 + 0.7 * share),
        height as f32 * (0.72 - 0.3 * (share * 6.3).sin().abs()),
    );
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let away = (x as f32 - ball.0).hypot(y as f32 - ball.1);
            let tile = (x * 12 / width + y * 7 / height) % 2 == 0;
            let ground = if tile { [70u8, 96, 140] } else { [54, 76, 118] };
            let light = 1.0 - (away / radius).min(1.0) * 0.5;
            let color = if away < radius {
                [225, 70, 55].map(|c| (f32::from(c as u8) * light) as u8)
            } else {
                ground
            };
            let wrong = if away < radius * 1.6 { fault } else { 0 };
            rgb.extend(color.map(|value| value.saturating_add(wrong)));
        }
    }
    rgb
}

/// Clips of these faults, sizes and lengths in a folder, with receipts of different steps beside them.
pub(super) fn made(folder: &TempDir, clips: &[(&str, [usize; 2], usize, u8)]) -> Vec<PathBuf> {
    let made = clips.iter().enumerate().map(|(index, (name, size, frames, fault))| {
        let path = folder.path().join(format!("{name}.mkv"));
        clip(&path, *size, *frames, *fault);
        history::receipt("a red ball", 20 - 4 * index as u32, &path)
            .save(&sidecar_of(&path))
            .unwrap();
        path
    });
    made.collect()
}

/// Two clips whose difference is looked at.
pub(super) fn desk(paths: &[PathBuf]) -> Desk {
    let mut desk = comparing(paths);
    desk.press(Modifiers::NONE, Key::Num0);
    desk.wait("the figures", |window| {
        window.store.compare.is_measured() && window.store.compare.is_settled()
    });
    desk
}

/// A window that compares these files.
fn comparing(paths: &[PathBuf]) -> Desk {
    let mut desk = Desk::new();
    open(&mut desk, paths);
    desk
}

fn open(desk: &mut Desk, paths: &[PathBuf]) {
    let store = &mut desk.harness.state_mut().store;
    reveal(store.layout.as_mut(), Pane::Compare);
    for path in paths {
        apply::apply(store, Wish::Add(Source::file(path)));
    }
    desk.wait("the first frame", |window| {
        let compare = &window.store.compare;
        compare.is_settled()
            && compare.clips().iter().all(|clip| clip.opened.is_some() || clip.error.is_some())
    });
}

fn pair() -> (TempDir, Desk) {
    let folder = tempfile::tempdir().unwrap();
    let paths = made(&folder, &[("dense", [64, 48], 12, 0), ("fast", [64, 48], 12, 10)]);
    let desk = comparing(&paths);
    (folder, desk)
}

fn mode(desk: &Desk) -> Mode {
    desk.window().store.compare.looking.mode
}

fn click(desk: &mut Desk, name: &str) {
    desk.harness.get_by_label(name).click();
    desk.harness.run_steps(3);
}

/// The name of the pictures, which says how they are seen.
fn spoken(desk: &Desk) -> String {
    let stage = desk.harness.get_by_label_contains("Compared clips");
    stage.accesskit_node().label().unwrap_or_default()
}

fn names(desk: &Desk) -> Vec<String> {
    desk.window().store.compare.clips().iter().map(|clip| clip.source.name.clone()).collect()
}

#[test]
fn dropped_files_are_compared_and_their_settings_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let paths = made(&folder, &[("dense", [64, 48], 12, 0), ("fast", [64, 48], 12, 10)]);
    let mut desk = Desk::new();
    desk.press(Modifiers::COMMAND, Key::M);
    assert!(desk.harness.query_by_label_contains("up to four clips").is_some());
    for path in &paths {
        desk.drop_file(path);
    }
    desk.wait("both", |window| {
        window.store.compare.is_settled()
            && window.store.compare.clips().iter().all(|clip| clip.request().is_some())
    });
    assert_eq!(names(&desk), ["dense", "fast"]);
    for told in ["Settings that differ", "Steps", "Receipts", "Time"] {
        assert!(desk.harness.query_all_by_label(told).next().is_some(), "{told}");
    }
    assert!(desk.harness.query_by_label("Seed").is_none(), "what is the same is not told");
    assert!(spoken(&desk).contains("Side by side, frame 1 of 12, A is dense, B is fast"));
    let unnamed = desk.harness.unnamed_widgets();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    desk.harness.get_by_label("Use the settings of B").click_accesskit();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.draft.get("steps"), Some(&16.into()));
}

#[test]
fn the_wipe_follows_the_mouse_and_the_keys() {
    let (_folder, mut desk) = pair();
    click(&mut desk, "Wipe");
    assert_eq!(mode(&desk), Mode::Wipe);
    let stage = desk.harness.get_by_label_contains("Compared clips").rect();
    let at = |share: f32| {
        // The picture is as high as the stage or as wide, and in its middle.
        let width = stage.width().min(stage.height() * 64.0 / 48.0);
        Pos2::new(stage.center().x + (share - 0.5) * width, stage.center().y)
    };
    let button = |pos, pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    desk.harness.event(Event::PointerMoved(at(0.5)));
    desk.harness.step();
    desk.harness.event(button(at(0.5), true));
    desk.harness.step();
    for share in [0.4, 0.3, 0.25] {
        desk.harness.event(Event::PointerMoved(at(share)));
        desk.harness.step();
    }
    desk.harness.event(button(at(0.25), false));
    desk.harness.run_steps(2);
    let now = desk.harness.get_by_label_contains("Compared clips").rect();
    assert_eq!(now, stage, "the pictures stay where they are while one drags");
    let wipe = |desk: &Desk| desk.window().store.compare.looking.wipe.at;
    assert!((wipe(&desk) - 0.25).abs() < 0.01, "{}", wipe(&desk));
    desk.press(Modifiers::NONE, Key::ArrowRight);
    assert!((wipe(&desk) - 0.27).abs() < 0.01, "{}", wipe(&desk));
    assert!(spoken(&desk).contains("Wipe at 27 %"), "{}", spoken(&desk));
}

#[test]
fn the_keys_of_the_table_work_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let clips = [("a", [64, 48], 12, 0), ("b", [64, 48], 12, 6), ("c", [64, 48], 12, 12)];
    let mut desk = comparing(&made(&folder, &clips));
    let press = |desk: &mut Desk, key| desk.press(Modifiers::NONE, key);
    press(&mut desk, Key::Num0);
    assert_eq!(mode(&desk), Mode::Difference);
    desk.wait("the difference", |window| window.store.compare.is_settled());
    assert!(spoken(&desk).contains("Difference times 8"));
    press(&mut desk, Key::CloseBracket);
    assert!(spoken(&desk).contains("Difference times 16"));
    press(&mut desk, Key::Num0);
    assert_eq!(mode(&desk), Mode::Wipe);
    let candidate =
        |desk: &Desk| desk.window().store.compare.candidate().unwrap().source.name.clone();
    assert_eq!(candidate(&desk), "b");
    press(&mut desk, Key::Tab);
    assert_eq!(
        candidate(&desk),
        "c",
        "Tab is the next candidate while the pictures have the keyboard"
    );
    press(&mut desk, Key::S);
    assert_eq!(names(&desk), ["c", "b", "a"], "A and B are swapped");
    for (key, hidden) in [(Key::Num1, Some(0)), (Key::Num2, Some(1)), (Key::Num2, None)] {
        press(&mut desk, key);
        assert_eq!(desk.window().store.compare.looking.hidden, hidden);
    }
    press(&mut desk, Key::Z);
    assert!(desk.window().store.compare.looking.magnifies);
    press(&mut desk, Key::M);
    assert!(!desk.window().store.compare.looking.measures);
    press(&mut desk, Key::Period);
    press(&mut desk, Key::Period);
    press(&mut desk, Key::Comma);
    assert_eq!(desk.window().store.compare.frame(), 1);
    press(&mut desk, Key::L);
    assert!(desk.window().store.compare.transport.is_playing);
    press(&mut desk, Key::J);
    assert!(!desk.window().store.compare.transport.is_forward);
    press(&mut desk, Key::K);
    assert!(!desk.window().store.compare.transport.is_playing);
    press(&mut desk, Key::Space);
    assert!(desk.window().store.compare.transport.is_playing);
    press(&mut desk, Key::Space);
    press(&mut desk, Key::Escape);
    press(&mut desk, Key::Tab);
    assert_eq!(
        candidate(&desk),
        "a",
        "Escape gives the keyboard back, and Tab goes through the window"
    );
    assert!(desk.window().store.lens.subject().is_none(), "no key went elsewhere");
}

#[test]
fn keys_of_compare_are_for_others_where_it_cannot_be_seen() {
    let mut desk = Desk::new();
    desk.press(Modifiers::NONE, Key::Escape); // out of the prompt
    desk.press(Modifiers::NONE, Key::L);
    assert!(!desk.window().store.player.repeats, "L repeats the clip in Studio");
    desk.press(Modifiers::NONE, Key::Num0);
    assert_eq!(mode(&desk), Mode::Side);
}

#[test]
fn clips_blink_and_the_frames_seen_belong_together() {
    let (_folder, mut desk) = pair();
    click(&mut desk, "Blink");
    assert_eq!(mode(&desk), Mode::Blink);
    desk.harness.run_steps(2);
    let delay =
        desk.harness.output().viewport_output[&eframe::egui::ViewportId::ROOT].repaint_delay;
    assert!(delay.as_secs_f64() <= 0.51, "it asks for the other's turn, {delay:?}");
    click(&mut desk, "Side by side");
    desk.press(Modifiers::NONE, Key::L);
    for _ in 0..40 {
        desk.harness.step();
        let compare = &desk.window().store.compare;
        let shown: Vec<_> =
            compare.clips().iter().map(|clip| compare.shown_frame(clip.id)).collect();
        assert!(shown.iter().all(|frame| *frame == shown[0]), "{shown:?}");
    }
    assert!(desk.window().store.compare.frame() > 0, "it plays");
}

#[test]
fn every_frame_is_measured_and_the_worst_is_found() {
    let (_folder, mut desk) = pair();
    let whole = |window: &crate::window::app::Window| window.store.compare.is_measured();
    desk.wait("the figures", whole);
    desk.press(Modifiers::NONE, Key::W);
    desk.wait("the worst frame", |window| window.store.compare.frame() == WORST);
    assert!(desk.harness.query_by_label_contains("Frame, 8 of 12\nB: SSIM 0.").is_some());
    click(&mut desk, "PSNR");
    assert!(desk.harness.query_by_label_contains("Frame, 8 of 12\nB: PSNR ").is_some());
    // Swapped, nothing is measured again: the figures of a pair are the same either way round.
    desk.press(Modifiers::NONE, Key::S);
    assert!(whole(desk.window()));
}

#[test]
fn blind_votes_are_counted_for_the_clip_that_was_seen_and_kept() {
    let (_folder, mut desk) = pair();
    desk.press(Modifiers::NONE, Key::X);
    assert!(spoken(&desk).contains("without names"));
    for hidden in ["dense", "fast", "Settings that differ", "Worst frame"] {
        assert!(desk.harness.query_by_label_contains(hidden).is_none(), "{hidden} would tell");
    }
    desk.press(Modifiers::NONE, Key::Num0);
    assert_eq!(mode(&desk), Mode::Side, "a difference would tell");
    // Whoever always takes the clip that is A, wherever it is seen, has voted for A each time.
    let mut places = Vec::new();
    for _ in 0..12 {
        let is_turned = desk.window().store.compare.is_turned();
        places.push(is_turned);
        desk.press(Modifiers::NONE, if is_turned { Key::B } else { Key::A });
    }
    assert!(places.contains(&true) && places.contains(&false), "the places change: {places:?}");
    click(&mut desk, "I see no difference");
    assert!(desk.harness.query_by_label("13 votes").is_some());
    desk.press(Modifiers::NONE, Key::X);
    let result = "This time: 12 for A (dense), 0 for B (fast), 1 saw no difference. A had 100 % of the choices, 95 % interval 76–100 %. A is seen as better.";
    assert!(desk.harness.query_by_label(result).is_some());
    desk.press(Modifiers::NONE, Key::X);
    desk.press(Modifiers::NONE, Key::S);
    desk.press(Modifiers::NONE, Key::X);
    desk.press(Modifiers::NONE, Key::X);
    desk.wait("the votes of before", |window| window.store.compare.has_votes());
    desk.harness.run_steps(2);
    let kept = "In all: 0 for A (fast), 12 for B (dense), 1 saw no difference";
    assert!(desk.harness.query_by_label_contains(kept).is_some(), "whichever of them is A now");
}

#[test]
fn a_pair_opens_at_its_worst_frame() {
    let folder = tempfile::tempdir().unwrap();
    let paths = made(&folder, &[("dense", [64, 48], 12, 0), ("fast", [64, 48], 12, 10)]);
    let mut desk = Desk::new();
    let store = &mut desk.harness.state_mut().store;
    reveal(store.layout.as_mut(), Pane::Compare);
    let [a, b] = [Source::file(&paths[0]), Source::file(&paths[1])];
    store.compare.open_pair([a, b]);
    desk.wait("the worst frame", |window| window.store.compare.frame() == WORST);
}

#[test]
fn clips_that_do_not_match_are_aligned_or_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let clips = [("a", [64, 48], 12, 0), ("half", [32, 24], 12, 3), ("short", [64, 48], 9, 3)];
    let paths = made(&folder, &clips);
    let mut desk = comparing(&paths);
    assert_eq!(desk.window().store.compare.frames(), 9);
    assert!(
        desk.harness
            .query_by_label_contains("The first 9 frames are compared; the longest clip has 12")
            .is_some()
    );
    let refusal = |desk: &Desk, mode| desk.window().store.compare.refusal_of(mode);
    assert_eq!(refusal(&desk, Mode::Wipe), None, "the same shape at another size is aligned");
    assert!(refusal(&desk, Mode::Difference).unwrap().contains("64×48 and 32×24"));
    desk.press(Modifiers::NONE, Key::Num0);
    assert_eq!(mode(&desk), Mode::Side, "refused");
    let log = desk.window().store.log.lines();
    assert!(log.iter().any(|line| line.text.contains("cannot be paired")), "{log:?}");
    desk.press(Modifiers::NONE, Key::Tab);
    desk.press(Modifiers::NONE, Key::Num0);
    assert_eq!(mode(&desk), Mode::Difference, "the third clip has A's size");
    let tall = made(&folder, &[("tall", [48, 64], 12, 0)]);
    desk.drop_file(&tall[0]);
    desk.wait("the fourth", |window| window.store.compare.clips().len() == 4);
    desk.drop_file(&folder.path().join("fifth.mkv"));
    let log = desk.window().store.log.lines();
    assert!(log.iter().any(|line| line.text.contains("4 clips are compared already")), "{log:?}");
    desk.wait("its size", |window| window.store.compare.clips()[3].opened.is_some());
    desk.press(Modifiers::NONE, Key::Tab);
    assert!(refusal(&desk, Mode::Wipe).unwrap().contains("different shapes"));
}

#[test]
fn what_cannot_be_read_is_told_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = made(&folder, &[("a", [64, 48], 12, 0), ("cut", [64, 48], 12, 3)]);
    let whole = std::fs::read(&paths[1]).unwrap();
    let write = |path: &Path, bytes: &[u8]| {
        tessera_pipeline::files::write_atomically(path, |out| {
            std::io::Write::write_all(out, bytes)
        })
        .unwrap();
    };
    write(&paths[1], &whole[..whole.len() * 6 / 10]);
    let text = folder.path().join("notes.mp4");
    write(&text, b"this is no video");
    paths.push(text);
    let mut desk = comparing(&paths);
    desk.wait("the end of the cut one", |window| window.store.compare.clips()[1].error.is_some());
    let compare = &desk.window().store.compare;
    assert!(
        compare.clips()[2].error.as_ref().unwrap().contains("not a video"),
        "{:?}",
        compare.clips()[2].error
    );
    let kept = compare.frames();
    assert!(kept > 0 && kept < 12, "the frames before the cut are compared: {kept}");
    let log = desk.window().store.log.lines();
    assert!(log.iter().any(|line| line.text.starts_with("notes: ")), "{log:?}");
    desk.press(Modifiers::NONE, Key::L);
    desk.wait("it plays", |window| window.store.compare.frame() > 0);
    desk.press(Modifiers::NONE, Key::K);
    desk.press(Modifiers::NONE, Key::Tab);
    click(&mut desk, "Metrics");
    assert!(desk.window().store.compare.refusal_of(Mode::Wipe).unwrap().contains("not a video"));
}

/// A clip of the bundled model without a setting of attention, and with less and less of it, by the real engine.
fn real(folder: &TempDir) -> Vec<PathBuf> {
    let options = Options { data_dir: None, machine: None, threads: None };
    let engine = Engine::start_with(options).unwrap();
    let arms = [("dense", None), ("tessera 0.25", Some(0.25)), ("tessera 0.08", Some(0.08))];
    let made = arms.into_iter().enumerate().map(|(index, (name, density))| {
        let path = folder.path().join(format!("{name}.mkv"));
        let request = Request {
            prompt: "a shiny red ball bouncing on a blue checkered floor".into(),
            steps: Some(6),
            seed: Some(3),
            attention: density.map(|_| "tessera".into()),
            density,
            codec: Some("ffv1".into()),
            out: Some(path.clone()),
            ..Request::default()
        };
        let job = JobId(index as u64);
        let command = Command::Generate { job, request: Box::new(request) };
        engine.commands.send(command).unwrap();
        let last = engine.events.iter().find(|event| event.kind.is_last()).map(|event| event.kind);
        assert!(matches!(last, Some(EventKind::Finished { .. })), "{last:?}");
        path
    });
    made.collect()
}

#[test]
fn it_is_drawn() {
    if !pictures::can_draw() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let paths = real(&folder);
    for (mut desk, end) in pictures::desks_in(|| Arc::new(tempfile::tempdir().unwrap())) {
        desk.harness.state_mut().store.compare.wants_focus = true;
        reveal(desk.harness.state_mut().store.layout.as_mut(), Pane::Compare);
        desk.harness.run_steps(3);
        pictures::look(&mut desk, &format!("compare-empty-{end}"));
        open(&mut desk, &paths);
        desk.wait("the figures", |window| window.store.compare.is_measured());
        desk.press(Modifiers::NONE, Key::W);
        desk.wait("the worst frame", |window| {
            let compare = &window.store.compare;
            compare.is_settled() && Some(compare.frame()) == compare.worst()
        });
        desk.harness.event(Event::PointerMoved(Pos2::ZERO + Vec2::new(400.0, 300.0)));
        desk.harness.run_steps(2);
        for (key, name) in
            [(Key::F, "side"), (Key::V, "wipe"), (Key::V, "overlay"), (Key::Num0, "difference")]
        {
            desk.press(Modifiers::NONE, key);
            desk.wait("the pictures", |window| window.store.compare.is_settled());
            pictures::look(&mut desk, &format!("compare-{name}-{end}"));
        }
        desk.press(Modifiers::NONE, Key::V);
        desk.press(Modifiers::NONE, Key::Z);
        desk.harness.run_steps(2);
        pictures::look(&mut desk, &format!("compare-magnifier-{end}"));
    }
}
