//! Progress of what is computed here rather than by a job: a line on standard error for each tenth of it that takes its time.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// Lines do not follow each other faster.
const EVERY: Duration = Duration::from_secs(1);

/// What was shown so far.
pub(crate) struct Tenths {
    quiet: bool,
    last: Option<(&'static str, usize)>,
    told: Instant,
}

impl Tenths {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, last: None, told: Instant::now() }
    }

    /// `done` parts of `of` are done of what is being done.
    pub(crate) fn show(&mut self, doing: &'static str, done: usize, of: usize) {
        let tenth = 10 * done / of.max(1);
        if self.last != Some((doing, tenth)) && self.told.elapsed() >= EVERY {
            self.last = Some((doing, tenth));
            self.told = Instant::now();
            self.say(&format!("{doing} {} %", 10 * tenth));
        }
    }

    /// A line of its own.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}
