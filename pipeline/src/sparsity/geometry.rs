//! Static patterns: a rule on the places of two tokens becomes a block map, the same for every call of a clip.
//!
//! A rule says of a query and a key how wide the pattern must be for the pair to be in it: its *entry*, the smallest
//! [`Knob::Keep`] that holds it, 0 to 1, with the preset at a half. The entry of a block is taken from its pairs by a
//! [`Coverage`], and the map at any width is the blocks that have entered, so that wider never means less. A query block's
//! own key blocks have entered at 0, as has every block with text in it (methods.md §6.7). Work: one rule a pair of
//! tokens, of all pairs up to 2²⁵, of an even sample of each block above; once a clip and order, on all cores.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::{FULL, LevelMap, SKIPPED};
use tessera_kernels::order::Order;

use super::arrangement::volume;
use super::{Cells, Knob, Outline, Prepared, View};
use crate::Result;

/// Pairs of tokens that are looked at in one map.
const PAIRS: usize = 1 << 25;
/// Orders whose patterns are kept; plans use eight.
const MOST_ORDERS: usize = 16;

/// A video token as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Frame, row, column.
    pub(crate) place: [usize; 3],
    /// Its number in the model's own order.
    pub(crate) raster: usize,
}

/// When a pair of blocks is in, given when its pairs of tokens are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Coverage {
    /// When at least this share of its pairs is.
    Share(f32),
    /// When more than 60 % of the keys that any query sees are seen by more than a third of the queries (Radial).
    Columns,
}

/// The entries of one map `[rows, columns]`, row-major; of each n-th row for a sample ([`Cells`]).
pub(crate) type Entries = Arc<[f32]>;

/// The entries of a rule over the blocks of a clip in `order` (its video tokens; what stands behind them is text).
pub(crate) fn entries(
    cells: Cells,
    order: &Order,
    coverage: Coverage,
    rule: impl Fn(&Token, &Token) -> f32 + Sync,
) -> Entries {
    let Cells { grid, blocks, .. } = cells;
    let volume = volume(grid);
    let token = |&raster: &u32| {
        let raster = raster as usize;
        Token { place: volume.place(raster), raster }
    };
    let tokens: Vec<Token> = order.tokens().iter().take(grid.tokens()).map(token).collect();
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let pairs = PAIRS / (rows * columns).max(1);
    // Twice as many queries as keys, as blocks have them.
    let keys = ((pairs as f64 / 2.0).sqrt() as usize).max(2).min(blocks.key_block);
    let queries = (pairs / keys).max(4).min(blocks.query_block);
    let sampled_keys: Vec<Option<Vec<&Token>>> =
        (0..columns).map(|column| sample(blocks.key_range(column), keys, &tokens)).collect();
    let mut entries = vec![0.0; cells.rows().len() * columns];
    entries.par_chunks_mut(columns).enumerate().for_each(|(place, entries)| {
        let row = place * cells.every.max(1);
        let Some(queries) = sample(blocks.query_range(row), queries, &tokens) else { return };
        let own = blocks.own_columns(row);
        let mut pairs = Vec::with_capacity(queries.len() * keys);
        for (column, keys) in sampled_keys.iter().enumerate() {
            let Some(keys) = keys else { continue };
            if own.contains(&column) {
                continue;
            }
            pairs.clear();
            // Key by key, so that each key's queries lie together.
            pairs.extend(keys.iter().flat_map(|key| queries.iter().map(|query| rule(query, key))));
            entries[column] = coverage.of(&mut pairs, queries.len()).clamp(0.0, 1.0);
        }
    });
    entries.into()
}

/// At most `count` of the tokens at `range`, one from each of as many even parts; `None` when there is text among them.
///
/// Where in its part a token is taken follows the golden ratio: a fixed place would step with the grid's rows.
fn sample(range: std::ops::Range<usize>, count: usize, tokens: &[Token]) -> Option<Vec<&Token>> {
    let tokens = tokens.get(range)?;
    let count = count.min(tokens.len());
    let place = |part: usize| {
        let within = (part as f64 * 0.618_033_988_75).fract();
        ((part as f64 + within) * tokens.len() as f64 / count as f64) as usize
    };
    Some((0..count).filter_map(|part| tokens.get(place(part))).collect())
}

impl Coverage {
    /// The entry of a block from those of its pairs, `queries` to a key.
    fn of(self, pairs: &mut [f32], queries: usize) -> f32 {
        match self {
            Self::Share(share) => {
                let enough = (share * pairs.len() as f32).ceil() as usize;
                nth(pairs, enough.saturating_sub(1))
            }
            Self::Columns => {
                let third = queries / 3; // the first queries / 3 + 1 are more than a third
                let mut seen: Vec<f32> = Vec::new();
                let mut well_seen: Vec<f32> = Vec::new();
                for key in pairs.chunks_mut(queries.max(1)) {
                    well_seen.push(nth(key, third));
                    seen.push(key.iter().copied().fold(f32::INFINITY, f32::min));
                }
                seen.sort_by(f32::total_cmp);
                well_seen.sort_by(f32::total_cmp);
                // Once in, a block stays, though more of its keys may then be seen by a few queries.
                let is_enough = |(count, at): (usize, &f32)| {
                    (count + 1) as f32 > 0.6 * seen.partition_point(|seen| seen <= at) as f32
                };
                let first = well_seen.iter().enumerate().position(is_enough);
                first.map_or(1.0, |first| well_seen[first])
            }
        }
    }
}

/// The element that would stand at `place` if they were sorted.
fn nth(values: &mut [f32], place: usize) -> f32 {
    let last = values.len().saturating_sub(1);
    match values {
        [] => 1.0,
        values => *values.select_nth_unstable_by(place.min(last), f32::total_cmp).1,
    }
}

