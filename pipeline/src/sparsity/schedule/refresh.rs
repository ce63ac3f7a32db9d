//! When a site's map is estimated again.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// When a site's map is estimated again. Steps count from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Refresh {
    /// At the first sparse step and every so many steps after it.
    Every(usize),
    /// At the first sparse step and at these steps.
    At(Cow<'static, [usize]>),
    /// At the first sparse step only.
    Never,
    /// When a few sampled rows say that the map's recall has fallen below this share of what it was when it was made.
    Adaptive(f64),
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(steps) => write!(f, "{steps}"),
            Self::At(steps) => {
                let steps: Vec<_> = steps.iter().map(usize::to_string).collect();
                write!(f, "at:{}", steps.join(","))
            }
            Self::Never => f.write_str("never"),
            Self::Adaptive(share) => write!(f, "adaptive:{share}"),
        }
    }
}

impl FromStr for Refresh {
    type Err = String;

    /// `1`, `10`, `at:10,30`, `never` or `adaptive:0.9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "every how many steps, at:10,30 for listed steps (from 0), never, or adaptive:0.9 for a share of recall, not \"{text}\""
            )
        };
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Some(steps) = text.strip_prefix("at:") {
            let steps: Option<Vec<usize>> =
                steps.split(',').map(|step| step.trim().parse().ok()).collect();
            let steps = steps.filter(|steps| steps.is_sorted_by(|a, b| a < b));
            return Ok(Self::At(steps.ok_or_else(wrong)?.into()));
        }
        if let Some(share) = text.strip_prefix("adaptive:") {
            let share = share.trim().parse::<f64>().ok();
            let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
            return Ok(Self::Adaptive(share.ok_or_else(wrong)?));
        }
        let every = text.trim().parse().ok().filter(|every| *every > 0);
        Ok(Self::Every(every.ok_or_else(wrong)?))
    }
}
