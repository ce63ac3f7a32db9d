//! What is large of one look: the map, what it was made from, the order; read and painted by the worker.

use tessera_pipeline::palette;
use tessera_pipeline::recording::{Held, Recording};

use super::pixels::Pixels;
use super::subject::{Look, Subject};
use super::walk::Walk;

/// Shares are shown over this many powers of ten below the largest.
pub(crate) const DECADES: f32 = 4.0;

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
    /// What it is painted on.
    pub(crate) scale: Scale,
}

/// The scale that numbers are painted on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Least and most; powers of ten when logarithmic.
    range: [f32; 2],
    /// Whether the scale is of powers of ten.
    pub(crate) is_log: bool,
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
            Ok(painted(values, size, true))
        })?;
        let scores = recording.scores(place, head).map_err(words)?;
        let scores = mapped(scores, |scores| {
            let values = scores.flatten_all().and_then(|all| all.to_vec1()).map_err(words)?;
            Ok(painted(values, size, false))
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

/// Paints numbers of pairs of blocks.
fn painted(values: Vec<f32>, size: [usize; 2], is_log: bool) -> Scores {
    let scale = Scale::of(&values, is_log);
    let cells = values.iter().map(|value| palette::heat(scale.share(*value)));
    let pixels = Some(Pixels::of(size, cells));
    Scores { values, pixels, scale }
}

impl Scale {
    /// The scale of `values`.
    fn of(values: &[f32], is_log: bool) -> Self {
        let scaled = |value: f32| if is_log { value.log10() } else { value };
        let finite = || values.iter().map(|value| scaled(*value)).filter(|value| value.is_finite());
        let most = finite().fold(f32::MIN, f32::max);
        let least = if is_log { most - DECADES } else { finite().fold(f32::MAX, f32::min) };
        let range = if finite().next().is_none() { [0.0, 1.0] } else { [least, most] };
        Self { range, is_log }
    }

    /// Where a number lies on the scale, from 0 to 1.
    pub(crate) fn share(&self, value: f32) -> f32 {
        let value = if self.is_log { value.log10() } else { value };
        let [least, most] = self.range;
        let share = (value - least) / (most - least).max(f32::MIN_POSITIVE);
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_on_their_scale() {
        let scale = Scale::of(&[1.0, 0.1, 0.01, 0.0, f32::INFINITY, 1e-9], true);
        assert!((scale.range[1] - scale.range[0] - DECADES).abs() < 1e-6);
        assert!((scale.share(0.1) - 0.75).abs() < 1e-6);
        assert_eq!((scale.share(0.0), scale.share(1e-9)), (0.0, 0.0), "too little is at the foot");
        let none = Scale::of(&[f32::NEG_INFINITY; 2], false);
        assert_eq!(none.range, [0.0, 1.0]);
    }
}
