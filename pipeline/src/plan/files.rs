//! The files of a run: how the video is named when nobody named it, and what lies beside it.
//!
//! Beside `clip.mp4` lie `clip.latents.safetensors`, the sidecar `clip.mp4.json` and, when asked for, the folder `clip.frames`.
//! A run that is stopped while it denoises leaves `clip.partial.latents.safetensors`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Settled;
use crate::Result;
use crate::events::FileRole;
use crate::request::Request;
use crate::settings::Problem;
use crate::video::{Codec, Container, estimated_bytes};

/// Letters of the prompt that become part of a name.
const MOST_LETTERS: usize = 48;

/// A file that a run will write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// What it is.
    pub what: FileRole,
    /// Where it will be.
    pub path: PathBuf,
    /// About how large it will be.
    pub bytes: u64,
}

/// The latents beside a video.
pub fn latents_of(video: &Path) -> PathBuf {
    beside(video, "latents.safetensors")
}

/// The latents of a run that was stopped, beside the video that was to be.
pub fn partial_latents_of(video: &Path) -> PathBuf {
    beside(video, "partial.latents.safetensors")
}

/// The sidecar beside a video.
pub fn sidecar_of(video: &Path) -> PathBuf {
    let mut name = video.file_name().unwrap_or_default().to_os_string();
    name.push(".json");
    video.with_file_name(name)
}

/// The folder of PNG frames beside a video.
pub fn frames_of(video: &Path) -> PathBuf {
    beside(video, "frames")
}

/// The recording of a run that is put into the video's folder.
pub fn recording_of(video: &Path) -> PathBuf {
    beside(video, "tessera")
}

fn beside(video: &Path, ending: &str) -> PathBuf {
    let stem = video.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    video.with_file_name(format!("{stem}.{ending}"))
}

/// Settles codec and name of the video.
///
/// A named file keeps its name and decides the codec when none is given. Without a name, or with the name of a folder, a new name is made of the prompt and the seed, and never that of an existing file.
pub(super) fn settle_output(request: &mut Request) -> Result<()> {
    let asked = request.codec.as_deref().map(str::parse::<Codec>).transpose()?;
    let folder = match &request.out {
        Some(path) if is_folder(path) && asked != Some(Codec::Png) => Some(path.clone()),
        Some(_) => None,
        None => Some(PathBuf::new()),
    };
    let codec = match (asked, &request.out, &folder) {
        (Some(codec), _, _) => codec,
        (None, Some(path), None) => codec_of(path)?,
        _ => Codec::H264,
    };
    if let Some(folder) = folder {
        let stem = format!("{}-s{}", slug(&request.prompt), request.seed.unwrap_or(0));
        request.out = Some(free_name(&folder, &stem, codec.default_container()));
    } else if let Some(path) = &request.out {
        codec.container_for(path)?;
    }
    request.codec = Some(codec.name().into());
    Ok(())
}

/// The folder of a request's video, as a folder is written: what names it as its recording gets one beside the video.
pub fn folder_of_video(out: Option<&Path>) -> PathBuf {
    let folder = match out {
        Some(out) if is_folder(out) => out,
        Some(out) => crate::files::folder_of(out),
        None => Path::new("."),
    };
    folder.join("")
}

/// Names the recording after the video where it is asked for in a folder.
pub(super) fn settle_recording(request: &mut Request) {
    if let (Some(record), Some(out)) = (&mut request.record, &request.out)
        && is_folder(record)
    {
        record.push(recording_of(out).file_name().unwrap_or_default());
    }
}

/// Whether a path names a folder to put files into: one that is there, or one written with a slash at its end.
pub(crate) fn is_folder(path: &Path) -> bool {
    path.is_dir() || is_written_as_folder(path)
}

/// Whether a path ends in a slash.
pub(crate) fn is_written_as_folder(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}

/// The codec that a file's ending asks for.
pub(crate) fn codec_of(path: &Path) -> Result<Codec> {
    match Container::from_path(path) {
        Some(Container::Mp4 | Container::Mov | Container::Mkv) => Ok(Codec::H264),
        Some(Container::WebM) => Ok(Codec::Av1),
        Some(Container::Gif) => Ok(Codec::Gif),
        Some(Container::WebP) => Ok(Codec::WebP),
        Some(Container::Folder) => Ok(Codec::Png),
        None => Err(crate::Error::Settings(vec![Problem::new(
            "out",
            "a name ending in .mp4, .mov, .mkv, .webm, .gif or .webp, or without an ending for a folder of PNG frames",
            path.display(),
        )])),
    }
}

/// A name that none of the run's files has yet: `stem.mp4`, `stem-2.mp4`, …
pub(crate) fn free_name(folder: &Path, stem: &str, container: Container) -> PathBuf {
    let ending = container.extension();
    free(&folder.join(if ending.is_empty() { stem.to_owned() } else { format!("{stem}.{ending}") }))
}

/// This name, or with a number where one of a run's files has it: `clip.mp4`, `clip-2.mp4`, …
pub(super) fn free(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = |number: u32| {
        let stem = if number == 1 { stem.to_string() } else { format!("{stem}-{number}") };
        path.with_file_name(match path.extension() {
            Some(ending) => format!("{stem}.{}", ending.to_string_lossy()),
            None => stem,
        })
    };
    let is_free = |video: &PathBuf| {
        let beside = [latents_of, sidecar_of, frames_of, recording_of].map(|name| name(video));
        !video.exists() && beside.iter().all(|path| !path.exists())
    };
    (1..10_000).map(name).find(is_free).unwrap_or_else(|| name(10_000))
}

