//! What goes wrong, and what is left behind: nothing under the final name.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;

use super::{encode, names, picture, plan};
use crate::files::{FileError, PARTIAL_MARK};
use crate::video::{
    Codec, Decoder, Encoder, Frame, VideoError, VideoPlan, preflight, read_metadata,
};

fn push(encoder: &mut Encoder, plan: &VideoPlan, index: u64) -> crate::video::Result<()> {
    let rgb = picture(index, plan.width, plan.height);
    encoder.push(&Frame { width: plan.width, height: plan.height, rgb: &rgb })
}

fn path_for(folder: &Path, codec: Codec) -> std::path::PathBuf {
    folder.join("clip").with_extension(codec.default_container().extension())
}

#[test]
fn dropping_an_unfinished_encoder_leaves_nothing() {
    for codec in Codec::ALL {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&path_for(folder.path(), codec), codec, (64, 64));
        let mut encoder = Encoder::create(&plan).unwrap();
        push(&mut encoder, &plan, 0).unwrap();
        assert!(
            names(folder.path()).iter().all(|n| n.contains(PARTIAL_MARK)),
            "{codec}: only under a temporary name"
        );
        drop(encoder);
        assert_eq!(names(folder.path()), [""; 0], "{codec}");
        assert!(matches!(
            Encoder::create(&plan).unwrap().finish(),
            Err(VideoError::NoFrames { .. })
        ));
        assert_eq!(names(folder.path()), [""; 0], "{codec}");
    }
}

#[test]
fn an_older_file_stays_until_the_new_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder.path().join("clip.mp4"), Codec::H264, (64, 64));
    let old = encode(&plan, 3);
    let mut encoder = Encoder::create(&plan).unwrap();
    push(&mut encoder, &plan, 0).unwrap();
    drop(encoder);
    assert_eq!(fs::metadata(&plan.path).unwrap().len(), old.bytes);
    encode(&plan, 5);
    assert_eq!(Decoder::open(&plan.path).unwrap().count_frames().unwrap(), 5);
    assert_eq!(names(folder.path()), ["clip.mp4"]);
}

#[test]
fn a_wrong_frame_ends_the_file_with_numbers_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder.path().join("clip.mkv"), Codec::Ffv1, (64, 48));
    let mut encoder = Encoder::create(&plan).unwrap();
    let error = encoder.push(&Frame { width: 48, height: 64, rgb: &[0; 48 * 64 * 3] }).unwrap_err();
    assert!(error.to_string().contains("48x64") && error.to_string().contains("64x48"), "{error}");
    assert!(matches!(push(&mut encoder, &plan, 0), Err(VideoError::Stopped { .. })));
    assert!(matches!(encoder.finish(), Err(VideoError::Stopped { .. })));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_can_be_known_before_denoising_is() {
    let folder = tempfile::tempdir().unwrap();
    let good = plan(&folder.path().join("clip.mp4"), Codec::H264, (64, 64));
    preflight(&good, 81).unwrap();
    assert_eq!(names(folder.path()), [""; 0], "preflight leaves nothing");
    let with = |change: &dyn Fn(&mut VideoPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        let found = preflight(&plan, 81).unwrap_err();
        let at_create = Encoder::create(&plan).map(|_| ()).unwrap_err();
        assert_eq!(found.to_string(), at_create.to_string());
        found
    };
    assert!(matches!(
        with(&|p| p.path = folder.path().join("clip.gif")),
        VideoError::WrongContainer { .. }
    ));
    assert!(matches!(
        with(&|p| p.path = folder.path().join("no/clip.mp4")),
        VideoError::File(FileError::NoFolder { .. })
    ));
    assert!(matches!(with(&|p| p.width = 0), VideoError::Size { .. }));
    assert!(matches!(with(&|p| p.height = 20_000), VideoError::Size { .. }));
    assert!(matches!(with(&|p| p.metadata = "a\0b".into()), VideoError::MetadataNul { at: 1 }));
    fs::create_dir(folder.path().join("used.mp4")).unwrap();
    assert!(matches!(
        with(&|p| p.path = folder.path().join("used.mp4")),
        VideoError::Malformed { .. }
    ));
    fs::create_dir(folder.path().join("frames")).unwrap();
    File::create(folder.path().join("frames/a.txt")).unwrap();
    let taken = with(&|p| (p.path, p.codec) = (folder.path().join("frames"), Codec::Png));
    assert!(matches!(taken, VideoError::FolderInUse { .. }));
    let mut huge = good.clone();
    (huge.width, huge.height) = (16_000, 16_000);
    let error = preflight(&huge, 1 << 40).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
}

#[test]
fn an_unwritable_folder_is_found() {
    if cfg!(not(target_os = "linux")) {
        println!("skipped: needs a folder that refuses files even to root; Linux has /proc");
        return;
    }
    for codec in Codec::ALL {
        let plan = plan(&path_for(Path::new("/proc"), codec), codec, (64, 64));
        let error = preflight(&plan, 3).unwrap_err();
        assert!(matches!(error, VideoError::File(FileError::Unwritable { .. })), "{error}");
        assert!(matches!(Encoder::create(&plan), Err(VideoError::File(_))));
    }
}

