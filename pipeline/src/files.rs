//! Files that are whole or absent: write under a temporary name in the same folder, fsync, rename, fsync the folder.
//!
//! A temporary name is `.NAME.tessera-partial-PID-N`: hidden, recognisable, and in the same folder so that the rename cannot
//! cross a file system. While it is being written its owner holds an advisory lock (`flock`), which the kernel drops when
//! the process dies in whatever way; [`Partial::create`] therefore removes every partial of the same target that nobody locks.
//! A process id alone could not tell: containers reuse small ids, and two of them may share a volume.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What every temporary name contains, after the target's own name.
pub const PARTIAL_MARK: &str = ".tessera-partial-";

/// The longest part of the target's name kept in the temporary one: file names end at 255 bytes on the usual file systems.
const KEPT_NAME_BYTES: usize = 180;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Why a file could not be written whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file system of `path` has no room left, or less than was asked for.
    #[error(
        "{path}: the disk is full{}{}; free some space or choose another folder",
        needed.map(|n| format!(" (need {n} bytes)")).unwrap_or_default(),
        free.map(|n| format!(" (free {n} bytes)")).unwrap_or_default()
    )]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
        /// Bytes that were wanted, where known.
        needed: Option<u64>,
        /// Bytes that are free, where known.
        free: Option<u64>,
    },
    /// The folder exists and refuses a new file.
    #[error("{path}: this folder cannot be written to ({source}); choose another one")]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The folder does not exist, or is a file.
    #[error("{path}: there is no such folder; create it or choose another one")]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The path has no file name (it ends in `..` or is a root).
    #[error("{path}: this is not the name of a file")]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// Something else failed.
    #[error("{path}: {doing}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl FileError {
    /// Whether more disk space is what would help.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    /// Sorts an I/O error by what a person can do about it.
    pub(crate) fn from_io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        if is_out_of_space(&source) {
            return Self::DiskFull {
                path: path.into(),
                needed: None,
                free: free_bytes(folder_of(path)).ok(),
            };
        }
        Self::Io { path: path.into(), doing, source }
    }
}

/// Whether the file system, or the user's share of it, is full.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The folder that holds `path`; `.` when it is a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Bytes that this user may still write to the file system of `folder`.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}

/// Finds out, before any work is done, whether `bytes_needed` can be written into `folder`.
///
/// It creates and removes a file there: permission bits say nothing about read-only mounts, and root passes all of them.
pub fn check_writable(folder: &Path, bytes_needed: u64) -> Result<(), FileError> {
    if !folder.is_dir() {
        return Err(FileError::NoFolder { path: folder.into() });
    }
    let probe = Partial::create(&folder.join("probe"));
    match probe {
        Ok(_) => {}
        Err(FileError::Io { source, .. }) => {
            return Err(FileError::Unwritable { path: folder.into(), source });
        }
        Err(other) => return Err(other),
    }
    // A file system that cannot say how much is free is not a reason to refuse.
    match free_bytes(folder) {
        Ok(free) if free < bytes_needed => Err(FileError::DiskFull {
            path: folder.into(),
            needed: Some(bytes_needed),
            free: Some(free),
        }),
        _ => Ok(()),
    }
}

/// Writes the whole of `path` or nothing: `write` fills a temporary file, which takes the final name only when it is on the disk.
///
/// A file already at `path` stays as it was until that moment, and for good when anything fails.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut partial = Partial::create(path)?;
    write(partial.file_mut()).map_err(|e| FileError::from_io(path, "writing", e))?;
    partial.commit()
}

/// A file (or folder) under its temporary name; dropped without [`Partial::commit`], it is removed.
#[derive(Debug)]
pub struct Partial {
    target: PathBuf,
    temporary: PathBuf,
    /// Holds the lock; of a folder partial, the folder itself.
    file: File,
    is_folder: bool,
    done: bool,
}

