//! The tables, and how those of earlier builds become them.
//!
//! A receipt lists thousands of calls, so it lies in a table of its own: a page of rows reads none. The request is kept beside
//! the row, so that any setting can be filtered by. Words are found through an index (FTS5) that triggers keep up to date.

use rusqlite::{Connection, TransactionBehavior};

/// Version of the tables, in SQLite's `user_version`.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// What turns version n into version n + 1.
const STEPS: [&str; 3] = [FIRST, SEARCHED, SPEEDS_STAY];

const FIRST: &str = "
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
";

const SEARCHED: &str = "
    CREATE TABLE receipts (
        run INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        receipt TEXT NOT NULL
    ) STRICT;
    INSERT INTO receipts SELECT id, receipt FROM runs;
    CREATE TABLE strips (
        run INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        frames INTEGER NOT NULL,
        picture BLOB NOT NULL                  -- WebP, the frames side by side
    ) STRICT;
    ALTER TABLE runs ADD COLUMN request TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE runs ADD COLUMN negative TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN method TEXT NOT NULL DEFAULT 'dense';
    ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN is_starred INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET
        request = receipt ->> '$.request',
        negative = coalesce(receipt ->> '$.request.negative', ''),
        method = coalesce(receipt ->> '$.sparsity.method', 'dense')
    WHERE json_valid(receipt) AND receipt ->> '$.request' IS NOT NULL;
    ALTER TABLE runs DROP COLUMN receipt;
    CREATE INDEX starred ON runs (id) WHERE is_starred;
    CREATE VIRTUAL TABLE words USING fts5(
        prompt, negative, tags, model, method,
        content = 'runs', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
    );
    INSERT INTO words (words) VALUES ('rebuild');
    CREATE TRIGGER run_added AFTER INSERT ON runs BEGIN
        INSERT INTO words (rowid, prompt, negative, tags, model, method)
        VALUES (new.id, new.prompt, new.negative, new.tags, new.model, new.method);
    END;
    CREATE TRIGGER run_removed AFTER DELETE ON runs BEGIN
        INSERT INTO words (words, rowid, prompt, negative, tags, model, method)
        VALUES ('delete', old.id, old.prompt, old.negative, old.tags, old.model, old.method);
    END;
    CREATE TRIGGER run_tagged AFTER UPDATE OF tags ON runs BEGIN
        INSERT INTO words (words, rowid, prompt, negative, tags, model, method)
        VALUES ('delete', old.id, old.prompt, old.negative, old.tags, old.model, old.method);
        INSERT INTO words (rowid, prompt, negative, tags, model, method)
        VALUES (new.id, new.prompt, new.negative, new.tags, new.model, new.method);
    END;
";

/// How fast this machine is stays true when a run is forgotten.
const SPEEDS_STAY: &str = "
    CREATE TABLE measured (
        id INTEGER PRIMARY KEY,
        run INTEGER REFERENCES runs (id) ON DELETE SET NULL,
        phase TEXT NOT NULL,
        device TEXT NOT NULL,
        dtype TEXT NOT NULL,
        kernels TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        work REAL NOT NULL,
        seconds REAL NOT NULL
    ) STRICT;
    INSERT INTO measured SELECT * FROM speeds;
    DROP TABLE speeds;
    ALTER TABLE measured RENAME TO speeds;
";

/// The version of a database.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables up to [`VERSION`], all or nothing; a newer version is left alone. Another program may be doing the same.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? >= VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = usize::try_from(version(&transaction)?).unwrap_or(STEPS.len());
    for step in STEPS.iter().skip(from) {
        transaction.execute_batch(step)?;
    }
    if from < STEPS.len() {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

#[cfg(test)]
pub(super) fn first_version(connection: &Connection) {
    connection.execute_batch(&format!("{FIRST} PRAGMA user_version = 1;")).unwrap();
}
