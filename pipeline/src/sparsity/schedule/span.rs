//! The first part of a run, as people say it: in steps, as a share of the steps, or by noise level.

use std::fmt;
use std::str::FromStr;

/// The first part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// So many steps.
    Steps(usize),
    /// This share of the steps, rounded up; less than all of them as long as it is below 1.
    Share(f64),
    /// While the noise level is above this, in 0..=1.
    Sigma(f64),
}

impl Span {
    /// The number of steps of a run with these noise levels (one a step).
    pub fn steps(self, sigmas: &[f64]) -> usize {
        match self {
            Self::Steps(steps) => steps,
            Self::Share(share) => {
                let steps = (share * sigmas.len() as f64 - 1e-9).ceil().max(0.0) as usize;
                if share < 1.0 { steps.min(sigmas.len().saturating_sub(1)) } else { steps }
            }
            Self::Sigma(above) => sigmas.iter().take_while(|sigma| **sigma > above).count(),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Share(share) => f.write_str(&percent(*share)),
            Self::Sigma(above) => write!(f, "sigma>{above}"),
        }
    }
}

/// A share as settings write it. 0.07 × 100 is not 7 in binary; no one asks for a millionth of a percent.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

/// Reads a share in 0..=1 that is written in percent.
pub(super) fn share(text: &str) -> Option<f64> {
    let percent = text.strip_suffix('%')?.trim().parse::<f64>().ok();
    Some(percent.filter(|percent| (0.0..=100.0).contains(percent))? / 100.0)
}

impl FromStr for Span {
    type Err = String;

    /// `12`, `25%` or `sigma>0.9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "a number of steps, a share such as 25% or a noise level such as sigma>0.9, not \"{text}\""
            )
        };
        let number = |text: &str| text.trim().parse::<f64>().ok();
        if text.ends_with('%') {
            return Ok(Self::Share(share(text).ok_or_else(wrong)?));
        }
        if let Some(above) = text.strip_prefix("sigma>") {
            let above = number(above).filter(|above| (0.0..=1.0).contains(above));
            return Ok(Self::Sigma(above.ok_or_else(wrong)?));
        }
        text.trim().parse().ok().map(Self::Steps).ok_or_else(wrong)
    }
}
