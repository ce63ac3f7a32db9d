//! The report of a sweep: one HTML file that shows everything and fetches nothing.
//!
//! Styles, plots (SVG) and pictures (small JPEG) are inside it. Colours follow the reader's light or dark setting.

mod html;
mod pictures;
mod plot;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use super::cell::Made;
use super::cells::Role;
use super::results::Results;
use super::summary::{Row, Summary};
use super::tables;
use crate::files::write_atomically;
use crate::statistics::Interval;
use crate::{Error, Result};
use html::escaped;

/// The report's name in the sweep's folder.
pub const NAME: &str = "report.html";

/// Makes the tables and the report of a folder anew; the report's path.
///
/// # Errors
/// [`Error::Sweep`] when no compared clip is finished yet.
pub fn remake(results: &Results) -> Result<PathBuf> {
    tables::write(results)?;
    let text = report(results)?;
    let path = results.file(NAME.as_ref());
    write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
    Ok(path)
}

/// The report as a text.
fn report(results: &Results) -> Result<String> {
    let Some(made) = results.cells().find_map(|cell| cell.made()) else {
        let reason = "expected a finished clip to report of, got none; run the sweep first".into();
        return Err(Error::Sweep { folder: results.path().into(), reason });
    };
    let summary = Summary::new(results);
    let mut body = String::new();
    let title = &results.manifest().sweep.title;
    let _ = writeln!(body, "<h1>{}</h1>", escaped(title)); // writing to a String cannot fail, here and below
    swept(&mut body, results, made);
    plots(&mut body, &summary);
    arms(&mut body, &summary);
    pictures::strips(&mut body, results, &summary)?;
    failures(&mut body, results);
    body.push_str(READING);
    Ok(html::page(title, &body))
}

/// How to read it.
const READING: &str = "<h2>How to read this</h2>
<p>SSIM and PSNR are distances from the dense clip of the same prompt and seed, frame by frame on the raw frames. They are not
quality: a clip may differ from the dense one and look as good. Numbers are medians over prompts and seeds; the range behind
one holds the median with 95 % confidence (bootstrap over the pairs). Times are ratios to a dense clip of the same prompt and
seed, its repeat where there is one, because repeats run among the compared clips; loading the model and a warm-up run are
left out. The arms of each prompt and seed are made in another order, so that a machine that drifts favours none.</p>
";

fn swept(body: &mut String, results: &Results, made: &Made) {
    let manifest = results.manifest();
    let sweep = &manifest.sweep;
    let failed = results.cells().filter(|cell| cell.made().is_none()).count();
    let (finished, of) = (results.cells().count(), manifest.cells.len());
    let state = if finished == of {
        String::new()
    } else {
        format!(" Not finished: {finished} of {of} clips.")
    };
    let seeds: Vec<_> = sweep.seeds.iter().map(u64::to_string).collect();
    let _ = writeln!(
        body,
        "<p>{of} clips: {}, {} {}, {} beside dense, {}.{}{state}</p>",
        counted(sweep.prompts.len(), "prompt"),
        if seeds.len() == 1 { "seed" } else { "seeds" },
        seeds.join(", "),
        counted(manifest.arms.iter().filter(|arm| arm.role == Role::Compared).count(), "arm"),
        counted(sweep.repeats as usize, "dense repeat"),
        if failed > 0 { format!(" {failed} failed.") } else { String::new() }
    );
    let request = &made.request;
    let side = |value: Option<u32>| value.unwrap_or_default();
    let mut facts = vec![
        ("model", format!("{} (fingerprint {:.16})", made.model, made.fingerprint)),
        (
            "clips",
            format!(
                "{}×{}, {} frames, {} steps",
                side(request.width),
                side(request.height),
                side(request.frames),
                side(request.steps)
            ),
        ),
        (
            "ran on",
            format!(
                "{}, {} (VAE {}), {} kernels, {} cores",
                made.ran_on.device,
                made.ran_on.dtype,
                made.ran_on.vae_dtype,
                made.ran_on.kernels,
                made.ran_on.cores
            ),
        ),
        ("program", manifest.program.clone()),
    ];
    for axis in &sweep.axes {
        let point = |point: &serde_json::Map<_, _>| {
            let values: Vec<String> = point
                .iter()
                .map(|(key, value): (&String, &serde_json::Value)| {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    if *key == axis.name { value } else { format!("{key} {value}") }
                })
                .collect();
            values.join(" with ")
        };
        let points: Vec<_> = axis.points.iter().map(point).collect();
        facts.push(("axis", format!("{}: {}", axis.name.replace('_', " "), points.join("; "))));
    }
    body.push_str("<table class=facts>\n");
    for (name, fact) in facts {
        let _ = writeln!(body, "<tr><th>{name}<td>{}", escaped(&fact));
    }
    body.push_str("</table>\n");
    let _ = writeln!(
        body,
        "<details><summary>The sweep file</summary><pre>{}</pre></details>",
        escaped(&sweep.to_toml())
    );
}

