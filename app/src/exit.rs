//! Exit codes: what a script learns from `tessera` without reading a word.
//!
//! One enum, printed by `--help`, used by every subcommand. 128 + signal number is the shell's own
//! convention for a process that a signal ended, hence 130 for Ctrl-C (SIGINT is 2).

use std::fmt::Write as _;
use std::process::ExitCode;

use tessera_pipeline::error::FailureKind;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Success,
    /// A fault of Tessera's own.
    Internal,
    /// A flag, a value or an input file is wrong; nothing was run.
    Usage,
    /// The model folder is missing, broken or of an unknown kind.
    Model,
    /// The plan does not fit into memory.
    Memory,
    /// A file could not be written, or the encoder refused.
    Output,
    /// Of several clips some were written and some failed.
    Partial,
    /// There is no display, or no window could be opened on it.
    Display,
    /// Ctrl-C, or a request to terminate.
    Cancelled,
}

impl Exit {
    /// Every code, in the order in which the help lists them.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Internal,
        Self::Usage,
        Self::Model,
        Self::Memory,
        Self::Output,
        Self::Partial,
        Self::Display,
        Self::Cancelled,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Model => 3,
            Self::Memory => 4,
            Self::Output => 5,
            Self::Partial => 6,
            Self::Display => 7,
            Self::Cancelled => 130,
        }
    }

    /// The code in words, for the help.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Internal => "a fault of Tessera's own",
            Self::Usage => "a flag, a value or an input file is wrong",
            Self::Model => "the model folder is missing, broken or of an unknown kind",
            Self::Memory => "not enough memory for this size and model",
            Self::Output => "the disk or the encoder refused the result",
            Self::Partial => "some of several clips failed, the others were written",
            Self::Display => "there is no display for the window",
            Self::Cancelled => "cancelled (Ctrl-C); what was kept is listed",
        }
    }

    /// The code for a whole batch, given how many clips were written and the code of each failure.
    ///
    /// A cancel outranks everything; a mixture of written and failed is [`Exit::Partial`]; otherwise
    /// the first failure speaks for all.
    pub fn of_batch(written: usize, failures: &[Self]) -> Self {
        match failures {
            [] => Self::Success,
            all if all.contains(&Self::Cancelled) => Self::Cancelled,
            _ if written > 0 => Self::Partial,
            [first, ..] => *first,
        }
    }

    /// The table that closes `--help`.
    pub fn table() -> String {
        let mut text = String::from("Exit codes:\n");
        for exit in Self::ALL {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning());
        }
        text
    }
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Input => Self::Usage,
            FailureKind::Model => Self::Model,
            FailureKind::Memory => Self::Memory,
            FailureKind::Output => Self::Output,
            // A kind that this build does not know is a fault of its own.
            _ => Self::Internal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Exit::ALL.len());
    }

    #[test]
    fn a_batch_ends_as_its_worst_news() {
        assert_eq!(Exit::of_batch(3, &[]), Exit::Success);
        assert_eq!(Exit::of_batch(2, &[Exit::Model]), Exit::Partial);
        assert_eq!(Exit::of_batch(0, &[Exit::Memory, Exit::Usage]), Exit::Memory);
        assert_eq!(Exit::of_batch(2, &[Exit::Model, Exit::Cancelled]), Exit::Cancelled);
    }
}
