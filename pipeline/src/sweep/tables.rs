//! The results as files for other programs: CSV for spreadsheets, JSON for scripts, SQLite for questions.
//!
//! They are made from the finished clips and may be made again at any time; the clips' own files are what counts.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::cell::{Cell, Made};
use super::folder::save_json;
use super::results::Results;
use crate::events::Phase;
use crate::files::{Partial, write_atomically};
use crate::settings::SETTINGS;
use crate::{Error, Result};

/// The names of the files, beside each other in the sweep's folder.
const NAMES: [&str; 4] = ["results.csv", "results.json", "frames.csv", "results.sqlite"];

/// Writes all tables into the sweep's folder; their paths.
pub(super) fn write(results: &Results) -> Result<Vec<PathBuf>> {
    let paths = NAMES.map(|name| results.file(name.as_ref()));
    write_atomically(&paths[0], |file| file.write_all(csv(results).as_bytes()))?;
    save_json(&json(results), &paths[1])?;
    write_atomically(&paths[2], |file| file.write_all(frames_csv(results).as_bytes()))?;
    sqlite(results, &paths[3])?;
    Ok(paths.to_vec())
}

/// One line a clip; the first names the columns. Times in seconds, PSNR in decibels; a failure has its error and no figures.
pub fn csv(results: &Results) -> String {
    let keys: Vec<&str> = SETTINGS
        .iter()
        .map(|row| row.key)
        .filter(|key| results.cells().any(|cell| cell.settings.contains_key(*key)))
        .collect();
    let mut text = format!(
        "arm,role,{}prompt,seed,ssim,ms_ssim,psnr_db,flicker,worst_frame,latent_cosine,latent_l2,density_sparse,density,attention_s,estimate_s,encode_text_s,denoise_s,decode_s,encode_video_s,clip_s,key,error\n",
        keys.iter().flat_map(|key| [*key, ","]).collect::<String>()
    );
    for cell in results.cells() {
        let mut fields = vec![quoted(&cell.arm), role(cell).into()];
        fields.extend(keys.iter().map(|key| cell.settings.get(*key).map_or(String::new(), field)));
        fields.extend([quoted(&cell.prompt), cell.seed.to_string()]);
        fields.extend(figures(cell.made()));
        fields.extend([cell.key.clone(), quoted(cell.error().unwrap_or_default())]);
        let _ = writeln!(text, "{}", fields.join(",")); // writing to a String cannot fail
    }
    text
}

/// One line a frame of every compared clip: its distance from the dense clip's frame.
pub fn frames_csv(results: &Results) -> String {
    let mut text = String::from("key,frame,mean_squared_error,psnr_db,ssim,ms_ssim,flicker\n");
    for cell in results.cells() {
        let fidelity = cell.made().and_then(|made| made.fidelity.as_ref());
        for (index, frame) in fidelity.iter().flat_map(|fidelity| &fidelity.frames).enumerate() {
            let _ = writeln!(
                text,
                "{},{index},{:.4},{:.3},{},{},{}",
                cell.key,
                frame.mean_squared_error,
                frame.psnr,
                optional(frame.ssim, 6),
                optional(frame.ms_ssim, 6),
                optional(frame.flicker, 4)
            );
        }
    }
    text
}

/// The sweep, its arms and its finished clips.
pub fn json(results: &Results) -> Value {
    let manifest = results.manifest();
    json!({
        "program": manifest.program,
        "digest": manifest.digest,
        "sweep": manifest.sweep,
        "arms": manifest.arms,
        "clips": manifest.cells.len(),
        "cells": results.cells().collect::<Vec<_>>(),
    })
}

const SCHEMA: &str = "
    CREATE TABLE cells (
        key TEXT PRIMARY KEY,
        arm TEXT NOT NULL,
        role TEXT NOT NULL,
        settings TEXT NOT NULL,                -- JSON
        prompt TEXT NOT NULL,
        seed INTEGER NOT NULL,
        reference TEXT NOT NULL,               -- key of the dense clip
        finished_at INTEGER NOT NULL,          -- seconds since 1970, UTC
        error TEXT,                            -- NULL of a clip that was made
        ssim REAL, psnr REAL,                  -- psnr in dB, NULL where the clips are equal
        density REAL, density_sparse REAL,
        attention_seconds REAL, estimate_seconds REAL, denoise_seconds REAL, clip_seconds REAL,
        master TEXT,
        cell TEXT NOT NULL                     -- the whole row as JSON
    ) STRICT;
    CREATE TABLE frames (
        key TEXT NOT NULL REFERENCES cells (key),
        frame INTEGER NOT NULL,
        ssim REAL, psnr REAL,
        PRIMARY KEY (key, frame)
    ) STRICT;
