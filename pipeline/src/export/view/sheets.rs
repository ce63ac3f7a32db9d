//! The cells and the numbers of each view.

use serde_json::{Value, json};
use tessera_models::attention::Branch;

use super::super::array::{Array, Values};
use super::super::pictures::{Cells, beside, decades, linear};
use super::View;
use crate::recording::{Call, FULL_CELL, Held, Place, Recording, Summary};
use crate::sparsity::observer::Mode;
use crate::{Result, palette};

/// The colour of dense calls in the timeline: they are no map at all.
const DENSE: [u8; 3] = [0x6b, 0x70, 0x7a];

/// One picture and its numbers.
pub(super) struct Sheet {
    pub(super) cells: Cells,
    pub(super) arrays: Vec<Array>,
    /// Of the table.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Sheet {
    pub(super) fn new(cells: Cells, arrays: Vec<Array>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(ToString::to_string).collect();
        Self { cells, arrays, columns, rows: Vec::new() }
    }
}

/// The sheet of a view of the recording itself.
pub(super) fn of(recording: &Recording, view: &View) -> Result<Held<Sheet>> {
    match view {
        View::Timeline(place) => timeline(recording, place.site.branch).map(Held::Here),
        View::Heads(place) => heads(recording, *place),
        View::Map(place, head) => Ok(match recording.map(*place, *head)? {
            Held::Here(map) => Held::Here(levels(recording, map.to_vec()?)),
            Held::Dropped => Held::Dropped,
            Held::NotCaptured => Held::NotCaptured,
        }),
        View::Scores(place, head) => {
            let (name, held) = match recording.attention(*place, *head)? {
                Held::NotCaptured => ("scores", recording.scores(*place, *head)?),
                held => ("attention", held),
            };
            Ok(match held {
                Held::Here(values) => {
                    Held::Here(pairs(recording, name, values.flatten_all()?.to_vec1()?))
                }
                Held::Dropped => Held::Dropped,
                Held::NotCaptured => Held::NotCaptured,
            })
        }
        View::Order(place, head) => order(recording, *place, *head),
        View::Replay(_) | View::Overlay(_) => Ok(Held::NotCaptured),
    }
}

/// The calls of a branch as `[step][layer]`.
fn calls(recording: &Recording, branch: Branch) -> Result<Vec<Vec<Option<Call>>>> {
    let meta = recording.meta();
    let mut all = vec![vec![None; meta.layers]; meta.steps()];
    for (step, of_step) in all.iter_mut().enumerate() {
        for call in recording.calls(step)? {
            let site = call.place.site;
            if site.branch == branch
                && let Some(slot) = of_step.get_mut(site.layer)
            {
                *slot = Some(call);
            }
        }
    }
    Ok(all)
}

