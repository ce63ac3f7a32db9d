//! A recorded head under other cut-offs: the map that they would give, without the model.
//!
//! What a recording keeps of a head (what its levels were chosen by, or else its exact attention averaged over blocks) goes
//! through the selector of the method and the rules of the run: allowed levels, forced keeps, floor. A method without
//! cut-offs is shown those of PSA. What is not in a recording cannot act: PSA's cap by the likeness of keys.

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::LevelMap;
use tessera_models::attention::Sequence;

use crate::recording::{Held, Meta, Place, Recording};
use crate::request::Request;
use crate::sparsity::finish::Rules;
use crate::sparsity::options::{Options, fill};
use crate::sparsity::{Cuts, Ends};
use crate::{Error, Result};

/// The method whose cut-offs are shown of a method that has none.
const STAND_IN: &str = "psa";

/// A head of a recorded call, to be cut anew.
#[derive(Debug)]
pub struct Recut {
    /// The cut-offs of its run, or of the method that stands in.
    pub cuts: Cuts,
    /// Whether they are the run's.
    pub is_own: bool,
    /// Whether it is cut by exact attention, because what the method estimated is not in the recording.
    pub is_exact: bool,
    scores: Tensor,
    blocks: Blocks,
    rules: Rules,
}

impl Recut {
    /// Reads a head. Without either its scores or its attention there is nothing to cut.
    pub fn read(recording: &Recording, place: Place, head: usize) -> Result<Held<Self>> {
        let meta = recording.meta();
        let blocks = meta.blocks();
        let is_share = |scores: &Tensor| -> Result<bool> {
            let values: Vec<f32> = scores.flatten_all()?.to_vec1()?;
            Ok(values.iter().all(|value| value.is_finite() && *value >= 0.0))
        };
        let scores = match recording.scores(place, head)? {
            Held::Here(scores) if is_share(&scores)? => Some(scores),
            _ => None,
        };
        let is_exact = scores.is_none();
        let scores = match (scores, recording.attention(place, head)?) {
            (Some(scores), _) | (None, Held::Here(scores)) => scores,
            (None, Held::Dropped) => return Ok(Held::Dropped),
            (None, Held::NotCaptured) => return Ok(Held::NotCaptured),
        };
        let (options, is_own) = options(meta)?;
        let policy = options.policy();
        let missing = || Error::Thread(format!("{} has no cut-offs", options.method.name));
        let cuts = policy.cuts().cloned().ok_or_else(missing)?;
        let order = match recording.key_order(place, head)?.here() {
            Some(order) => Some(order),
            None => recording.order(place, head)?.map(|named| named.order),
        };
        let sequence =
            Sequence { grid: meta.grid, text_tokens: meta.text_tokens, heads: 1, layers: 1 };
        let orders: Vec<_> = order.into_iter().collect();
        let what = (options.levels, options.floor, options.keep);
        let rules = Rules::new(what, &sequence, &orders, blocks);
        let scores = scores.reshape((1, 1, blocks.rows(), blocks.columns()))?;
        Ok(Held::Here(Self { cuts, is_own, is_exact, scores, blocks, rules }))
    }

    /// The place of every pair of blocks on the scale of the cut-offs, `rows · columns`.
    pub fn places(&self) -> Result<Vec<f32>> {
        Ok(self.cuts.places(&self.scores, self.blocks)?.flatten_all()?.to_vec1()?)
    }

    /// The map `[1, 1, rows, columns]` that levels with these ends give.
    pub fn map(&self, ends: &Ends) -> Result<LevelMap> {
        let cuts = Cuts { ends: ends.clone(), ..self.cuts };
        self.rules.apply(&cuts.select(&self.scores, self.blocks)?, Some(&self.scores))
    }
}

