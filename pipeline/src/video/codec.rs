//! Which codecs there are, and which kind of file each goes into.
//!
//! | codec | default file | also | pixels | why one picks it |
//! |---|---|---|---|---|
//! | H.264 | .mp4 | .mov .mkv | 8-bit 4:2:0 | plays everywhere |
//! | H.265 | .mp4 | .mov .mkv | 10-bit 4:2:0 | half the size, no banding; tagged `hvc1`, which Apple's players insist on |
//! | AV1 | .mp4 | .webm .mkv | 10-bit 4:2:0 | smallest, free; slow |
//! | FFV1 | .mkv | | 8-bit RGB, exact | the lossless master: compare on this |
//! | ProRes | .mov | .mkv | 10-bit 4:2:2 | editing programs |
//! | GIF | .gif | | 256 colours | chat windows |
//! | WebP | .webp | | 8-bit | web pages; better than GIF in all but reach |
//! | PNG | a folder | | 8-bit RGB, exact | compositing, single frames |

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::video::error::{Result, VideoError};

/// How the pictures are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// H.264 (AVC), 8-bit.
    H264,
    /// H.265 (HEVC), 10-bit.
    H265,
    /// AV1, 10-bit.
    Av1,
    /// FFV1 version 3 on RGB: every pixel comes back exactly.
    Ffv1,
    /// Apple ProRes 422.
    ProRes,
    /// Animated GIF with a palette made for the clip.
    Gif,
    /// Animated WebP.
    WebP,
    /// A folder of PNG files.
    Png,
}

impl Codec {
    /// All, in the order they are offered.
    pub const ALL: [Self; 8] = [
        Self::H264,
        Self::H265,
        Self::Av1,
        Self::Ffv1,
        Self::ProRes,
        Self::Gif,
        Self::WebP,
        Self::Png,
    ];

