//! Finished clips: found, starred, tagged, taken back into Studio; ten thousand of them; a history that is damaged or cannot be.

use std::path::Path;
use std::sync::Arc;

use eframe::egui::{Key, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use tessera_pipeline::history::{History, Row, Strip};
use tessera_pipeline::receipt::Receipt;

use super::{Desk, pictures};
use crate::window::archive::Ask;

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
    desk_with(prompts, &strip(90))
}

/// The same, each with these small frames.
fn desk_with(prompts: &[&str], strip: &Strip) -> Desk {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut history = History::open(&folder.path().join("data")).unwrap();
    for (index, prompt) in prompts.iter().enumerate() {
        let video = folder.path().join(format!("{index}.mp4"));
        history.add(&receipt(prompt, 4 + index as u32, &video), Some(strip)).unwrap();
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
fn a_row_that_is_read_late_leaves_the_tags_that_were_typed() {
    let mut desk = desk(&["a red ball", "a blue cube"]);
    desk.wait("rows", |window| window.store.past.row(1).is_some());
    let tags = |desk: &Desk| desk.harness.get_by_label("Tags").accesskit_node().value();
    let read_again = |desk: &mut Desk| {
        let row = desk.window().store.past.row(2).unwrap().clone();
        desk.harness.state_mut().store.past.see(Row { prompt: "old".into(), ..row });
        desk.window().archive.ask(Ask::See(vec![2]));
        desk.wait("its row", |window| window.store.past.row(2).unwrap().prompt == "a blue cube");
    };
    click(&mut desk, "a blue cube, 2");
    desk.harness.get_by_label("Tags").focus();
    desk.harness.run_steps(2);
    desk.harness.event(eframe::egui::Event::Text("keeper,floor".into()));
    desk.harness.run_steps(2);
    read_again(&mut desk);
    assert_eq!(tags(&desk).as_deref(), Some("keeper,floor"));
    // Whoever goes on to another clip has written them too.
    click(&mut desk, "a red ball, 2");
    desk.wait("the tags", |window| window.store.past.row(2).unwrap().tags == "keeper, floor");
    assert_eq!(tags(&desk).as_deref(), Some(""));
    read_again(&mut desk);
    click(&mut desk, "a blue cube, 2");
    assert_eq!(tags(&desk).as_deref(), Some("keeper, floor"), "as they are kept");
}

#[test]
fn it_is_drawn() {
    if !pictures::can_draw() {
        return;
    }
    let filled = || {
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
        folder
    };
    for (mut desk, end) in pictures::desks_in(filled) {
        desk.wait("the history", |window| window.store.past.found.is_some());
        desk.press(Modifiers::COMMAND, Key::H);
        desk.wait("pictures", |window| window.store.past.thumb(22).is_some());
        pictures::look(&mut desk, &format!("history-lines-{end}"));
        click(&mut desk, "As a grid");
        desk.harness.state_mut().store.past.search("ball steps>=5".into());
        click(&mut desk, "a striped yellow ball");
        desk.wait("pictures", |window| window.store.past.thumb(14).is_some());
        pictures::look(&mut desk, &format!("history-grid-{end}"));
    }
}

#[test]
fn a_clip_that_is_made_comes_into_the_list_and_its_settings_back_into_the_form() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut desk = Desk::with_engine_in(builder(), Arc::clone(&folder));
    let out = folder.path().join("ball.mp4").display().to_string();
    let small = [("width", 64.into()), ("height", 64.into()), ("frames", 5.into())];
    let rest = [("prompt", "a red ball".into()), ("steps", 2.into()), ("out", out.into())];
    for (key, value) in small.into_iter().chain(rest) {
        desk.harness.state_mut().store.draft.set(key, Some(value));
    }
    desk.harness.run_steps(2);
    desk.wait("a plan", |window| !window.store.planning.is_behind());
    desk.press(Modifiers::COMMAND, Key::Enter);
    desk.wait("the clip", |window| {
        window.store.player.film().is_some_and(|film| film.frames.len() == 5)
    });
    desk.wait("its row", |window| {
        window.store.past.found.as_ref().is_some_and(|all| all.len() == 1)
    });
    desk.press(Modifiers::COMMAND, Key::H);
    desk.wait("its picture", |window| window.store.past.thumb(1).is_some());
    let draft = &mut desk.harness.state_mut().store.draft;
    draft.set("steps", Some(9.into()));
    draft.set("prompt", Some("something else".into()));
    desk.harness.run_steps(2);
    click(&mut desk, "a red ball, 2");
    assert!(sees(&desk, "Differs from Studio"));
    click(&mut desk, "Restore settings");
    let draft = &desk.window().store.draft;
    assert_eq!((draft.text("prompt"), draft.get("steps")), ("a red ball", Some(&2.into())));
    assert!(draft.get("out").is_none(), "another clip of these settings gets a file of its own");
}

#[test]
fn keys_go_through_the_list_and_delete_forgets_what_they_come_to() {
    let prompts: Vec<String> = (0..60).map(|index| format!("clip {index:02}")).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let mut desk = desk(&prompts);
    desk.wait("rows", |window| window.store.past.row(60).is_some());
    click(&mut desk, "clip 59, 2");
    let chosen = |desk: &Desk| desk.window().store.past.chosen;
    let focused = |desk: &Desk| {
        desk.harness
            .get_all_by_label_contains("clip ")
            .find(egui_kittest::Node::is_focused)
            .map(|node| node.accesskit_node().label().unwrap_or_default())
    };
    for (key, at) in [(Key::ArrowDown, 59), (Key::End, 1), (Key::ArrowUp, 2), (Key::Home, 60)] {
        desk.press(Modifiers::NONE, key);
        desk.wait("the row", |window| {
            window.store.past.wanted.is_none() && window.store.past.row(at).is_some()
        });
        assert_eq!(chosen(&desk), Some(at), "{key:?}");
        let name = format!("clip {:02}, 2", at - 1);
        assert!(focused(&desk).is_some_and(|label| label.starts_with(&name)), "{key:?}");
    }
    desk.press(Modifiers::NONE, Key::PageDown);
    let page = 60 - chosen(&desk).unwrap();
    assert!((5..15).contains(&page), "a page of {page}");
    desk.press(Modifiers::NONE, Key::Home);
    desk.harness.run_steps(3);
    for left in [59, 58] {
        desk.press(Modifiers::NONE, Key::Delete);
        desk.wait("one less", |window| {
            window.store.past.found.as_ref().is_some_and(|all| all.len() == left)
        });
        assert_eq!(chosen(&desk), Some(left as i64), "the next one");
    }
    click(&mut desk, "As a grid");
    assert!(desk.window().store.prefs([0.0; 2]).is_history_grid, "remembered");
    desk.press(Modifiers::NONE, Key::End);
    desk.wait("the row", |window| window.store.past.wanted.is_none());
    assert_eq!(chosen(&desk), Some(1));
    desk.press(Modifiers::COMMAND, Key::L);
    desk.press(Modifiers::NONE, Key::Delete);
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.past.found.as_ref().unwrap().len(), 58, "not while one writes");
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
    let prompts: Vec<String> = (1..=10_000).map(|n| format!("a red ball, the {n}th")).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let small = Strip { frames: 8, size: [64, 8], rgb: vec![90; 64 * 8 * 3] };
    let mut desk = desk_with(&prompts, &small);
    desk.wait("the newest one", |window| window.store.past.thumb(10_000).is_some());
    let tiles = |desk: &Desk| desk.harness.query_all_by_label_contains("a red ball, the ").count();
    assert!((5..120).contains(&tiles(&desk)), "{} are drawn", tiles(&desk));
    click(&mut desk, "a red ball, the 10000th");
    desk.press(Modifiers::NONE, Key::End);
    desk.wait("the foot", |window| window.store.past.wanted.is_none());
    desk.wait("the last one", |window| window.store.past.thumb(1).is_some());
    assert!(sees(&desk, "a red ball, the 1th, 2"), "the oldest is at the foot");
    assert!(desk.window().store.past.kept() < 200);
    let mut frames = Vec::new();
    for notch in 0..200 {
        let delta = Vec2::new(0.0, if notch < 150 { 900.0 } else { -40_000.0 });
        let middle = Vec2::new(660.0, 450.0).to_pos2();
        desk.harness.event(eframe::egui::Event::PointerMoved(middle));
        desk.harness.event(eframe::egui::Event::MouseWheel {
            unit: eframe::egui::MouseWheelUnit::Point,
            delta,
            modifiers: Modifiers::NONE,
            source: eframe::egui::MouseWheelSource::Unknown,
            phase: eframe::egui::TouchPhase::Move,
        });
        let start = std::time::Instant::now();
        desk.harness.step();
        frames.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    frames.sort_by(f64::total_cmp);
    let [median, p95] = [frames[100], frames[190]];
    println!("a frame of ten thousand clips that scroll: median {median:.1} ms, p95 {p95:.1} ms");
    assert!(median < 16.0, "a frame takes {median} ms");
    desk.wait("the oldest one again", |window| window.store.past.thumb(1).is_some());
    assert!(sees(&desk, "a red ball, the 1th, 2") && !sees(&desk, "being read"));
    let seen = desk.window().store.past.kept();
    assert!(seen < 400, "{seen} rows are kept");
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
