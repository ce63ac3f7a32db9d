//! From what a policy selects to the map that is used: allowed levels, forced keeps, the floor, and the density asked for.
//!
//! Order: levels that may not be used become the next finer ones that may; what is forced becomes level 1 (a first frame,
//! text, own blocks, the best of a row); what is still skipped, or coarser than the floor, gets the floor. A requested density
//! is met after all that, per call, as the mean over its heads: the floor and the keeps are paid out of it. Source:
//! methods.md §6.7.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::keep::{self, Keeps};
use tessera_kernels::levels::{LevelMap, SKIPPED};
use tessera_kernels::order::Order;
use tessera_models::attention::Sequence;

use super::levels::{DEEPEST, Levels};
use super::options::Keep;
use super::policy::{Knob, Prepared};
use crate::Result;

/// Selections that are tried to meet a density: guesses from those before (the Illinois rule), as each has to be read from a GPU,
/// and then halvings, which come as near as there is whatever steps the density makes.
const GUESSES: usize = 6;
const HALVINGS: usize = 12;
const TRIES: usize = GUESSES + HALVINGS;
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
    sinks: Vec<Vec<u8>>,
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
    fn sink(&self, tokens: impl Iterator<Item = u32>) -> Vec<u8> {
        let mut columns = vec![0; self.blocks.columns()];
        for (position, token) in tokens.enumerate() {
            columns[position / self.blocks.key_block] |= u8::from((token as usize) < self.sink);
        }
        columns
    }

    /// The map that is used in place of the selected one, on the same device. `scores [B, H, rows, columns]` are what it was
    /// selected by; without any, the blocks nearest to a row's own place count as its best.
    pub fn apply(&self, map: &LevelMap, scores: Option<&Tensor>) -> Result<LevelMap> {
        let mut map = map.relabelled(&self.allowed())?;
        if !self.sinks.is_empty() {
            let shape = (1, self.sinks.len(), 1, self.blocks.columns());
            let sinks = Tensor::from_vec(self.sinks.concat(), shape, &Device::Cpu)?;
            map = map.with_full(&sinks)?;
        }
        let nearest;
        let scores = match scores {
            None if self.keeps.least_full > 0 => {
                let levels = map.levels();
                nearest = Tensor::zeros(levels.shape(), DType::F32, levels.device())?;
                Some(&nearest)
            }
            scores => scores,
        };
        Ok(keep::apply(&self.keeps, &map, scores)?.with_floor(self.floor)?)
    }

    /// The level that is used for each level that a method may select.
    fn allowed(&self) -> Vec<u8> {
        let coarsest = if self.floor > SKIPPED { self.floor } else { DEEPEST };
        (SKIPPED..=DEEPEST).map(|level| self.levels.nearest(level).min(coarsest)).collect()
    }

    /// The exact density of a map in which nothing was selected: no request can go below it.
    pub fn least_density(&self) -> Result<f64> {
        let heads = self.sinks.len().max(1);
        let nothing = LevelMap::filled(SKIPPED, (1, heads), self.blocks)?;
        Ok(self.apply(&nothing, None)?.density()?.exact)
    }
}

/// The map of a call: the policy's own choice, or the one whose density is nearest to what was asked for, as the mean over
/// all heads but the `dense` ones, which will be seen in full.
pub fn choose(
    prepared: &Prepared<'_>,
    density: Option<f64>,
    rules: &Rules,
    dense: &[usize],
) -> Result<LevelMap> {
    let scores = prepared.scores.as_ref();
    let map = |knob| rules.apply(&(prepared.select)(knob)?, scores);
    let Some(wanted) = density else { return map(Knob::Preset) };
    if wanted >= 1.0 {
        return map(Knob::Keep(1.0));
    }
    let density = |map: &LevelMap| -> Result<f64> {
        let (_, heads) = map.heads();
        let all = map.densities()?.into_iter().enumerate();
        let counted: Vec<f64> = all
            .filter(|(index, _)| dense.len() >= heads || !dense.contains(&(index % heads)))
            .map(|(_, density)| density.exact)
            .collect();
        Ok(counted.iter().sum::<f64>() / counted.len().max(1) as f64)
    };
    // What the ends give is not tried before it is needed: nothing and everything.
    let mut low = Tried { keep: 0.0, missed: -wanted };
    let mut high = Tried { keep: 1.0, missed: 1.0 - wanted };
    let mut was_below = None;
    let mut best: Option<(f64, LevelMap)> = None;
    for attempt in 0..=TRIES {
        let keep = match (attempt, low.keep > 0.0, high.keep < 1.0) {
            (TRIES, true, true) => break,
            // Halving never reaches the ends, and an end may be the nearest there is.
            (TRIES, false, _) => low.keep,
            (TRIES, _, false) => high.keep,
            (..GUESSES, ..) => low.towards(high),
            _ => f64::midpoint(low.keep, high.keep),
        };
        let tried = map(Knob::Keep(keep))?;
        let got = density(&tried)?;
        let missed = (got - wanted).abs();
        if best.as_ref().is_none_or(|(least, _)| missed < *least) {
            best = Some((missed, tried));
        }
        if missed <= CLOSE * wanted {
            break;
        }
        let is_below = got < wanted;
        let (end, other) = if is_below { (&mut low, &mut high) } else { (&mut high, &mut low) };
        *end = Tried { keep, missed: got - wanted };
        if was_below.replace(is_below) == Some(is_below) {
            other.missed /= 2.0; // or that end would stay, and the other creep
        }
    }
    match best {
        Some((_, map)) => Ok(map),
        None => map(Knob::Preset),
    }
}

