//! Reading a recording: each answer is one query, nothing is loaded that was not asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::meta::{Cost, Held, Kind, Meta, Outcome};
use super::{blob, schema};
use crate::Result;
use crate::events::EventKind;

/// A recorded run, open for reading.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    connection: Connection,
    version: i64,
    meta: Meta,
}

/// Something that happened in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// Milliseconds since the recording began.
    pub at_ms: u64,
    /// What.
    pub event: EventKind,
}

/// One denoising step of a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Which, from 0.
    pub index: usize,
    /// Noise level before it.
    pub sigma: f64,
    /// Noise level after it.
    pub next_sigma: f64,
    /// How long it took; `None` when it did not end.
    pub elapsed_ms: Option<u64>,
    /// Attention calls.
    pub calls: usize,
    /// Milliseconds in them, estimates included.
    pub attention_ms: f64,
}

/// How much there is of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Blobs; equal content is one.
    pub blobs: u64,
    /// Their bytes in the file.
    pub bytes: u64,
}

impl Recording {
    /// Opens a recording, finished or not. Refuses what is none, what is damaged and what a newer build wrote.
    pub fn open(path: &Path) -> Result<Self> {
        let (connection, version) = schema::open(path)?;
        let meta: Option<Meta> = meta_row(path, &connection, "run")?;
        let meta =
            meta.ok_or_else(|| schema::damaged(path, "it does not say of which run it is"))?;
        meta.check().map_err(|reason| schema::damaged(path, &reason))?;
        Ok(Self { path: path.into(), connection, version, meta })
    }

    /// Whether the file says of itself that it is a recording.
    pub fn is_one(path: &Path) -> bool {
        schema::is_recording(path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of its tables.
    pub(super) fn version(&self) -> i64 {
        self.version
    }

    /// The run.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How it ended.
    pub fn outcome(&self) -> Result<Outcome> {
        Ok(meta_row(&self.path, &self.connection, "outcome")?.unwrap_or(Outcome::Unfinished))
    }

    /// What recording cost; nothing when the run did not get to its end.
    pub fn cost(&self) -> Result<Option<Cost>> {
        meta_row(&self.path, &self.connection, "cost")
    }

    /// What happened, in order. Events that only another build knows are left out.
    pub fn events(&self) -> Result<Vec<Happened>> {
        let rows = self.rows("SELECT at_ms, event FROM events ORDER BY id", params![], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let known = |(at_ms, text): (i64, String)| {
            Some(Happened { at_ms: at_ms as u64, event: serde_json::from_str(&text).ok()? })
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// The steps that were begun.
    pub fn steps(&self) -> Result<Vec<Step>> {
        let calls = self.rows(
            "SELECT step, count(*), sum(estimate_us + attention_us) FROM calls GROUP BY step ORDER BY step",
            params![],
            |row| Ok((row.get::<_, usize>(0)?, (row.get::<_, usize>(1)?, row.get::<_, f64>(2)?))),
        )?;
        let calls: BTreeMap<usize, (usize, f64)> = calls.into_iter().collect();
        let ended = self.events()?.into_iter().filter_map(|happened| match happened.event {
            EventKind::Step { index, elapsed_ms, .. } => Some((index as usize, elapsed_ms)),
            _ => None,
        });
        let ended: BTreeMap<usize, u64> = ended.collect();
        let begun = calls.keys().chain(ended.keys()).max().map_or(0, |last| last + 1);
        let sigma = |index: usize| self.meta.sigmas.get(index).copied().unwrap_or_default();
        Ok((0..begun.min(self.meta.steps()))
            .map(|index| {
                let (calls, microseconds) = calls.get(&index).copied().unwrap_or_default();
                Step {
                    index,
                    sigma: sigma(index),
                    next_sigma: sigma(index + 1),
                    elapsed_ms: ended.get(&index).copied(),
                    calls,
                    attention_ms: microseconds / 1e3,
                }
            })
            .collect())
    }

    /// What is large and here.
    pub fn contents(&self) -> Result<BTreeMap<Kind, Amount>> {
        self.amounts("SELECT kind, count(*), sum(length(data)) FROM blobs GROUP BY kind")
    }

    /// What the byte limit dropped.
    pub fn dropped(&self) -> Result<BTreeMap<Kind, Amount>> {
        self.amounts("SELECT kind, blobs, bytes FROM dropped")
    }

    fn amounts(&self, sql: &str) -> Result<BTreeMap<Kind, Amount>> {
        let rows = self.rows(sql, params![], |row| {
            let amount = Amount { blobs: row.get(1)?, bytes: row.get(2)? };
            Ok((row.get::<_, String>(0)?, amount))
        })?;
        Ok(rows
            .into_iter()
            .filter_map(|(kind, amount)| Some((Kind::named(&kind)?, amount)))
            .collect())
    }

    /// The blob whose number `sql` tells, `length` bytes when unpacked.
    pub(super) fn blob(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
        length: usize,
    ) -> Result<Held<Vec<u8>>> {
        let Some(id) = self.row(sql, values, |row| row.get::<_, i64>(0))? else {
            return Ok(Held::NotCaptured);
        };
        let sql = "SELECT data FROM blobs WHERE id = ?1";
        let Some(data) = self.row(sql, params![id], |row| row.get::<_, Vec<u8>>(0))? else {
            return Ok(Held::Dropped);
        };
        let bytes = blob::unpack(&data, length);
        Ok(Held::Here(bytes.map_err(|reason| schema::damaged(&self.path, &reason))?))
    }

    /// All rows of a query.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let wrong = |error| schema::reading(&self.path, &error);
        let mut statement = self.connection.prepare_cached(sql).map_err(wrong)?;
        let rows = statement.query_map(values, read).map_err(wrong)?;
        rows.collect::<rusqlite::Result<_>>().map_err(wrong)
    }

    /// The one row of a query.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let wrong = |error| schema::reading(&self.path, &error);
        let mut statement = self.connection.prepare_cached(sql).map_err(wrong)?;
        statement.query_row(values, read).optional().map_err(wrong)
    }
}

fn meta_row<T: DeserializeOwned>(
    path: &Path,
    connection: &Connection,
    key: &str,
) -> Result<Option<T>> {
    let text: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()
        .map_err(|error| schema::reading(path, &error))?;
    text.map(|text| {
        serde_json::from_str(&text)
            .map_err(|error| schema::damaged(path, &format!("its row \"{key}\": {error}")))
    })
    .transpose()
}
