//! A summary as Markdown for people, as CSV for spreadsheets and as JSON for programs; its clips as CSV.

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

/// The rows and what was asked for. What all requests have in common stands once, under `settings`; an arm's own
/// `settings` are the ones that differ.
pub fn json(summary: &Summary, cells: &[Cell]) -> serde_json::Result<String> {
    let requests = cells
        .iter()
        .map(|cell| serde_json::to_value(&cell.request))
        .collect::<serde_json::Result<Vec<_>>>()?;
    let fields = |request: &Value| request.as_object().cloned().unwrap_or_default();
    let mut common = requests.first().map(fields).unwrap_or_default();
    common.retain(|key, value| requests.iter().all(|request| request.get(key) == Some(value)));
    let mut arms: Vec<Value> = Vec::new();
    for (cell, request) in cells.iter().zip(&requests) {
        let own: Map<_, _> = fields(request)
            .into_iter()
            .filter(|(key, _)| key != "prompt" && !common.contains_key(key))
            .collect();
        let arm = json!({ "arm": cell.arm, "asked": cell.asked, "settings": own });
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    serde_json::to_string(&json!({ "summary": summary, "settings": common, "arms": arms }))
}

/// One line a clip; the first names the columns. Times in seconds; the latents' cosines of all steps are one field.
pub fn cells_csv(cells: &[Cell]) -> String {
    let mut text = String::from(
        "method,asked_density,prompt,density_sparse,density,ssim,psnr_db,attention_s,estimate_s,denoise_s,clip_s,latent_cosine\n",
    );
    for cell in cells {
        let cosine: Vec<_> = cell.latent_cosine.iter().map(|value| number(*value, 5)).collect();
        let fields = [
            format!("\"{}\"", cell.arm),
            optional(cell.asked, 4),
            format!("\"{}\"", cell.prompt.replace('"', "\"\"")),
            optional(cell.density_sparse, 5),
            number(cell.density, 5),
            optional(cell.fidelity.ssim, 5),
            number(cell.fidelity.psnr, 3),
            number(cell.attention_seconds, 3),
            number(cell.estimate_seconds, 3),
            number(cell.denoise_seconds, 3),
            number(cell.clip_seconds, 3),
            cosine.join(" "),
        ];
        let _ = writeln!(text, "{}", fields.join(","));
    }
    text
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