";

/// A database of the clips and their frames, whole or not at all.
fn sqlite(results: &Results, path: &std::path::Path) -> Result<()> {
    let partial = Partial::create(path)?;
    let failed = |source| Error::History { path: path.into(), source };
    let mut connection = Connection::open(partial.path()).map_err(failed)?;
    // It takes its name only when it is whole: a journal would protect what nobody sees.
    connection.pragma_update(None, "journal_mode", "OFF").map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    transaction.execute_batch(SCHEMA).map_err(failed)?;
    for cell in results.cells() {
        let made = cell.made();
        let fidelity = made.and_then(|made| made.fidelity.as_ref());
        let finite = |value: f64| value.is_finite().then_some(value);
        transaction
            .execute(
                "INSERT INTO cells VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
                params![
                    cell.key,
                    cell.arm,
                    role(cell),
                    Value::Object(cell.settings.clone()).to_string(),
                    cell.prompt,
                    cell.seed as i64,
                    cell.reference,
                    cell.finished_at as i64,
                    cell.error(),
                    fidelity.and_then(|fidelity| fidelity.ssim),
                    fidelity.and_then(|fidelity| finite(fidelity.psnr)),
                    made.map(|made| made.density),
                    made.and_then(|made| made.density_sparse),
                    made.map(|made| made.attention_seconds),
                    made.map(|made| made.estimate_seconds),
                    made.map(Made::denoise_seconds),
                    made.map(Made::clip_seconds),
                    made.map(|made| made.master.display().to_string()),
                    serde_json::to_string(cell).unwrap_or_default(),
                ],
            )
            .map_err(failed)?;
        for (index, frame) in fidelity.iter().flat_map(|fidelity| &fidelity.frames).enumerate() {
            transaction
                .execute(
                    "INSERT INTO frames VALUES (?1, ?2, ?3, ?4)",
                    params![cell.key, index as i64, frame.ssim, finite(frame.psnr)],
                )
                .map_err(failed)?;
        }
    }
    transaction.commit().map_err(failed)?;
    drop(connection);
    Ok(partial.commit()?)
}

/// The columns of a clip's figures; empty for a failure.
fn figures(made: Option<&Made>) -> Vec<String> {
    let Some(made) = made else { return vec![String::new(); 16] };
    let fidelity = made.fidelity.as_ref();
    let last = made.latents.last();
    let seconds = |phase| number(made.seconds_in(phase), 3);
    vec![
        optional(fidelity.and_then(|fidelity| fidelity.ssim), 6),
        optional(fidelity.and_then(|fidelity| fidelity.ms_ssim), 6),
        optional(fidelity.map(|fidelity| fidelity.psnr), 3),
        optional(fidelity.and_then(|fidelity| fidelity.flicker), 4),
        fidelity.map_or(String::new(), |fidelity| fidelity.worst_frame().to_string()),
        optional(last.and_then(|step| step.cosine), 6),
        optional(last.and_then(|step| step.relative_l2), 6),
        optional(made.density_sparse, 5),
        number(made.density, 5),
        number(made.attention_seconds, 3),
        number(made.estimate_seconds, 3),
        seconds(Phase::EncodeText),
        seconds(Phase::Denoise),
        seconds(Phase::Decode),
        seconds(Phase::EncodeVideo),
        number(made.clip_seconds(), 3),
    ]
}

fn role(cell: &Cell) -> &'static str {
    match cell.role {
        super::Role::Reference => "reference",
        super::Role::Repeat(_) => "repeat",
        super::Role::Compared => "compared",
    }
}

/// A setting's value as a field.
fn field(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

fn number(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| number(value, digits))
}
