//! Which block comes before which.

use crate::{blocks::Blocks, mix::mixed};

/// A block of a row or of a head as one number: the smaller, the better. From the high bits down: the score (inverted),
/// the distance to the row's own blocks, a hash of the place, and the index that it is known by.
pub(super) fn key(score: f32, row: usize, column: usize, blocks: Blocks, index: usize) -> u128 {
    let own = blocks.own_columns(row);
    let distance = if column < own.start {
        own.start - column
    } else {
        (column + 1).saturating_sub(own.end.max(own.start + 1))
    };
    u128::from(descending(score)) << 96
        | (distance as u128) << 64
        | u128::from(hash(row, column)) << 32
        | index as u128
}

/// The index of a [`key`].
pub(super) fn index(key: u128) -> u32 {
    key as u32
}

/// The columns of row `row` (within its head), best first.
pub(crate) fn ranked(scores: &[f32], row: usize, blocks: Blocks) -> Vec<u32> {
    let mut keys: Vec<u128> = row_keys(scores, row, blocks).collect();
    keys.sort_unstable();
    keys.into_iter().map(index).collect()
}

/// The `count` best columns of row `row`, in no particular order.
pub(super) fn best(scores: &[f32], row: usize, blocks: Blocks, count: usize) -> Vec<u32> {
    smallest(row_keys(scores, row, blocks).collect(), count)
}

/// The indices of the `count` smallest keys, in no particular order.
pub(super) fn smallest(mut keys: Vec<u128>, count: usize) -> Vec<u32> {
    if count < keys.len() {
        keys.select_nth_unstable(count);
        keys.truncate(count);
    }
    keys.into_iter().map(index).collect()
}

fn row_keys(scores: &[f32], row: usize, blocks: Blocks) -> impl Iterator<Item = u128> {
    scores.iter().enumerate().map(move |(column, &score)| key(score, row, column, blocks, column))
}

/// A number that falls as the score rises; both zeros are one.
fn descending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    // Ascending in the score: negative ones reversed, positive ones above them.
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

/// 32 well mixed bits of a place.
fn hash(row: usize, column: usize) -> u32 {
    let x = (row as u64) << 32 | column as u64;
    (mixed(x.wrapping_add(0x9e37_79b9_7f4a_7c15)) >> 32) as u32
}
