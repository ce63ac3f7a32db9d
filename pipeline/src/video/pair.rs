//! Two videos side by side, frame by frame: first with first, second with second, whatever their times say.

use crate::video::decoder::{DecodedFrame, Decoder};
use crate::video::error::{Result, VideoError};

/// Pairs the frames of two videos by index. Different sizes are an error at once; different counts are one at the end of the
/// shorter, with both counts in it (the rest of the longer is read for that).
pub fn paired(left: Decoder, right: Decoder) -> Result<Paired> {
    if left.size() != right.size() {
        return Err(unpaired(&left, &right, None, None));
    }
    Ok(Paired { left, right, ended: false })
}

/// The iterator of [`paired`].
pub struct Paired {
    left: Decoder,
    right: Decoder,
    ended: bool,
}

impl Paired {
    fn read(&mut self) -> Result<Option<(DecodedFrame, DecodedFrame)>> {
        match (self.left.next().transpose()?, self.right.next().transpose()?) {
            (Some(left), Some(right)) => Ok(Some((left, right))),
            (None, None) => Ok(None),
            _ => {
                let (left, right) = (self.left.count_frames()?, self.right.count_frames()?);
                Err(unpaired(&self.left, &self.right, Some(left), Some(right)))
            }
        }
    }
}

impl Iterator for Paired {
    type Item = Result<(DecodedFrame, DecodedFrame)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let result = self.read().transpose();
        self.ended = !matches!(result, Some(Ok(_)));
        result
    }
}

fn unpaired(
    left: &Decoder,
    right: &Decoder,
    left_frames: Option<u64>,
    right_frames: Option<u64>,
) -> VideoError {
    VideoError::Unpaired {
        left: left.path().into(),
        right: right.path().into(),
        left_size: left.size(),
        right_size: right.size(),
        left_frames,
        right_frames,
    }
}
