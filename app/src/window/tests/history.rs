//! Finished clips: found, starred, tagged, taken back into Studio; ten thousand of them; a history that is damaged or cannot be.

use std::path::Path;
use std::sync::Arc;

use eframe::egui::{Key, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::history::{History, Strip};
use tessera_pipeline::receipt::Receipt;

use super::{Desk, pictures};

/// A receipt as a sidecar holds it.
pub(super) fn receipt(prompt: &str, steps: u32, video: &Path) -> Receipt {
    let text = serde_json::json!({
        "version": 1, "program": "tessera 0",
        "request": {"version": 1, "prompt": prompt, "steps": steps, "width": 64, "height": 64, "frames": 5, "seed": 3},
        "model": {"name": "toybox", "path": "/m", "fingerprint": "abc", "parameters": 5},
        "size": {"width": 64, "height": 64, "frames": 5},
        "latent_shape": [1, 16, 2, 8, 8], "grid": {"frames": 2, "rows": 4, "cols": 4},
        "prompt_tokens": 3, "negative_tokens": 1,
        "ran_on": {"device": "cpu", "dtype": "f32", "vae_dtype": "f32", "kernels": "avx2", "cores": 2},
        "kernels": [], "attention": [],
        "phases": [{"phase": "denoise", "seconds": 2.0, "planned_seconds": 1.0, "work": 100.0}],
        "peak_memory_bytes": null, "planned_peak_bytes": 1, "reused": [], "fallbacks": [], "warnings": [],
        "video": {"codec": "h264", "encoder": "libx264", "pixel_format": "yuv420p", "frames": 5},
        "files": [{"what": "video", "path": video, "bytes": 10}]
    });
    serde_json::from_value(text).unwrap()
}

/// Eight frames through which a stripe moves.
pub(super) fn strip(hue: u8) -> Strip {
    let (side, frames) = (48usize, 8usize);
    let mut rgb = Vec::new();
    for y in 0..side {
        for x in 0..side * frames {
            let is_ball = usize::abs_diff(x % side, x / side * 6 + 3) + usize::abs_diff(y, 24) < 9;
            rgb.extend(if is_ball { [230, 200, 80] } else { [hue, 60 + y as u8, 255 - hue] });
        }
    }
    Strip { frames, size: [side * frames, side], rgb }
}

fn builder() -> egui_kittest::HarnessBuilder<crate::window::app::Window> {
    Harness::builder().with_size(Vec2::new(1280.0, 800.0))
}

/// A window on a history of these prompts, the last one newest, with History in front.
pub(super) fn desk(prompts: &[&str]) -> Desk {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut history = History::open(&folder.path().join("data")).unwrap();
    for (index, prompt) in prompts.iter().enumerate() {
        let video = folder.path().join(format!("{index}.mp4"));
        history.add(&receipt(prompt, 4 + index as u32, &video), Some(&strip(90))).unwrap();
    }
    drop(history);
    open(folder)
}

fn open(folder: Arc<tempfile::TempDir>) -> Desk {
    let mut desk = Desk::in_folder(builder(), folder);
    desk.wait("the history", |window| window.store.past.found.is_some());
    desk.press(Modifiers::COMMAND, Key::H);
    desk.harness.run_steps(5);
    desk
}

fn put(path: &Path, bytes: &[u8]) {
    tessera_pipeline::files::write_atomically(path, |file| std::io::Write::write_all(file, bytes))
        .unwrap();
}

fn sees(desk: &Desk, words: &str) -> bool {
    desk.harness.query_all_by_label_contains(words).next().is_some()
}

fn click(desk: &mut Desk, name: &str) {
    desk.harness.get_all_by_label_contains(name).next().unwrap().click();
    desk.harness.run_steps(3);
}

#[test]
fn a_clip_is_found_starred_tagged_and_its_settings_come_back() {
    let mut desk = desk(&["a red ball", "a blue cube", "a green cone"]);
    desk.wait("pictures", |window| window.store.past.thumb(3).is_some());
    assert!(sees(&desk, "a red ball, 2") && sees(&desk, "a green cone, 2"));
    assert!(sees(&desk, "its video is gone"));
    desk.harness.get_by_label("Search history").focus();
    desk.harness.run_steps(2);
    desk.harness.event(eframe::egui::Event::Text("cube steps>=5".into()));
    desk.harness.run_steps(3);
    desk.wait("one", |window| window.store.past.found.as_ref().is_some_and(|found| *found == [2]));
    assert!(!sees(&desk, "a red ball, 2") && sees(&desk, "a blue cube, 2"));
    assert!(sees(&desk, "Take the filter away: steps>=5"));
    click(&mut desk, "Star: a blue cube");
    desk.wait("the star", |window| window.store.past.row(2).is_some_and(|row| row.is_starred));
    click(&mut desk, "a blue cube, 2");
    assert!(sees(&desk, "Differs from Studio"));
    desk.harness.get_by_label("Tags").focus();
    desk.harness.run_steps(2);
    desk.harness.event(eframe::egui::Event::Text("keeper".into()));
    desk.harness.run_steps(2);
    desk.press(Modifiers::NONE, Key::Enter);
    desk.wait("the tag", |window| window.store.past.row(2).is_some_and(|row| row.tags == "keeper"));
    click(&mut desk, "Restore settings");
    assert_eq!(desk.window().store.draft.text("prompt"), "a blue cube");
    assert_eq!(desk.window().store.draft.get("steps"), Some(&5.into()));
    click(&mut desk, "Take the filter away");
    click(&mut desk, "Only starred");
    desk.wait("the starred", |window| window.store.past.line.contains("starred=true"));
    assert_eq!(desk.window().store.past.found.as_deref(), Some([2].as_slice()));
    let unnamed = desk.harness.unnamed_widgets();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}

#[test]
fn it_is_drawn() {
    if !pictures::can_draw() {
        return;
    }
    for theme in ["dark", "light"] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut history = History::open(&folder.path().join("data")).unwrap();
        for index in 0..24u8 {
            let prompt = format!(
                "a {} ball bouncing on a blue floor, the camera slowly orbits around",
                ["shiny red", "green", "striped yellow"][usize::from(index) % 3]
            );
            let video = folder.path().join(format!("{index}.mp4"));
            put(&video, b"");
            let id = history
                .add(&receipt(&prompt, 4 + u32::from(index), &video), Some(&strip(index * 10)))
                .unwrap();
            history.set_star(id, index % 5 == 0).unwrap();
            history.set_tags(id, if index % 4 == 0 { "keeper, floor" } else { "" }).unwrap();
        }
        drop(history);
        let mut desk = Desk::in_folder(builder().wgpu(), folder);
        if theme == "light" {
            desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
        }
        desk.wait("the history", |window| window.store.past.found.is_some());
        desk.press(Modifiers::COMMAND, Key::H);
        desk.wait("pictures", |window| window.store.past.thumb(22).is_some());
        pictures::look(&mut desk, &format!("history-lines-{theme}"));
        click(&mut desk, "As a grid");
        desk.harness.state_mut().store.past.search("ball steps>=5".into());
        click(&mut desk, "a striped yellow ball");
        desk.wait("pictures", |window| window.store.past.thumb(14).is_some());
        pictures::look(&mut desk, &format!("history-grid-{theme}"));
    }
}

