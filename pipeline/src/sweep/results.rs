//! What is in a sweep's folder, for whoever shows it, and what is new there, for whoever watches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cell::Cell;
use super::cells::{Manifest, Planned, Role};
use super::folder::{Doing, Folder};
use crate::Result;

/// A clip whose maker said nothing for so long is not being made.
const STALE_SECONDS: u64 = 30;

/// The finished clips of a sweep.
#[derive(Debug, Clone)]
pub struct Results {
    folder: Folder,
    cells: BTreeMap<String, Cell>,
}

impl Results {
    /// Reads the folder of a sweep, finished or not.
    ///
    /// # Errors
    /// [`crate::Error::Sweep`] when it holds none; a file in it that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Folder::open(path)?;
        let mut results = Self { folder, cells: BTreeMap::new() };
        results.refresh()?;
        Ok(results)
    }

    /// Reads what was finished since; the keys of those clips. Finished clips never change, so none is read twice.
    pub fn refresh(&mut self) -> Result<Vec<String>> {
        let mut new = Vec::new();
        for planned in &self.folder.manifest().cells {
            if !self.cells.contains_key(&planned.key)
                && let Some(cell) = self.folder.cell(&planned.key)?
            {
                self.cells.insert(planned.key.clone(), cell);
                new.push(planned.key.clone());
            }
        }
        Ok(new)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What was asked for, and every clip that it comes to.
    pub fn manifest(&self) -> &Manifest {
        self.folder.manifest()
    }

    /// Finished clips in the order of the manifest, failures too.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.manifest().cells.iter().filter_map(|planned| self.cells.get(&planned.key))
    }

    /// Finished clips of one arm.
    pub fn of_arm<'a>(&'a self, arm: &'a str) -> impl Iterator<Item = &'a Cell> {
        self.cells().filter(move |cell| cell.arm == arm)
    }

    /// Clips that are to be made yet.
    pub fn missing(&self) -> impl Iterator<Item = &Planned> {
        self.manifest().cells.iter().filter(|planned| !self.cells.contains_key(&planned.key))
    }

    /// Whether every clip is finished.
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The finished clip of a key.
    pub fn cell(&self, key: &str) -> Option<&Cell> {
        self.cells.get(key)
    }

    /// The dense clip that a clip is compared with, once it is finished; itself for that one.
    pub fn reference_of(&self, cell: &Cell) -> Option<&Cell> {
        self.cell(&cell.reference)
    }

    /// The dense clip that a clip's times are compared with: its first repeat, which ran among the compared ones, or else
    /// the reference, which ran before them.
    pub fn baseline_of(&self, cell: &Cell) -> Option<&Cell> {
        let repeat = self.cells().find(|other| {
            other.reference == cell.reference
                && other.role == Role::Repeat(1)
                && other.made().is_some()
        });
        repeat.or_else(|| self.reference_of(cell))
    }

    /// Where a file is that a clip names relative to the folder.
    pub fn file(&self, relative: &Path) -> PathBuf {
        self.path().join(relative)
    }
}

/// What a sweep does right now, in whichever process it runs.
#[derive(Debug)]
pub struct Watcher {
    results: Results,
}

/// What was seen at a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Keys of clips that were finished since the last look.
    pub new: Vec<String>,
    /// Clips that are finished.
    pub finished: usize,
    /// Clips of the sweep.
    pub of: usize,
    /// Clips that are being made, by key, and how far each is.
    pub doing: Vec<(String, Doing)>,
}

impl Watcher {
    /// Watches a folder; what is finished in it already is not new.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { results: Results::open(path)? })
    }

    /// Looks again. It reads small files, so ask a few times a second at most, and not on the window's thread.
    pub fn look(&mut self) -> Result<Seen> {
        let new = self.results.refresh()?;
        let unfinished: BTreeSet<&str> =
            self.results.missing().map(|planned| planned.key.as_str()).collect();
        let folder = &self.results.folder;
        let doing = unfinished
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), folder.doing(key, STALE_SECONDS)?)))
            .collect();
        let of = self.results.manifest().cells.len();
        Ok(Seen { new, finished: self.results.cells.len(), of, doing })
    }

    /// All that is finished.
    pub fn results(&self) -> &Results {
        &self.results
    }
}
