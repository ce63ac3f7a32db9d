//! Rows: found, read a page at a time, starred, tagged, removed.

use std::path::PathBuf;

use rusqlite::{OptionalExtension as _, params, params_from_iter};
use serde::Serialize;

use super::query::Query;
use super::strip::Strip;
use super::{History, aside};
use crate::receipt::Receipt;
use crate::request::Request;
use crate::{Error, Result};

/// A finished run, without its receipt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its number.
    pub id: i64,
    /// When it ended: `2026-11-24 07:30`, local time.
    pub finished: String,
    /// The model's name.
    pub model: String,
    /// How self-attention was done.
    pub method: String,
    /// The video.
    pub video: PathBuf,
    /// Whether the video is not there any more.
    pub is_gone: bool,
    /// Wall time of the run.
    pub seconds: f64,
    /// Whether it is starred.
    pub is_starred: bool,
    /// Tags, a comma and a space between two.
    pub tags: String,
    /// The request with every default filled in; `None` when this build cannot read it.
    pub request: Option<Request>,
    /// The prompt.
    pub prompt: String,
}

impl History {
    /// Numbers of the runs that a search finds, newest first.
    pub fn find(&self, query: &Query) -> Result<Vec<i64>> {
        let (sql, values) = query.sql();
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.failed())?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get(0));
        rows.and_then(Iterator::collect).map_err(self.failed())
    }

    /// Rows by their numbers, in that order; those that are gone are left out. Meant for a page: each is looked up by itself.
    pub fn rows(&self, ids: &[i64]) -> Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(ROW).map_err(self.failed())?;
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let row = statement.query_row([id], |row| {
                let (video, request): (String, String) = (row.get(4)?, row.get(8)?);
                let video = PathBuf::from(video);
                Ok(Row {
                    id: row.get(0)?,
                    finished: row.get(1)?,
                    model: row.get(2)?,
                    method: row.get(3)?,
                    is_gone: !video.exists(),
                    video,
                    seconds: row.get(5)?,
                    is_starred: row.get(6)?,
                    tags: row.get(7)?,
                    request: serde_json::from_str(&request).ok(),
                    prompt: row.get(9)?,
                })
            });
            rows.extend(row.optional().map_err(self.failed())?);
        }
        Ok(rows)
    }

    /// The receipt of a run.
    pub fn receipt(&self, id: i64) -> Result<Option<Receipt>> {
        let sql = "SELECT receipt FROM receipts WHERE run = ?1";
        let text: Option<String> = self
            .connection
            .query_row(sql, [id], |row| row.get(0))
            .optional()
            .map_err(self.failed())?;
        let Some(text) = text else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Unreadable {
            what: format!("receipt of run {id} in the history"),
            reason: error.to_string(),
        })
    }

    /// The small frames of a run, if they are kept.
    pub fn strip(&self, id: i64) -> Result<Option<Strip>> {
        let sql = "SELECT picture, frames FROM strips WHERE run = ?1";
        let found = self
            .connection
            .query_row(sql, [id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)));
        let Some((bytes, frames)) = found.optional().map_err(self.failed())? else {
            return Ok(None);
        };
        Strip::from_webp(&bytes, usize::try_from(frames).unwrap_or(1)).map(Some)
    }

    /// Keeps the small frames of a run.
    pub fn set_strip(&self, id: i64, strip: &Strip) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO strips (run, frames, picture) VALUES (?1, ?2, ?3)";
        let values = params![id, strip.frames as i64, strip.to_webp()?];
        self.connection.execute(sql, values).map(drop).map_err(self.failed())
    }

    /// Stars a run, or takes its star.
    pub fn set_star(&self, id: i64, is_starred: bool) -> Result<()> {
        let sql = "UPDATE runs SET is_starred = ?2 WHERE id = ?1";
        self.connection.execute(sql, params![id, is_starred]).map(drop).map_err(self.failed())
    }

    /// Gives a run these tags, commas between them; returns how they were written.
    pub fn set_tags(&self, id: i64, tags: &str) -> Result<String> {
        let mut each: Vec<&str> = Vec::new();
        for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if !each.contains(&tag) {
                each.push(tag);
            }
        }
        let tags = each.join(", ");
        let sql = "UPDATE runs SET tags = ?2 WHERE id = ?1";
        self.connection.execute(sql, params![id, tags]).map_err(self.failed())?;
        Ok(tags)
    }

    /// Forgets a run; its files stay, and so do the speeds that it measured.
    pub fn remove(&self, id: i64) -> Result<()> {
        self.connection
            .execute("DELETE FROM runs WHERE id = ?1", [id])
            .map(drop)
            .map_err(self.failed())
    }

    pub(super) fn failed(&self) -> impl Fn(rusqlite::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::History { path: path.clone(), source }
    }
}

/// Whether an error says that the database itself is broken: opening it again puts it aside when it is.
pub fn is_damage(error: &Error) -> bool {
    matches!(error, Error::History { source, .. } if aside::is_damage(source))
}

pub(super) const ROW: &str = "SELECT id, strftime('%Y-%m-%d %H:%M', finished_at, 'unixepoch', 'localtime'), model, method, video, \
                   seconds, is_starred, tags, request, prompt FROM runs WHERE id = ?1";
