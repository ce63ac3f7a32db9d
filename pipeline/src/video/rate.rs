//! Frame rates are fractions: 23.976 is 24000/1001, and a clip timed by the rounded decimal drifts.

use std::fmt;
use std::str::FromStr;

use crate::video::error::VideoError;

/// The highest rate a file gets; above it timestamps in milliseconds (MKV) collide.
const MOST_FPS: f64 = 1000.0;

/// Frames per second as a fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fps {
    num: u32,
    den: u32,
}

impl Fps {
    /// `num / den` frames per second; `None` unless it is in (0, 1000].
    pub fn new(num: u32, den: u32) -> Option<Self> {
        let rate = f64::from(num) / f64::from(den);
        let limit = i32::MAX.unsigned_abs();
        if num == 0 || den == 0 || num > limit || den > limit || rate > MOST_FPS {
            return None;
        }
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Self { num: num / a, den: den / a })
    }

    /// The fraction meant by a decimal: whole numbers, the broadcast rates k·1000/1001 (23.976, 29.97, 59.94), else thousandths.
    pub fn from_decimal(fps: f64) -> Option<Self> {
        if !fps.is_finite() || fps <= 0.0 || fps > MOST_FPS {
            return None;
        }
        if fps.fract() != 0.0 {
            let whole = fps.ceil();
            if (fps - whole * 1000.0 / 1001.0).abs() < 2e-3 {
                return Self::new(whole as u32 * 1000, 1001);
            }
        }
        Self::new((fps * 1000.0).round() as u32, 1000)
    }

    /// Numerator.
    pub fn num(self) -> u32 {
        self.num
    }

    /// Denominator.
    pub fn den(self) -> u32 {
        self.den
    }

    /// As a decimal.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Seconds from the first frame to frame `index`.
    pub fn seconds_at(self, index: u64) -> f64 {
        index as f64 * f64::from(self.den) / f64::from(self.num)
    }

    /// As FFmpeg's frame rate.
    pub(crate) fn rate(self) -> ffmpeg_next::Rational {
        ffmpeg_next::Rational::new(self.num.cast_signed(), self.den.cast_signed())
    }

    /// The time of one frame, FFmpeg's unit of timestamps before muxing.
    pub(crate) fn time_base(self) -> ffmpeg_next::Rational {
        ffmpeg_next::Rational::new(self.den.cast_signed(), self.num.cast_signed())
    }
}

impl fmt::Display for Fps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 {
            write!(f, "{}", self.num)
        } else {
            write!(f, "{}/{}", self.num, self.den)
        }
    }
}

impl FromStr for Fps {
    type Err = VideoError;

    /// `24`, `23.976` or `24000/1001`.
    fn from_str(text: &str) -> Result<Self, VideoError> {
        let parsed = match text.trim().split_once('/') {
            Some((num, den)) => num
                .trim()
                .parse()
                .ok()
                .zip(den.trim().parse().ok())
                .and_then(|(n, d)| Self::new(n, d)),
            None => text.trim().parse().ok().and_then(Self::from_decimal),
        };
        parsed.ok_or_else(|| VideoError::Unknown {
            what: "frame rate",
            got: text.into(),
            allowed: "a number above 0 up to 1000 (24, 23.976) or a fraction (24000/1001)".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_the_fractions_they_mean() {
        let cases = [
            ("16", (16, 1)),
            ("23.976", (24000, 1001)),
            ("29.97", (30000, 1001)),
            ("59.94", (60000, 1001)),
            ("12.5", (25, 2)),
            ("30000/1001", (30000, 1001)),
            ("48/2", (24, 1)),
            ("0.5", (1, 2)),
            ("8.008", (1001, 125)),
        ];
        for (text, (num, den)) in cases {
            let fps: Fps = text.parse().unwrap();
            assert_eq!((fps.num(), fps.den()), (num, den), "{text}");
        }
        for text in ["0", "-1", "x", "1/0", "nan", "inf", "1001", "", "4294967295/4294967295"] {
            assert!(text.parse::<Fps>().is_err(), "{text}");
        }
        assert_eq!("24000/1001".parse::<Fps>().unwrap().to_string(), "24000/1001");
    }
}