    /// The word for it in settings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Av1 => "av1",
            Self::Ffv1 => "ffv1",
            Self::ProRes => "prores",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Png => "png",
        }
    }

    /// One line for a person choosing.
    pub fn help(self) -> &'static str {
        match self {
            Self::H264 => "H.264 8-bit: plays everywhere (mp4, mov, mkv)",
            Self::H265 => {
                "H.265 10-bit: about half the size of H.264, newer players (mp4, mov, mkv)"
            }
            Self::Av1 => "AV1 10-bit: smallest, slow to encode, recent players (mp4, webm, mkv)",
            Self::Ffv1 => "FFV1: lossless master, large (mkv)",
            Self::ProRes => "ProRes 422: for editing programs, large (mov, mkv)",
            Self::Gif => "GIF: 256 colours, loops (gif)",
            Self::WebP => "animated WebP: for web pages, loops (webp)",
            Self::Png => "PNG sequence: lossless, a folder of numbered pictures",
        }
    }

    /// The kinds of file it goes into, the default first.
    pub fn containers(self) -> &'static [Container] {
        match self {
            Self::H264 | Self::H265 => &[Container::Mp4, Container::Mov, Container::Mkv],
            Self::Av1 => &[Container::Mp4, Container::WebM, Container::Mkv],
            // QuickTime files may hold FFV1, but nothing that prefers .mov plays it.
            Self::Ffv1 => &[Container::Mkv],
            Self::ProRes => &[Container::Mov, Container::Mkv],
            Self::Gif => &[Container::Gif],
            Self::WebP => &[Container::WebP],
            Self::Png => &[Container::Folder],
        }
    }

    /// The kind of file it goes into unless the path says otherwise.
    pub fn default_container(self) -> Container {
        self.containers()[0]
    }

    /// The kind of file that `path` names, if this codec goes into it.
    pub fn container_for(self, path: &Path) -> Result<Container> {
        let container = Container::from_path(path);
        match container {
            Some(c) if self.containers().contains(&c) => Ok(c),
            // A folder may have a dot in its name; `.png` is more likely a picture that one file was expected of.
            None if self == Self::Png
                && path.extension().is_some_and(|e| !e.eq_ignore_ascii_case("png")) =>
            {
                Ok(Container::Folder)
            }
            other => Err(VideoError::wrong_container(path, self, other)),
        }
    }

    /// Whether pixels come back exactly whatever the quality says.
    pub fn is_always_lossless(self) -> bool {
        matches!(self, Self::Ffv1 | Self::Png)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Codec {
    type Err = VideoError;

    /// The name in any case; `avc`, `hevc`, `x264` and `x265` are understood.
    fn from_str(text: &str) -> Result<Self> {
        let word = text.trim().to_ascii_lowercase().replace(['.', '-', '_'], "");
        let codec = match word.as_str() {
            "avc" | "x264" => Some(Self::H264),
            "hevc" | "x265" => Some(Self::H265),
            word => Self::ALL.into_iter().find(|c| c.name() == word),
        };
        codec.ok_or_else(|| VideoError::Unknown {
            what: "codec",
            got: text.into(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// The kind of file around the compressed pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Container {
    /// MPEG-4 part 14.
    Mp4,
    /// QuickTime.
    Mov,
    /// Matroska.
    Mkv,
    /// The subset of Matroska that browsers play.
    WebM,
    /// GIF.
    Gif,
    /// WebP.
    WebP,
    /// A folder of PNG files `frame_00000.png`, …
    Folder,
}

impl Container {
    /// What the ending of `path` stands for; no ending means a folder, an unknown one nothing.
    pub fn from_path(path: &Path) -> Option<Self> {
        let Some(ending) = path.extension() else { return Some(Self::Folder) };
        match ending.to_str()?.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Some(Self::Mp4),
            "mov" => Some(Self::Mov),
            "mkv" => Some(Self::Mkv),
            "webm" => Some(Self::WebM),
            "gif" => Some(Self::Gif),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    /// The ending of its files, without the dot; empty for a folder.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "mkv",
            Self::WebM => "webm",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Folder => "",
        }
    }

    /// FFmpeg's name of the muxer; set explicitly because the temporary file name has no telling ending.
    pub(crate) fn muxer(self) -> &'static str {
        match self {
            Self::Mkv => "matroska",
            other => other.extension(),
        }
    }

    /// How a person names such a file, for error messages.
    pub(crate) fn naming(self) -> String {
        match self {
            Self::Folder => "without an ending (a folder)".into(),
            other => format!("*.{}", other.extension()),
        }
    }

    /// Whether it is one of the two that keep their index in a `moov` box.
    pub(crate) fn is_isom(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov)
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Folder => "a folder",
            other => other.extension(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_parses_its_own_name_and_has_a_file() {
        for codec in Codec::ALL {
            assert_eq!(codec.to_string().parse::<Codec>().unwrap(), codec);
            assert!(codec.containers().contains(&codec.default_container()));
        }
        assert_eq!("H.264".parse::<Codec>().unwrap(), Codec::H264);
        assert_eq!("HEVC".parse::<Codec>().unwrap(), Codec::H265);
        let error = "divx".parse::<Codec>().unwrap_err().to_string();
        assert!(error.contains("divx") && error.contains("h264, h265"), "{error}");
    }

    #[test]
    fn a_wrong_pair_lists_the_right_ones() {
        let error = Codec::H264.container_for(Path::new("a/clip.webm")).unwrap_err().to_string();
        assert!(
            error.contains("h264 does not go into webm")
                && error.contains("*.mp4 or *.mov or *.mkv"),
            "{error}"
        );
        let error = Codec::Png.container_for(Path::new("clip.png")).unwrap_err().to_string();
        assert!(error.contains("without an ending"), "{error}");
        assert_eq!(Codec::Png.container_for(Path::new("out/clip")).unwrap(), Container::Folder);
        assert_eq!(Codec::Av1.container_for(Path::new("clip.WebM")).unwrap(), Container::WebM);
        assert!(Codec::H264.container_for(Path::new("clip.txt")).is_err());
    }
}
