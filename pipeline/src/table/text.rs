//! A summary as Markdown for people and as CSV for spreadsheets.

use std::fmt::Write as _;

use crate::statistics::Interval;
use crate::sweep::{Results, Role, Row, Summary};

/// The table of each density, densest first, under `preface` (what was run: device, command, commit); at the end what could not
/// be made.
pub fn markdown(results: &Results, summary: &Summary, preface: &str) -> String {
    let mut text = format!("{}\n", preface.trim_end());
    for (title, rows) in by_density(results, summary) {
        let _ = writeln!(text, "\n## {title}\n"); // writing to a String cannot fail, here and below
        text.push_str("| method | density (sparse calls) | density (all calls) | SSIM | SSIM − tessera's [95 %] | PSNR dB | latent cosine, first … last step | attention time | of it estimate | steps' time | clip's time |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
        for (row, name) in rows {
            let _ = writeln!(text, "| {} |", fields(row, &name).join(" | "));
        }
    }
    let failed: Vec<_> = results.cells().filter_map(|cell| Some((cell, cell.error()?))).collect();
    if !failed.is_empty() {
        text.push_str("\n## Not run\n\n");
        let mut told: Vec<(&str, &str)> = Vec::new();
        for (cell, error) in failed {
            if !told.contains(&(&cell.arm, error)) {
                told.push((&cell.arm, error));
                let _ = writeln!(text, "- {}: {error}", cell.arm);
            }
        }
    }
    text
}

/// One line an arm; the first names the columns.
pub fn csv(summary: &Summary) -> String {
    let mut text = String::from(
        "arm,clips,density_sparse,density,ssim,ssim_low,ssim_high,ssim_against_tessera,low,high,psnr_db,latent_cosine_first,latent_cosine_last,attention_time,estimate_share,denoise_time,clip_time,on_front\n",
    );
    for row in &summary.rows {
        let against = row.against.as_ref().map(|against| against.ssim);
        let cosine = |cosine: Option<&f64>| optional(cosine.copied(), 5);
        let columns = [
            format!("\"{}\"", row.arm),
            row.clips.to_string(),
            optional(row.density_sparse, 4),
            optional(row.density, 4),
            optional(row.ssim.map(|ssim| ssim.median), 5),
            optional(row.ssim.map(|ssim| ssim.low), 5),
            optional(row.ssim.map(|ssim| ssim.high), 5),
            optional(against.map(|interval| interval.median), 5),
            optional(against.map(|interval| interval.low), 5),
            optional(against.map(|interval| interval.high), 5),
            optional(row.psnr, 3),
            cosine(row.latent_cosine.first()),
            cosine(row.latent_cosine.last()),
            ratio(row.attention_time, 4),
            optional(row.estimate_share, 4),
            ratio(row.denoise_time, 4),
            ratio(row.clip_time, 4),
            row.on_attention_front.to_string(),
        ];
        let _ = writeln!(text, "{}", columns.join(","));
    }
    text
}

/// The rows of each density with the methods' names, the most faithful first; dense ones under a heading of their own.
fn by_density<'a>(
    results: &Results,
    summary: &'a Summary,
) -> Vec<(String, Vec<(&'a Row, String)>)> {
    let mut groups: Vec<(f64, Vec<(&Row, String)>)> = Vec::new();
    for (row, arm) in summary.rows.iter().zip(&results.manifest().arms) {
        let asked = arm.settings.get("density").and_then(serde_json::Value::as_f64);
        let density = asked.filter(|_| row.role == Role::Compared).unwrap_or(f64::INFINITY);
        let text = |key: &str| arm.settings.get(key).and_then(serde_json::Value::as_str);
        let name = match (text("attention"), text("preset")) {
            (Some(method), Some(preset)) => format!("{method}/{preset}"),
            (Some(method), None) => method.into(),
            _ => row.arm.clone(),
        };
        match groups.iter_mut().find(|(known, _)| *known == density) {
            Some((_, rows)) => rows.push((row, name)),
            None => groups.push((density, vec![(row, name)])),
        }
    }
    groups.sort_by(|a, b| b.0.total_cmp(&a.0));
    let titled = |(density, mut rows): (f64, Vec<(&'a Row, String)>)| {
        let ssim = |row: &Row| row.ssim.map_or(2.0, |ssim| ssim.median);
        rows.sort_by(|(a, _), (b, _)| ssim(b).total_cmp(&ssim(a)));
        let is_dense = density.is_infinite();
        (if is_dense { "Dense".into() } else { format!("Density {density}") }, rows)
    };
    groups.into_iter().map(titled).collect()
}

fn fields(row: &Row, name: &str) -> Vec<String> {
    let star = if row.on_attention_front { " ★" } else { "" };
    let against = row.against.as_ref().map_or(String::new(), |against| {
        let Interval { median, low, high } = against.ssim;
        format!("{median:+.4} [{low:+.4}, {high:+.4}]")
    });
    let cosine = match (row.latent_cosine.first(), row.latent_cosine.last()) {
        (Some(first), Some(last)) => format!("{first:.4} … {last:.4}"),
        _ => String::new(),
    };
    let psnr = match row.psnr {
        Some(psnr) if psnr.is_infinite() => "equal".into(),
        psnr => optional(psnr, 2),
    };
    vec![
        format!("{name}{star}"),
        optional(row.density_sparse, 3),
        optional(row.density, 3),
        optional(row.ssim.map(|ssim| ssim.median), 4),
        against,
        psnr,
        cosine,
        ratio(row.attention_time, 2),
        optional(row.estimate_share, 2),
        ratio(row.denoise_time, 2),
        ratio(row.clip_time, 2),
    ]
}

fn ratio(interval: Option<Interval>, digits: usize) -> String {
    optional(interval.map(|interval| interval.median), digits)
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}
