//! The first look: which order suits each head's attention best, and which keys all queries look at.
//!
//! Of each call, for each order: what the output is expected to lose at a quarter of the dense work with `tessera`'s levels;
//! the share of key blocks that carry 95 % of a query block's mass, mean over rows; and of the axis orders PARO's metrics, over tiles of 64 × 64 entries: how many are sparse (nine tenths of the entries below 10⁻³),
//! and how uneven they are (largest over mean entry). Means over calls are what an order is chosen by. Source: methods.md
//! §2.4; the signs and the weight of PARO's choice are our reading of it.

use std::fmt;
use std::str::FromStr;

use candle_core::{Result, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::order::{AxisOrder, Order, permute};
use tessera_models::attention::Sequence;

use super::OrderFacts;
use super::probabilities::each_row;
use crate::sparsity::Arrangement;
use crate::sparsity::policies::expected_loss;

/// The mass that a row's blocks must carry.
const MASS: f32 = 0.95;
/// PARO's tiles, their small entries, how many of them make a tile sparse, and the weight of sparsity in its choice.
const TILE: usize = 64;
const SMALL: f32 = 1e-3;
const SPARSE: f32 = 0.9;
const ALPHA: f32 = 0.5;
/// The density at which losses are compared.
const DENSITY: f64 = 0.25;

/// What an order is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// The least expected squared error of the output at a quarter of the dense work, of the six axis orders, the Hilbert curve
    /// and the Morton order.
    Loss,
    /// The fewest blocks that carry 95 % of the mass, of the same orders.
    Mass,
    /// PARO's metric, of the six axis orders.
    Paro,
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Loss => "loss",
            Self::Mass => "mass",
            Self::Paro => "paro",
        })
    }
}

impl FromStr for OrderBy {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "loss" => Ok(Self::Loss),
            "mass" => Ok(Self::Mass),
            "paro" => Ok(Self::Paro),
            _ => Err(format!("loss, mass or paro, not \"{text}\"")),
        }
    }
}

/// An order that heads are looked at in.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) arrangement: Arrangement,
    /// The token of the model's sequence at each position.
    pub(super) order: Order,
    /// The position of each of those tokens.
    pub(super) position: Order,
}

impl Sight {
    /// `None` for an order that is not one for all heads.
    pub(super) fn new(arrangement: Arrangement, sequence: &Sequence) -> Option<Self> {
        let order = arrangement.order(sequence.grid)?.then_text(sequence.text_tokens);
        Some(Self { arrangement, position: order.inverse(), order })
    }

    /// Every order that is tried, the model's own first.
    pub(super) fn all(sequence: &Sequence) -> Vec<Self> {
        let axes = AxisOrder::ALL.into_iter().map(Arrangement::Axis);
        let curves = [Arrangement::Gilbert, Arrangement::Morton];
        axes.chain(curves).filter_map(|order| Self::new(order, sequence)).collect()
    }

    /// The probabilities of each key block in a query's row.
    pub(super) fn blocks<'a>(
        &'a self,
        row: &'a [f32],
        key_block: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = f32> + 'a> + 'a {
        let blocks = self.order.tokens().chunks(key_block);
        blocks.map(|tokens| tokens.iter().map(|&token| row[token as usize]))
    }

    /// The query block of a token.
    pub(super) fn row(&self, query: u32, blocks: Blocks) -> usize {
        self.position.tokens()[query as usize] as usize / blocks.query_block
    }
}

/// One head's means over calls.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadOrders {
    calls: f32,
    /// Of each order: expected loss, blocks for 95 %, sparse tiles, unevenness.
    sums: Vec<[f32; 4]>,
    /// Mass of each key block in the model's own order, mean over queries.
    columns: Vec<f32>,
}

