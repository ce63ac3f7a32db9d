//! Which levels a map may use. A level that may not be used becomes the next finer one that may.

use std::fmt;
use std::str::FromStr;

use tessera_kernels::blocks::KEY_BLOCK;

/// The coarsest level there is: a whole key block as one.
pub const DEEPEST: u8 = 1 + KEY_BLOCK.trailing_zeros() as u8;

/// A set of levels that holds level 1, because forced keeps use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Bit ℓ − 1 stands for level ℓ.
    bits: u8,
}

impl Levels {
    /// Every level.
    pub const ALL: Self = Self { bits: (1 << DEEPEST) - 1 };

    /// The level that stands for `level`: itself, or the next finer one of the set. 0, skipped, stays.
    pub fn nearest(self, level: u8) -> u8 {
        let at_most = ((1u16 << level) - 1) as u8;
        8 - (self.bits & at_most).leading_zeros() as u8
    }

    /// The levels, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=DEEPEST).filter(move |level| self.nearest(*level) == *level)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<_> = self.iter().map(|level| level.to_string()).collect();
        f.write_str(&levels.join(","))
    }
}

impl FromStr for Levels {
    type Err = String;

    /// `1,2,3,4`: ascending, from 1, at most 7.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "levels in ascending order from 1 to {DEEPEST}, such as 1,2,3,4, not \"{text}\""
            )
        };
        let levels: Option<Vec<u8>> =
            text.split(',').map(|level| level.trim().parse().ok()).collect();
        let levels = levels.ok_or_else(wrong)?;
        let is_legal = levels.first() == Some(&1)
            && levels.is_sorted_by(|a, b| a < b)
            && levels.iter().all(|level| *level <= DEEPEST);
        if !is_legal {
            return Err(wrong());
        }
        Ok(Self { bits: levels.iter().fold(0, |bits, level| bits | 1 << (level - 1)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_not_allowed_becomes_the_next_finer_one() {
        let levels: Levels = "1,3,4".parse().unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 7].map(|level| levels.nearest(level)), [0, 1, 1, 3, 4, 4, 4]);
        assert_eq!(levels.to_string(), "1,3,4");
        assert_eq!(Levels::ALL.to_string(), "1,2,3,4,5,6,7");
        assert!((0..=DEEPEST).all(|level| Levels::ALL.nearest(level) == level));
    }

    #[test]
    fn levels_out_of_order_are_refused() {
        for wrong in ["", "2,3", "1,3,2", "1,1", "1,8", "1,x"] {
            assert!(wrong.parse::<Levels>().unwrap_err().contains("ascending order from 1 to 7"));
        }
    }
}
