//! A disk without room: known before anything is computed where it can be, and survived where it cannot.
//!
//! The disk is a small tmpfs of the test's own, which only root may mount; elsewhere the tests say so and
//! pass.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::studio::Studio;

/// A small file system, unmounted when the test ends.
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of `size` (such as `64k`) in the studio's folder.
    pub(crate) fn mount(studio: &Studio, size: &str) -> Option<Self> {
        let folder = studio.path("disk");
        std::fs::create_dir(&folder).expect("a folder");
        let size = format!("size={size}");
        let ended =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        if ended.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("not run: a tmpfs with {size} needs root and a kernel that lets it mount");
        None
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes until nothing goes in any more.
    pub(crate) fn fill(&self) {
        let mut ballast =
            std::fs::File::create(self.path("ballast")).expect("there is room for a name");
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg(&self.folder).status();
        assert!(
            ended.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "the tmpfs is ours"
        );
    }
}

#[test]
fn a_disk_that_is_too_small_is_told_before_the_first_step() {
    let studio = Studio::new();
    let Some(disk) = Disk::mount(&studio, "64k") else { return };
    let ran = studio.generate("a red ball").path("--out", disk.path("clip.mp4")).run();
    ran.without_a_panic().exits_with(5).says(&["disk", "full"]);
    assert!(!disk.path("clip.mp4").exists());
}

#[test]
fn a_disk_that_fills_up_costs_the_video_and_not_the_latents() {
    let studio = Studio::new();
    let Some(disk) = Disk::mount(&studio, "16m") else { return };
    let clip = disk.path("clip.mp4");
    let mut running = studio
        .tessera()
        .arg("generate")
        .arg("a red ball")
        .arg("--size=128x128")
        .arg("--frames=49")
        .arg("--steps=1")
        .path("--out", &clip)
        .start();
    let saved = running.wait_for("saved latents", |event| event["event"] == "latents_saved");
    running.wait_for("a group of frames", |event| event["event"] == "frame_group");
    disk.fill();
    let failed = running.wait_for("a failure", |event| event["event"] == "failed");
    assert_eq!(failed["kind"], "output", "{failed}");
    let (code, said) = running.end();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("full") && said.contains("tessera resume"), "{said}");
    assert!(!clip.exists());

    let latents = Path::new(saved["path"].as_str().expect("a path")).to_owned();
    let again =
        studio.tessera().arg("resume").arg(latents).arg("--out=again.mp4").run().exits_with(0);
    assert_eq!(again.stdout(), "again.mp4\n");
}