impl HeadOrders {
    /// Adds one call; q, k and v `[S, D]`.
    pub(super) fn look(
        &mut self,
        [q, k, v]: [&Tensor; 3],
        scale: f32,
        sights: &[Sight],
        (queries, blocks): (&[u32], Blocks),
    ) -> Result<()> {
        let mut tallies: Vec<Tally> = sights.iter().map(|_| Tally::new(blocks)).collect();
        each_row((q, k), queries, scale, |query, row| {
            for (sight, tally) in sights.iter().zip(&mut tallies) {
                tally.add(query, row, sight);
            }
        })?;
        self.calls += 1.0;
        self.sums.resize(sights.len(), [0.0; 4]);
        for ((sums, tally), sight) in self.sums.iter_mut().zip(&tallies).zip(sights) {
            let order = std::slice::from_ref(&sight.order);
            let of = |x: &Tensor| permute(&x.unsqueeze(0)?.unsqueeze(0)?, order);
            let operands = [&of(q)?, &of(k)?, &of(v)?];
            let loss = expected_loss(operands, blocks, scale, DENSITY)?;
            let [sparse, uneven] = tally.tiles();
            for (sum, x) in sums.iter_mut().zip([loss, tally.density(), sparse, uneven]) {
                *sum += x;
            }
        }
        self.columns.resize(blocks.columns(), 0.0);
        if let Some(own) = tallies.first() {
            for (place, mass) in own.mass.iter().enumerate() {
                self.columns[place % blocks.columns()] += mass / queries.len() as f32;
            }
        }
        Ok(())
    }

    /// What each order was judged by.
    pub(super) fn facts(&self, sights: &[Sight]) -> Vec<OrderFacts> {
        let fact = |(sight, sums): (&Sight, &[f32; 4])| {
            let [loss, density95, sparse, uneven] = sums.map(|sum| sum / self.calls.max(1.0));
            let is_axis = matches!(sight.arrangement, Arrangement::Axis(_));
            OrderFacts {
                order: sight.arrangement,
                loss,
                density95,
                sparsity: is_axis.then_some(sparse),
                uniformity: is_axis.then_some(uneven),
            }
        };
        sights.iter().zip(&self.sums).map(fact).collect()
    }

    /// The mass of each key block in the model's own order, times their number.
    pub(super) fn stripes(&self) -> Vec<f32> {
        let scale = self.columns.len() as f32 / self.calls.max(1.0);
        self.columns.iter().map(|mass| mass * scale).collect()
    }
}

/// The best of some orders; of equal ones the first.
pub(super) fn choose(facts: &[OrderFacts], by: OrderBy) -> Option<OrderFacts> {
    let sum = |of: fn(&OrderFacts) -> Option<f32>| {
        facts.iter().filter_map(of).sum::<f32>().max(f32::MIN_POSITIVE)
    };
    let (sparsity, uniformity) = (sum(|facts| facts.sparsity), sum(|facts| facts.uniformity));
    let worth = |facts: &OrderFacts| match by {
        OrderBy::Loss => Some(-facts.loss),
        OrderBy::Mass => Some(-facts.density95),
        OrderBy::Paro => {
            let (sparse, uneven) = (facts.sparsity? / sparsity, facts.uniformity? / uniformity);
            Some(ALPHA * sparse - (1.0 - ALPHA) * uneven)
        }
    };
    let mut best: Option<(f32, &OrderFacts)> = None;
    for (worth, facts) in facts.iter().filter_map(|facts| Some((worth(facts)?, facts))) {
        if best.is_none_or(|(most, _)| worth > most) {
            best = Some((worth, facts));
        }
    }
    best.map(|(_, facts)| *facts)
}

/// One call in one order.
struct Tally {
    blocks: Blocks,
    /// Sums of each block of 128 × 64.
    mass: Vec<f32>,
    /// Of each tile: entries, small ones, the sum and the largest.
    tiles: Vec<[f32; 4]>,
}

