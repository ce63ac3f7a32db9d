//! From what a policy selects to the map that is used: allowed levels, forced keeps, the floor, and the density asked for.
//!
//! Order: levels that may not be used become the next finer ones that may; what is forced becomes level 1 (a first frame,
//! text, own blocks, the best of a row); what is still skipped, or coarser than the floor, gets the floor. A requested density
//! is met after all that, per call, as the mean over its heads: the floor and the keeps are paid out of it. Source:
//! methods.md §6.7.

use candle_core::{DType, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::keep::{self, Keeps};
use tessera_kernels::levels::{FULL, LevelMap, SKIPPED};
use tessera_kernels::order::Order;
use tessera_models::attention::Sequence;

use super::levels::Levels;
use super::options::Keep;
use super::policy::{Knob, Prepared};
use crate::Result;

/// Selections that are tried to meet a density.
const TRIES: usize = 12;
/// A density is met within this share of it.
const CLOSE: f64 = 0.01;

/// What is done to every map of a layer.
#[derive(Debug, Clone)]
pub struct Rules {
    levels: Levels,
    floor: u8,
    keeps: Keeps,
    /// Tokens at the start of the model's sequence that everybody sees in full: text, and the first frame when kept.
    sink: usize,
    /// Key blocks that hold any of them: one list for all heads, or one a head; empty when there are none.
    sinks: Vec<Vec<bool>>,
    blocks: Blocks,
}

impl Rules {
    /// The rules over a sequence whose tokens stand in `orders` (one for all heads or one a head), text last.
    pub fn new(
        (levels, floor, keep): (Levels, u8, Keep),
        sequence: &Sequence,
        orders: &[Order],
        blocks: Blocks,
    ) -> Self {
        let video = sequence.grid.tokens();
        let frame = if keep.first_frame { sequence.grid.rows * sequence.grid.cols } else { 0 };
        let rules = Self {
            levels,
            floor,
            keeps: Keeps {
                own: keep.own || keep.radius > 0,
                radius: keep.radius,
                sink: 0..0,
                full_rows: video..video + sequence.text_tokens,
                least_full: (keep.least_full * blocks.columns() as f64 - 1e-9).ceil() as usize,
            },
            sink: sequence.text_tokens + frame,
            sinks: Vec::new(),
            blocks,
        };
        let sinks = orders.iter().map(|order| rules.sink(order.tokens().iter().copied()));
        Self { sinks: if rules.sink > 0 { sinks.collect() } else { Vec::new() }, ..rules }
    }

    /// The rules where the keys of each head stand in an order of their own, `keys`, behind the layer's `orders`.
    #[must_use]
    pub fn with_keys(&self, orders: &[Order], keys: &[Order]) -> Self {
        let of_head = |(head, keys): (usize, &Order)| {
            let order = orders.get(head).or(orders.first())?.tokens();
            Some(self.sink(keys.tokens().iter().map(|place| order[*place as usize])))
        };
        let sinks = keys.iter().enumerate().filter_map(of_head);
        Self { sinks: if self.sink > 0 { sinks.collect() } else { Vec::new() }, ..self.clone() }
    }

    /// The key blocks that hold tokens of the sink, from the token at each position.
    fn sink(&self, tokens: impl Iterator<Item = u32>) -> Vec<bool> {
        let mut columns = vec![false; self.blocks.columns()];
        for (position, token) in tokens.enumerate() {
            columns[position / self.blocks.key_block] |= (token as usize) < self.sink;
        }
        columns
    }

    /// The map that is used in place of the selected one. `scores [B, H, rows, columns]` are what it was selected by;
    /// without any, the blocks nearest to a row's own place count as its best.
    pub fn apply(&self, map: &LevelMap, scores: Option<&Tensor>) -> Result<LevelMap> {
        let (rows, columns) = (self.blocks.rows(), self.blocks.columns());
        let (_, heads) = map.heads();
        let mut levels = map.to_vec()?;
        for (index, levels) in levels.chunks_mut(rows * columns).enumerate() {
            let sink = match self.sinks.as_slice() {
                [] => None,
                [one] => Some(one),
                each => each.get(index % heads),
            };
            for (place, level) in levels.iter_mut().enumerate() {
                *level = self.levels.nearest(*level);
                if self.floor > SKIPPED {
                    *level = (*level).min(self.floor);
                }
                if sink.is_some_and(|sink| sink[place % columns]) {
                    *level = FULL;
                }
            }
        }
        let shape = map.levels().dims();
        let map =
            LevelMap::new(Tensor::from_vec(levels, shape, map.levels().device())?, self.blocks)?;
        let nearest;
        let scores = match scores {
            None if self.keeps.least_full > 0 => {
                nearest = Tensor::zeros(shape, DType::F32, map.levels().device())?;
                Some(&nearest)
            }
            scores => scores,
        };
        Ok(keep::apply(&self.keeps, &map, scores)?.with_floor(self.floor)?)
    }

    /// The exact density of a map in which nothing was selected: no request can go below it.
    pub fn least_density(&self) -> Result<f64> {
        let heads = self.sinks.len().max(1);
        let nothing = LevelMap::filled(SKIPPED, (1, heads), self.blocks)?;
        Ok(self.apply(&nothing, None)?.density()?.exact)
    }
}

/// The map of a call: the policy's own choice, or the one whose density is nearest to what was asked for.
pub fn choose(prepared: &Prepared<'_>, density: Option<f64>, rules: &Rules) -> Result<LevelMap> {
    let scores = prepared.scores.as_ref();
    let map = |knob| rules.apply(&(prepared.select)(knob)?, scores);
    let Some(wanted) = density else { return map(Knob::Preset) };
    if wanted >= 1.0 {
        return map(Knob::Keep(1.0));
    }
    let (mut low, mut high) = (0.0, 1.0);
    let mut best: Option<(f64, LevelMap)> = None;
    for _ in 0..TRIES {
        let keep = f64::midpoint(low, high);
        let tried = map(Knob::Keep(keep))?;
        let got = tried.density()?.exact;
        let missed = (got - wanted).abs();
        if best.as_ref().is_none_or(|(least, _)| missed < *least) {
            best = Some((missed, tried));
        }
        if missed <= CLOSE * wanted {
            break;
        }
        if got < wanted {
            low = keep;
        } else {
            high = keep;
        }
    }
    match best {
        Some((_, map)) => Ok(map),
        None => map(Knob::Preset),
    }
}
