//! What is wrong with a checkpoint, collected and told at once: a person fixes a folder in one round, not one error a run.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How many problems are printed in full; the rest are counted.
const SHOWN: usize = 20;

/// One thing that is wrong in one file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the checkpoint folder, with forward slashes.
    pub file: String,
    /// The field or tensor in that file; empty when the file as a whole is meant.
    pub name: String,
    /// What should have been there.
    pub expected: String,
    /// What was there instead.
    pub got: String,
    /// What to do about it; empty when expected and got say it all.
    pub advice: String,
}

impl Problem {
    /// A problem with one field or tensor (`name`) of `file`.
    pub fn new(
        file: impl Into<String>,
        name: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            name: name.into(),
            expected: expected.into(),
            got: got.into(),
            advice: String::new(),
        }
    }

    /// The same problem with a sentence on what to do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        if !self.name.is_empty() {
            write!(f, "{}: ", self.name)?;
        }
        write!(f, "expected {}, got {}", self.expected, self.got)?;
        if !self.advice.is_empty() {
            write!(f, " ({})", self.advice)?;
        }
        Ok(())
    }
}

/// Everything found wrong with one checkpoint folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problems {
    /// The checkpoint folder.
    pub folder: PathBuf,
    /// In the order found: model index, configs, then tensors by file.
    pub list: Vec<Problem>,
}

impl Problems {
    /// No problems yet with `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), list: Vec::new() }
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `Ok` when nothing is wrong, otherwise [`crate::Error::Folder`] with all of it.
    pub fn into_result(self) -> crate::Result<()> {
        if self.is_empty() { Ok(()) } else { Err(crate::Error::Folder(self)) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{count} {noun} with the checkpoint {}:", self.folder.display())?;
        for problem in self.list.iter().take(SHOWN) {
            write!(f, "\n  {problem}")?;
        }
        if count > SHOWN {
            write!(f, "\n  and {} more", count - SHOWN)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let mut problems = Problems::new(Path::new("/m"));
        for i in 0..23 {
            problems.push(Problem::new("a.json", format!("f{i}"), "1", "2"));
        }
        let text = problems.to_string();
        assert!(
            text.starts_with(
                "23 problems with the checkpoint /m:\n  a.json: f0: expected 1, got 2\n"
            )
        );
        assert!(text.ends_with("f19: expected 1, got 2\n  and 3 more"), "{text}");
    }
}