impl Tally {
    fn new(blocks: Blocks) -> Self {
        let (rows, columns) = (blocks.rows(), blocks.columns());
        let tiles = blocks.queries.div_ceil(TILE) * columns;
        Self { blocks, mass: vec![0.0; rows * columns], tiles: vec![[0.0; 4]; tiles] }
    }

    fn add(&mut self, query: u32, row: &[f32], sight: &Sight) {
        let columns = self.blocks.columns();
        let mass = &mut self.mass[sight.row(query, self.blocks) * columns..][..columns];
        let tile = sight.position.tokens()[query as usize] as usize / TILE * columns;
        let tiles = &mut self.tiles[tile..][..columns];
        let blocks = sight.blocks(row, self.blocks.key_block);
        for ((mass, tile), entries) in mass.iter_mut().zip(tiles).zip(blocks) {
            let (mut count, mut small, mut sum, mut largest) = (0.0, 0.0, 0.0, 0.0_f32);
            for entry in entries {
                count += 1.0;
                small += f32::from(u8::from(entry < SMALL));
                sum += entry;
                largest = largest.max(entry);
            }
            *mass += sum;
            *tile = [tile[0] + count, tile[1] + small, tile[2] + sum, tile[3].max(largest)];
        }
    }

    /// The share of blocks that carry 95 % of a row's mass, mean over rows.
    fn density(&self) -> f32 {
        let columns = self.blocks.columns();
        let share = |row: &[f32]| {
            let mut sorted = row.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let enough = MASS * sorted.iter().sum::<f32>();
            let mut sum = 0.0;
            let needed = sorted.iter().take_while(|mass| {
                let is_missing = sum < enough;
                sum += **mass;
                is_missing
            });
            needed.count() as f32 / columns as f32
        };
        let rows = self.mass.chunks(columns).map(share);
        rows.sum::<f32>() / self.blocks.rows() as f32
    }

