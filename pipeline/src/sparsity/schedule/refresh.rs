//! When a site's map is estimated again.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::span::{percent, share};

/// When a site's map is estimated again. Steps count from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Refresh {
    /// At the first sparse step and every so many steps after it.
    Every(usize),
    /// At the first sparse step and at these steps.
    At(Cow<'static, [usize]>),
    /// At the first sparse step and at these shares of the run, each below 1: what a source says of its own number of steps,
    /// for a run of any number.
    AtShares(Cow<'static, [f64]>),
    /// At the first sparse step only.
    Never,
    /// When a few sampled rows say that the map's recall has fallen below this share of what it was when it was made.
    Adaptive(f64),
}

impl Refresh {
    /// The same with steps in place of shares, in a run of `steps`: each share rounded to its nearest step, none twice.
    #[must_use]
    pub fn in_steps(&self, steps: usize) -> Self {
        let Self::AtShares(shares) = self else { return self.clone() };
        let step =
            |share: &f64| ((share * steps as f64).round() as usize).min(steps.saturating_sub(1));
        let mut listed: Vec<usize> = shares.iter().map(step).collect();
        listed.dedup();
        Self::At(listed.into())
    }
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(steps) => write!(f, "{steps}"),
            Self::At(steps) => write!(f, "at:{}", joined(steps, usize::to_string)),
            Self::AtShares(shares) => write!(f, "at:{}", joined(shares, |share| percent(*share))),
            Self::Never => f.write_str("never"),
            Self::Adaptive(share) => write!(f, "adaptive:{share}"),
        }
    }
}

fn joined<T>(all: &[T], word: impl Fn(&T) -> String) -> String {
    all.iter().map(word).collect::<Vec<_>>().join(",")
}

/// The numbers of a list, when all are such and ascend.
fn ascending<T: Clone + PartialOrd>(
    list: &str,
    number: impl Fn(&str) -> Option<T>,
) -> Option<Cow<'static, [T]>> {
    let numbers: Option<Vec<T>> = list.split(',').map(|text| number(text.trim())).collect();
    numbers.filter(|numbers| numbers.is_sorted_by(|a, b| a < b)).map(Cow::Owned)
}

impl FromStr for Refresh {
    type Err = String;

    /// `1`, `10`, `at:10,30`, `at:20%,60%`, `never` or `adaptive:0.9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "every how many steps, at:10,30 for listed steps (from 0) or at:20%,60% for shares of the run, never, or adaptive:0.9 for a share of recall, not \"{text}\""
            )
        };
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Some(list) = text.strip_prefix("at:") {
            let share = |text: &str| share(text).filter(|share| *share < 1.0);
            let steps = ascending(list, |text| text.parse().ok()).map(Self::At);
            return steps.or_else(|| ascending(list, share).map(Self::AtShares)).ok_or_else(wrong);
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
