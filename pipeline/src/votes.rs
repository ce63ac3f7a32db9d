//! What people saw when they did not know which clip was which: votes of blind comparisons, in a SQLite file beside the history.
//!
//! A vote says which of two clips was taken for the better one, or that no difference was seen. Only votes for one of the two
//! count in the share; its interval is Wilson's (1927) score interval of a binomial share, which stays within 0 and 1 and holds
//! for few votes too.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::{Error, Result};

/// The database's name in the folder of the history.
const FILE: &str = "votes.sqlite";
/// Version of the table, in SQLite's `user_version`.
const VERSION: i64 = 1;
/// The 97.5 % quantile of the normal distribution, for an interval of 95 %.
const Z: f64 = 1.959_964;
const TABLE: &str = "
    CREATE TABLE votes (
        id INTEGER PRIMARY KEY,
        voted_at INTEGER NOT NULL,             -- seconds since 1970, UTC
        a TEXT NOT NULL,                       -- the clips' files, a before b
        b TEXT NOT NULL,
        choice INTEGER NOT NULL CHECK (choice IN (-1, 0, 1))  -- a, none, b
    ) STRICT;
    CREATE INDEX pairs ON votes (a, b);
";

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The first of the pair.
    First,
    /// The second.
    Second,
    /// No difference was seen.
    Neither,
}

/// The votes on a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// For the first.
    pub first: u64,
    /// For the second.
    pub second: u64,
    /// For none.
    pub neither: u64,
}

impl Tally {
    /// Adds a vote.
    pub fn count(&mut self, choice: Choice) {
        match choice {
            Choice::First => self.first += 1,
            Choice::Second => self.second += 1,
            Choice::Neither => self.neither += 1,
        }
    }

    /// Share of the votes for one of the two that were for the first, with the interval that holds it with 95 % confidence;
    /// `None` without such votes.
    pub fn share_of_first(&self) -> Option<[f64; 3]> {
        let (count, of) = (self.first as f64, (self.first + self.second) as f64);
        (of > 0.0).then(|| {
            let share = count / of;
            let shrink = 1.0 + Z * Z / of;
            let middle = (share + Z * Z / (2.0 * of)) / shrink;
            let half = Z / shrink * (share * (1.0 - share) / of + Z * Z / (4.0 * of * of)).sqrt();
            [share, (middle - half).max(0.0), (middle + half).min(1.0)]
        })
    }
}

/// The open file.
#[derive(Debug)]
pub struct Votes {
    path: PathBuf,
    connection: Connection,
}

impl Votes {
    /// Opens or creates the file in a folder, which is created too.
    ///
    /// # Errors
    /// A folder that cannot be written, a file that is damaged or of a newer build.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(FILE);
        let failed = |source| Error::History { path: path.clone(), source };
        let connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if version > VERSION {
            return Err(Error::Unreadable {
                what: path.display().to_string(),
                reason: format!(
                    "it has version {version} and this build knows {VERSION}: a newer Tessera made it"
                ),
            });
        }
        if version == 0 {
            let create =
                format!("BEGIN IMMEDIATE; {TABLE} PRAGMA user_version = {VERSION}; COMMIT;");
            connection.execute_batch(&create).map_err(failed)?;
        }
        Ok(Self { path, connection })
    }

    /// Adds a vote on a pair of clips.
    pub fn add(&self, pair: [&Path; 2], choice: Choice) -> Result<()> {
        let ([a, b], is_turned) = sorted(pair);
        let choice = match choice {
            Choice::Neither => 0,
            Choice::First => {
                if is_turned {
                    1
                } else {
                    -1
                }
            }
            Choice::Second => {
                if is_turned {
                    -1
                } else {
                    1
                }
            }
        };
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        self.connection
            .execute(
                "INSERT INTO votes (voted_at, a, b, choice) VALUES (?1, ?2, ?3, ?4)",
                params![now, a, b, choice],
            )
            .map_err(self.failed())?;
        Ok(())
    }

    /// All votes on a pair, in the order of this pair.
    pub fn tally(&self, pair: [&Path; 2]) -> Result<Tally> {
        let ([a, b], is_turned) = sorted(pair);
        let count = |choice: i64| {
            self.connection
                .query_row(
                    "SELECT count(*) FROM votes WHERE a = ?1 AND b = ?2 AND choice = ?3",
                    params![a, b, choice],
                    |row| row.get::<_, u64>(0),
                )
                .map_err(self.failed())
        };
        let (a, neither, b) = (count(-1)?, count(0)?, count(1)?);
        let (first, second) = if is_turned { (b, a) } else { (a, b) };
        Ok(Tally { first, second, neither })
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + '_ {
        |source| Error::History { path: self.path.clone(), source }
    }
}

/// The names of a pair as they are stored, and whether they changed places.
fn sorted(pair: [&Path; 2]) -> ([String; 2], bool) {
    let [a, b] = pair.map(|path| {
        std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
    });
    if a <= b { ([a, b], false) } else { ([b, a], true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_kept_whichever_way_round_the_pair_is() {
        let folder = tempfile::tempdir().unwrap();
        let (dense, fast) = (Path::new("/clips/z-dense.mkv"), Path::new("/clips/fast.mkv"));
        let votes = Votes::open(folder.path()).unwrap();
        for _ in 0..7 {
            votes.add([dense, fast], Choice::First).unwrap();
        }
        votes.add([fast, dense], Choice::First).unwrap();
        votes.add([fast, dense], Choice::Neither).unwrap();
        drop(votes);
        let votes = Votes::open(folder.path()).unwrap();
        assert_eq!(votes.tally([dense, fast]).unwrap(), Tally { first: 7, second: 1, neither: 1 });
        assert_eq!(votes.tally([fast, dense]).unwrap(), Tally { first: 1, second: 7, neither: 1 });
        assert_eq!(votes.tally([fast, fast]).unwrap(), Tally::default());
    }

    #[test]
    fn the_interval_is_that_of_wilson() {
        assert_eq!(Tally { neither: 4, ..Tally::default() }.share_of_first(), None);
        // Brown, Cai, DasGupta 2001: 0 of 10 gives 0 to 0.2775.
        let [share, low, high] =
            Tally { first: 0, second: 10, neither: 3 }.share_of_first().unwrap();
        assert!(share == 0.0 && low < 1e-9 && (high - 0.2775).abs() < 1e-4, "{low} {high}");
        let [_, low, high] = Tally { first: 5, second: 5, neither: 0 }.share_of_first().unwrap();
        assert!((low - 0.2366).abs() < 1e-4 && (high - 0.7634).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn a_file_of_a_newer_build_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Votes::open(folder.path()).unwrap());
        let connection = Connection::open(folder.path().join(FILE)).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(Votes::open(folder.path()).unwrap_err().to_string().contains("newer Tessera"));
    }
}
