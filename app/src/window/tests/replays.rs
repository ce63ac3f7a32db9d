//! A step replayed from the latents of a small recording, heads kept dense, and the order of heads by what is known of them.

use std::sync::atomic::Ordering;

use eframe::egui::{Key, Modifiers, Vec2, accesskit::Role};
use egui_kittest::Harness;
use egui_kittest::kittest::{AccessKitNode, NodeT as _, Queryable as _};
use tessera_pipeline::events::EventKind;
use tessera_pipeline::sparsity::heads::Heads;

use super::export::exported;
use super::generate::{generate, progress};
use super::lens::{is_named, made, open_example, recording};
use super::{Desk, pictures};
use crate::window::commands::Command;
use crate::window::lens::export::Which;
use crate::window::lens::{Cell, Face, Look, Measure, Sort};

/// The small recording with the view of replays open.
fn desk() -> Desk {
    open(Desk::new())
}

fn open(desk: Desk) -> Desk {
    open_of(desk, recording())
}

fn open_of(mut desk: Desk, path: &std::path::Path) -> Desk {
    desk.drop_file(path);
    desk.wait("the recording", |window| window.store.lens.detail().is_some());
    desk.harness.get_by_label("Replay").click();
    desk.harness.run_steps(3);
    assert_eq!(desk.window().store.lens.face, Face::Replay);
    desk
}

fn sees(desk: &Desk, words: &str) -> bool {
    desk.harness.query_all_by_label_contains(words).next().is_some()
}

/// Replays the first step with the run's method at a density, and waits for it.
fn replay(desk: &mut Desk) {
    desk.harness.get_by_label("Replay step 1").click();
    desk.harness.run_steps(2);
    wait(desk);
}

fn wait(desk: &mut Desk) {
    desk.wait("the replay", |window| {
        let replays = &window.store.lens.replays;
        assert_eq!(replays.failure, None);
        replays.going().is_none() && replays.found().is_some()
    });
}

fn sparse(desk: &mut Desk) {
    desk.harness.get_by_label("As in the run").click();
    desk.harness.run_steps(2);
    desk.harness.state_mut().store.draft.set("density", Some(0.5.into()));
    desk.harness.run_steps(2);
}

fn look(layer: usize, head: usize) -> Look {
    Look { layer, head, ..Look::default() }
}

#[test]
fn a_step_is_replayed_and_its_worst_heads_are_kept_dense() {
    let mut desk = desk();
    assert!(sees(&desk, "Studio's attention is dense, which has no error"));
    sparse(&mut desk);
    assert_eq!(desk.window().store.draft.text("attention"), "psa");
    replay(&mut desk);
    let lens = &desk.window().store.lens;
    assert_eq!(lens.cell, Cell::Number(Measure::Error), "the grid shows the errors");
    let worst = lens.replays.found().unwrap().worst(0);
    let subject = lens.subject().unwrap();
    assert_eq!(worst.len(), subject.meta.layers * subject.meta.heads);
    assert!(worst[0].1.error > 0.0);
    let [layer, head] = worst[0].0;
    assert_eq!(lens.known(look(layer, head), Measure::Error), Some(worst[0].1.error));
    let line = format!("layer {layer} head {head}: error {:.1} %", worst[0].1.error * 100.0);
    assert!(sees(&desk, &line), "{line}");
    let shown = lens.known(look(0, 0), Measure::Error).unwrap();
    assert!(sees(&desk, &format!("error {:.1} %, layer 0 head 0", shown * 100.0)));

    // The two worst by the button, a third by space.
    desk.harness.state_mut().store.lens.replays.count = 2;
    desk.harness.run_steps(2);
    desk.harness.get_by_label("Choose").click();
    desk.harness.run_steps(3);
    let third = worst[2].0;
    let name = format!("layer {} head {}: error", third[0], third[1]);
    let of_third =
        desk.harness.get_by(|node| node.role() == Role::CheckBox && is_named(node, &name));
    of_third.focus();
    desk.harness.run_steps(2);
    desk.press(Modifiers::NONE, Key::Space);
    desk.harness.run_steps(2);
    assert_eq!(desk.window().store.lens.replays.chosen(), 3);
    desk.harness.get_by_label("Keep these heads dense").click();
    desk.harness.run_steps(3);
    let expected = Heads::new(worst[..3].iter().map(|(head, _)| *head)).to_string();
    assert_eq!(desk.window().store.draft.text("dense_heads"), expected);
    assert!(desk.window().store.draft.request().1.is_empty());

    replay(&mut desk);
    for (head, _) in &worst[..3] {
        let error = desk.window().store.lens.known(look(head[0], head[1]), Measure::Error);
        assert!(error.unwrap() < 1e-5, "{head:?}: {error:?}");
    }
    let still = desk.window().store.lens.replays.found().unwrap().worst(0)[0].1.error;
    assert!(still > 0.0 && still <= worst[3].1.error * 1.001, "the others are as they were");
    let unnamed = desk.harness.unnamed_widgets();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}