#[test]
fn a_run_is_removed_and_its_video_stays() {
    let mut desk = desk(&["a red ball", "a blue cube"]);
    desk.wait("its row", |window| window.store.past.row(1).is_some());
    click(&mut desk, "a red ball, 2");
    click(&mut desk, "Remove");
    click(&mut desk, "Forget the run, keep its video");
    desk.wait("one less", |window| {
        window.store.past.found.as_ref().is_some_and(|found| found.len() == 1)
    });
    assert!(!sees(&desk, "a red ball, 2"));
}

#[test]
fn ten_thousand_clips_scroll_and_only_those_in_sight_are_kept() {
    let mut desk = desk(&["a red ball"]);
    desk.harness.run_steps(3);
    desk.harness.state_mut().store.past.take((1..=10_000).rev().collect());
    desk.harness.run_steps(5);
    let tiles = |desk: &Desk| desk.harness.query_all_by_label_contains("being read").count();
    assert!((5..40).contains(&tiles(&desk)), "{} lines are drawn", tiles(&desk));
    let at = desk.harness.get_all_by_label_contains("being read").next().unwrap().rect().center();
    for _ in 0..30 {
        desk.harness.event(eframe::egui::Event::PointerMoved(at));
        desk.harness.event(eframe::egui::Event::MouseWheel {
            unit: eframe::egui::MouseWheelUnit::Point,
            delta: Vec2::new(0.0, -40_000.0),
            modifiers: Modifiers::NONE,
            source: eframe::egui::MouseWheelSource::Unknown,
            phase: eframe::egui::TouchPhase::Move,
        });
        desk.harness.run_steps(8);
    }
    desk.wait("the last one", |window| window.store.past.row(1).is_some());
    assert!(sees(&desk, "a red ball, 2"), "the oldest is at the foot");
    assert!(desk.window().store.past.kept() < 200);
}

#[test]
fn a_damaged_history_is_told_kept_and_begun_anew() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    put(&data.join("history.sqlite"), &[7; 9000]);
    let mut desk = open(Arc::clone(&folder));
    desk.harness.run_steps(3);
    let told =
        desk.window().store.log.lines().iter().filter(|line| line.text.contains("damaged")).count();
    assert_eq!(told, 1);
    assert!(sees(&desk, "No clips yet"));
    let kept = std::fs::read_dir(&data)
        .unwrap()
        .filter_map(Result::ok)
        .any(|file| file.file_name().to_string_lossy().starts_with("history-damaged-"));
    assert!(kept);
}

#[test]
fn without_a_folder_to_write_the_window_works_and_says_so() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    put(&folder.path().join("data"), b"a file where a folder should be");
    let desk = open(folder);
    assert!(desk.window().store.past.why_none.is_some());
    assert!(sees(&desk, "There is no history"));
    assert!(desk.window().store.planning.plan().is_some());
}
