//! What a pooled key's score gains for the tokens that it stands for.

use std::{fmt, str::FromStr};

use candle_core::{Error, bail};

/// β of a pooled key of level ℓ that stands for n real tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Bias {
    /// ln n: exact where the tokens of a group have equal keys.
    #[default]
    Count,
    /// (ℓ − 1)·ln 2, as PSA: as if every group were full.
    Level,
    /// 0: a group weighs as one token; an ablation.
    None,
}

impl Bias {
    /// Every bias, the default first.
    pub const ALL: [Self; 3] = [Self::Count, Self::Level, Self::None];

    /// The name that settings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Level => "level",
            Self::None => "none",
        }
    }

    /// β in natural-log units.
    pub(super) fn of(self, level: u8, tokens: f64) -> f64 {
        match self {
            Self::Count => tokens.ln(),
            Self::Level => f64::from(level.max(1) - 1) * std::f64::consts::LN_2,
            Self::None => 0.0,
        }
    }
}

impl fmt::Display for Bias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bias {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match Self::ALL.into_iter().find(|bias| bias.name() == name) {
            Some(bias) => Ok(bias),
            None => bail!("bias: expected count, level or none, got {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for bias in Bias::ALL {
            assert_eq!(bias.to_string().parse::<Bias>().unwrap(), bias);
        }
        assert!("counts".parse::<Bias>().unwrap_err().to_string().contains("\"counts\""));
    }
}
