//! What is large of one look: the map, what it was made from, the order; read and painted by the worker.

use tessera_pipeline::palette;
use tessera_pipeline::recording::{Held, Recording};

use super::pixels::Pixels;
use super::subject::{Look, Subject};
use super::walk::Walk;

/// Shares are shown over this many powers of ten below the largest.
pub(crate) const DECADES: f32 = 4.0;
/// Bars of a histogram.
pub(crate) const BARS: usize = 64;

/// Everything of a look that is large.
#[derive(Debug)]
pub(crate) struct Detail {
    /// Of what.
    pub(crate) look: Look,
    /// Levels `[rows, columns]` of the head, full where the call was dense.
    pub(crate) levels: Held<Vec<u8>>,
    /// Those of the step before.
    pub(crate) before: Option<Vec<u8>>,
    /// Attention averaged over blocks.
    pub(crate) attention: Held<Scores>,
    /// What the levels were chosen by.
    pub(crate) scores: Held<Scores>,
    /// The token of the video at each place of queries and keys; −1 is text.
    pub(crate) queries: Vec<i64>,
    /// Of the keys.
    pub(crate) keys: Vec<i64>,
    /// The place among the queries of each token of the video.
    pub(crate) places: Vec<u32>,
    /// What the order is called.
    pub(crate) order: Option<String>,
    /// The order itself, to look at.
    pub(crate) walk: Option<Walk>,
    /// Painted levels.
    pub(crate) map: Option<Pixels>,
    /// Painted changes since the step before.
    pub(crate) changes: Option<Pixels>,
}

/// Numbers of pairs of blocks.
#[derive(Debug)]
pub(crate) struct Scores {
    /// `[rows, columns]`.
    pub(crate) values: Vec<f32>,
    /// Painted.
    pub(crate) pixels: Option<Pixels>,
    /// What is drawn beside it.
    pub(crate) histogram: Histogram,
}

/// How many pairs of blocks have which number, and at which level they are seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    /// Least and most of the scale; powers of ten when logarithmic.
    pub(crate) range: [f32; 2],
    /// Whether the scale is of powers of ten.
    pub(crate) is_log: bool,
    /// Counts of each level 0..=7 in each bar.
    pub(crate) bars: Vec<[u32; 8]>,
    /// Between level and the next coarser one: the number that parts as many blocks as are seen so finely or finer.
    pub(crate) cuts: Vec<(u8, f32)>,
}

impl Detail {
    /// Reads a look; the error is for people.
    pub(super) fn read(
        recording: &Recording,
        subject: &Subject,
        look: Look,
    ) -> Result<Self, String> {
        let (place, head) = (subject.place(look), look.head);
        let blocks = subject.meta.blocks();
        let size = [blocks.columns(), blocks.rows()];
        let map = |look: Look| {
            let held = recording.map(subject.place(look), head).map_err(words)?;
            mapped(held, |map| map.to_vec().map_err(words))
        };
        let levels = map(look)?;
        let before = Subject::before(look).map(map).transpose()?.and_then(Held::here);
        let seen = match &levels {
            Held::Here(levels) => levels.as_slice(),
            _ => &[],
        };
        let paint = |levels: &[u8]| Pixels::of(size, levels.iter().map(|l| palette::level(*l)));
        let changed = |before: &Vec<u8>| {
            let pairs = before.iter().zip(seen);
            Pixels::of(size, pairs.map(|(before, after)| palette::change(*before, *after)))
        };
        let is_seen = seen.len() == size[0] * size[1];
        let changes = before.as_ref().filter(|before| is_seen && before.len() == seen.len());
        let changes = changes.map(changed);
        let map = is_seen.then(|| paint(seen));
        let mass = recording.attention(place, head).map_err(words)?;
        let attention = mapped(mass, |mass| {
            let values = mass.flatten_all().and_then(|all| all.to_vec1()).map_err(words)?;
            Ok(painted(values, size, seen, true))
        })?;
        let scores = recording.scores(place, head).map_err(words)?;
        let scores = mapped(scores, |scores| {
            let values = scores.flatten_all().and_then(|all| all.to_vec1()).map_err(words)?;
            Ok(painted(values, size, seen, false))
        })?;
        let order = recording.order(place, head).map_err(words)?;
        let text = subject.meta.text_tokens as i64;
        let of_video =
            |tokens: &[u32]| tokens.iter().map(|t| (i64::from(*t) - text).max(-1)).collect();
        let queries: Vec<i64> =
            order.as_ref().map(|named| of_video(named.order.tokens())).unwrap_or_default();
        let keys = recording.key_order(place, head).map_err(words)?.here();
        let keys = keys.map_or_else(|| queries.clone(), |order| of_video(order.tokens()));
        let grid = subject.meta.grid;
        let volume = [grid.frames, grid.rows, grid.cols];
        let walk = (!queries.is_empty()).then(|| {
            Walk::new(&queries, &keys, seen, [blocks.query_block, blocks.key_block], volume)
        });
        let order = order.map(|named| named.name.unwrap_or_else(|| "of the method's own".into()));
        Ok(Self {
            look,
            levels,
            before,
            attention,
            scores,
            places: places(&queries),
            queries,
            keys,
            order,
            walk,
            map,
            changes,
        })
    }
}