/// Key blocks from the nearest of the query block's own to this one.
pub(crate) fn distance(blocks: Blocks, row: usize, column: usize) -> usize {
    let own = blocks.own_columns(row);
    own.start.saturating_sub(column).max((column + 1).saturating_sub(own.end))
}

/// Entries replaced by the share of blocks that enter no later: the knob then is the density.
pub(crate) fn by_rank(entries: &[f32]) -> Entries {
    let mut sorted = entries.to_vec();
    sorted.sort_by(f32::total_cmp);
    let count = sorted.len().max(1) as f32;
    let share = |entry: &f32| match *entry {
        0.0 => 0.0,
        entry => sorted.partition_point(|other| *other <= entry) as f32 / count,
    };
    entries.iter().map(share).collect()
}

/// The knob at which a quantity that grows with it reaches `share`: evenly from 0 to `preset` at a half, then to 1.
pub(crate) fn knob_at(share: f32, preset: f32) -> f32 {
    let knob = if share <= 0.0 {
        0.0
    } else if share <= preset {
        0.5 * share / preset
    } else {
        0.5 + 0.5 * (share - preset) / (1.0 - preset)
    };
    knob.clamp(0.0, 1.0)
}

/// A rule's entries in every order that it was asked for in; a policy keeps them from call to call.
#[derive(Default)]
pub(crate) struct Known(Mutex<Vec<(Key, Entries)>>);

/// What entries depend on besides the rule.
type Key = (Cells, Order);

impl fmt::Debug for Known {
    /// What was made so far is no part of what a policy is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl Known {
    /// The entries for each order of a clip, made by `make` where they are new.
    pub(crate) fn entries(
        &self,
        outline: &Outline<'_>,
        make: impl Fn(&Order) -> Entries,
    ) -> Vec<Entries> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |order: &Order| {
            let is_it =
                |((cells, known), _): &&(Key, Entries)| *cells == outline.cells && known == order;
            if let Some((_, entries)) = known.iter().find(is_it) {
                return Arc::clone(entries);
            }
            let made = make(order);
            if known.len() >= MOST_ORDERS {
                known.clear();
            }
            known.push(((outline.cells, order.clone()), Arc::clone(&made)));
            made
        };
        outline.orders.iter().map(of).collect()
    }
}

/// Entries on devices, by where they are on the host; forgotten when they are.
static THERE: Mutex<Vec<(Weak<[f32]>, Tensor)>> = Mutex::new(Vec::new());

/// Entries as a tensor `[1, 1, rows, columns]`, on the device from their first use on.
pub(crate) fn tensor(entries: &Entries, blocks: Blocks, device: &Device) -> Result<Tensor> {
    let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
    // Entries that are alive are where they were, and nothing else is.
    there.retain(|(owner, _)| owner.strong_count() > 0);
    let is_it = |(owner, tensor): &&(Weak<[f32]>, Tensor)| {
        std::ptr::eq(owner.as_ptr(), Arc::as_ptr(entries)) && tensor.device().same_device(device)
    };
    if let Some((_, tensor)) = there.iter().find(is_it) {
        return Ok(tensor.clone());
    }
    let shape = (1, 1, blocks.rows(), blocks.columns());
    let tensor = Tensor::from_slice(entries, shape, device)?;
    there.push((Arc::downgrade(entries), tensor.clone()));
    Ok(tensor)
}

/// What a policy of a static pattern answers: the blocks that have entered by the knob. `entries` are one map for all
/// heads, one for each, or one for each of each sample.
pub(crate) fn prepared<'a>(view: &View<'_>, entries: &[Entries]) -> Result<Prepared<'a>> {
    let of = |entries: &Entries| tensor(entries, view.blocks, view.q.device());
    let entries = Tensor::cat(&entries.iter().map(of).collect::<Result<Vec<_>>>()?, 1)?;
    let (batch, heads, _, _) = view.q.dims4()?;
    let (_, maps, rows, columns) = entries.dims4()?;
    let shape = if maps == batch * heads { (batch, heads) } else { (1, maps) };
    by_entries(view, entries.reshape((shape.0, shape.1, rows, columns))?)
}

/// The same from entries `[B or 1, H or 1, rows, columns]` F32: the map is where they are.
pub(crate) fn by_entries<'a>(view: &View<'_>, entries: Tensor) -> Result<Prepared<'a>> {
    let (batch, heads, _, _) = view.q.dims4()?;
    let blocks = view.blocks;
    Ok(Prepared {
        scores: None,
        lse: None,
        key_order: None,
        select: Box::new(move |knob| {
            let entered = entries.le(keep(knob))?;
            Ok(LevelMap::marked(&entered, (batch, heads), blocks)?)
        }),
    })
}

/// Share of the blocks that have entered at the preset, over all maps.
pub(crate) fn density(entries: &[Entries]) -> f64 {
    let count = entries.iter().map(|entries| entries.len()).sum::<usize>();
    let preset = keep(Knob::Preset);
    let entered = entries.iter().flat_map(|entries| entries.iter()).filter(|at| **at <= preset);
    entered.count() as f64 / count.max(1) as f64
}

/// A knob as a number: the preset is a half.
pub(crate) fn keep(knob: Knob) -> f32 {
    match knob {
        Knob::Preset => 0.5,
        Knob::Keep(keep) => keep as f32,
    }
}

/// Full or skipped.
pub(crate) fn level(is_in: bool) -> u8 {
    if is_in { FULL } else { SKIPPED }
}

#[cfg(test)]
mod tests;
