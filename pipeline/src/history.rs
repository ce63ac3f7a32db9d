//! Every run, in one SQLite file: what was asked, what ran, where the video is, and how fast each phase was.
//!
//! The history serves the run, never the other way round: whatever fails here is a warning of the job. It lies in
//! `TESSERA_DATA_DIR`, otherwise in the user's data folder (`~/.local/share/tessera` on Linux).

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::events::{FileRole, Phase};
use crate::plan::rates::{Conditions, Rate, Rates, with_method};
use crate::receipt::Receipt;
use crate::{Error, Result};

/// Names the folder for what this program keeps.
pub const DATA_VARIABLE: &str = "TESSERA_DATA_DIR";
/// The database's name in that folder.
const FILE: &str = "history.sqlite";
/// Version of the tables, in SQLite's `user_version`.
const VERSION: i64 = 1;
/// Speeds read back; old ones do not count any more.
const RECENT: i64 = 500;

const TABLES: &str = "
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        finished_at INTEGER NOT NULL,          -- seconds since 1970, UTC
        prompt TEXT NOT NULL,
        model TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        video TEXT NOT NULL,
        seconds REAL NOT NULL,
        receipt TEXT NOT NULL                  -- JSON, with the request inside
    ) STRICT;
    CREATE TABLE speeds (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        phase TEXT NOT NULL,
        device TEXT NOT NULL,
        dtype TEXT NOT NULL,
        kernels TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        work REAL NOT NULL,
        seconds REAL NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
";

/// The folder for what this program keeps; `None` on a system without a home folder.
pub fn data_dir() -> Option<PathBuf> {
    match std::env::var_os(DATA_VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(folder.into()),
        None => directories::ProjectDirs::from("", "", "tessera")
            .map(|folders| folders.data_dir().to_path_buf()),
    }
}

/// An open history.
pub struct History {
    path: PathBuf,
    connection: Connection,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// Seconds since 1970, UTC.
    pub finished_at: i64,
    /// What ran.
    pub receipt: Receipt,
}

impl History {
    /// Opens or creates the history in a folder, which is created too.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(FILE);
        let failed = |source| Error::History { path: path.clone(), source };
        let connection = Connection::open(&path).map_err(failed)?;
        // Two programs may write at once; each waits for the other.
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        match version {
            0 => connection
                .execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))
                .map_err(failed)?,
            VERSION => {}
            newer => {
                return Err(Error::Unreadable {
                    what: path.display().to_string(),
                    reason: format!(
                        "it has version {newer} and this build knows {VERSION}: a newer Tessera made it"
                    ),
                });
            }
        }
        Ok(Self { path, connection })
    }

    /// Adds a finished run.
    pub fn add(&mut self, receipt: &Receipt) -> Result<i64> {
        let failed = |source| Error::History { path: self.path.clone(), source };
        let text = serde_json::to_string(receipt).map_err(|error| Error::Unreadable {
            what: "receipt".into(),
            reason: error.to_string(),
        })?;
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let video = receipt.files.iter().find(|file| file.what == FileRole::Video);
        let video =
            video.map(|file| std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()));
        let video = video.unwrap_or_default().display().to_string();
        let transaction = self.connection.transaction().map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO runs (finished_at, prompt, model, fingerprint, video, seconds, receipt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![now, receipt.request.prompt, receipt.model.name, receipt.model.fingerprint, video, receipt.seconds(), text],
            )
            .map_err(failed)?;
        let run = transaction.last_insert_rowid();
        let ran = &receipt.ran_on;
        for phase in receipt.phases.iter().filter(|phase| phase.work > 0.0 && phase.seconds > 0.0) {
            let dtype = if is_of_vae(phase.phase) { &ran.vae_dtype } else { &ran.dtype };
            let sparse = receipt.sparsity.as_ref().filter(|_| phase.phase == Phase::Denoise);
            let method = sparse.map(|sparse| sparse.method.as_str());
            transaction
                .execute(
                    "INSERT INTO speeds (run, phase, device, dtype, kernels, fingerprint, work, seconds)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        run,
                        phase.phase.name(),
                        ran.device,
                        dtype,
                        with_method(&ran.kernels, method),
                        receipt.model.fingerprint,
                        phase.work,
                        phase.seconds
                    ],
                )
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(run)
    }

    /// Speeds of earlier runs, newest first.
    pub fn rates(&self) -> Result<Rates> {
        let failed = |source| Error::History { path: self.path.clone(), source };
        let mut statement = self
            .connection
            .prepare("SELECT phase, device, dtype, kernels, fingerprint, work, seconds FROM speeds ORDER BY id DESC LIMIT ?1")
            .map_err(failed)?;
        let rows = statement
            .query_map([RECENT], |row| {
                let conditions = Conditions {
                    device: row.get(1)?,
                    dtype: row.get(2)?,
                    kernels: row.get(3)?,
                    fingerprint: row.get(4)?,
                };
                Ok((
                    row.get::<_, String>(0)?,
                    conditions,
                    row.get::<_, f64>(5)?,
                    row.get::<_, f64>(6)?,
                ))
            })
            .map_err(failed)?;
        let mut rates = Vec::new();
        for row in rows {
            let (name, conditions, work, seconds) = row.map_err(failed)?;
            if let Some(phase) = Phase::ALL.into_iter().find(|phase| phase.name() == name) {
                rates.push(Rate { phase, conditions, work, seconds });
            }
        }
        Ok(Rates(rates))
    }

    /// The newest runs, newest first; lines that this build cannot read are left out.
    pub fn newest(&self, most: u32) -> Result<Vec<Entry>> {
        let failed = |source| Error::History { path: self.path.clone(), source };
        let mut statement = self
            .connection
            .prepare("SELECT id, finished_at, receipt FROM runs ORDER BY id DESC LIMIT ?1")
            .map_err(failed)?;
        let rows = statement
            .query_map([most], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
            })
            .map_err(failed)?;
        let mut entries = Vec::new();
        for row in rows {
            let (id, finished_at, text) = row.map_err(failed)?;
            if let Ok(receipt) = serde_json::from_str(&text) {
                entries.push(Entry { id, finished_at, receipt });
            }
        }
        Ok(entries)
    }
}

