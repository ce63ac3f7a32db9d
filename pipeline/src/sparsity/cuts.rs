//! Cut-offs: where levels end, in a method that ranks the blocks of each row.
//!
//! Every block has a place on a scale that goes from the best block of its row to the worst; an end (ℓ, τ) gives level ℓ to
//! those whose place does not exceed τ and that no finer end has taken. Levels, places and the work of both come from one
//! ranking, in [`tessera_kernels::select`]. Source: methods.md §2.1 (PSA).

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::{FULL, LevelMap};
use tessera_kernels::select;

use super::levels::DEEPEST;
use crate::Result;

/// Where the levels of a method end, and on which scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Cuts {
    /// What ends are compared with.
    pub scale: Scale,
    /// The ends.
    pub ends: Ends,
}

/// The scale of cut-offs, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The share of a row's estimated attention that better blocks hold. At least 6 % of a row and one block more have the
    /// first level.
    Mass,
    /// A block's place among those of its row, as a share of them.
    Blocks,
}

/// Levels with where they end, both ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Ends(Vec<(u8, f64)>);

impl Cuts {
    /// The map of scores `[B, H, rows, columns]` ≥ 0; what nothing selects is skipped.
    pub fn select(&self, scores: &Tensor, blocks: Blocks) -> Result<LevelMap> {
        let ends = self.ends.as_slice();
        Ok(match self.scale {
            Scale::Mass => {
                let least = (0.06 * blocks.columns() as f64) as usize + 1;
                select::cumulative(scores, blocks, ends, least)?
            }
            Scale::Blocks => select::quotas(scores, blocks, ends)?,
        })
    }

    /// The place of every block on the scale, `[B, H, rows, columns]` F32.
    pub fn places(&self, scores: &Tensor, blocks: Blocks) -> Result<Tensor> {
        Ok(match self.scale {
            Scale::Mass => select::share_before(scores, blocks)?,
            Scale::Blocks => select::rank_share(scores, blocks)?,
        })
    }
}

impl Ends {
    /// Levels from the first on, each with where it ends.
    pub(super) fn from_first(ends: &[f64]) -> Self {
        Self((FULL..).zip(ends.iter().copied()).collect())
    }

    /// (level, end) of each.
    pub fn as_slice(&self) -> &[(u8, f64)] {
        &self.0
    }

    /// The same levels with other ends; `f` must not turn their order around.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|(level, end)| (*level, f(*end))).collect())
    }

    /// The same with the end at `index` moved to `to`, as far as its neighbours let it.
    #[must_use]
    pub fn moved(&self, index: usize, to: f64) -> Self {
        let mut ends = self.0.clone();
        let least =
            index.checked_sub(1).and_then(|before| ends.get(before)).map_or(0.0, |end| end.1);
        let most = ends.get(index + 1).map_or(1.0, |end| end.1);
        if let Some(end) = ends.get_mut(index) {
            end.1 = to.clamp(least, most);
        }
        Self(ends)
    }

    /// The share of the dense work of a row, if blocks lay evenly on the scale.
    pub fn work(&self) -> f64 {
        let mut before = 0.0;
        let mut work = 0.0;
        for (level, end) in &self.0 {
            work += (end - before) / f64::from(1u32 << (level - FULL));
            before = *end;
        }
        work
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|(level, end)| format!("{level}:{end}")).collect();
        f.write_str(&words.join(","))
    }
}

impl FromStr for Ends {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "levels 1 to {DEEPEST} with shares from 0 to 1, both ascending, such as 1:0.4,2:0.5,3:0.6,4:0.8, not \"{text}\""
            )
        };
        let end = |one: &str| {
            let (level, end) = one.split_once(':')?;
            Some((level.trim().parse::<u8>().ok()?, end.trim().parse::<f64>().ok()?))
        };
        let ends: Vec<(u8, f64)> =
            text.split(',').map(end).collect::<Option<_>>().ok_or_else(wrong)?;
        let is_sound = ends
            .iter()
            .all(|(level, end)| (FULL..=DEEPEST).contains(level) && (0.0..=1.0).contains(end))
            && ends.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        if is_sound { Ok(Self(ends)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_and_written_as_people_write_them() {
        let ends: Ends = "1:0.4, 2:.5,4:0.5".parse().unwrap();
        assert_eq!(ends.as_slice(), [(1, 0.4), (2, 0.5), (4, 0.5)]);
        assert_eq!(ends.to_string(), "1:0.4,2:0.5,4:0.5");
        assert_eq!(Ends::from_first(&[0.1, 0.2]).to_string(), "1:0.1,2:0.2");
        for wrong in
            ["", "none", "0.4", "0:0.4", "8:0.4", "1:1.5", "1:nan", "2:0.5,1:0.4", "1:0.5,2:0.4"]
        {
            assert!(wrong.parse::<Ends>().unwrap_err().contains("1:0.4,2:0.5"), "{wrong}");
        }
    }

    #[test]
    fn an_end_is_moved_between_its_neighbours() {
        let ends = Ends::from_first(&[0.4, 0.5, 0.6]);
        assert_eq!(ends.moved(1, 0.55).to_string(), "1:0.4,2:0.55,3:0.6");
        assert_eq!(ends.moved(1, 0.9).to_string(), "1:0.4,2:0.6,3:0.6");
        assert_eq!(ends.moved(0, -1.0).to_string(), "1:0,2:0.5,3:0.6");
        assert_eq!(ends.moved(2, 2.0).to_string(), "1:0.4,2:0.5,3:1");
        assert_eq!(ends.moved(7, 0.1), ends);
    }

    /// .4 in full, .1 in halves, .1 in quarters, .2 in eighths.
    #[test]
    fn work_is_that_of_even_blocks() {
        let work = Ends::from_first(&[0.4, 0.5, 0.6, 0.8]).work();
        assert!((work - (0.4 + 0.05 + 0.025 + 0.025)).abs() < 1e-12, "{work}");
    }
}