fn timeline(recording: &Recording, branch: Branch) -> Result<Sheet> {
    let meta = recording.meta();
    let calls = calls(recording, branch)?;
    let (mut rgb, mut densities, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for layer in 0..meta.layers {
        for (step, of_step) in calls.iter().enumerate() {
            let call = of_step[layer].as_ref();
            rgb.push(match call {
                None => palette::level(0),
                Some(call) if call.mode == Mode::Dense => DENSE,
                Some(call) => palette::heat(call.density().exact as f32),
            });
            densities.push(call.map_or(f32::NAN, |call| call.density().exact as f32));
            let Some(call) = call else { continue };
            let density = call.density();
            rows.push(vec![
                json!(step),
                json!(layer),
                json!(call.mode.name()),
                json!(density.exact),
                json!(density.nominal),
                json!(call.estimated_at),
                json!(call.estimate_ms),
                json!(call.attention_ms),
            ]);
        }
    }
    let (width, height) = (meta.steps(), meta.layers);
    let array = Array::new("density".into(), &[height, width], Values::F32(densities));
    let columns = [
        "step",
        "layer",
        "mode",
        "density_exact",
        "density_nominal",
        "estimated_at",
        "estimate_ms",
        "attention_ms",
    ];
    Ok(Sheet { rows, ..Sheet::new(Cells { width, height, rgb }, vec![array], &columns) })
}

fn heads(recording: &Recording, place: Place) -> Result<Held<Sheet>> {
    let meta = recording.meta();
    let (layers, heads) = (meta.layers, meta.heads);
    let calls = calls(recording, place.site.branch)?;
    let of_step = calls.get(place.step).map(Vec::as_slice).unwrap_or_default();
    let (mut rows, mut densities, mut size) = (Vec::new(), Vec::new(), [1, 1]);
    let mut thumbnails: Vec<Option<Summary>> = Vec::with_capacity(layers);
    for call in of_step {
        let Some(call) = call else {
            thumbnails.push(None);
            densities.extend(vec![f32::NAN; heads]);
            continue;
        };
        let summary = recording.summary(call.place)?.here();
        if let Some(summary) = &summary {
            size = [summary.rows, summary.columns];
        }
        for head in 0..heads {
            let density = call.densities.get(head).map_or(1.0, |density| density.exact);
            densities.push(density as f32);
            rows.push(vec![
                json!(call.place.site.layer),
                json!(head),
                json!(call.mode.name()),
                json!(density),
                json!(call.retained.as_ref().and_then(|retained| retained.get(head))),
            ]);
        }
        thumbnails.push(summary);
    }
    if rows.is_empty() {
        return Ok(Held::NotCaptured);
    }
    let [high, wide] = size;
    // A dark line between the pictures tells them apart.
    let (width, height) = (heads * (wide + 1) - 1, layers * (high + 1) - 1);
    let mut rgb = vec![palette::level(0); width * height];
    let mut all = vec![0u8; layers * heads * high * wide];
    for (layer, summary) in thumbnails.iter().enumerate() {
        let Some(summary) = summary else { continue };
        for (head, cells) in summary.thumbnails.iter().take(heads).enumerate() {
            // What is kept of too little for a step of sixteen is no nothing where no block is skipped.
            let is_whole = summary.counts.get(head).is_some_and(|counts| counts[0] == 0);
            let least = if is_whole { f32::MIN_POSITIVE } else { 0.0 };
            for (at, cell) in cells.iter().enumerate().take(high * wide) {
                all[(layer * heads + head) * high * wide + at] = *cell;
                let (y, x) = (layer * (high + 1) + at / wide, head * (wide + 1) + at % wide);
                let kept = f32::from(*cell) / f32::from(FULL_CELL);
                rgb[y * width + x] = palette::kept(kept.max(least));
            }
        }
    }
    let arrays = vec![
        Array::new("density".into(), &[layers, heads], Values::F32(densities)),
        Array::new("thumbnails".into(), &[layers, heads, high, wide], Values::U8(all)),
    ];
    let columns = ["layer", "head", "mode", "density_exact", "retained"];
    let sheet = Sheet::new(Cells { width, height, rgb }, arrays, &columns);
    Ok(Held::Here(Sheet { rows, ..sheet }))
}

fn levels(recording: &Recording, levels: Vec<u8>) -> Sheet {
    let blocks = recording.meta().blocks();
    let (height, width) = (blocks.rows(), blocks.columns());
    let rgb = levels.iter().map(|level| palette::level(*level)).collect();
    let rows = of_pairs(width, levels.iter().map(|level| json!(level)));
    let array = Array::new("levels".into(), &[height, width], Values::U8(levels));
    let columns = ["query_block", "key_block", "level"];
    Sheet { rows, ..Sheet::new(Cells { width, height, rgb }, vec![array], &columns) }
}

fn pairs(recording: &Recording, name: &str, values: Vec<f32>) -> Sheet {
    let blocks = recording.meta().blocks();
    let (height, width) = (blocks.rows(), blocks.columns());
    let rgb = if name == "attention" { decades(&values) } else { linear(&values) };
    let rows = of_pairs(width, values.iter().map(|value| json!(value)));
    let array = Array::new(name.into(), &[height, width], Values::F32(values));
    let columns = ["query_block", "key_block", name];
    Sheet { rows, ..Sheet::new(Cells { width, height, rgb }, vec![array], &columns) }
}

fn of_pairs(width: usize, values: impl Iterator<Item = Value>) -> Vec<Vec<Value>> {
    let row = |(at, value)| vec![json!(at / width), json!(at % width), value];
    values.enumerate().map(row).collect()
}

fn order(recording: &Recording, place: Place, head: usize) -> Result<Held<Sheet>> {
    let Some(named) = recording.order(place, head)? else { return Ok(Held::NotCaptured) };
    let meta = recording.meta();
    let grid = meta.grid;
    let tokens = named.order.tokens().to_vec();
    let mut places = vec![[0u8; 3]; grid.tokens()];
    let mut rows = Vec::with_capacity(tokens.len());
    for (place, token) in tokens.iter().enumerate() {
        let Some(video) = (*token as usize).checked_sub(meta.text_tokens) else { continue };
        places[video] = palette::heat(place as f32 / tokens.len() as f32);
        rows.push(vec![
            json!(place),
            json!(token),
            json!(video / (grid.rows * grid.cols)),
            json!(video / grid.cols % grid.rows),
            json!(video % grid.cols),
        ]);
    }
    let cells = beside(&places, [grid.frames, grid.rows, grid.cols]);
    let array = Array::new("order".into(), &[tokens.len()], Values::U32(tokens));
    let columns = ["place", "token", "latent_frame", "row", "column"];
    Ok(Held::Here(Sheet { rows, ..Sheet::new(cells, vec![array], &columns) }))
}
