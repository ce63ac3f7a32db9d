//! Every run, in one SQLite file: what was asked, what ran, where the video is, and how fast each phase was.
//!
//! The history serves the run, never the other way round: whatever fails here is a warning of the job. It lies in
//! `TESSERA_DATA_DIR`, otherwise in the user's data folder (`~/.local/share/tessera` on Linux). Several programs may have it open
//! at once. One that is damaged is put aside and a new one begun.

mod aside;
mod query;
mod rows;
mod schema;
mod strip;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::events::{FileRole, Phase};
use crate::plan::rates::{Conditions, Rate, Rates, with_method};
use crate::receipt::Receipt;
use crate::{Error, Result};
pub use query::{Filter, Op, Query, keys, kind};
pub use rows::{Row, is_damage};
use schema::VERSION;
pub use strip::Strip;
pub(crate) use strip::Stripper;

/// Names the folder for what this program keeps.
pub const DATA_VARIABLE: &str = "TESSERA_DATA_DIR";
/// The database's name in that folder.
const FILE: &str = "history.sqlite";
/// Speeds read back; old ones do not count any more.
const RECENT: i64 = 500;

/// The folder for what this program keeps; `None` on a system without a home folder.
pub fn data_dir() -> Option<PathBuf> {
    match std::env::var_os(DATA_VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(folder.into()),
        None => directories::ProjectDirs::from("", "", "tessera")
            .map(|folders| folders.data_dir().to_path_buf()),
    }
}

/// An open history.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    connection: Connection,
    put_aside: Option<PathBuf>,
}

impl History {
    /// Opens or creates the history in a folder, which is created too. One that is damaged is put aside first; see
    /// [`History::told`].
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(FILE);
        let failed = |source| Error::History { path: path.clone(), source };
        let mut put_aside = None;
        let connection = match connect(&path) {
            Err(error) if aside::is_damage(&error) => {
                put_aside = aside::put_aside(folder)?;
                connect(&path)
            }
            other => other,
        };
        let connection = connection.map_err(failed)?;
        let version = schema::version(&connection).map_err(failed)?;
        if version > VERSION {
            return Err(Error::Unreadable {
                what: path.display().to_string(),
                reason: format!(
                    "it has version {version} and this build knows {VERSION}: a newer Tessera made it"
                ),
            });
        }
        Ok(Self { path, connection, put_aside })
    }

    /// As [`History::open`] where there is a history already; makes none.
    pub fn open_if_there(folder: &Path) -> Result<Option<Self>> {
        if folder.join(FILE).is_file() { Self::open(folder).map(Some) } else { Ok(None) }
    }

    /// As [`History::open`], after a look at every page of the database: for when [`is_damage`] said that one is broken.
    pub fn open_anew(folder: &Path) -> Result<Self> {
        let put_aside = aside::put_aside(folder)?;
        let history = Self::open(folder)?;
        Ok(Self { put_aside: put_aside.or(history.put_aside.clone()), ..history })
    }

    /// What a person should be told of the opening: that a damaged history was put aside, and where.
    pub fn told(&self) -> Option<String> {
        self.put_aside.as_ref().map(|aside| {
            format!(
                "The history was damaged. It is kept as {}, and a new one was begun; videos and their settings are where they were.",
                aside.display()
            )
        })
    }

    /// Adds a finished run, with its small frames when there are some.
    pub fn add(&mut self, receipt: &Receipt, strip: Option<&Strip>) -> Result<i64> {
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
        let request = serde_json::to_string(&receipt.request).unwrap_or_else(|_| "{}".into());
        let method = receipt.sparsity.as_ref().map_or("dense", |sparse| &sparse.method);
        // Reading first and writing then, as FTS5 does, could not wait for another program.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO runs (finished_at, prompt, model, fingerprint, video, seconds, request, negative, method)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    now,
                    receipt.request.prompt,
                    receipt.model.name,
                    receipt.model.fingerprint,
                    video,
                    receipt.seconds(),
                    request,
                    receipt.request.negative.as_deref().unwrap_or_default(),
                    method
                ],
            )
            .map_err(failed)?;
        let run = transaction.last_insert_rowid();
        transaction
            .execute("INSERT INTO receipts (run, receipt) VALUES (?1, ?2)", params![run, text])
            .map_err(failed)?;
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
        if let Some(strip) = strip {
            self.set_strip(run, strip)?;
        }
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
}

/// Opens a database and brings its tables up to date.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    // Two programs may write at once; each waits for the other.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Phases whose speed goes by the VAE's number format.
fn is_of_vae(phase: Phase) -> bool {
    matches!(phase, Phase::Decode | Phase::EncodeVideo)
}

/// Speeds measured on this machine, or none: plans are made without a history too. Creates nothing.
pub fn rates() -> Rates {
    data_dir()
        .and_then(|folder| History::open_if_there(&folder).ok()??.rates().ok())
        .unwrap_or_default()
}