/// Phases whose speed goes by the VAE's number format.
fn is_of_vae(phase: Phase) -> bool {
    matches!(phase, Phase::Decode | Phase::EncodeVideo)
}

/// Speeds measured on this machine, or none: plans are made without a history too. Creates nothing.
pub fn rates() -> Rates {
    data_dir()
        .filter(|folder| folder.join(FILE).is_file())
        .and_then(|folder| History::open(&folder).ok()?.rates().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::rates::Conditions;

    #[test]
    fn runs_come_back_and_their_speeds_feed_plans() {
        let folder = tempfile::tempdir().unwrap();
        let receipt = crate::run::testing::receipt();
        let id = History::open(folder.path()).unwrap().add(&receipt).unwrap();
        let history = History::open(folder.path()).unwrap();
        let newest = history.newest(10).unwrap();
        assert_eq!(newest.len(), 1);
        assert_eq!((newest[0].id, &newest[0].receipt), (id, &receipt));
        let now = Conditions {
            device: receipt.ran_on.device.clone(),
            dtype: receipt.ran_on.dtype.clone(),
            kernels: receipt.ran_on.kernels.clone(),
            fingerprint: receipt.model.fingerprint.clone(),
        };
        assert_eq!(history.rates().unwrap().measured(Phase::Denoise, &now, 100.0), Some(50.0));
    }

    #[test]
    fn a_history_of_a_newer_build_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        History::open(folder.path())
            .unwrap()
            .connection
            .pragma_update(None, "user_version", 7)
            .unwrap();
        let error = History::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("version 7"), "{error}");
    }
}