/// A count with its noun.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn plots(body: &mut String, summary: &Summary) {
    body.push_str("<h2>Distance against time</h2>\n<div class=plots>\n");
    let noise = summary.noise.as_ref();
    let clip = plot::Axis {
        title: "clip's time / dense",
        time: |row| row.clip_time,
        is_on_front: |row| row.on_front,
        noise: noise.map(|noise| noise.clip_time),
    };
    let attention = plot::Axis {
        title: "attention's time / dense",
        time: |row| row.attention_time,
        is_on_front: |row| row.on_attention_front,
        noise: noise.map(|noise| noise.attention_time),
    };
    for axis in [clip, attention] {
        body.push_str(&plot::pareto(summary, &axis));
    }
    body.push_str("</div>\n<p class=note>Up and left is better. Numbers are the rows of the table; filled dots are on the front, with the line through them. Whiskers are 95 % intervals of the medians, the grey band is what two dense runs differ by.</p>\n");
    if let Some(noise) = noise {
        let equal = noise.ssim.map_or(String::new(), |ssim| {
            if ssim == 1.0 {
                "Dense repeats are equal to their references in every frame.".into()
            } else {
                format!("Dense repeats differ from their references: SSIM down to {ssim:.4}.")
            }
        });
        let _ = writeln!(
            body,
            "<p class=note>Noise of the measurement: {equal} Their clip times differ by factors of {:.2} to {:.2}.</p>",
            noise.clip_time[0], noise.clip_time[1]
        );
    }
}

fn arms(body: &mut String, summary: &Summary) {
    body.push_str("<h2>Arms</h2>\n<div class=wide><table class=arms>\n<tr><th>#<th>arm<th>clips<th>SSIM<th>PSNR dB<th>latent cosine<th>density<th>attention time<th>clip time<th>s a clip<th>SSIM against<th>win : loss\n");
    for (index, row) in summary.rows.iter().enumerate() {
        let star = if row.on_front { " ★" } else { "" };
        let failed =
            if row.failed > 0 { format!(" + {} failed", row.failed) } else { String::new() };
        let ratio = |interval: Option<Interval>| ranged(interval, 2);
        let against = row.against.as_ref().map_or_else(
            || "<td><td>".into(),
            |against| {
                let ssim = against.ssim;
                let other = summary.rows.iter().position(|row| row.arm == against.arm);
                format!(
                    "<td title=\"beside {}\">#{}: {:+.4} <small>{:+.4} … {:+.4}</small><td>{} : {}",
                    escaped(&against.arm),
                    other.map_or(0, |index| index + 1),
                    ssim.median,
                    ssim.low,
                    ssim.high,
                    against.score.wins,
                    against.score.losses
                )
            },
        );
        let class = if row.role == Role::Compared { "" } else { " class=dense" };
        let _ = writeln!(
            body,
            "<tr{class}><td>{}<th>{}{star}<td>{}{failed}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}{against}",
            index + 1,
            escaped(&row.arm),
            row.clips,
            ranged(row.ssim, 4),
            decibels(row),
            row.latent_cosine.last().map_or(String::new(), |cosine| format!("{cosine:.4}")),
            row.density.map_or(String::new(), |density| format!("{density:.3}")),
            ratio(row.attention_time),
            ratio(row.clip_time),
            row.clip_seconds.map_or(String::new(), |seconds| format!("{seconds:.2}")),
        );
    }
    body.push_str("</table></div>\n");
    body.push_str(
        "<p class=note>★ no arm is as fast and as close. SSIM against, win : loss: beside the arm of that number, on the same prompts and seeds. It is the one with the method tessera and otherwise the same settings; where there is none, the first compared arm.</p>\n",
    );
}

fn ranged(interval: Option<Interval>, digits: usize) -> String {
    interval.map_or(String::new(), |Interval { median, low, high }| {
        format!("{median:.digits$} <small>{low:.digits$} … {high:.digits$}</small>")
    })
}

fn decibels(row: &Row) -> String {
    match row.psnr {
        Some(psnr) if psnr.is_finite() => format!("{psnr:.2}"),
        Some(_) => "equal".into(),
        None => String::new(),
    }
}

fn failures(body: &mut String, results: &Results) {
    let failed: Vec<_> = results.cells().filter_map(|cell| Some((cell, cell.error()?))).collect();
    if failed.is_empty() {
        return;
    }
    body.push_str("<h2>Failed</h2>\n<ul>\n");
    for (cell, error) in failed {
        let _ = writeln!(
            body,
            "<li>{}, seed {}, “{}”: {}",
            escaped(&cell.arm),
            cell.seed,
            escaped(&cell.prompt),
            escaped(error)
        );
    }
    body.push_str("</ul>\n");
}
