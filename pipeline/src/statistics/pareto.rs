//! What is fast and close at once.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A setting by what it costs and what it loses; less is better of both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Time in seconds, or over the dense run's.
    pub time: f64,
    /// Distance from the dense run, such as 1 − SSIM.
    pub distance: f64,
}

/// Which time a setting is judged by. Both are told everywhere: attention is only a part of a clip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeBasis {
    /// The whole clip without loading: text, steps, decoding, encoding.
    #[default]
    EndToEnd,
    /// Self-attention alone, estimates included.
    Attention,
}

impl FromStr for TimeBasis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "end-to-end" => Ok(Self::EndToEnd),
            "attention" => Ok(Self::Attention),
            _ => Err(format!("expected end-to-end or attention, got \"{text}\"")),
        }
    }
}

/// Whether each point is on the front: none is as good in both and better in one. A point with a value that is not a number
/// is on no front, and keeps none from it. Equal points are on it together.
pub fn front(points: &[Point]) -> Vec<bool> {
    let is_number = |point: &Point| !point.time.is_nan() && !point.distance.is_nan();
    let beats = |a: &Point, b: &Point| {
        a.time <= b.time && a.distance <= b.distance && (a.time < b.time || a.distance < b.distance)
    };
    let is_on = |point: &Point| is_number(point) && !points.iter().any(|other| beats(other, point));
    points.iter().map(is_on).collect()
}
