//! A clip that was made before: the window opens on it and plays it.

use std::path::PathBuf;

use egui_kittest::kittest::Queryable as _;
use tempfile::TempDir;
use tessera_pipeline::engine::{Engine, Options};
use tessera_pipeline::events::{Command, EventKind, JobId};
use tessera_pipeline::request::Request;

use super::Desk;
use crate::window::app::Window;
use crate::window::player::Source;
use crate::window::runs::State;
use crate::window::workers::Errand;

/// A small clip in this folder, made by the real engine.
pub(super) fn made(folder: &TempDir) -> PathBuf {
    let clip = folder.path().join("ball.mp4");
    let request = Request {
        prompt: "a red ball".into(),
        width: Some(64),
        height: Some(64),
        frames: Some(5),
        steps: Some(2),
        out: Some(clip.clone()),
        ..Request::default()
    };
    let options = Options { data_dir: None, machine: None, threads: None };
    let engine = Engine::start_with(options).unwrap();
    let command = Command::Generate { job: JobId(1), request: Box::new(request) };
    engine.commands.send(command).unwrap();
    let last = engine.events.iter().find(|event| event.kind.is_last()).map(|event| event.kind);
    assert!(matches!(last, Some(EventKind::Finished { .. })), "{last:?}");
    clip
}

#[test]
fn a_clip_is_shown_as_the_run_that_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let clip = made(&folder);
    let mut desk = Desk::new();
    desk.harness.state().workers.give(Errand::Clip(clip.clone()));
    desk.wait("the clip", |window| window.store.player.film().is_some());
    let film = desk.window().store.player.film().unwrap();
    assert_eq!((film.frames.len(), film.size), (5, [64, 64]));
    assert!(matches!(film.source, Source::Clip { .. }) && desk.window().store.player.is_playing);
    let run = desk.window().store.shown_run().unwrap();
    assert!(matches!(run.state, State::Finished(_)) && run.video() == Some(&clip));
    assert!(run.elapsed_ms() > 0 && run.request.prompt == "a red ball");
    assert!(desk.sent().is_empty(), "nothing is made again");
}

#[test]
fn a_dropped_clip_gives_its_settings_to_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let clip = made(&folder);
    let mut desk = Desk::new();
    desk.drop_file(&clip);
    desk.wait("its settings", |window| !window.store.draft.text("prompt").is_empty());
    let draft = &desk.window().store.draft;
    assert_eq!((draft.text("prompt"), draft.get("steps")), ("a red ball", Some(&2.into())));
    assert!(draft.get("out").is_none() && desk.window().store.refusal().is_none());
}

#[test]
fn a_clip_is_made_again_with_full_steps_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let clip = made(&folder);
    let mut desk = Desk::new();
    desk.harness.state().workers.give(Errand::Clip(clip.clone()));
    desk.wait("the clip", |window| window.store.player.film().is_some());
    let seed = desk.window().store.shown_run().unwrap().request.seed;
    desk.harness.get_by_label("Same seed, full steps").click();
    desk.harness.run_steps(3);
    match desk.next_sent().as_slice() {
        [Command::Generate { request, .. }] => {
            let out = folder.path().join("ball-2.mp4");
            assert_eq!((request.seed, request.steps, &request.out), (seed, Some(20), &Some(out)));
            assert!(seed.is_some() && request.prompt == "a red ball");
        }
        other => panic!("{other:?}"),
    }
    let to = folder.path().join("kept.mp4");
    desk.harness.state().workers.give(Errand::Copy { from: clip.clone(), to: to.clone() });
    let says = |text: &'static str| {
        move |window: &Window| window.store.log.lines().iter().any(|line| line.text.contains(text))
    };
    desk.wait("the copy", says("Saved as"));
    assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&clip).unwrap());
    let nowhere = folder.path().join("clip.mp4/nowhere/kept.mp4");
    desk.harness
        .state()
        .workers
        .give(Errand::Copy { from: folder.path().join("gone"), to: nowhere });
    desk.wait("the failure", says("not saved"));
}
