//! Which keys the pooled keys of a level stand for, and what their scores gain.

use std::{f64::consts::LOG2_E, ops::Range};

use super::super::Bias;
use crate::{blocks::Blocks, levels::pool};

/// The groups of one level that have valid keys, in the order of their tokens. Keys are counted over the valid ones.
pub(super) struct Groups {
    pub(super) level: u8,
    /// Groups of key block c: `starts[c]..starts[c + 1]`.
    starts: Vec<u32>,
    /// Keys of group g: `ends[g]..ends[g + 1]`.
    ends: Vec<u32>,
    /// β·log₂e of each group.
    bias: Vec<f32>,
}

impl Groups {
    /// `before[t]` valid keys lie before token t, 0 ≤ t ≤ Sk.
    pub(super) fn new(level: u8, blocks: Blocks, bias: Bias, before: &[u32]) -> Self {
        let (mut starts, mut ends, mut biases) = (vec![0], vec![0], Vec::new());
        let bias_of: Vec<f32> =
            (0..=pool(level)).map(|count| (bias.of(level, count as f64) * LOG2_E) as f32).collect();
        for column in 0..blocks.columns() {
            let block = blocks.key_range(column);
            for first in block.clone().step_by(pool(level)) {
                let end = before[(first + pool(level)).min(block.end)];
                let count = end - before[first];
                if count > 0 {
                    ends.push(end);
                    biases.push(bias_of[count as usize]);
                }
            }
            starts.push(biases.len() as u32);
        }
        Self { level, starts, ends, bias: biases }
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.bias.len()
    }

    /// The groups of a key block.
    pub(super) fn of(&self, column: usize) -> Range<usize> {
        self.starts[column] as usize..self.starts[column + 1] as usize
    }

    /// Where the keys of `groups` start, and where the last one's end.
    pub(super) fn ends(&self, groups: Range<usize>) -> &[u32] {
        &self.ends[groups.start..=groups.end]
    }

    /// β·log₂e of each of `groups`.
    pub(super) fn bias(&self, groups: Range<usize>) -> &[f32] {
        &self.bias[groups]
    }
}
