//! Rows into a recording.
//!
//! It is written as `FILE.partial`, a database that can be read at any time, also by others and after a crash (then with the
//! log `FILE.partial-wal` beside it). At the end it is copied without its holes to a temporary name, put on the disk and
//! renamed to FILE: a file of that name is always whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ToSql, params};
use serde::Serialize;
use tessera_kernels::order::Order;

use super::blob::{self, Effort};
use super::call::Call;
use super::limit::{Entry, Shelf, hash};
use super::meta::{Cost, Kind, Meta, Outcome, Place, branch_name};
use super::{schema, summary};
use crate::capture::LatentFormat;
use crate::events::EventKind;
use crate::files::{FileError, Partial};
use crate::{Error, Result};

/// What an unfinished recording's name ends in.
pub const PARTIAL_ENDING: &str = ".partial";

/// A recording that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    target: PathBuf,
    partial: PathBuf,
    connection: Connection,
    /// Keeps its lock, so that no second run records to the same file. Closed last: it goes after the connection.
    _lock: File,
    shelf: Shelf,
    next_blob: i64,
    heads: usize,
    is_open: bool,
}

/// The name of an unfinished recording.
pub fn partial_of(target: &Path) -> PathBuf {
    with_ending(target, PARTIAL_ENDING)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

impl Writer {
    /// Begins the recording that will be `target`, in place of what a dead process left of one.
    pub(crate) fn create(target: &Path, meta: &Meta) -> Result<Self> {
        let partial = partial_of(target);
        let lock = lock(&partial)?;
        for ending in ["-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(with_ending(&partial, ending)); // usually there is none
        }
        let mut writer = Self {
            connection: schema::create(&partial)?,
            target: target.into(),
            partial,
            _lock: lock,
            shelf: Shelf::new(meta.capture.limit),
            next_blob: 1,
            heads: meta.heads,
            is_open: false,
        };
        writer.set("run", meta)?;
        writer.set("outcome", &Outcome::Unfinished)?;
        writer.commit()?;
        Ok(writer)
    }

    /// Where it is now.
    pub(crate) fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes everything so far safe from a crash, and visible to others.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if self.is_open {
            self.connection
                .execute_batch("COMMIT")
                .map_err(|e| schema::writing(&self.partial, e))?;
            self.is_open = false;
        }
        Ok(())
    }

    /// Something that happened `at_ms` milliseconds after the recording began.
    pub(crate) fn event(&mut self, at_ms: u64, event: &EventKind) -> Result<()> {
        let text = self.json(event)?;
        self.run("INSERT INTO events (at_ms, event) VALUES (?1, ?2)", params![at_ms as i64, text])?;
        self.keep(text.len())
    }

    /// How an attention call was answered.
    pub(crate) fn call(&mut self, call: &Call) -> Result<()> {
        let is_dense = call.map.is_none();
        let densities: Vec<f32> = call
            .densities
            .iter()
            .flat_map(|density| [density.nominal as f32, density.exact as f32])
            .collect();
        let densities = (!is_dense).then(|| blob::floats(&densities));
        let retained = call.retained.as_ref().map(|retained| {
            blob::floats(&retained.iter().map(|share| *share as f32).collect::<Vec<_>>())
        });
        let orders = blob::words(&call.orders);
        let bytes = 64
            + orders.len()
            + densities.as_ref().map_or(0, Vec::len)
            + retained.as_ref().map_or(0, Vec::len);
        let Place { step, site } = call.place;
        self.run(
            "INSERT OR REPLACE INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                step as i64,
                branch_name(site.branch),
                site.expert as i64,
                site.layer as i64,
                call.mode.name(),
                call.estimate_ms * 1e3,
                call.attention_ms * 1e3,
                densities,
                retained,
                call.estimated_at.map(|step| step as i64),
                call.map,
                orders,
                call.fallback,
            ],
        )?;
        self.keep(bytes)
    }

    /// A map `[heads, rows, columns]`: the summary of all heads, and the levels of those in `pinned`. Where the method sorted
    /// keys, `keys` has the token of the model's sequence at each key for those heads.
    pub(crate) fn map(
        &mut self,
        id: u32,
        levels: &[u8],
        meta: &Meta,
        pinned: &[usize],
        keys: Option<&[(usize, Order)]>,
    ) -> Result<()> {
        let blocks = meta.blocks();
        let summary = summary::summarise(levels, blocks);
        let thumbnails = self.blob(
            Kind::Thumbnails,
            &blob::nibbles(&summary.thumbnails.concat()),
            Effort::Fast,
        )?;
        let counts = blob::words(&summary.counts.concat());
        let sorts_keys = keys.is_some();
        self.run(
            "INSERT INTO maps VALUES (?1, ?2, ?3, ?4)",
            params![id, counts, thumbnails, sorts_keys],
        )?;
        self.keep(counts.len() + 16)?;
        for (head, levels) in levels.chunks(blocks.rows() * blocks.columns()).enumerate() {
            if pinned.contains(&(head % self.heads)) {
                let blob = self.blob(Kind::Levels, &blob::nibbles(levels), Effort::Fast)?;
                self.run("INSERT INTO levels VALUES (?1, ?2, ?3)", params![id, head as i64, blob])?;
            }
        }
        for (head, order) in keys.unwrap_or_default() {
            let blob = self.blob(Kind::KeyOrder, &blob::words(order.tokens()), Effort::Fast)?;
            let sql = "INSERT INTO key_orders VALUES (?1, ?2, ?3)";
            self.run(sql, params![id, *head as i64, blob])?;
        }
        Ok(())
    }

    /// Attention or scores of a head, or the row of a query token (`token`, in the model's own sequence).
    pub(crate) fn capture(
        &mut self,
        kind: Kind,
        place: Place,
        head: usize,
        token: Option<usize>,
        values: &[f32],
    ) -> Result<()> {
        let bytes = if kind == Kind::Scores { blob::halves(values) } else { blob::shares(values) };
        let blob = self.blob(kind, &bytes, Effort::Fast)?;
        let Place { step, site } = place;
        self.run(
            "INSERT OR REPLACE INTO captures VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                kind.name(),
                step as i64,
                branch_name(site.branch),
                site.expert as i64,
                site.layer as i64,
                head as i64,
                token.map_or(-1, |token| token as i64),
                blob
            ],
        )
    }

    /// The clip before `step`.
    pub(crate) fn latents(
        &mut self,
        step: usize,
        format: LatentFormat,
        values: &[f32],
    ) -> Result<()> {
        let bytes = match format {
            LatentFormat::None => return Ok(()),
            LatentFormat::F16 => blob::halves(values),
            LatentFormat::F32 => blob::floats(values),
        };
        let blob = self.blob(Kind::Latents, &bytes, Effort::Store)?;
        self.run(
            "INSERT OR REPLACE INTO latents VALUES (?1, ?2, ?3)",
            params![step as i64, format.name(), blob],
        )
    }

    /// A token order that calls refer to by `id`.
    pub(crate) fn order(&mut self, id: u32, name: Option<&str>, tokens: &[u32]) -> Result<()> {
        let blob = self.blob(Kind::Order, &blob::words(tokens), Effort::Fast)?;
        self.run("INSERT INTO orders VALUES (?1, ?2, ?3)", params![id, name, blob])
    }

    /// What recording cost.
    pub(crate) fn cost(&mut self, cost: &Cost) -> Result<()> {
        self.set("cost", cost)
    }

    /// Ends the recording and gives it its name; answers with its size. When this fails, what was recorded is still in
    /// the unfinished file.
    pub(crate) fn finish(mut self, outcome: &Outcome) -> Result<u64> {
        self.set("outcome", outcome)?;
        self.commit()?;
        let whole = Partial::create(&self.target)?;
        let name =
            whole.path().to_str().ok_or_else(|| FileError::NoName { path: self.target.clone() })?;
        self.connection
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| schema::writing(&self.target, error))?;
        whole.commit()?;
        let Self { connection, partial, target, _lock, .. } = self;
        drop(connection);
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_ending(&partial, ending)); // the log is usually gone by now
        }
        Ok(std::fs::metadata(&target).map_err(Error::io(&target))?.len())
    }

    fn set(&mut self, key: &str, value: &impl Serialize) -> Result<()> {
        let text = self.json(value)?;
        self.run("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![key, text])?;
        self.keep(text.len())
    }

    /// The number of a blob with these bytes.
    fn blob(&mut self, kind: Kind, bytes: &[u8], effort: Effort) -> Result<i64> {
        let hash = hash(kind, bytes);
        if let Some(id) = self.shelf.find(hash) {
            return Ok(id);
        }
        let packed = blob::pack(bytes, effort).map_err(Error::io(&self.partial))?;
        let id = self.next_blob;
        self.next_blob += 1;
        self.run("INSERT INTO blobs VALUES (?1, ?2, ?3)", params![id, kind.name(), packed])?;
        let gone = self.shelf.add(id, kind, hash, packed.len() as u64);
        self.drop_blobs(&gone)?;
        Ok(id)
    }

    /// Counts bytes that the limit cannot drop.
    fn keep(&mut self, bytes: usize) -> Result<()> {
        let gone = self.shelf.count(bytes as u64);
        self.drop_blobs(&gone)
    }

    fn drop_blobs(&mut self, gone: &[Entry]) -> Result<()> {
        for entry in gone {
            self.run("DELETE FROM blobs WHERE id = ?1", params![entry.id])?;
            self.run(
                "INSERT INTO dropped VALUES (?1, 1, ?2)
                 ON CONFLICT (kind) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes",
                params![entry.kind.name(), entry.bytes as i64],
            )?;
        }
        Ok(())
    }

    /// One statement, inside the transaction that the next commit ends.
    fn run(&mut self, sql: &str, values: &[&dyn ToSql]) -> Result<()> {
        let failed = |error| schema::writing(&self.partial, error);
        if !self.is_open {
            self.connection.execute_batch("BEGIN").map_err(failed)?;
            self.is_open = true;
        }
        self.connection.prepare_cached(sql).map_err(failed)?.execute(values).map_err(failed)?;
        Ok(())
    }

    fn json(&self, value: &impl Serialize) -> Result<String> {
        serde_json::to_string(value).map_err(|error| Error::Unreadable {
            what: self.partial.display().to_string(),
            reason: error.to_string(),
        })
    }
}

/// The empty file, held so that no other run takes it.
fn lock(partial: &Path) -> Result<File> {
    let folder = crate::files::folder_of(partial);
    if !folder.is_dir() {
        return Err(FileError::NoFolder { path: folder.into() }.into());
    }
    let failed = |doing| move |error| FileError::from_io(partial, doing, error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(partial)
        .map_err(failed("creating it"))?;
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        let source = std::io::Error::other("another run is recording to it; choose another name");
        return Err(FileError::Io { path: partial.into(), doing: "recording", source }.into());
    }
    file.set_len(0).map_err(failed("emptying it"))?;
    Ok(file)
}