impl Partial {
    /// Starts the file that will be `target`, after removing what dead processes left of earlier attempts at it.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        Self::start(target, false)
    }

    /// Starts the folder that will be `target`; [`Partial::commit`] fails if a folder with files in it is there by then.
    pub fn create_folder(target: &Path) -> Result<Self, FileError> {
        Self::start(target, true)
    }

    fn start(target: &Path, is_folder: bool) -> Result<Self, FileError> {
        let folder = folder_of(target);
        if !folder.is_dir() {
            return Err(FileError::NoFolder { path: folder.into() });
        }
        let prefix = partial_prefix(target)?;
        sweep(folder, &prefix);
        loop {
            let mut name = prefix.clone();
            name.push(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            let temporary = folder.join(name);
            let made = if is_folder {
                fs::create_dir(&temporary).and_then(|()| File::open(&temporary))
            } else {
                OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)
            };
            let file = match made {
                Ok(file) => file,
                // An earlier life of this process id left it and its lock could not be judged: take the next number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => {
                    return Err(FileError::from_io(
                        target,
                        "creating a temporary file beside it",
                        e,
                    ));
                }
            };
            // A file system without locks only loses the sweep; but a lock held by another means that a sweep found
            // the file in the moment before it was locked and is about to remove it.
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) || !temporary.exists() {
                continue;
            }
            return Ok(Self { target: target.into(), temporary, file, is_folder, done: false });
        }
    }

    /// Where the content is now.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The open file, to write to.
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts the content on the disk and gives it its final name, replacing a file that was there.
    pub fn commit(mut self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .map_err(|e| FileError::from_io(&self.target, "putting it on the disk", e))?;
        fs::rename(&self.temporary, &self.target)
            .map_err(|e| FileError::from_io(&self.target, "giving it its final name", e))?;
        self.done = true;
        // The content is safe and named; a folder that cannot be synced only delays the name on some network file systems.
        let _ = sync_folder(folder_of(&self.target));
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = if self.is_folder {
                fs::remove_dir_all(&self.temporary)
            } else {
                fs::remove_file(&self.temporary)
            };
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// `.NAME.tessera-partial-` of a target, its name shortened when the result would be too long for a file system.
fn partial_prefix(target: &Path) -> Result<OsString, FileError> {
    let name = target.file_name().ok_or_else(|| FileError::NoName { path: target.into() })?;
    let mut kept = OsString::from(".");
    if name.len() <= KEPT_NAME_BYTES {
        kept.push(name);
    } else {
        let text = name.to_string_lossy();
        let end = (0..=KEPT_NAME_BYTES).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        kept.push(&text[..end]);
    }
    kept.push(PARTIAL_MARK);
    Ok(kept)
}

/// What SQLite keeps beside a database and a killed process leaves there.
const BESIDE_A_DATABASE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Removes partials with this prefix that no living process holds, and what lay beside them. What cannot be judged is left alone.
fn sweep(folder: &Path, prefix: &OsString) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()) else {
            continue;
        };
        let side = BESIDE_A_DATABASE.iter().find(|side| rest.ends_with(side.as_bytes()));
        if let (Some(side), Some(name)) = (side, name.to_str()) {
            let owner = folder.join(name.strip_suffix(side).unwrap_or(name));
            if !owner.exists() {
                let _ = fs::remove_file(entry.path());
            }
            continue;
        }
        if rest.is_empty() || !rest.iter().all(|b| b.is_ascii_digit() || *b == b'-') {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            let is_folder = file.metadata().is_ok_and(|m| m.is_dir());
            let _ = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            for side in BESIDE_A_DATABASE {
                let mut beside = path.clone().into_os_string();
                beside.push(side);
                let _ = fs::remove_file(beside);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, |f| f.write_all(b"first")).unwrap();
        let error = write_atomically(&path, |f| {
            f.write_all(b"second, but")?;
            Err(io::Error::other("no"))
        });
        assert!(matches!(error, Err(FileError::Io { .. })), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["a.json"]);
        write_atomically(&path, |f| f.write_all(b"third")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn partials_of_the_dead_are_swept_and_of_the_living_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let living = Partial::create(&path).unwrap();
        let dead = folder.path().join(".clip.mp4.tessera-partial-1-7");
        let dead_folder = folder.path().join(".clip.mp4.tessera-partial-1-8");
        let stranger = folder.path().join(".clip.mp4.tessera-partial-notes");
        let other = folder.path().join(".other.mp4.tessera-partial-1-7");
        let journal = folder.path().join(".clip.mp4.tessera-partial-1-7-journal");
        let orphan = folder.path().join(".clip.mp4.tessera-partial-1-9-journal");
        for file in [&dead, &stranger, &other, &journal, &orphan] {
            File::create(file).unwrap();
        }
        fs::create_dir(&dead_folder).unwrap();
        File::create(dead_folder.join("frame_00000.png")).unwrap();
        let second = Partial::create(&path).unwrap();
        assert!(
            living.path().exists() && second.path().exists() && stranger.exists() && other.exists()
        );
        assert!(!dead.exists() && !dead_folder.exists() && !journal.exists() && !orphan.exists());
        drop(living);
        second.commit().unwrap();
        assert!(path.exists());
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn long_and_odd_names_work_and_no_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{}.json", "é".repeat(120)));
        write_atomically(&path, |f| f.write_all(b"x")).unwrap();
        assert!(path.exists());
        assert!(matches!(
            Partial::create(&folder.path().join("..")),
            Err(FileError::NoName { .. })
        ));
        let missing = folder.path().join("none/a");
        assert!(matches!(Partial::create(&missing), Err(FileError::NoFolder { .. })));
    }

    #[test]
    fn writability_is_tried_and_space_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(folder.path(), 1).unwrap();
        assert_eq!(names(folder.path()).len(), 0);
        assert!(matches!(
            check_writable(folder.path(), u64::MAX),
            Err(FileError::DiskFull { needed: Some(_), .. })
        ));
        assert!(matches!(
            check_writable(&folder.path().join("no"), 1),
            Err(FileError::NoFolder { .. })
        ));
        if cfg!(target_os = "linux") {
            // The kernel refuses files here even to root, as a read-only mount would.
            assert!(matches!(
                check_writable(Path::new("/proc"), 1),
                Err(FileError::Unwritable { .. })
            ));
        }
    }
}
