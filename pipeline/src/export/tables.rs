//! A recording in lines: events, and tables of steps, calls and heads.

use serde_json::{Map, Value, json};

use super::contents::each_call;
use super::{Format, Out};
use crate::recording::{Held, Recording, branch_name};
use crate::{Error, Result};

/// A table: one row as a JSON object, or as a line of a CSV file whose columns are the first row's keys.
pub(super) struct Table {
    /// The stem of its files.
    pub(super) name: &'static str,
    columns: &'static [&'static str],
    rows: fn(&Recording, Row<'_>) -> Result<()>,
}

/// Takes the cells of a row.
type Row<'a> = &'a mut dyn FnMut(Vec<Value>) -> Result<()>;

/// Every table.
pub(super) const ALL: [Table; 3] = [
    Table {
        name: "steps",
        columns: &["step", "sigma", "next_sigma", "elapsed_ms", "calls", "attention_ms"],
        rows: steps,
    },
    Table {
        name: "calls",
        columns: &[
            "step",
            "branch",
            "expert",
            "layer",
            "mode",
            "estimate_ms",
            "attention_ms",
            "density_exact",
            "density_nominal",
            "retained",
            "estimated_at",
            "map",
            "orders",
            "fallback",
        ],
        rows: calls,
    },
    Table {
        name: "heads",
        columns: &[
            "step",
            "branch",
            "expert",
            "layer",
            "head",
            "order",
            "density_exact",
            "density_nominal",
            "retained",
            "blocks_by_level",
        ],
        rows: heads,
    },
];

impl Table {
    pub(super) fn write(
        &self,
        recording: &Recording,
        format: Format,
        out: &mut Out<'_>,
    ) -> Result<()> {
        if format == Format::Csv {
            out.line(&self.columns.join(","))?;
        }
        (self.rows)(recording, &mut |cells| {
            if format == Format::Csv {
                return out.line(&cells.iter().map(cell).collect::<Vec<_>>().join(","));
            }
            let names = self.columns.iter().map(ToString::to_string);
            out.line(&Value::Object(names.zip(cells).collect()).to_string())
        })
    }
}

/// A cell of a CSV file (RFC 4180): nothing for null, lists with spaces between.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(['"', ',', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn steps(recording: &Recording, row: Row<'_>) -> Result<()> {
    for step in recording.steps()? {
        row(vec![
            json!(step.index),
            json!(step.sigma),
            json!(step.next_sigma),
            json!(step.elapsed_ms),
            json!(step.calls),
            json!(step.attention_ms),
        ])?;
    }
    Ok(())
}

fn calls(recording: &Recording, row: Row<'_>) -> Result<()> {
    each_call(recording, |call| {
        let density = call.density();
        let mean = |shares: &Vec<f64>| shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        let mut cells = place(call);
        cells.extend([
            json!(call.mode.name()),
            json!(call.estimate_ms),
            json!(call.attention_ms),
            json!(density.exact),
            json!(density.nominal),
            json!(call.retained.as_ref().map(mean)),
            json!(call.estimated_at),
            json!(call.map),
            json!(call.orders),
            json!(call.fallback),
        ]);
        row(cells)
    })
}

fn heads(recording: &Recording, row: Row<'_>) -> Result<()> {
    each_call(recording, |call| {
        let summary = match recording.summary(call.place)? {
            Held::Here(summary) => Some(summary),
            Held::Dropped | Held::NotCaptured => None,
        };
        for (head, density) in call.densities.iter().enumerate() {
            let mut cells = place(call);
            cells.extend([
                json!(head),
                json!(call.order_of(head)),
                json!(density.exact),
                json!(density.nominal),
                json!(call.retained.as_ref().and_then(|retained| retained.get(head))),
                json!(summary.as_ref().and_then(|summary| summary.counts.get(head))),
            ]);
            row(cells)?;
        }
        Ok(())
    })
}

/// Step, branch, expert and layer.
fn place(call: &crate::recording::Call) -> Vec<Value> {
    let (step, site) = (call.place.step, call.place.site);
    vec![json!(step), json!(branch_name(site.branch)), json!(site.expert), json!(site.layer)]
}

/// What happened, an object a line: `at_ms` beside the event's own fields.
pub(super) fn events(recording: &Recording, out: &mut Out<'_>) -> Result<()> {
    for happened in recording.events()? {
        let mut fields = Map::new();
        fields.insert("at_ms".into(), happened.at_ms.into());
        if let Ok(Value::Object(event)) = serde_json::to_value(&happened.event) {
            fields.extend(event);
        }
        out.line(&Value::Object(fields).to_string())?;
    }
    Ok(())
}

/// The run and what is held of it.
pub(super) fn summary(recording: &Recording, out: &mut Out<'_>) -> Result<()> {
    let text =
        serde_json::to_string_pretty(&recording.report()?).map_err(|error| Error::Unreadable {
            what: recording.path().display().to_string(),
            reason: error.to_string(),
        })?;
    out.line(&text)
}
