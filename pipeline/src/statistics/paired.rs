//! Two settings on the same prompts and seeds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Interval, interval};

/// The values of two settings, one pair for each prompt and seed that both have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Paired(Vec<(f64, f64)>);

/// How often one of two settings had the higher value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Pairs in which the first is above the second.
    pub wins: usize,
    /// Pairs in which it is below.
    pub losses: usize,
    /// Pairs that are too close to tell.
    pub ties: usize,
}

impl Paired {
    /// Pairs values by what they are of, such as `(prompt, seed)`. A clip that only one has is left out; of several values of
    /// one clip the last counts.
    pub fn new<K: Ord>(
        first: impl IntoIterator<Item = (K, f64)>,
        second: impl IntoIterator<Item = (K, f64)>,
    ) -> Self {
        let (first, second): (BTreeMap<K, f64>, BTreeMap<K, f64>) =
            (first.into_iter().collect(), second.into_iter().collect());
        let pairs = first.iter().filter_map(|(key, a)| Some((*a, *second.get(key)?)));
        Self(pairs.collect())
    }

    /// Clips that both have.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether they have none in common.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The median of first − second; `None` without pairs, or where a value is not a number. Equal infinities (the PSNR of
    /// equal clips) differ by nothing.
    pub fn difference(&self) -> Option<Interval> {
        let difference = |(a, b): &(f64, f64)| if a == b { 0.0 } else { a - b };
        interval(&self.0.iter().map(difference).collect::<Vec<_>>())
    }

    /// The median of first / second; `None` without pairs, or where a ratio is not a number.
    pub fn ratio(&self) -> Option<Interval> {
        interval(&self.0.iter().map(|(a, b)| a / b).collect::<Vec<_>>())
    }

    /// Who is above whom, how often; values no further apart than `tie` (the noise) are a tie, and so is a value that is not a
    /// number.
    pub fn score(&self, tie: f64) -> Score {
        let mut score = Score::default();
        for (a, b) in &self.0 {
            if a - b > tie {
                score.wins += 1;
            } else if b - a > tie {
                score.losses += 1;
            } else {
                score.ties += 1;
            }
        }
        score
    }
}
