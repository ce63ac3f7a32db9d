//! A sweep's folder: who may work in it, who makes which clip, and what is finished.
//!
//! ```text
//! sweep.toml   what was asked for
//! plan.json    the manifest: every clip with its key
//! cells/       KEY.json, one finished clip each, written once and never changed
//! claims/      KEY, locked by whoever makes that clip; inside, how far it is
//! lock, door   held by who runs here; by who writes the plan
//! watched      held by who looks after a scheduler's tasks
//! slurm/       job script and logs, where Slurm's tasks make the clips
//! masters/     KEY.mkv (FFV1), KEY.mkv.json (receipt), KEY.jpg; of dense clips also KEY.recording
//! ```
//!
//! A clip is finished when its file is in `cells/`, which gets its name only when it is whole and on the disk. Until then it
//! belongs to who holds the lock on its claim. Locks are the kernel's (`flock`; over NFS, the server's) and end with their
//! process in whatever way it ends, so a killed worker's clip is free at once and nothing needs cleaning up. Claims are files that
//! stay: to remove one that another process has just opened would give two of them the same clip.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cell::{Cell, VERSION};
use super::cells::{Manifest, Planned};
use crate::events::Phase;
use crate::files::write_atomically;
use crate::{Error, Result};

/// The manifest's name.
const PLAN: &str = "plan.json";

/// A sweep's folder with its manifest.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    manifest: Manifest,
}

impl Folder {
    /// Makes the folder of a sweep, or opens the one that holds it already.
    ///
    /// # Errors
    /// [`Error::Sweep`] when the folder holds another sweep, or files that are no sweep's.
    pub fn prepare(path: &Path, manifest: &Manifest) -> Result<Self> {
        Self::make(path, manifest, false)
    }

    /// As [`Folder::prepare`], also in a folder of another sweep: its clips stay, and those that both have are not made again. For a
    /// search that asks for a few clips at a time.
    pub fn extend(path: &Path, manifest: &Manifest) -> Result<Self> {
        Self::make(path, manifest, true)
    }

    fn make(path: &Path, manifest: &Manifest, may_extend: bool) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        let refused = |reason: String| Error::Sweep { folder: path.into(), reason };
        // Two that begin at once: the second waits until the first has written its plan.
        let door = path.join("door");
        let entered = lock_file(&door)?;
        entered.lock().map_err(Error::io(&door))?;
        if !may_extend && path.join(PLAN).is_file() {
            let there = Manifest::read(&path.join(PLAN))?;
            if there.digest != manifest.digest {
                return Err(refused(format!(
                    "expected a new folder or that of this sweep, got one that holds another (\"{}\", {} clips, digest {}); name another folder, or run the sweep file that is in it",
                    there.sweep.title,
                    there.cells.len(),
                    there.digest
                )));
            }
        }
        for folder in ["cells", "claims", "masters"] {
            let folder = path.join(folder);
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        write_atomically(&path.join("sweep.toml"), |file| {
            file.write_all(manifest.sweep.to_toml().as_bytes())
        })?;
        manifest.save(&path.join(PLAN))?;
        Ok(Self { path: path.into(), manifest: manifest.clone() })
    }

