//! `--events jsonl`: the engine's events for programs, one JSON object a line on standard output.
//!
//! The words are those of `tessera_pipeline::events`, unchanged: what a recording stores and what the
//! window reads. Every line is flushed, so that a program sees a phase when it starts and not when a
//! buffer is full.

use std::io::{self, Write};

use tessera_pipeline::events::Event;

/// Writes one event as one line.
pub(crate) fn write(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use tessera_pipeline::events::{EventKind, JobId, Phase};

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let mut out = Vec::new();
        let kind = EventKind::PhaseStarted { phase: Phase::Denoise, of: 20 };
        write(&mut out, &Event { job: JobId(1), kind }).expect("memory takes it");
        let line = String::from_utf8(out).expect("JSON is text");
        assert_eq!(
            line,
            "{\"job\":1,\"event\":\"phase_started\",\"phase\":\"denoise\",\"of\":20}\n"
        );
    }
}
