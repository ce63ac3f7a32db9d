//! A database that cannot be read is put aside under another name, never overwritten: someone may still save it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::ErrorCode;

use super::{FILE, connect};
use crate::{Error, Result};

/// Whether it is the database itself that is broken.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Puts the database of a folder aside unless it can be read after all; where it is now.
pub(super) fn put_aside(folder: &Path) -> Result<Option<PathBuf>> {
    // Of two programs that find it broken, the second must not put the first one's new database aside.
    let lock = folder.join("history.lock");
    let lock = File::create(&lock).map_err(Error::io(&lock))?;
    lock.lock().map_err(Error::io(folder))?;
    let path = folder.join(FILE);
    if connect(&path).and_then(|connection| check(&connection)).is_ok() {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let aside = folder.join(format!("history-damaged-{now}.sqlite"));
    std::fs::rename(&path, &aside).map_err(Error::io(&path))?;
    for ending in ["-wal", "-shm"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        let _ = std::fs::rename(beside(&path), beside(&aside)); // most often there is none
    }
    Ok(Some(aside))
}

/// Reads all of a database.
fn check(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
}