#[test]
fn a_replay_can_be_stopped() {
    let mut desk = desk();
    sparse(&mut desk);
    desk.harness.get_by_label("Replay step 1").click();
    desk.harness.run_steps(2);
    if desk.harness.query_by_label("Stop the replay").is_some() {
        desk.harness.get_by_label("Stop the replay").click();
        desk.harness.run_steps(2);
    }
    desk.wait("its end", |window| window.store.lens.replays.going().is_none());
    assert!(desk.window().store.lens.replays.failure.is_none(), "to stop is no failure");
}

#[test]
fn a_desk_that_is_told_to_stop_says_so() {
    let ctx = eframe::egui::Context::default();
    let replays = crate::window::lens::replays::Desk::start(&ctx).unwrap();
    let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    cancel.store(true, Ordering::Relaxed);
    let arm = tessera_pipeline::replay::Arm::new("psa");
    let (path, models) = (recording().to_path_buf(), Vec::new());
    let job = crate::window::lens::replays::Job { number: 7, path, step: 0, arm, models, cancel };
    assert!(replays.begin(job));
    let start = std::time::Instant::now();
    loop {
        let last = replays.told().pop();
        if let Some(told) = last
            && !matches!(told.news, crate::window::lens::replays::News::Progress(_))
        {
            assert_eq!(told.number, 7);
            assert!(matches!(told.news, crate::window::lens::replays::News::Cancelled));
            return;
        }
        assert!(start.elapsed() < super::PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Runs the command that these letters find.
fn palette(desk: &mut Desk, letters: &str) {
    desk.press(Modifiers::COMMAND, Key::K);
    desk.harness.event(eframe::egui::Event::Text(letters.into()));
    desk.harness.run_steps(3);
    desk.press(Modifiers::NONE, Key::Enter);
}

#[test]
fn a_replay_goes_by_commands_and_its_numbers_into_a_file() {
    let mut desk = desk();
    let refusal = |desk: &Desk, command: Command| command.refusal(&desk.window().store);
    assert!(refusal(&desk, Command::ExportView).is_some_and(|why| why.contains("replayed")));
    assert!(refusal(&desk, Command::KeepDense).is_some_and(|why| why.contains("No heads")));
    assert!(refusal(&desk, Command::StopReplay).is_some());
    // Nobody has given a density, and dense attention has none: no number is shown.
    let unset = |node: &AccessKitNode<'_>| node.value().is_some_and(|value| value == "auto");
    assert!(desk.harness.query_all_by(unset).next().is_some());
    palette(&mut desk, "take the recorded");
    desk.harness.state_mut().store.draft.set("density", Some(0.5.into()));
    desk.harness.state_mut().store.lens.face = Face::Map;
    palette(&mut desk, "replay this");
    assert_eq!(desk.window().store.lens.face, Face::Replay);
    wait(&mut desk);
    desk.harness.get_by_label("Choose").click();
    desk.harness.run_steps(3);
    palette(&mut desk, "keep the chosen");
    assert_eq!(desk.window().store.draft.text("dense_heads").split(',').count(), 3);

    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("replay.csv");
    assert_eq!(exported(&mut desk, Which::Face, &to), "small-replay-step1");
    let subject = desk.window().store.lens.subject().unwrap();
    let heads = subject.meta.layers * subject.meta.heads * subject.meta.branches().len();
    assert_eq!(std::fs::read_to_string(&to).unwrap().lines().count(), 1 + heads);
}

#[test]
fn a_clip_that_is_made_goes_first_and_it_is_said_when_a_step_can_be_replayed() {
    let mut desk = desk();
    sparse(&mut desk);
    desk.harness.state_mut().store.draft.set("prompt", Some("a red ball".into()));
    desk.harness.run_steps(2);
    generate(&mut desk);
    generate(&mut desk);
    desk.tell(1, progress(2));
    let why = Command::ReplayStep.refusal(&desk.window().store).unwrap();
    assert!(why.contains("when it has ended, in about 15 s. Hold the queue to come"), "{why}");
    assert!(sees(&desk, "Replay when it has ended"), "where the button is");
    desk.tell(1, EventKind::Cancelled { kept: Vec::new() });
    desk.tell(2, EventKind::Cancelled { kept: Vec::new() });
    assert_eq!(Command::ReplayStep.refusal(&desk.window().store), None);
}

#[test]
#[cfg(unix)]
fn a_recording_whose_model_folder_is_gone_is_replayed_with_the_same_weights_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("moved");
    std::os::unix::fs::symlink(tessera_pipeline::bundled::model().unwrap(), &model).unwrap();
    let (_kept, path) = made(|request| request.model = Some(model.clone()));
    std::fs::remove_file(&model).unwrap();
    let mut desk = open_of(Desk::new(), &path);
    sparse(&mut desk);
    let known = desk.harness.state_mut().store.models.replace(Vec::new());
    desk.harness.get_by_label("Replay step 1").click();
    desk.wait("the failure", |window| window.store.lens.replays.failure.is_some());
    assert!(sees(&desk, "moved") && sees(&desk, "Add model folder…"), "which one, and what to do");
    desk.harness.state_mut().store.models = known;
    replay(&mut desk); // the bundled one has the same fingerprint
    assert!(!sees(&desk, "Add model folder…"));
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let mut desk = open_example(Desk::new());
    desk.harness.get_by_label("Replay").click();
    desk.harness.run_steps(3);
    assert!(sees(&desk, "This recording kept no latents"));
    assert!(desk.harness.get_by_label("Replay step 5").accesskit_node().is_disabled());
}

#[test]
fn a_replay_is_drawn() {
    if !pictures::can_draw() {
        return;
    }
    for theme in ["dark", "light"] {
        let builder = Harness::builder().with_size(Vec2::new(1280.0, 800.0)).wgpu();
        let mut desk = Desk::with(builder);
        if theme == "light" {
            desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
        }
        let mut desk = open(desk);
        pictures::look(&mut desk, &format!("lens-replay-before-{theme}-1280"));
        sparse(&mut desk);
        replay(&mut desk);
        desk.harness.get_by_label("Choose").click();
        desk.harness.run_steps(3);
        pictures::look(&mut desk, &format!("lens-replay-{theme}-1280"));
    }
}

/// The heads as the grid shows them, row by row.
fn shown(desk: &Desk) -> Vec<String> {
    let cells =
        desk.harness.get_all_by(|node| node.role() == Role::Button && is_named(node, "layer "));
    let mut cells: Vec<_> = cells
        .map(|cell| (cell.rect().min, cell.accesskit_node().label().unwrap_or_default()))
        .collect();
    cells.sort_by(|(a, _), (b, _)| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
    cells.into_iter().map(|(_, label)| label).collect()
}

fn place(label: &str) -> Look {
    let words: Vec<&str> = label.split([' ', ',']).collect();
    Look { step: 4, ..look(words[1].parse().unwrap(), words[3].parse().unwrap()) }
}

#[test]
fn heads_are_sorted_by_what_is_known_of_them() {
    let mut desk = open_example(Desk::new());
    let in_model = shown(&desk);
    assert!(in_model[0].starts_with("layer 0 head 0") && in_model[1].starts_with("layer 0 head 1"));
    for measure in [Measure::Density, Measure::Retained, Measure::Time] {
        desk.harness.state_mut().store.lens.sort = Sort::By(measure);
        desk.harness.run_steps(3);
        desk.wait("the numbers", |window| {
            window.store.lens.known(Look { step: 4, ..look(1, 1) }, measure).is_some()
        });
        let lens = &desk.window().store.lens;
        let values: Vec<f64> =
            shown(&desk).iter().map(|label| lens.known(place(label), measure).unwrap()).collect();
        assert!(values.len() > 9 && values.is_sorted_by(|a, b| a >= b), "{measure:?}: {values:?}");
        assert!(values.first() > values.last(), "{measure:?}");
    }
}

#[test]
fn errors_that_are_not_known_are_greyed_with_the_reason() {
    let mut desk = open_example(Desk::new());
    desk.harness.get_by_role_and_label(Role::ComboBox, "Sort").click();
    desk.harness.run_steps(3);
    let entry = desk.harness.get_by_role_and_label(Role::Button, "Replay error");
    assert!(entry.accesskit_node().is_disabled());
    assert!(
        !desk.harness.get_by_role_and_label(Role::Button, "Density").accesskit_node().is_disabled()
    );
    let reason = desk.window().store.lens.lacks(Look::default(), Measure::Error);
    assert!(reason.unwrap().contains("not replayed"));
}
