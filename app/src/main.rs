//! Parse, run, exit code; all of it is in the library beside this file.

use std::io::Write as _;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    // RUST_LOG=tessera_pipeline=debug tells more; what a person must know comes as an event, not as a log line.
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::ERROR.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    match tessera::run(std::env::args_os()) {
        Ok(exit) => exit.into(),
        // `tessera … | head`: whoever read us has had enough.
        Err(error) if tessera::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "tessera: {}", tessera::message(&error));
            tessera::exit_code(&error).into()
        }
    }
}