/// A knob, and how far its density was from the one that is wanted.
#[derive(Debug, Clone, Copy)]
struct Tried {
    keep: f64,
    missed: f64,
}

impl Tried {
    /// The knob between this and a higher one where a straight line meets the density; not at their very ends, so that what lies
    /// between always shrinks.
    fn towards(self, high: Self) -> f64 {
        let share = -self.missed / (high.missed - self.missed);
        let share = if share.is_finite() { share.clamp(0.02, 0.98) } else { 0.5 };
        self.keep + share * (high.keep - self.keep)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Arrangement;

    /// Two frames of 8 × 16 tokens, ten text tokens: 266 tokens, 3 × 5 blocks.
    const GRID: Grid = Grid { frames: 2, rows: 8, cols: 16 };

    fn rules(levels: &str, floor: u8, keep: Keep, text: usize, order: Arrangement) -> Rules {
        let sequence = Sequence { grid: GRID, text_tokens: text, heads: 1, layers: 1 };
        let orders = [order.order(GRID).unwrap().then_text(text)];
        let blocks = Blocks::of(sequence.tokens());
        Rules::new((levels.parse().unwrap(), floor, keep), &sequence, &orders, blocks)
    }

    fn applied(rules: &Rules, levels: &[u8], scores: Option<&Tensor>) -> Vec<u8> {
        let map = LevelMap::from_vec(levels.to_vec(), (1, 1), rules.blocks).unwrap();
        rules.apply(&map, scores).unwrap().to_vec().unwrap()
    }

    #[test]
    fn levels_keeps_and_floor_are_applied_in_their_order() {
        let none = Keep::default();
        let selected = [1, 2, 3, 4, 0, 0, 7, 6];
        let raster = Arrangement::RASTER;
        let with = |levels, floor| {
            let sequence = Sequence { grid: GRID, text_tokens: 0, heads: 1, layers: 1 };
            let blocks = Blocks::of(256);
            let orders = [raster.order(GRID).unwrap()];
            let rules = Rules::new((levels, floor, none), &sequence, &orders, blocks);
            applied(&rules, &selected, None)
        };
        assert_eq!(with(Levels::ALL, 0), [1, 2, 3, 4, 0, 0, 7, 6]);
        assert_eq!(with(Levels::ALL, 7), [1, 2, 3, 4, 7, 7, 7, 6]);
        assert_eq!(
            with(Levels::ALL, 3),
            [1, 2, 3, 3, 3, 3, 3, 3],
            "nothing is coarser than the floor"
        );
        assert_eq!(with("1,3".parse().unwrap(), 0), [1, 1, 3, 3, 0, 0, 3, 3]);
        let own = Keep { own: true, ..none };
        let rules = rules("1", 7, own, 10, raster);
        let expected = [[1, 1, 7, 7, 1], [7, 7, 1, 1, 1], [1, 1, 1, 1, 1]].concat();
        assert_eq!(applied(&rules, &[0; 15], None), expected, "text sees and is seen in full");
    }

    #[test]
    fn the_first_frame_is_kept_wherever_an_order_puts_it() {
        let keep = Keep { first_frame: true, ..Keep::default() };
        let of = |order: &str, text| {
            let rules = rules("1", 0, keep, text, order.parse().unwrap());
            let map = applied(&rules, &vec![0; rules.blocks.rows() * rules.blocks.columns()], None);
            map[..rules.blocks.columns()].to_vec()
        };
        assert_eq!(of("raster", 0), [1, 1, 0, 0]);
        assert_eq!(of("raster", 10), [1, 1, 0, 0, 1]);
        // Frame last: every block holds tokens of both frames.
        assert_eq!(of("hwf", 0), [1, 1, 1, 1]);
        // Keys turned by a block: the first frame is in the last block and the first.
        let rules = rules("1", 0, keep, 0, Arrangement::RASTER);
        let turned = Order::new((0..256).map(|place| (place + 64) % 256).collect()).unwrap();
        let turned = rules.with_keys(&[Order::identity(256)], &[turned]);
        assert_eq!(applied(&turned, &[0; 8], None)[..4], [1, 0, 0, 1]);
    }

    #[test]
    fn the_least_density_is_what_floor_and_keeps_cost() {
        let raster = Arrangement::RASTER;
        let least = |floor, keep| rules("1", floor, keep, 0, raster).least_density().unwrap();
        let none = Keep::default();
        assert_eq!(least(0, none), 0.0);
        assert!((least(7, none) - 1.0 / 64.0).abs() < 1e-12);
        let own = Keep { own: true, ..none };
        assert!((least(0, own) - 0.5).abs() < 1e-12);
        assert!((least(7, own) - (0.5 + 0.5 / 64.0)).abs() < 1e-12);
        let best = Keep { least_full: 0.3, ..none };
        assert!((least(0, best) - 0.5).abs() < 1e-12, "two of four blocks are at least 30 %");
    }

    #[test]
    fn a_density_is_met_by_the_nearest_selection_and_everything_by_all() {
        let rules = rules("1", 7, Keep::default(), 0, Arrangement::RASTER);
        let blocks = rules.blocks;
        // The knob keeps that many of the eight blocks, in order.
        let prepared = Prepared {
            scores: None,
            lse: None,
            key_order: None,
            select: Box::new(move |knob| {
                let keep = if let Knob::Keep(keep) = knob { keep } else { 0.25 };
                let levels = (0..8).map(|place| u8::from(f64::from(place) < 8.0 * keep));
                Ok(LevelMap::from_vec(levels.collect(), (1, 1), blocks)?)
            }),
        };
        let got = |wanted| choose(&prepared, wanted, &rules, &[]).unwrap().density().unwrap().exact;
        let of = |full: f64| (full + (8.0 - full) / 64.0) / 8.0;
        assert!((got(None) - of(2.0)).abs() < 1e-12);
        for (wanted, full) in [(0.5, 4.0), (0.55, 4.0), (0.62, 5.0), (0.02, 0.0), (1.0, 8.0)] {
            let got = got(Some(wanted));
            assert!((got - of(full)).abs() < 1e-12, "{got} for {wanted}");
        }
    }

    /// Density = keep², plus the floor: what is read is not the knob, and halving alone would take seven tries.
    #[test]
    fn a_density_is_met_in_few_tries() {
        let rules = rules("1", 7, Keep::default(), 0, Arrangement::RASTER);
        let blocks = Blocks::new(2048 * 128, 64, 128, 64).unwrap();
        let rules = Rules { blocks, ..rules };
        for wanted in [0.9, 0.5, 0.33, 0.15, 0.1] {
            let tries = std::cell::Cell::new(0);
            let prepared = Prepared {
                scores: None,
                lse: None,
                key_order: None,
                select: Box::new(|knob| {
                    tries.set(tries.get() + 1);
                    let Knob::Keep(keep) = knob else { unreachable!() };
                    let full = |row: i32| u8::from(f64::from(row) < 2048.0 * keep * keep);
                    Ok(LevelMap::from_vec((0..2048).map(full).collect(), (1, 1), blocks)?)
                }),
            };
            let map = choose(&prepared, Some(wanted), &rules, &[]).unwrap();
            let got = map.density().unwrap().exact;
            assert!((got - wanted).abs() <= CLOSE * wanted, "{got} for {wanted}");
            assert!(tries.get() <= 5, "{} tries for {wanted}", tries.get());
        }
    }

    #[test]
    fn the_best_of_a_row_are_those_with_the_highest_scores_or_the_nearest() {
        let keep = Keep { least_full: 0.5, ..Keep::default() };
        let rules = rules("1", 0, keep, 0, Arrangement::RASTER);
        let scores = [0.1f32, 0.2, 0.9, 0.8, 0.9, 0.1, 0.2, 0.3];
        let scores = Tensor::from_slice(&scores, (1, 1, 2, 4), &Device::Cpu).unwrap();
        assert_eq!(applied(&rules, &[0; 8], Some(&scores)), [0, 0, 1, 1, 1, 0, 0, 1]);
        assert_eq!(applied(&rules, &[0; 8], None), [1, 1, 0, 0, 0, 0, 1, 1]);
    }
}
