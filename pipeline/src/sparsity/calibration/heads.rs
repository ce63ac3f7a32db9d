//! The second look: of each head, now that its order is known, the masses of its blocks, how far it looks, and what static
//! patterns do to its output.

use candle_core::{Result, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::density;
use tessera_models::attention::Sequence;

use super::orders::Sight;
use super::probabilities::each_row;
use super::{MassMap, PatternFacts};
use crate::sparsity::Cells;
use crate::sparsity::geometry::{Entries, distance, level};
use crate::sparsity::patterns::{Pattern, stripes};
use crate::sparsity::probe::spread;
use crate::sparsity::sampled::Sums;

/// Densities at which patterns are tried.
const DENSITIES: [f32; 8] = [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65];
/// Queries of a call that the patterns' errors rest on.
const ROWS: usize = 64;
/// The mass that a span must hold.
const MASS: f64 = 0.95;

/// A pattern at one width, for one head.
#[derive(Debug, Clone)]
struct Trial {
    facts: PatternFacts,
    entries: Entries,
}

/// Every pattern at every density that changes it, for a head with these stripes; `fixed` are the entries of the patterns
/// that are the same for all heads, in the model's own order.
fn trials(fixed: &[(Pattern, Entries)], mass: &[f32], blocks: Blocks) -> Vec<Trial> {
    let own = (Pattern::Stripes, stripes(mass, blocks.rows()));
    let mut trials: Vec<Trial> = Vec::new();
    for (pattern, entries) in fixed.iter().chain([&own]) {
        let widths = match pattern {
            Pattern::Full | Pattern::Skip => &[0.0][..],
            _ => &DENSITIES[..],
        };
        let mut before = -1.0;
        for &keep in widths {
            let levels: Vec<u8> = entries.iter().map(|entry| level(*entry <= keep)).collect();
            let density = density(&levels, blocks).exact as f32;
            if density > before {
                before = density;
                let facts =
                    PatternFacts { pattern: pattern.name().into(), keep, density, error: 0.0 };
                trials.push(Trial { facts, entries: Entries::clone(entries) });
            }
        }
    }
    trials
}

/// The entries of every pattern that is the same for all heads.
pub(super) fn fixed(sequence: &Sequence, blocks: Blocks) -> Vec<(Pattern, Entries)> {
    let order = crate::sparsity::Arrangement::RASTER.order(sequence.grid);
    let cells = Cells::all(sequence.grid, blocks);
    let entries = |pattern: Pattern| Some((pattern, pattern.entries(cells, order.as_ref()?)?));
    Pattern::ALL.into_iter().filter_map(entries).collect()
}

/// One head over all calls.
#[derive(Debug)]
pub(super) struct HeadMasses {
    sequence: Sequence,
    blocks: Blocks,
    /// Sums over calls of each block's mass, in the head's order; one map for each group of timesteps, and its calls.
    groups: Vec<(Vec<f32>, f32)>,
    /// Queries that were looked at in each query block, in the head's order.
    counts: Vec<f32>,
    /// Mass at each distance in key blocks, in the model's own order.
    spans: Vec<f64>,
    /// Mass at each distance in frames.
    frames: Vec<f64>,
    trials: Vec<Trial>,
    /// Sums of ‖O' − O‖² of each trial, and of ‖O‖².
    errors: (Vec<f64>, f64),
}

impl HeadMasses {
    /// A head with `columns` the stripes that the first look found.
    pub(super) fn new(
        sequence: Sequence,
        groups: usize,
        fixed: &[(Pattern, Entries)],
        columns: &[f32],
    ) -> Self {
        let blocks = Blocks::of(sequence.tokens());
        let trials = trials(fixed, columns, blocks);
        Self {
            sequence,
            blocks,
            groups: vec![(vec![0.0; blocks.rows() * blocks.columns()], 0.0); groups],
            counts: vec![0.0; blocks.rows()],
            spans: vec![0.0; blocks.columns()],
            frames: vec![0.0; sequence.grid.frames.max(1)],
            errors: (vec![0.0; trials.len()], 0.0),
            trials,
        }
    }

    /// Adds one call of a group of timesteps; q, k and v `[S, D]`, in the model's own order. `own` is that order, `chosen` the head's.
    pub(super) fn look(
        &mut self,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        scale: f32,
        (own, chosen): (&Sight, &Sight),
        (queries, group, seed): (&[u32], usize, u64),
    ) -> Result<()> {
        let (blocks, columns) = (self.blocks, self.blocks.columns());
        let Some((mass, calls)) = self.groups.get_mut(group) else { return Ok(()) };
        *calls += 1.0;
        self.counts.fill(0.0);
        let grid = self.sequence.grid;
        let frame = (grid.rows * grid.cols).max(1);
        let text = self.sequence.text_tokens;
        each_row((q, k), queries, scale, |query, row| {
            let at = chosen.row(query, blocks);
            self.counts[at] += 1.0;
            let mass = &mut mass[at * columns..][..columns];
            for (mass, entries) in mass.iter_mut().zip(chosen.blocks(row, blocks.key_block)) {
                *mass += entries.sum::<f32>();
            }
            let at = own.row(query, blocks);
            for (column, entries) in own.blocks(row, blocks.key_block).enumerate() {
                self.spans[distance(blocks, at, column)] += f64::from(entries.sum::<f32>());
            }
            let Some(place) = (query as usize).checked_sub(text) else { return };
            for (other, entries) in row[text..].chunks(frame).enumerate() {
                let far = (place / frame).abs_diff(other);
                self.frames[far] += f64::from(entries.iter().sum::<f32>());
            }
        })?;
        self.try_patterns((q, k, v), scale, own, seed)
    }

    /// Adds what every pattern does to the output of some queries. Patterns are maps over the positions of the model's own
    /// order with text last.
    fn try_patterns(
        &mut self,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        scale: f32,
        own: &Sight,
        seed: u64,
    ) -> Result<()> {
        let (blocks, columns) = (self.blocks, self.blocks.columns());
        let place = own.order.tensor(q.device())?;
        let ordered = |x: &Tensor| x.contiguous()?.index_select(&place, 0);
        let queries = spread(blocks.queries, ROWS, seed);
        let operands = (&ordered(q)?, &ordered(k)?, &ordered(v)?);
        let sums = Sums::new(operands, &queries, scale, blocks)?;
        let mut kept = Vec::with_capacity(queries.len() * self.trials.len() * columns);
        for &query in &queries {
            let row = query as usize / blocks.query_block * columns;
            for Trial { facts, entries } in &self.trials {
                let row = entries[row..][..columns].iter();
                kept.extend(row.map(|entry| f32::from(level(*entry <= facts.keep))));
            }
        }
        let shape = (queries.len(), self.trials.len(), columns);
        let (errors, norm) = sums.errors(&Tensor::from_vec(kept, shape, q.device())?)?;
        for (sum, error) in self.errors.0.iter_mut().zip(errors) {
            *sum += f64::from(error);
        }
        self.errors.1 += f64::from(norm);
        Ok(())
    }

    /// The mean mass of each block, for each group; a group without calls has its nearest neighbour's.
    pub(super) fn masses(&self) -> Vec<MassMap> {
        let columns = self.blocks.columns();
        let mean = |(mass, calls): &(Vec<f32>, f32)| {
            let scale = |place: usize| (calls * self.counts[place / columns]).max(1.0);
            let of = |(place, mass): (usize, &f32)| mass / scale(place);
            MassMap::new(&mass.iter().enumerate().map(of).collect::<Vec<_>>())
        };
        let seen: Vec<usize> =
            (0..self.groups.len()).filter(|group| self.groups[*group].1 > 0.0).collect();
        let nearest = |group: usize| seen.iter().copied().min_by_key(|seen| seen.abs_diff(group));
        (0..self.groups.len())
            .map(|group| mean(&self.groups[nearest(group).unwrap_or(group)]))
            .collect()
    }

    /// The mass within d key blocks, for each d.
    pub(super) fn spans(&self) -> Vec<f32> {
        cumulated(&self.spans)
    }

    /// Frames on each side that hold 95 % of the mass, as if it were even within a frame.
    pub(super) fn span_frames(&self) -> f32 {
        let within = cumulated(&self.frames);
        let Some(far) = within.iter().position(|mass| f64::from(*mass) >= MASS) else { return 0.0 };
        if far == 0 {
            return 0.0;
        }
        let (below, above) = (f64::from(within[far - 1]), f64::from(within[far]));
        ((far - 1) as f64 + (MASS - below) / (above - below).max(1e-9)) as f32
    }

    /// The patterns with their errors.
    pub(super) fn patterns(&self) -> Vec<PatternFacts> {
        let norm = self.errors.1.max(f64::MIN_POSITIVE);
        let fact = |(trial, error): (&Trial, &f64)| PatternFacts {
            error: (error / norm) as f32,
            ..trial.facts.clone()
        };
        self.trials.iter().zip(&self.errors.0).map(fact).collect()
    }
}

/// Running sums, of which the last is 1.
fn cumulated(parts: &[f64]) -> Vec<f32> {
    let all = parts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let mut sum = 0.0;
    let add = |part: &f64| {
        sum += part / all;
        sum as f32
    };
    parts.iter().map(add).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Arrangement;
    use crate::sparsity::calibration::probabilities::queries;

    const SEQUENCE: Sequence = Sequence {
        grid: Grid { frames: 6, rows: 8, cols: 16 },
        text_tokens: 0,
        heads: 1,
        layers: 1,
    };
    const TOKENS: usize = 768;

    /// A head that looks at its own frame alone, sharply.
    fn look(groups: usize, steps: &[usize]) -> HeadMasses {
        let blocks = Blocks::of(TOKENS);
        let one_hot =
            |token: usize| (0..8).map(move |axis| f32::from(u8::from(token / 128 == axis)));
        let x: Vec<f32> = (0..TOKENS).flat_map(one_hot).collect();
        let x = Tensor::from_vec(x, (TOKENS, 8), &Device::Cpu).unwrap();
        let v = Tensor::randn(0.0f32, 1.0, (TOKENS, 8), &Device::Cpu).unwrap();
        let fixed = fixed(&SEQUENCE, blocks);
        let mut head = HeadMasses::new(SEQUENCE, groups, &fixed, &vec![1.0; blocks.columns()]);
        let own = Sight::new(Arrangement::RASTER, &SEQUENCE).unwrap();
        let chosen = Sight::new("hwf".parse().unwrap(), &SEQUENCE).unwrap();
        let all = queries(TOKENS);
        for &group in steps {
            head.look((&x, &x, &v), 20.0, (&own, &chosen), (&all, group, 1)).unwrap();
        }
        head
    }

    #[test]
    fn a_head_that_sees_its_own_frame() {
        let head = look(2, &[0, 1, 1]);
        // A frame is two key blocks, a query block is a frame: its own blocks hold everything.
        assert!(head.spans().iter().all(|mass| (mass - 1.0).abs() < 1e-4));
        assert!(head.span_frames() < 1e-3, "{}", head.span_frames());
        let patterns = head.patterns();
        let error = |name: &str, density: f32| {
            let of = |facts: &&PatternFacts| facts.pattern == name && facts.density >= density;
            patterns.iter().find(of).unwrap().error
        };
        assert!(error("diagonal", 0.15) < 1e-6, "{patterns:?}");
        assert!((error("skip", 0.0) - 1.0).abs() < 1e-5 && error("full", 0.0) < 1e-9);
        assert!(error("stripes", 0.1) > 0.5, "stripes see other frames");
        assert!(patterns.iter().all(|facts| facts.error.is_finite()));
        // In the transposed order a frame's tokens are spread over all blocks evenly.
        let masses = head.masses();
        assert_eq!(masses.len(), 2);
        let columns = 12.0;
        assert!(masses[0].to_vec().iter().all(|mass| (mass * columns - 1.0).abs() < 0.1));
    }

    #[test]
    fn a_group_that_was_not_looked_at_has_its_neighbours_masses() {
        let head = look(4, &[1]);
        let masses = head.masses();
        assert!(masses.iter().all(|mass| *mass == masses[1]) && masses[1].codes()[0] > 0);
    }

    #[test]
    fn trials_grow_and_end_with_what_changes_nothing() {
        let blocks = Blocks::of(TOKENS);
        let trials = trials(&fixed(&SEQUENCE, blocks), &vec![1.0; blocks.columns()], blocks);
        for pattern in Pattern::ALL {
            let own = trials.iter().filter(|trial| trial.facts.pattern == pattern.name());
            let densities: Vec<f32> = own.map(|trial| trial.facts.density).collect();
            assert!(!densities.is_empty() && densities.is_sorted_by(|a, b| a < b), "{pattern}");
        }
    }
}
