//! The tables of a recording, and which files are taken for one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::files::FileError;
use crate::{Error, Result};

/// Version of the tables and of what stands in them, in SQLite's `user_version`. Version 1 knew nothing of methods that sort
/// keys; there were none, so it is read as if none was used.
pub(super) const VERSION: i64 = 2;
/// The first version that says in which order a map counts keys.
pub(super) const SORTED_KEYS: i64 = 2;
/// "Tess" in SQLite's `application_id`: tells a recording from any other database.
pub(super) const APPLICATION: i64 = 0x5465_7373;
/// How long one who reads waits for the one who writes, and the other way round.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sites are (step, branch, expert, layer); heads count samples × heads in row-major order. What is large lies in `blobs`,
/// once for equal content; a row that names a blob which is not there tells of one that the byte limit dropped.
pub(super) const TABLES: &str = "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,                  -- run, outcome, cost
        value TEXT NOT NULL                    -- JSON
    ) STRICT;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,                -- since the recording began
        event TEXT NOT NULL                    -- JSON
    ) STRICT;
    CREATE TABLE calls (
        step INTEGER, branch TEXT, expert INTEGER, layer INTEGER,
        mode TEXT NOT NULL,                    -- dense, fresh, cached
        estimate_us REAL NOT NULL,
        attention_us REAL NOT NULL,
        densities BLOB,                        -- F32 pairs (nominal, exact), one a head; NULL: dense
        retained BLOB,                         -- F32, one a head; NULL: not known
        estimated_at INTEGER,                  -- step; NULL: dense
        map INTEGER,                           -- NULL: dense
        orders BLOB NOT NULL,                  -- U32 ids: one, or one a head
        fallback TEXT,
        PRIMARY KEY (step, branch, expert, layer)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE maps (
        id INTEGER PRIMARY KEY,
        counts BLOB NOT NULL,                  -- U32, blocks at each level 0..=deepest, one row a head
        thumbnails INTEGER NOT NULL,           -- blob
        sorts_keys INTEGER NOT NULL            -- 1: columns count keys in an order of their own, see key_orders
    ) STRICT;
    CREATE TABLE levels (
        map INTEGER, head INTEGER, blob INTEGER NOT NULL,
        PRIMARY KEY (map, head)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE key_orders (                  -- of pinned heads: the token of the model's sequence at each key, U32
        map INTEGER, head INTEGER, blob INTEGER NOT NULL,
        PRIMARY KEY (map, head)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE captures (
        kind TEXT,                             -- attention, scores, row
        step INTEGER, branch TEXT, expert INTEGER, layer INTEGER, head INTEGER,
        token INTEGER,                         -- of a row, in the model's sequence; otherwise -1
        blob INTEGER NOT NULL,
        PRIMARY KEY (kind, step, branch, expert, layer, head, token)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE latents (
        step INTEGER PRIMARY KEY,              -- before this step; after the last one: the number of steps
        format TEXT NOT NULL,                  -- f16, f32
        blob INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        name TEXT,                             -- NULL: none of those with a name
        blob INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE dropped (
        kind TEXT PRIMARY KEY,
        blobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
";

/// A new database at an empty file.
pub(super) fn create(path: &Path) -> Result<Connection> {
    let failed = |error| writing(path, error);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    // With a log beside the file, whatever was committed is there after a crash, and others may read meanwhile.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
    connection.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    connection.execute_batch(&format!("BEGIN; {TABLES} COMMIT;")).map_err(failed)?;
    Ok(connection)
}

/// Opens a recording to read, finished or not, and tells its version; refuses what is none, and what a newer build wrote.
pub(super) fn open(path: &Path) -> Result<(Connection, i64)> {
    let kind = std::fs::metadata(path).map_err(Error::io(path))?;
    if !kind.is_file() {
        return Err(not_one(path));
    }
    let connection = connect(path)?;
    let number = |name: &str| -> Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| reading(path, &e))
    };
    if number("application_id")? != APPLICATION {
        return Err(not_one(path));
    }
    match number("user_version")? {
        version @ 1..=VERSION => Ok((connection, version)),
        other => Err(Error::Recording {
            path: path.into(),
            reason: format!(
                "it has format {other} and this build of Tessera reads formats 1 to {VERSION}: open it with the Tessera that made it, or a newer one"
            ),
        }),
    }
}

/// Whether the file says that it is a recording. SQLite itself looks, never our own file handle: closing one would drop the
/// locks of a recorder in this process.
pub(super) fn is_recording(path: &Path) -> bool {
    path.is_file()
        && connect(path).is_ok_and(|connection| {
            connection.pragma_query_value(None, "application_id", |row| row.get(0))
                == Ok(APPLICATION)
        })
}

/// Read-only; where not even the log's index may be created beside the file, as it lies there.
fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| reading(path, &e))?;
    connection.busy_timeout(PATIENCE).map_err(|e| reading(path, &e))?;
    let looked = connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
    match looked {
        Ok(_) => Ok(connection),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            let name = path.display().to_string();
            let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
                .map_err(|e| reading(path, &e))
        }
        Err(error) => Err(reading(path, &error)),
    }
}

fn not_one(path: &Path) -> Error {
    Error::Recording {
        path: path.into(),
        reason: "it is not a recording of Tessera's; `tessera generate … --record FILE` makes one"
            .into(),
    }
}

/// What a failing query of a reader means.
pub(super) fn reading(path: &Path, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => not_one(path),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, &error.to_string()),
        _ => Error::Recording { path: path.into(), reason: error.to_string() },
    }
}

/// A recording that is cut off or overwritten.
pub(super) fn damaged(path: &Path, how: &str) -> Error {
    Error::Recording {
        path: path.into(),
        reason: format!("the file is damaged ({how}): copy it again from where it was made"),
    }
}

/// What a failing statement of a writer means.
pub(super) fn writing(path: &Path, error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        let free = crate::files::free_bytes(crate::files::folder_of(path)).ok();
        return FileError::DiskFull { path: path.into(), needed: None, free }.into();
    }
    FileError::Io { path: path.into(), doing: "recording", source: std::io::Error::other(error) }
        .into()
}