/// Gives a request whose named video is there already another name, `clip-2.mp4`; the name that was taken comes back.
///
/// For callers who cannot ask whether to replace what is there. A folder to put the video into is left as it is.
pub fn spare_existing(request: &mut Request) -> Option<PathBuf> {
    let taken = request.out.clone().filter(|out| !is_folder(out))?;
    let spare = free(&taken);
    if spare == taken {
        return None;
    }
    request.out = Some(spare);
    Some(taken)
}

/// The prompt's words as a file name: lower-case letters and digits with dashes.
fn slug(prompt: &str) -> String {
    let mut slug = String::new();
    for letter in prompt.chars().flat_map(char::to_lowercase) {
        if slug.chars().count() >= MOST_LETTERS {
            break;
        }
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "clip".into() } else { slug.into() }
}

/// What a run with these settings writes.
pub(super) fn planned(settled: &Settled, latent_shape: [usize; 5]) -> Vec<PlannedFile> {
    let size = (settled.size.width as u32, settled.size.height as u32);
    let frames = settled.size.frames as u64;
    let video = estimated_bytes(settled.codec, settled.quality, size, frames);
    let latents = latent_shape.iter().product::<usize>() as u64 * 4;
    let mut files = vec![
        PlannedFile { what: FileRole::Latents, path: latents_of(&settled.out), bytes: latents },
        PlannedFile { what: FileRole::Video, path: settled.out.clone(), bytes: video },
        PlannedFile { what: FileRole::Sidecar, path: sidecar_of(&settled.out), bytes: 8 << 10 },
    ];
    if settled.save_frames {
        let bytes = estimated_bytes(Codec::Png, settled.quality, size, frames);
        files.push(PlannedFile { what: FileRole::Frames, path: frames_of(&settled.out), bytes });
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_prompt_and_avoid_what_is_there() {
        assert_eq!(slug("A shiny, RED ball!  bounces"), "a-shiny-red-ball-bounces");
        assert_eq!(slug("…"), "clip");
        assert_eq!(slug(&"x".repeat(200)).len(), MOST_LETTERS);
        let folder = tempfile::tempdir().unwrap();
        let first = free_name(folder.path(), "ball-s0", Container::Mp4);
        assert!(first.ends_with("ball-s0.mp4"));
        crate::files::write_atomically(&latents_of(&first), |_| Ok(())).unwrap();
        assert!(free_name(folder.path(), "ball-s0", Container::Mp4).ends_with("ball-s0-2.mp4"));
    }

    #[test]
    fn endings_decide_the_codec_and_folders_get_a_new_file() {
        let settle = |out: Option<&Path>, codec: Option<&str>| {
            let mut request = Request {
                prompt: "a b".into(),
                seed: Some(3),
                out: out.map(Into::into),
                codec: codec.map(Into::into),
                ..Request::default()
            };
            settle_output(&mut request).map(|()| (request.out.unwrap(), request.codec.unwrap()))
        };
        assert_eq!(settle(Some(Path::new("x.gif")), None).unwrap(), ("x.gif".into(), "gif".into()));
        assert_eq!(settle(Some(Path::new("x")), None).unwrap(), ("x".into(), "png".into()));
        assert_eq!(settle(None, Some("prores")).unwrap(), ("a-b-s3.mov".into(), "prores".into()));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(settle(Some(folder.path()), None).unwrap().0, folder.path().join("a-b-s3.mp4"));
        assert_eq!(settle(Some(Path::new("new/")), None).unwrap().0, Path::new("new/a-b-s3.mp4"));
        assert!(settle(Some(Path::new("x.txt")), None).unwrap_err().to_string().contains(".webm"));
        assert!(
            settle(Some(Path::new("x.webm")), Some("h264"))
                .unwrap_err()
                .to_string()
                .contains("*.mp4")
        );
    }

    #[test]
    fn a_recording_in_a_folder_is_named_after_the_video() {
        let settle = |record: &str| {
            let (record, out) = (Some(record.into()), Some("a/clip.v2.mp4".into()));
            let mut request = Request { out, record, ..Request::default() };
            settle_recording(&mut request);
            request.record.unwrap()
        };
        assert_eq!(settle("runs/"), Path::new("runs/clip.v2.tessera"));
        assert_eq!(settle("runs/x.rec"), Path::new("runs/x.rec"));
        for (out, folder) in [(None, "./"), (Some("a/b.mp4"), "a/"), (Some("new/"), "new/")] {
            let found = folder_of_video(out.map(Path::new));
            assert!(is_written_as_folder(&found) && found == Path::new(folder), "{found:?}");
        }
    }

    #[test]
    fn files_lie_beside_the_video() {
        let video = Path::new("a/clip.v2.mp4");
        assert_eq!(latents_of(video), Path::new("a/clip.v2.latents.safetensors"));
        assert_eq!(sidecar_of(video), Path::new("a/clip.v2.mp4.json"));
        assert_eq!(frames_of(video), Path::new("a/clip.v2.frames"));
    }
}