    /// Opens a folder that [`Folder::prepare`] made.
    ///
    /// # Errors
    /// [`Error::Sweep`] when it holds no sweep.
    pub fn open(path: &Path) -> Result<Self> {
        let plan = path.join(PLAN);
        if !plan.is_file() {
            let reason = format!(
                "expected the folder of a sweep, with {PLAN} in it, got none; `tessera sweep FILE --out FOLDER` makes one"
            );
            return Err(Error::Sweep { folder: path.into(), reason });
        }
        Ok(Self { path: path.into(), manifest: Manifest::read(&plan)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is made in it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A file of a clip's master: `mkv`, `jpg` or `recording`, relative to the folder.
    pub(super) fn master(key: &str, ending: &str) -> PathBuf {
        Path::new("masters").join(format!("{key}.{ending}"))
    }

    /// The finished clip of a key; `None` while it is not finished.
    pub fn cell(&self, key: &str) -> Result<Option<Cell>> {
        let path = self.cell_path(key);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let unreadable =
            |reason: String| Error::Unreadable { what: path.display().to_string(), reason };
        let cell: Cell =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if cell.version != VERSION {
            let reason = format!(
                "expected version {VERSION} of a clip's results, got {}; use the Tessera that made it",
                cell.version
            );
            return Err(unreadable(reason));
        }
        Ok(Some(cell))
    }

    /// Whether a clip is finished, with or without success.
    pub fn is_finished(&self, key: &str) -> bool {
        self.cell_path(key).is_file()
    }

    /// Takes a clip that nobody has finished and nobody is making; `None` where somebody has or is.
    pub fn claim(&self, planned: &Planned) -> Result<Option<Claim>> {
        if self.is_finished(&planned.key) {
            return Ok(None);
        }
        let Some(file) = try_lock(&self.claim_path(&planned.key))? else { return Ok(None) };
        // Between the look and the lock its maker may have finished it.
        let claim = Claim { file, key: planned.key.clone() };
        Ok((!self.is_finished(&planned.key)).then_some(claim))
    }

    /// Writes what came of a claimed clip, whole or not at all; it is finished then.
    pub fn finish(&self, claim: Claim, cell: &Cell) -> Result<()> {
        save_json(cell, &self.cell_path(&claim.key))?;
        drop(claim); // only now may others look: they find it finished
        Ok(())
    }

    /// Forgets failed clips, so that they are made again. Nobody may be working in the folder.
    pub fn forget_failures(&self) -> Result<usize> {
        let mut forgotten = 0;
        for planned in &self.manifest.cells {
            if self.cell(&planned.key)?.is_some_and(|cell| cell.made().is_none()) {
                let path = self.cell_path(&planned.key);
                std::fs::remove_file(&path).map_err(Error::io(&path))?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// Keeps every other run out of the folder until the lock is dropped: for a sweep that runs here and now.
    ///
    /// # Errors
    /// [`Error::Sweep`] while another run works in it.
    pub fn alone(&self) -> Result<File> {
        let path = self.path.join("lock");
        try_lock(&path)?.ok_or_else(|| self.busy())
    }

    /// Keeps out whoever wants to be [`Folder::alone`], and lets in others like this: for the tasks of a scheduler.
    pub fn together(&self) -> Result<File> {
        let path = self.path.join("lock");
        let file = lock_file(&path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(self.busy()),
            Err(TryLockError::Error(error)) => Err(Error::io(&path)(error)),
        }
    }

    /// Keeps out whoever else wants to look after a scheduler's tasks in this folder, until it is dropped.
    ///
    /// # Errors
    /// [`Error::Sweep`] while another run does.
    pub(super) fn watching(&self) -> Result<File> {
        try_lock(&self.path.join("watched"))?.ok_or_else(|| self.busy())
    }

    /// How far the clip is that somebody makes under this key; `None` where nobody said for `stale_seconds`.
    pub fn doing(&self, key: &str, stale_seconds: u64) -> Option<Doing> {
        let path = self.claim_path(key);
        let age = std::fs::metadata(&path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        let text =
            (age.as_secs() <= stale_seconds).then(|| std::fs::read_to_string(&path).ok())??;
        serde_json::from_str(&text).ok() // half a line is no news
    }

    fn busy(&self) -> Error {
        let reason = "expected that nobody works in this folder, got another run of this sweep; wait until it has ended, or name another folder".into();
        Error::Sweep { folder: self.path.clone(), reason }
    }

    fn cell_path(&self, key: &str) -> PathBuf {
        self.path.join("cells").join(format!("{key}.json"))
    }

    fn claim_path(&self, key: &str) -> PathBuf {
        self.path.join("claims").join(key)
    }
}

/// A clip that this process makes. Dropped unfinished, it is anyone's.
#[derive(Debug)]
pub struct Claim {
    file: File,
    key: String,
}

/// How far a clip is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// The process that makes it.
    pub pid: u32,
    /// What it does.
    pub phase: Phase,
    /// Parts of the phase that are done.
    pub done: u64,
    /// Parts of the phase.
    pub of: u64,
}

impl Claim {
    /// Tells whoever watches the folder how far the clip is. A folder that takes no such note is no reason to stop.
    pub(super) fn tell(&mut self, doing: &Doing) {
        let Ok(text) = serde_json::to_string(doing) else { return };
        let _ = self
            .file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(text.as_bytes()));
    }
}

fn lock_file(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(Error::io(path))
}

/// The file, locked; `None` while another process has it.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
    }
}

/// Writes a value as JSON, whole or not at all.
pub(super) fn save_json(value: &impl Serialize, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Unreadable {
        what: path.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}
