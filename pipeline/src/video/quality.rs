//! One quality scale, 0 to 100, and what it means to each encoder.
//!
//! Between the anchors of the table the encoder's own number is interpolated. `high` is the default: for H.264 it is CRF 17,
//! which the x264 community calls visually lossless (18) with a step to spare, since a generated clip is often encoded again.
//! Each column was set so that equal names look alike, not so that numbers match: CRF 24 of H.265 is about CRF 21 of H.264.

use std::fmt;
use std::str::FromStr;

use crate::video::error::VideoError;

/// How much may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// 0 (smallest file) to 100 (largest): see the named ones for orientation.
    Percent(u8),
    /// Not one bit: RGB is kept as RGB.
    Lossless,
}

impl Quality {
    /// A first look: artefacts visible when one looks for them.
    pub const DRAFT: Self = Self::Percent(50);
    /// Good for sending.
    pub const GOOD: Self = Self::Percent(75);
    /// Visually lossless; the default.
    pub const HIGH: Self = Self::Percent(90);

    /// For help texts.
    pub const HELP: &str =
        "draft (50), good (75), high (90, visually lossless), lossless, or a number from 0 to 100";

    /// The number, 100 when lossless.
    pub fn percent(self) -> u8 {
        match self {
            Self::Percent(p) => p.min(100),
            Self::Lossless => 100,
        }
    }
}

impl Default for Quality {
    fn default() -> Self {
        Self::HIGH
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DRAFT => f.pad("draft"),
            Self::GOOD => f.pad("good"),
            Self::HIGH => f.pad("high"),
            Self::Lossless => f.pad("lossless"),
            Self::Percent(p) => write!(f, "{p}"),
        }
    }
}

impl FromStr for Quality {
    type Err = VideoError;

    fn from_str(text: &str) -> Result<Self, VideoError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "draft" => Ok(Self::DRAFT),
            "good" => Ok(Self::GOOD),
            "high" => Ok(Self::HIGH),
            "lossless" => Ok(Self::Lossless),
            number => {
                number.parse().ok().filter(|p| *p <= 100).map(Self::Percent).ok_or_else(|| {
                    VideoError::Unknown {
                        what: "quality",
                        got: text.into(),
                        allowed: Self::HELP.into(),
                    }
                })
            }
        }
    }
}

/// The encoder's own number at 0, 50 (draft), 75 (good), 90 (high) and 100 percent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale(pub(crate) [f64; 5]);

/// x264 CRF: 0 to 51, lower is better; 17 is visually lossless, below 10 only the size grows.
pub(crate) const X264_CRF: Scale = Scale([38.0, 27.0, 21.0, 17.0, 10.0]);
/// x265 CRF on 10 bits: three to four above x264's for the same look.
pub(crate) const X265_CRF: Scale = Scale([40.0, 30.0, 24.0, 19.0, 11.0]);
/// SVT-AV1 CRF: 1 to 63 on AV1's own quantiser scale; 35 is its default.
pub(crate) const SVT_AV1_CRF: Scale = Scale([60.0, 40.0, 27.0, 17.0, 8.0]);
/// libaom CRF: the same scale. From 20 up it takes fine grain away altogether (noisy 480p: 37 dB at 16, 35 dB and an eighth of
/// the bytes at 23), which is not what `high` promises.
pub(crate) const AOM_CRF: Scale = Scale([60.0, 38.0, 25.0, 15.0, 6.0]);
/// rav1e quantiser: 0 to 255 and never lossless.
pub(crate) const RAV1E_QP: Scale = Scale([220.0, 150.0, 100.0, 70.0, 30.0]);
/// libwebp quality: its own 0 to 100; gains above 95 are bytes only.
pub(crate) const WEBP_QUALITY: Scale = Scale([20.0, 65.0, 82.0, 92.0, 100.0]);

impl Scale {
    /// The encoder's number for a quality, rounded.
    pub(crate) fn at(self, quality: Quality) -> i64 {
        const ANCHORS: [f64; 5] = [0.0, 50.0, 75.0, 90.0, 100.0];
        let x = f64::from(quality.percent());
        let i = ANCHORS[1..].iter().position(|a| x <= *a).unwrap_or(3);
        let t = (x - ANCHORS[i]) / (ANCHORS[i + 1] - ANCHORS[i]);
        (self.0[i] + t * (self.0[i + 1] - self.0[i])).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_parse_and_print() {
        for (text, quality) in [
            ("high", Quality::HIGH),
            ("75", Quality::GOOD),
            ("LOSSLESS", Quality::Lossless),
            ("0", Quality::Percent(0)),
        ] {
            assert_eq!(text.parse::<Quality>().unwrap(), quality);
            assert_eq!(quality.to_string().parse::<Quality>().unwrap(), quality);
        }
        assert!("101".parse::<Quality>().is_err() && "best".parse::<Quality>().is_err());
    }

    #[test]
    fn scales_hit_their_anchors_and_are_monotonic() {
        assert_eq!(
            [0, 50, 75, 90, 100].map(|p| X264_CRF.at(Quality::Percent(p))),
            [38, 27, 21, 17, 10]
        );
        for scale in [X264_CRF, X265_CRF, SVT_AV1_CRF, AOM_CRF, RAV1E_QP] {
            let values: Vec<_> = (0..=100).map(|p| scale.at(Quality::Percent(p))).collect();
            assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        }
    }
}
