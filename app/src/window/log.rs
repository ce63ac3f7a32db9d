//! What a person should have been told: each line once as a toast, and for as long as the window is open in the log.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Good to know.
    Info,
    /// It worked.
    Success,
    /// Have a look.
    Warning,
    /// It did not work.
    Error,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// How much it matters.
    pub(crate) level: Level,
    /// A full sentence.
    pub(crate) text: String,
    /// How often it was said in a row.
    pub(crate) times: u32,
}

/// Lines that are kept.
const MOST: usize = 1000;

/// The log, oldest line first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Vec<Line>,
    unread: Vec<Line>,
}

impl Log {
    /// Says something. What is said twice in a row is one line that counts.
    pub(crate) fn say(&mut self, level: Level, text: impl Into<String>) {
        let line = Line { level, text: text.into(), times: 1 };
        match self.lines.last_mut() {
            Some(last) if last.level == level && last.text == line.text => {
                last.times += 1;
                return;
            }
            _ => self.lines.push(line.clone()),
        }
        if self.lines.len() > MOST {
            self.lines.remove(0);
        }
        self.unread.push(line);
    }

    /// All lines.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Lines that were not shown as toasts yet.
    pub(crate) fn take_unread(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.unread)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_again_counts() {
        let mut log = Log::default();
        for text in ["a", "a", "b", "a"] {
            log.say(Level::Info, text);
        }
        let seen: Vec<_> =
            log.lines().iter().map(|line| (line.text.as_str(), line.times)).collect();
        assert_eq!(seen, [("a", 2), ("b", 1), ("a", 1)]);
        assert_eq!(log.take_unread().len(), 3);
        assert!(log.take_unread().is_empty());
    }
}
