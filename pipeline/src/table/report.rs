//! A summary as Markdown for people, as CSV for spreadsheets and, with its cells, as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Cell, Refused, Row, Summary};

/// The table of each density, densest first, under `preface` (what was run: device, command, commit); at the end
/// what was refused.
pub fn markdown(summary: &Summary, refused: &[Refused], preface: &str) -> String {
    let mut text = format!("{}\n", preface.trim_end());
    for asked in [None].into_iter().chain(summary.densities().into_iter().map(Some)) {
        let title = asked.map_or("Dense".into(), |density| format!("Density {density}"));
        let _ = writeln!(text, "\n## {title}\n"); // writing to a String cannot fail, here and below
        text.push_str("| method | density (sparse calls) | density (all calls) | SSIM | SSIM − tessera's [95 %] | PSNR dB | latent cosine, first … last step | attention time | of it estimate | steps' time | clip's time |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
        for row in summary.at(asked) {
            let _ = writeln!(text, "| {} |", cells(row, true).join(" | "));
        }
    }
    if !refused.is_empty() {
        text.push_str("\n## Not run\n\n");
        for Refused { arm, reason } in refused {
            let _ = writeln!(text, "- {arm}: {reason}");
        }
    }
    text
}

/// One line a row; the first names the columns.
pub fn csv(summary: &Summary) -> String {
    let mut text = String::from(
        "method,asked_density,clips,density_sparse,density,ssim,ssim_against_tessera,low,high,psnr_db,latent_cosine_first,latent_cosine_last,attention_time,estimate_share,denoise_time,clip_time,on_front\n",
    );
    for row in &summary.rows {
        let against = row.ssim_against_tessera;
        let fields = [
            format!("\"{}\"", row.arm),
            optional(row.asked, 4),
            row.clips.to_string(),
            optional(row.density_sparse, 4),
            number(row.density, 4),
            optional(row.ssim, 5),
            optional(against.map(|interval| interval.median), 5),
            optional(against.map(|interval| interval.low), 5),
            optional(against.map(|interval| interval.high), 5),
            optional(row.psnr, 3),
            optional(row.latent_cosine.first().copied(), 5),
            optional(row.latent_cosine.last().copied(), 5),
            number(row.attention_time, 4),
            number(row.estimate_share, 4),
            number(row.denoise_time, 4),
            number(row.clip_time, 4),
            row.on_front.to_string(),
        ];
        let _ = writeln!(text, "{}", fields.join(","));
    }
    text
}

/// The rows and every cell. What all requests have in common stands once, under `settings`; a cell's own `settings` are
/// the ones that differ. The figures of every frame, most of the bytes, stay in the cells' folder.
pub fn json(summary: &Summary, cells: &[Cell]) -> serde_json::Result<String> {
    let requests = cells
        .iter()
        .map(|cell| serde_json::to_value(&cell.request))
        .collect::<serde_json::Result<Vec<_>>>()?;
    let fields = |request: &Value| request.as_object().cloned().unwrap_or_default();
    let mut common = requests.first().map(fields).unwrap_or_default();
    common.retain(|key, value| requests.iter().all(|request| request.get(key) == Some(value)));
    let mut told = Vec::with_capacity(cells.len());
    for (cell, request) in cells.iter().zip(&requests) {
        let mut cell = fields(&serde_json::to_value(cell)?);
        let own: Map<_, _> = fields(request)
            .into_iter()
            .filter(|(key, _)| key != "prompt" && !common.contains_key(key))
            .collect();
        cell.remove("request");
        cell.insert("settings".into(), own.into());
        if let Some(Value::Object(fidelity)) = cell.get_mut("fidelity") {
            fidelity.remove("frames");
        }
        told.push(Value::Object(cell));
    }
    serde_json::to_string(&json!({ "summary": summary, "settings": common, "cells": told }))
}

fn cells(row: &Row, with_front: bool) -> Vec<String> {
    let star = if with_front && row.on_front && row.asked.is_some() { " ★" } else { "" };
    let against = row.ssim_against_tessera.map_or(String::new(), |interval| {
        format!("{:+.4} [{:+.4}, {:+.4}]", interval.median, interval.low, interval.high)
    });
    let cosine = match (row.latent_cosine.first(), row.latent_cosine.last()) {
        (Some(first), Some(last)) => format!("{first:.4} … {last:.4}"),
        _ => String::new(),
    };
    vec![
        format!("{}{star}", row.arm),
        optional(row.density_sparse, 3),
        number(row.density, 3),
        optional(row.ssim, 4),
        against,
        row.psnr.map_or("equal".into(), |psnr| number(psnr, 2)),
        cosine,
        number(row.attention_time, 2),
        number(row.estimate_share, 2),
        number(row.denoise_time, 2),
        number(row.clip_time, 2),
    ]
}

fn number(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| number(value, digits))
}
