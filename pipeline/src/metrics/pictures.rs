//! A clip in memory, as it is compared.

use std::path::Path;

use crate::video::{Decoder, VideoError};
use crate::{Error, Result};

/// A clip in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Each frame as RGB, 3 bytes a pixel, rows without gaps.
    pub frames: Vec<Vec<u8>>,
}

impl Pictures {
    /// All frames of a video file or a folder of PNG files, by index.
    ///
    /// # Errors
    /// The file cannot be read to its end, has no frame, or changes its size on the way.
    pub fn read(path: &Path) -> Result<Self> {
        let decoder = Decoder::open(path)?;
        let (width, height) = decoder.size();
        let mut frames = Vec::new();
        for frame in decoder {
            let frame = frame?;
            if (frame.width, frame.height) != (width, height) {
                return Err(VideoError::FrameSize {
                    index: frame.index,
                    expected: (width, height),
                    got: (frame.width, frame.height),
                    bytes: frame.rgb.len(),
                }
                .into());
            }
            frames.push(frame.rgb);
        }
        if frames.is_empty() {
            return Err(Error::Unreadable {
                what: path.display().to_string(),
                reason: "expected a video of at least one frame, got none".into(),
            });
        }
        Ok(Self { width: width as usize, height: height as usize, frames })
    }

    /// `832×480, 81 frames`, for messages.
    pub(super) fn extent(&self) -> String {
        let count = self.frames.len();
        let noun = if count == 1 { "frame" } else { "frames" };
        format!("{}×{}, {count} {noun}", self.width, self.height)
    }
}