/// The settings that cut-offs act under: the run's, or where its method has none those of the method that stands in, with
/// the run's order; and whether they are the run's.
fn options(meta: &Meta) -> Result<(Options, bool)> {
    if let Some(options) = Options::new(&meta.request).map_err(Error::Settings)?
        && options.policy().cuts().is_some()
    {
        return Ok((options, true));
    }
    let mut request = Request { order: meta.request.order.clone(), ..stand_in() };
    if request.order.as_deref() == Some("calibrated") {
        request.plan.clone_from(&meta.request.plan);
    }
    fill(&mut request, meta.layers).map_err(Error::Settings)?;
    let options = Options::new(&request).map_err(Error::Settings)?;
    let missing = || Error::Thread(format!("there is no method {STAND_IN}"));
    options.map(|options| (options, false)).ok_or_else(missing)
}

/// What a request says that asks for the method whose cut-offs are shown.
fn stand_in() -> Request {
    Request { attention: Some(STAND_IN.into()), ..Request::default() }
}

/// The settings of attention that give the maps of `ends` in runs like the recorded one.
pub fn settings(meta: &Meta, ends: &Ends) -> Result<Request> {
    let is_own = options(meta)?.1;
    let base = if is_own {
        meta.request.clone()
    } else {
        let Request { order, plan, .. } = meta.request.clone();
        Request { order, plan, ..stand_in() }
    };
    Ok(Request { thresholds: Some(ends.to_string()), density: None, ..base })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled;
    use crate::sparsity::Mode;
    use crate::sparsity::cuts::Scale;

    /// The bundled recording whose name begins so.
    fn bundled(name: &str) -> Recording {
        let is_it = |path: &std::path::PathBuf| {
            path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with(name))
        };
        let path = bundled::recordings().into_iter().find(is_it).unwrap();
        Recording::open(&path).unwrap()
    }

    fn first_sparse(recording: &Recording) -> Place {
        let steps = 0..recording.meta().steps();
        let calls = steps.flat_map(|step| recording.calls(step).unwrap());
        calls.into_iter().find(|call| call.mode != Mode::Dense).unwrap().place
    }

    #[test]
    fn a_recorded_head_is_cut_by_its_own_cut_offs() {
        let recording = bundled("psa");
        let place = first_sparse(&recording);
        let recut = Recut::read(&recording, place, 0).unwrap().here().unwrap();
        assert!(recut.is_own && recut.is_exact);
        assert_eq!(recut.cuts.scale, Scale::Mass);
        let own = recut.cuts.ends.clone();
        assert_eq!(own.to_string(), "1:0.4,2:0.5,3:0.6,4:0.8");
        let (places, map) = (recut.places().unwrap(), recut.map(&own).unwrap());
        let columns = recording.meta().blocks().columns();
        let least = (0.06 * columns as f64) as usize + 1;
        for (row, levels) in map.to_vec().unwrap().chunks(columns).enumerate() {
            let places = &places[row * columns..][..columns];
            let full: usize = levels.iter().map(|level| usize::from(*level == 1)).sum();
            for (place, level) in places.iter().zip(levels) {
                let end = own.as_slice().iter().find(|(_, end)| f64::from(*place) <= *end);
                let expected = end.map_or(0, |(level, _)| *level);
                assert!(*level == expected || (full == least && *level == 1), "{place} {level}");
            }
        }
        let density = |ends: &Ends| recut.map(ends).unwrap().density().unwrap().exact;
        let (less, more) = (own.moved(3, 0.6), own.moved(3, 0.95));
        assert!(density(&less) < density(&own) && density(&own) < density(&more));
    }

    #[test]
    fn a_method_without_cut_offs_shows_those_of_psa_and_its_settings_say_so() {
        let recording = bundled("tessera");
        let place = first_sparse(&recording);
        let recut = Recut::read(&recording, place, 1).unwrap().here().unwrap();
        assert!(!recut.is_own);
        let ends = recut.cuts.ends.moved(0, 0.3);
        let settings = settings(recording.meta(), &ends).unwrap();
        assert_eq!(settings.attention.as_deref(), Some("psa"));
        assert_eq!(settings.thresholds.as_deref(), Some("1:0.3,2:0.5,3:0.6,4:0.8"));
        assert!(
            Options::new(&{
                let mut filled = settings;
                fill(&mut filled, 8).unwrap();
                filled
            })
            .unwrap()
            .is_some()
        );
    }
}