/// A file system of `kib` KiB mounted at `folder` until dropped; `None` (said on the output) without the right to mount.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path, kib: u32) -> Option<Self> {
        let size = format!("size={kib}k");
        let answer =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        match answer {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                println!(
                    "skipped: mounting a small tmpfs: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(e) => {
                println!("skipped: there is no `mount` here: {e}");
                None
            }
        }
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[test]
fn a_full_disk_is_told_apart_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 1024) else { return };
    for codec in Codec::ALL {
        let plan = plan(&path_for(disk.0, codec), codec, (320, 256));
        let encode = || -> crate::video::Result<()> {
            let mut encoder = Encoder::create(&plan)?;
            for index in 0..40 {
                let rgb = noise(index + 1, 320 * 256 * 3);
                encoder.push(&Frame { width: 320, height: 256, rgb: &rgb })?;
            }
            encoder.finish().map(|_| ())
        };
        let error = encode().unwrap_err();
        assert!(matches!(error, VideoError::DiskFull { .. }), "{codec}: {error:?}");
        assert!(error.to_string().contains("disk is full"), "{error}");
        assert_eq!(names(disk.0), [""; 0], "{codec}");
    }
}

#[test]
fn a_full_device_is_told_apart_without_mounting() {
    // The kernel's always-full device needs no privilege: this is what the muxer's sink meets on a full disk.
    if !Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full here");
        return;
    }
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let fault = crate::video::ffmpeg::Fault::default();
    let mut sink = crate::video::ffmpeg::Sink::new(full, fault.clone());
    std::io::Write::write_all(&mut sink, b"x").unwrap_err();
    let error = VideoError::io(Path::new("clip.mp4"), "writing", fault.take().unwrap());
    assert!(error.is_disk_full(), "{error:?}");
}

#[test]
fn cut_off_files_are_errors_and_not_shorter_clips() {
    for (codec, name) in [
        (Codec::H264, "a.mp4"),
        (Codec::H264, "a.mkv"),
        (Codec::Ffv1, "b.mkv"),
        (Codec::Av1, "b.webm"),
        (Codec::ProRes, "c.mov"),
        (Codec::WebP, "d.webp"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(&folder.path().join(name), codec, (96, 64));
        plan.metadata = "{}".into();
        let whole = encode(&plan, 16);
        for part in [95, 70, 40, 10, 1] {
            let file = OpenOptions::new().write(true).open(&plan.path).unwrap();
            file.set_len(whole.bytes * part / 100).unwrap();
            let answer = Decoder::open(&plan.path).and_then(|mut d| d.count_frames());
            let error = answer.expect_err(&format!("{name} at {part} %"));
            assert!(
                matches!(
                    error,
                    VideoError::Truncated { .. }
                        | VideoError::Malformed { .. }
                        | VideoError::Ffmpeg { .. }
                ),
                "{name} at {part} %: {error:?}"
            );
        }
    }
}

#[test]
fn strangers_are_refused_with_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    assert!(matches!(Decoder::open(&path), Err(VideoError::Io { .. })));
    for content in [
        "",
        "hello",
        "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
    ] {
        crate::files::write_atomically(&path, |f| std::io::Write::write_all(f, content.as_bytes()))
            .unwrap();
        let error = Decoder::open(&path).map(|_| ()).unwrap_err();
        assert!(matches!(error, VideoError::Malformed { .. }), "{content:?}: {error:?}");
        assert!(read_metadata(&path).is_err());
    }
    assert!(matches!(Decoder::open(folder.path()), Err(VideoError::Malformed { .. })));
}

#[test]
fn a_gap_in_a_sequence_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder.path().join("frames"), Codec::Png, (16, 16));
    encode(&plan, 4);
    assert_eq!(
        names(&plan.path),
        ["frame_00000.png", "frame_00001.png", "frame_00002.png", "frame_00003.png"]
    );
    fs::remove_file(plan.path.join("frame_00002.png")).unwrap();
    let error = Decoder::open(&plan.path).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("frame_00002.png is missing"), "{error}");
}

/// Run again by the next test in a process of its own, which it aborts in the middle of a file.
#[test]
fn abort_in_the_middle_of_a_file() {
    let Some(path) = std::env::var_os("TESSERA_TEST_ABORT_AT") else { return };
    let plan = plan(Path::new(&path), Codec::H264, (64, 64));
    let mut encoder = Encoder::create(&plan).unwrap();
    push(&mut encoder, &plan, 0).unwrap();
    std::process::abort();
}

#[test]
fn a_killed_process_leaves_only_a_partial_and_the_next_encode_sweeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["abort_in_the_middle_of_a_file", "--test-threads=1"])
        .env("TESSERA_TEST_ABORT_AT", &path)
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
    let left = names(folder.path());
    assert!(left.len() == 1 && left[0].starts_with(".clip.mp4.tessera-partial-"), "{left:?}");
    encode(&plan(&path, Codec::H264, (64, 64)), 2);
    assert_eq!(names(folder.path()), ["clip.mp4"]);
}
