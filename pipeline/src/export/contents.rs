//! The arrays of a recording, one after the other.

use std::collections::BTreeSet;

use candle_core::Tensor;

use super::What;
use super::array::{Array, Values};
use crate::Result;
use crate::recording::{Call, Held, Place, Recording, branch_name};
use crate::sparsity::observer::Mode;

/// Sees an array.
type See<'a> = &'a mut dyn FnMut(Array) -> Result<()>;

/// What is shown, and how much was dropped from the recording before.
struct Showing<'a> {
    see: See<'a>,
    dropped: usize,
}

impl Showing<'_> {
    fn show<T>(&mut self, held: Held<T>, array: impl FnOnce(T) -> Result<Array>) -> Result<()> {
        match held {
            Held::Here(value) => (self.see)(array(value)?),
            Held::Dropped => {
                self.dropped += 1;
                Ok(())
            }
            Held::NotCaptured => Ok(()),
        }
    }
}

/// Shows every array of a kind; answers with the number of those that the byte limit dropped.
pub(super) fn each(recording: &Recording, kind: What, see: See<'_>) -> Result<usize> {
    let mut showing = Showing { see, dropped: 0 };
    match kind {
        What::Latents => latents(recording, &mut showing)?,
        What::Maps | What::Summary => maps(recording, kind, &mut showing)?,
        What::Scores | What::Attention | What::Tokens => captures(recording, kind, &mut showing)?,
        What::Orders => orders(recording, &mut showing)?,
        What::Events => {}
    }
    Ok(showing.dropped)
}

/// Shows what each step was heading for.
pub(super) fn headings(recording: &Recording, see: See<'_>) -> Result<()> {
    let mut showing = Showing { see, dropped: 0 };
    for step in 0..recording.meta().steps() {
        let name = format!("heading_{step:03}");
        showing.show(recording.predicted(step)?, |clip| of_tensor(name, &clip))?;
    }
    Ok(())
}

fn latents(recording: &Recording, showing: &mut Showing<'_>) -> Result<()> {
    for step in 0..=recording.meta().steps() {
        let name = format!("step_{step:03}");
        showing.show(recording.latents(step)?, |clip| of_tensor(name, &clip))?;
    }
    Ok(())
}

/// Every map once: its pinned heads, or its thumbnails.
fn maps(recording: &Recording, kind: What, showing: &mut Showing<'_>) -> Result<()> {
    let mut seen = BTreeSet::new();
    each_call(recording, |call| {
        let Some(map) = call.map.filter(|map| seen.insert(*map)) else { return Ok(()) };
        if kind == What::Summary {
            return showing.show(recording.summary(call.place)?, |summary| {
                let shape = [summary.thumbnails.len(), summary.rows, summary.columns];
                let values = Values::U8(summary.thumbnails.concat());
                Ok(Array::new(format!("thumbnails_{map:04}"), &shape, values))
            });
        }
        for head in pinned(recording, call) {
            showing.show(recording.levels(map, head)?, |levels| {
                let name = format!("map_{map:04}_{}_head_{head}", named(call.place));
                let blocks = levels.blocks();
                let values = Values::U8(levels.to_vec()?);
                Ok(Array::new(name, &[blocks.rows(), blocks.columns()], values))
            })?;
        }
        Ok(())
    })
}

/// What was captured of pinned heads, call by call.
fn captures(recording: &Recording, kind: What, showing: &mut Showing<'_>) -> Result<()> {
    let meta = recording.meta();
    let grid = meta.grid;
    each_call(recording, |call| {
        let place = call.place;
        for head in pinned(recording, call) {
            let name = format!("{}_head_{head}", named(place));
            match kind {
                What::Attention => {
                    let held = recording.attention(place, head)?;
                    showing.show(held, |mass| of_tensor(name, &mass))?;
                }
                What::Scores if call.mode == Mode::Fresh => {
                    let held = recording.scores(place, head)?;
                    showing.show(held, |scores| of_tensor(name, &scores))?;
                }
                What::Tokens => {
                    for [frame, row, column] in &meta.capture.rows {
                        let token =
                            meta.text_tokens + (frame * grid.rows + row) * grid.cols + column;
                        let name = format!("{name}_token_{frame}_{row}_{column}");
                        showing.show(recording.row_of(place, head, token)?, |mut shares| {
                            let video = shares.split_off(meta.text_tokens);
                            let shape = [grid.frames, grid.rows, grid.cols];
                            Ok(Array::new(name, &shape, Values::F32(video)))
                        })?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    })
}

/// The token orders of all calls, and those of sorted keys.
fn orders(recording: &Recording, showing: &mut Showing<'_>) -> Result<()> {
    let (mut orders, mut maps) = (BTreeSet::new(), BTreeSet::new());
    each_call(recording, |call| {
        for id in call.orders.iter().copied().filter(|id| orders.insert(*id)) {
            if let Some(order) = recording.order_numbered(id)? {
                let name = order.name.map(|name| format!("_{name}")).unwrap_or_default();
                let tokens = order.order.tokens();
                let values = Values::U32(tokens.to_vec());
                let array = Array::new(format!("order_{id}{name}"), &[tokens.len()], values);
                showing.show(Held::Here(array), Ok)?;
            }
        }
        let Some(map) = call.map.filter(|map| maps.insert(*map)) else { return Ok(()) };
        if !recording.sorts_keys(map)? {
            return Ok(());
        }
        for head in pinned(recording, call) {
            showing.show(recording.key_order(call.place, head)?, |order| {
                let values = Values::U32(order.tokens().to_vec());
                let name = format!("keys_{map:04}_head_{head}");
                Ok(Array::new(name, &[order.tokens().len()], values))
            })?;
        }
        Ok(())
    })
}

/// Every call in order of steps.
pub(super) fn each_call(
    recording: &Recording,
    mut see: impl FnMut(&Call) -> Result<()>,
) -> Result<()> {
    for step in 0..recording.meta().steps() {
        recording.calls(step)?.iter().try_for_each(&mut see)?;
    }
    Ok(())
}

/// The heads of a call that were pinned; samples × heads in row-major order.
fn pinned(recording: &Recording, call: &Call) -> impl Iterator<Item = usize> {
    let meta = recording.meta();
    let pinned: Vec<usize> = meta.capture.pinned(call.place.site.layer).collect();
    let heads = meta.heads.max(1);
    (0..call.densities.len()).filter(move |head| pinned.contains(&(head % heads)))
}

/// A place as a part of names.
fn named(place: Place) -> String {
    let Place { step, site } = place;
    let expert = if site.expert > 0 { format!("expert_{}_", site.expert) } else { String::new() };
    format!("step_{step:03}_{}_{expert}layer_{:02}", branch_name(site.branch), site.layer)
}

fn of_tensor(name: String, tensor: &Tensor) -> Result<Array> {
    let values = Values::F32(tensor.flatten_all()?.to_vec1()?);
    Ok(Array::new(name, tensor.dims(), values))
}
