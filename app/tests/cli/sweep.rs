//! `tessera sweep`: what it comes to, killed at any point and run again, a disk that fills, what it refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use crate::full_disk::Disk;
use crate::studio::{Studio, Tessera};

/// Eight clips: two prompts, dense with a repeat, two arms.
const FILE: &str = r#"
version = 1
title = "Two methods"
prompts = ["a red ball", "a blue cube"]

[settings]
width = 64
height = 64
frames = 5
steps = 2
warmup = "0"

[axes]
attention = ["tessera", "psa"]
"#;
const CLIPS: usize = 8;

fn sweep(studio: &Studio, file: &Path) -> Tessera {
    studio.tessera().arg("sweep").arg(file).arg("--out=found")
}

/// The finished clips: the file's name, its text and when it was written.
fn cells(studio: &Studio) -> BTreeMap<PathBuf, (String, SystemTime)> {
    let Ok(entries) = std::fs::read_dir(studio.path("found/cells")) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let whole = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    whole
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a finished clip");
            let written = path.metadata().and_then(|file| file.modified()).expect("a time");
            (path, (text, written))
        })
        .collect()
}

/// Waits until so many clips are finished and a little longer, then kills it as the kernel would.
fn kill_after(studio: &Studio, mut child: Child, clips: usize, more: Duration) {
    let started = Instant::now();
    while cells(studio).len() < clips {
        assert!(started.elapsed() < Duration::from_mins(3), "no {clips} clips in three minutes");
        assert!(child.try_wait().expect("ours").is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(more);
    child.kill().expect("the process is ours"); // SIGKILL
    child.wait().expect("it ends");
}

#[test]
fn killed_three_times_it_loses_nothing_and_repeats_nothing() {
    let studio = Studio::new();
    let file = studio.file("two.toml", FILE);
    for (clips, more) in [(1, 0), (2, 50), (5, 100)] {
        let before = cells(&studio);
        kill_after(&studio, sweep(&studio, &file).spawn(), clips, Duration::from_millis(more));
        let after = cells(&studio);
        assert!(after.len() >= clips && after.len() < CLIPS, "{} clips", after.len());
        assert!(before.iter().all(|(path, cell)| after.get(path) == Some(cell)));
    }
    let before = cells(&studio);
    let ran = sweep(&studio, &file).run().exits_with(0);
    assert_eq!(ran.stdout().trim(), "found/report.html");
    let after = cells(&studio);
    assert_eq!(after.len(), CLIPS);
    assert!(before.iter().all(|(path, cell)| after.get(path) == Some(cell)), "none is made twice");
    let csv = std::fs::read_to_string(studio.path("found/results.csv")).expect("the table");
    assert_eq!(csv.lines().count(), 1 + CLIPS, "{csv}");
    for (name, first) in [
        ("results.sqlite", "SQLite format 3"),
        ("results.json", "{"),
        ("report.html", "<!doctype html>"),
    ] {
        let bytes = std::fs::read(studio.path("found").join(name)).expect(name);
        assert!(bytes.starts_with(first.as_bytes()), "{name}");
    }
    let left = studio.files().into_iter().filter(|name| name.contains("partial"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new(), "no half files");
    let report = std::fs::read_to_string(studio.path("found/report.html")).expect("the report");
    assert!(
        report.contains("data:image/jpeg")
            && !report.contains("http")
            && !report.contains("<script")
    );

    let again = sweep(&studio, &file).run().exits_with(0);
    assert!(again.stderr().contains("8 finished already") && again.stderr().contains("0 to make"));
    assert_eq!(cells(&studio), after, "finished, it makes nothing");
    studio.tessera().arg("sweep").arg("--report=found").run().exits_with(0);
}

#[test]
fn a_dry_run_counts_clips_time_and_disk_and_makes_nothing() {
    let studio = Studio::new();
    let file = studio.file("two.toml", FILE);
    let ran = sweep(&studio, &file).arg("--dry-run").run().exits_with(0);
    let said = ran.stdout();
    for part in
        ["8 clips", "2 prompts", "1 seed", "2 arms", "1 dense repeat", "8 to make", "of disk"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!studio.path("found").exists());
}

#[test]
fn a_clip_that_cannot_be_made_is_a_row_and_not_the_end() {
    let studio = Studio::new();
    let file = studio.file("two.toml", FILE.replace("\"psa\"]", "\"paro\"]"));
    let ran = sweep(&studio, &file).run().exits_with(6);
    assert!(ran.stderr().contains("2 clips failed"), "{}", ran.stderr());
    let found = cells(&studio);
    assert_eq!(found.len(), CLIPS, "every clip has its row");
    let failed = found.values().filter(|(text, _)| text.contains("\"failed\"")).count();
    assert_eq!(failed, 2, "paro goes by a plan, and there is none");
    let report = std::fs::read_to_string(studio.path("found/report.html")).expect("the report");
    assert!(report.contains("<h2>Failed</h2>"));
}

#[test]
fn another_sweep_or_a_second_run_in_the_folder_is_refused() {
    let studio = Studio::new();
    let file = studio.file("two.toml", FILE);
    let other = studio.file("other.toml", FILE.replace("steps = 2", "steps = 3"));
    let mut first = sweep(&studio, &file).spawn();
    let started = Instant::now();
    while cells(&studio).is_empty() && started.elapsed() < Duration::from_mins(3) {
        std::thread::sleep(Duration::from_millis(20));
    }
    sweep(&studio, &file)
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["another run of this sweep"]);
    sweep(&studio, &other)
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["holds another", "name another folder"]);
    first.kill().expect("the process is ours");
    first.wait().expect("it ends");
    let wrong = studio.file("wrong.toml", FILE.replace("steps = 2", "stpes = 2"));
    sweep(&studio, &wrong)
        .run()
        .exits_with(2)
        .says(&["wrong.toml:10: stpes: expected a setting such as"]);
}

#[test]
fn a_disk_that_fills_stops_it_and_what_is_finished_stays() {
    let studio = Studio::new();
    let Some(disk) = Disk::mount(&studio, "16m") else { return };
    let file = studio.file("two.toml", FILE);
    let folder = disk.path("found");
    let begin = || studio.tessera().arg("sweep").arg(&file).path("--out", &folder);
    let child = begin().spawn();
    let started = Instant::now();
    let count = || std::fs::read_dir(folder.join("cells")).map_or(0, Iterator::count);
    while count() == 0 && started.elapsed() < Duration::from_mins(3) {
        std::thread::sleep(Duration::from_millis(20));
    }
    disk.fill();
    let ended = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("clips are finished and kept") && said.contains("full"), "{said}");
    begin().run().without_a_panic().exits_with(5).says(&["the disk is full", "free some space"]);
    std::fs::remove_file(disk.path("ballast")).expect("ours");
    begin().run().exits_with(0);
    assert_eq!(count(), CLIPS);
}
