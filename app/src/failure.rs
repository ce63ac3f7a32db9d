//! An error that ends the program, in words and as an exit code.

use std::fmt::Write as _;
use std::io;

use tessera_pipeline::Error;

use crate::exit::Exit;
use crate::window::WindowError;

/// A wrong argument that the table of settings cannot see, such as two clips for one file.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The error with its causes in one text. A cause that the text before already names is not repeated:
/// some libraries print their source themselves, others leave it to us.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

/// The exit code that an error stands for.
pub fn exit_code(error: &anyhow::Error) -> Exit {
    let code = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<Error>() {
        Some(error) if error.is_cancelled() => Some(Exit::Cancelled),
        Some(error) => Some(error.kind().into()),
        None if cause.is::<WindowError>() => Some(Exit::Display),
        None => cause.is::<Usage>().then_some(Exit::Usage),
    };
    error.chain().find_map(code).unwrap_or(Exit::Internal)
}

/// Whether somewhere in the chain a reader of our output has gone away.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let inner = anyhow::anyhow!("no such file");
        let outer = inner.context("a.txt: no such file").context("reading prompts");
        assert_eq!(message(&outer), "reading prompts: a.txt: no such file");
    }

    #[test]
    fn an_error_keeps_its_code_below_context() {
        let wrong: anyhow::Result<()> = Err(Usage(String::from("wrong")).into());
        let error = wrong.context("outer").expect_err("it is one");
        assert_eq!(exit_code(&error), Exit::Usage);
        assert_eq!(exit_code(&anyhow::anyhow!("who knows")), Exit::Internal);
    }

    #[test]
    fn a_broken_pipe_is_found_below_context() {
        let broken =
            anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_broken_pipe(&broken));
        assert!(!is_broken_pipe(&anyhow::anyhow!("who knows")));
    }
}
