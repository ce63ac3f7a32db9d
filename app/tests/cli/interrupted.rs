//! Ended in the middle: by Ctrl-C, which keeps what is whole and says so, and by SIGKILL, which no handler sees.
//!
//! The rule for both: a file is under its final name only when it is complete, and latents that were
//! announced can be decoded.

use std::path::Path;

use serde_json::Value;

use crate::studio::{Running, Studio};

/// A run whose every phase lasts long enough to be hit: many steps, many frames.
fn long(studio: &Studio, steps: u32) -> Running {
    studio
        .tessera()
        .arg("generate")
        .arg("a red ball")
        .arg("--size=128x128")
        .arg("--frames=49")
        .arg(format!("--steps={steps}"))
        .arg("--out=clip.mp4")
        .start()
}

fn is_step(event: &Value) -> bool {
    event["event"] == "step"
}

fn is_frame_group(event: &Value) -> bool {
    event["event"] == "frame_group"
}

fn is_encoding(event: &Value) -> bool {
    event["event"] == "phase_started" && event["phase"] == "encode_video"
}

/// The latents that a killed run announced make the clip.
#[track_caller]
fn resume(studio: &Studio, latents: &Path) {
    let ran =
        studio.tessera().arg("resume").arg(latents).arg("--out=again.mp4").run().exits_with(0);
    assert_eq!(ran.stdout().trim(), "again.mp4");
    assert!(studio.path("again.mp4").is_file());
}

/// Files that look finished.
fn finished(studio: &Studio) -> Vec<String> {
    studio.files().into_iter().filter(|name| !name.contains("tessera-partial")).collect()
}

#[test]
fn killed_while_denoising() {
    let studio = Studio::new();
    let mut running = long(&studio, 500);
    running.wait_for("a step", is_step);
    running.kill();
    assert_eq!(finished(&studio), Vec::<String>::new());
}

#[test]
fn killed_while_decoding() {
    let studio = Studio::new();
    let mut running = long(&studio, 1);
    let saved = running.wait_for("saved latents", |event| event["event"] == "latents_saved");
    running.wait_for("a group of frames", is_frame_group);
    running.kill();
    let latents = studio.path(saved["path"].as_str().expect("a path"));
    assert!(!studio.path("clip.mp4").exists());
    resume(&studio, &latents);
}

#[test]
fn killed_while_encoding() {
    let studio = Studio::new();
    let mut running = long(&studio, 1);
    let saved = running.wait_for("saved latents", |event| event["event"] == "latents_saved");
    running.wait_for("the start of encoding", is_encoding);
    running.kill();
    let latents = studio.path(saved["path"].as_str().expect("a path"));
    // The kill races with the last rename: the clip is absent or whole, never between.
    if studio.path("clip.mp4").exists() {
        studio.tessera().arg("inspect").arg("clip.mp4").run().exits_with(0);
    }
    resume(&studio, &latents);
}

#[test]
fn interrupted_while_denoising() {
    let studio = Studio::new();
    let mut running = long(&studio, 500);
    running.wait_for("a step", is_step);
    running.interrupt();
    let cancelled = running.wait_for("cancelled", |event| event["event"] == "cancelled");
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    let partial = "clip.partial.latents.safetensors";
    assert!(said.contains("tessera resume") && said.contains("last finished step"), "{said}");
    assert_eq!(cancelled["kept"][0]["what"], "partial_latents");
    assert_eq!(studio.files(), [partial]);
    let shown = studio.tessera().arg("inspect").arg(partial).run().exits_with(0).stdout();
    assert!(shown.contains("its run was stopped after step"), "{shown}");
    resume(&studio, Path::new(partial));
}

#[test]
fn interrupted_before_the_first_step() {
    let studio = Studio::new();
    let mut running = long(&studio, 500);
    running.wait_for("a phase", |event| event["event"] == "phase_started");
    running.interrupt();
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("kept: nothing"), "{said}");
    assert_eq!(studio.files(), Vec::<String>::new());
}

#[test]
fn interrupted_while_decoding() {
    let studio = Studio::new();
    let mut running = long(&studio, 1);
    running.wait_for("a group of frames", is_frame_group);
    running.interrupt();
    let cancelled = running.wait_for("cancelled", |event| event["event"] == "cancelled");
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("tessera resume"), "{said}");
    let latents = cancelled["kept"][0]["path"].as_str().expect("the latents are kept");
    assert!(!studio.path("clip.mp4").exists());
    resume(&studio, &studio.path(latents));
}

#[test]
fn interrupted_twice_ends_at_once() {
    let studio = Studio::new();
    let mut running = long(&studio, 500);
    running.wait_for("a step", is_step);
    running.interrupt();
    running.interrupt();
    assert_eq!(running.end().0, Some(130));
}

#[test]
fn interrupted_batch_starts_no_further_clip() {
    let studio = Studio::new();
    let mut running = studio
        .tessera()
        .arg("generate")
        .arg("a red ball")
        .arg("--size=128x128")
        .arg("--frames=49")
        .arg("--steps=500")
        .arg("--count=3")
        .start();
    running.wait_for("a step", is_step);
    running.interrupt();
    let jobs: Vec<Value> = running.rest().into_iter().map(|event| event["job"].clone()).collect();
    assert!(jobs.iter().all(|job| *job == 1), "{jobs:?}");
    assert_eq!(running.end().0, Some(130));
}