    /// The share of sparse tiles, and the mean of largest over mean entry, of the tiles that were looked at.
    fn tiles(&self) -> [f32; 2] {
        let (mut count, mut sparse, mut uneven) = (0.0, 0.0, 0.0);
        for &[entries, small, sum, largest] in self.tiles.iter().filter(|tile| tile[0] > 0.0) {
            count += 1.0;
            sparse += f32::from(u8::from(small >= SPARSE * entries));
            uneven += if sum > 0.0 { largest * entries / sum } else { 1.0 };
        }
        [sparse, uneven].map(|x: f32| x / f32::max(count, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_kernels::scores::block_mass;
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::calibration::probabilities::queries;

    const SEQUENCE: Sequence = Sequence {
        grid: Grid { frames: 5, rows: 6, cols: 7 },
        text_tokens: 9,
        heads: 1,
        layers: 1,
    };

    /// One head over the tokens of the sequence.
    fn head() -> (Tensor, Tensor) {
        let draw = || Tensor::randn(0.0f32, 1.0, (SEQUENCE.tokens(), 8), &Device::Cpu).unwrap();
        (draw(), draw())
    }

    #[test]
    fn masses_are_the_exact_ones_in_every_order() {
        let (q, k) = head();
        let blocks = Blocks::of(SEQUENCE.tokens());
        let sights = Sight::all(&SEQUENCE);
        assert_eq!(sights.len(), 8);
        for sight in &sights {
            let mut tally = Tally::new(blocks);
            let all = queries(SEQUENCE.tokens());
            each_row((&q, &k), &all, 0.5, |query, row| tally.add(query, row, sight)).unwrap();
            let heads = |x: &Tensor| x.unsqueeze(0).unwrap().unsqueeze(0).unwrap();
            let order = std::slice::from_ref(&sight.order);
            let permuted = [&q, &k].map(|x| permute(&heads(x), order).unwrap());
            let exact = block_mass(&permuted[0], &permuted[1], blocks, 0.5, None).unwrap();
            let exact = exact.mass.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (place, (sum, exact)) in tally.mass.iter().zip(exact).enumerate() {
                let queries = blocks.query_range(place / blocks.columns()).len() as f32;
                assert!((sum / queries - exact).abs() < 1e-5, "{:?}", sight.arrangement);
            }
        }
    }

    #[test]
    fn density_and_tiles_by_hand() {
        let blocks = Blocks::new(2, 8, 1, 2).unwrap();
        let mut tally = Tally::new(blocks);
        // Row 0 needs three of four blocks for 95 %, row 1 one: half of them on average.
        tally.mass = vec![0.5, 0.1, 0.0, 0.4, 0.01, 0.01, 0.97, 0.01];
        assert_eq!(tally.density(), 0.5);
        // Sparse and even; not sparse, its largest entry four times the mean; not looked at.
        tally.tiles = vec![[100.0, 90.0, 1.0, 0.01], [100.0, 89.0, 2.0, 0.08], [0.0; 4]];
        let [sparse, uneven] = tally.tiles();
        assert!((sparse - 0.5).abs() < 1e-6 && (uneven - 2.5).abs() < 1e-6);
    }

    #[test]
    fn choices_by_hand() {
        let facts = |order: &str, density95: f32, sparsity, uniformity| OrderFacts {
            order: order.parse().unwrap(),
            loss: (density95 - 0.35).abs(),
            density95,
            sparsity,
            uniformity,
        };
        let all = [
            facts("fhw", 0.5, Some(0.4), Some(2.0)),
            facts("hwf", 0.3, Some(0.4), Some(9.0)),
            facts("whf", 0.3, Some(0.7), Some(4.0)),
            facts("gilbert", 0.2, None, None),
        ];
        let name = |facts: &[OrderFacts], by| choose(facts, by).unwrap().order.to_string();
        assert_eq!(name(&all, OrderBy::Mass), "gilbert");
        assert_eq!(name(&all, OrderBy::Loss), "hwf");
        assert_eq!(name(&all[..3], OrderBy::Mass), "hwf", "the first of equal ones");
        // 0.4/1.5 − 2/15 = .133 against 0.7/1.5 − 4/15 = .2.
        assert_eq!(name(&all, OrderBy::Paro), "whf");
        assert!(choose(&[], OrderBy::Mass).is_none());
        for by in [OrderBy::Loss, OrderBy::Mass, OrderBy::Paro] {
            assert_eq!(by.to_string().parse::<OrderBy>().unwrap(), by);
        }
    }

    #[test]
    fn a_head_that_looks_at_its_place_wants_the_frames_together() {
        let sequence = Sequence {
            grid: Grid { frames: 8, rows: 8, cols: 8 },
            text_tokens: 0,
            heads: 1,
            layers: 1,
        };
        // Keys are what queries at the same row and column of any frame ask for.
        let features: Vec<f32> = (0..512)
            .flat_map(|token| {
                let (row, column) = (token / 8 % 8, token % 8);
                let turn = |x: usize| (x as f32 * std::f32::consts::TAU / 8.0).sin_cos();
                let ((a, b), (c, d)) = (turn(row), turn(column));
                [a, b, c, d]
            })
            .collect();
        let x = Tensor::from_vec(features, (512, 4), &Device::Cpu).unwrap();
        let sights = Sight::all(&sequence);
        let mut head = HeadOrders::default();
        let all = queries(512);
        for _ in 0..2 {
            head.look([&x, &x, &x], 12.0, &sights, (&all, Blocks::of(512))).unwrap();
        }
        let facts = head.facts(&sights);
        for by in [OrderBy::Loss, OrderBy::Mass, OrderBy::Paro] {
            let best = choose(&facts, by).unwrap().order.to_string();
            assert!(!best.starts_with('f'), "{by}: {best}");
        }
        assert!(facts[0].density95 > 2.0 * facts[2].density95, "{facts:?}");
        let stripes = head.stripes();
        assert!((stripes.iter().sum::<f32>() / 8.0 - 1.0).abs() < 1e-4, "{stripes:?}");
    }
}
