//! How close to the dense run is close enough.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::statistics::upper_bound;
use crate::sweep::Cell;

/// What closeness is measured by; more is closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Structural similarity, 0 to 1.
    Ssim,
    /// Multi-scale structural similarity, 0 to 1; needs sides of 176 pixels and more.
    MsSsim,
    /// Decibels.
    Psnr,
    /// Cosine of the latents after the last step, 0 to 1.
    LatentCosine,
}

impl Metric {
    const ALL: [Self; 4] = [Self::Ssim, Self::MsSsim, Self::Psnr, Self::LatentCosine];

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssim => "ssim",
            Self::MsSsim => "ms-ssim",
            Self::Psnr => "psnr",
            Self::LatentCosine => "latent-cosine",
        }
    }

    /// A clip's closeness; `None` where it has none.
    pub fn of(self, cell: &Cell) -> Option<f64> {
        let made = cell.made()?;
        let fidelity = made.fidelity.as_ref()?;
        match self {
            Self::Ssim => fidelity.ssim,
            Self::MsSsim => fidelity.ms_ssim,
            Self::Psnr => Some(fidelity.psnr),
            Self::LatentCosine => made.latents.last()?.cosine,
        }
    }

    /// The most that can be asked for.
    fn most(self) -> f64 {
        if self == Self::Psnr { 100.0 } else { 1.0 }
    }

    /// The logarithm of a distance, which spreads evenly where closeness crowds at its end. Clips that are equal have a
    /// distance far below any that is seen, not an infinite logarithm.
    fn loss(self, closeness: f64) -> f64 {
        match self {
            Self::Psnr => -closeness.min(150.0) * std::f64::consts::LN_10 / 20.0,
            _ => (1.0 - closeness).max(1e-9).ln(),
        }
    }
}

/// The least closeness that will do: `ssim=.95`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// What is measured.
    pub metric: Metric,
    /// The least that will do.
    pub least: f64,
}

impl Floor {
    /// The floor with half the loss: half of 1 − SSIM, 6 dB more.
    #[must_use]
    pub fn halved(self) -> Self {
        let least = match self.metric {
            Metric::Psnr => self.least + 20.0 * 2f64.log10(),
            _ => f64::midpoint(self.least, 1.0),
        };
        Self { least, ..self }
    }

    /// Whether one clip holds it.
    pub fn is_held_by(self, closeness: f64) -> bool {
        closeness >= self.least
    }

    /// Whether a setting holds it: all of its clips do, and a further one would with 95 % probability.
    pub fn is_held(self, closeness: &[f64]) -> bool {
        let losses: Vec<f64> = closeness.iter().map(|value| self.metric.loss(*value)).collect();
        let bound = upper_bound(&losses);
        closeness.iter().all(|value| self.is_held_by(*value))
            && bound.is_some_and(|bound| bound <= self.metric.loss(self.least))
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.metric.name(), self.least)
    }
}

impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Metric::ALL.map(Metric::name).join(", ");
        let Some((name, number)) = text.split_once('=') else {
            return Err(format!("expected METRIC=NUMBER such as ssim=.95, got \"{text}\""));
        };
        let metric = Metric::ALL
            .into_iter()
            .find(|metric| metric.name() == name.trim())
            .ok_or_else(|| format!("expected one of {names} before the =, got \"{name}\""))?;
        let most = metric.most();
        let number = number.trim();
        let least = number.parse().ok().filter(|least| (0.0..most).contains(least) && *least > 0.0);
        let least = least.ok_or_else(|| {
            format!("{name}: expected a number above 0 and below {most}, got \"{number}\"")
        })?;
        Ok(Self { metric, least })
    }
}