/// Where each token of the video stands in an order.
fn places(order: &[i64]) -> Vec<u32> {
    let count = order.iter().filter(|token| **token >= 0).count();
    let mut places = vec![0; count];
    for (place, token) in order.iter().enumerate() {
        if let Some(at) = usize::try_from(*token).ok().and_then(|token| places.get_mut(token)) {
            *at = place as u32;
        }
    }
    places
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Applies `f` to what is here.
fn mapped<T, U>(held: Held<T>, f: impl FnOnce(T) -> Result<U, String>) -> Result<Held<U>, String> {
    Ok(match held {
        Held::Here(value) => Held::Here(f(value)?),
        Held::Dropped => Held::Dropped,
        Held::NotCaptured => Held::NotCaptured,
    })
}

/// Paints and counts numbers of pairs of blocks.
fn painted(values: Vec<f32>, size: [usize; 2], levels: &[u8], is_log: bool) -> Scores {
    let histogram = Histogram::of(&values, levels, is_log);
    let cells = values.iter().map(|value| palette::heat(histogram.share(*value)));
    let pixels = Some(Pixels::of(size, cells));
    Scores { values, pixels, histogram }
}

impl Histogram {
    /// Counts `values`, each at its level (of none when there are no levels).
    fn of(values: &[f32], levels: &[u8], is_log: bool) -> Self {
        let scaled = |value: f32| if is_log { value.log10() } else { value };
        let finite = || values.iter().map(|value| scaled(*value)).filter(|value| value.is_finite());
        let most = finite().fold(f32::MIN, f32::max);
        let least = if is_log { most - DECADES } else { finite().fold(f32::MAX, f32::min) };
        if most < least || finite().next().is_none() {
            return Self { range: [0.0, 1.0], is_log, ..Self::default() };
        }
        let mut all =
            Self { range: [least, most], is_log, bars: vec![[0; 8]; BARS], cuts: Vec::new() };
        for (index, value) in values.iter().enumerate() {
            let level = levels.get(index).copied().unwrap_or(1).min(7);
            let bar = (all.share(*value) * (BARS - 1) as f32).round() as usize;
            all.bars[bar.min(BARS - 1)][usize::from(level)] += 1;
        }
        all.cuts =
            cuts(values, levels).into_iter().map(|(level, cut)| (level, scaled(cut))).collect();
        all
    }

    /// Where a number lies on the scale, from 0 to 1.
    pub(crate) fn share(&self, value: f32) -> f32 {
        let value = if self.is_log { value.log10() } else { value };
        let [least, most] = self.range;
        let share = (value - least) / (most - least).max(f32::MIN_POSITIVE);
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

/// For each level but the coarsest that is there: the number that as many blocks reach as are seen so finely or finer.
fn cuts(values: &[f32], levels: &[u8]) -> Vec<(u8, f32)> {
    if levels.len() != values.len() {
        return Vec::new();
    }
    let mut counts = [0usize; 8];
    for level in levels {
        counts[usize::from(*level).min(7)] += 1;
    }
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut cuts, mut finer) = (Vec::new(), 0);
    for level in 1..8u8 {
        let count = counts[usize::from(level)];
        finer += count;
        if count > 0
            && let (Some(above), Some(below)) = (sorted.get(finer - 1), sorted.get(finer))
        {
            cuts.push((level, f32::midpoint(*above, *below)));
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_part_as_many_blocks_as_the_map_does() {
        let values = [0.9, 0.1, 0.5, 0.3, 0.2, 0.05];
        let levels = [1, 0, 1, 3, 3, 0];
        let found = cuts(&values, &levels);
        assert_eq!(found.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [1, 3]);
        assert!((found[0].1 - 0.4).abs() < 1e-6 && (found[1].1 - 0.15).abs() < 1e-6, "{found:?}");
        assert!(cuts(&values, &[1; 6]).is_empty(), "one level has no cut");
        assert!(cuts(&values, &[]).is_empty());
    }

    #[test]
    fn a_histogram_counts_every_block_once_on_its_scale() {
        let values = [1.0, 0.1, 0.01, 0.0, f32::INFINITY, 1e-9];
        let histogram = Histogram::of(&values, &[1, 1, 2, 0, 0, 0], true);
        let total: u32 = histogram.bars.iter().flatten().sum();
        assert_eq!(total as usize, values.len());
        assert!((histogram.range[1] - histogram.range[0] - DECADES).abs() < 1e-6);
        assert!((histogram.share(0.1) - 0.75).abs() < 1e-6);
        assert_eq!(histogram.bars[0][0], 2, "nothing, and what is too little, is at the foot");
        let none = Histogram::of(&[f32::NEG_INFINITY; 2], &[], false);
        assert!(none.bars.is_empty());
    }
}
