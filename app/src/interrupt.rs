//! Ctrl-C: the first asks for a clean end, the second ends at once.
//!
//! The handler runs on a thread of the `ctrlc` crate, not inside the signal, so it may lock and print.
//! It only raises a flag; the loop that owns the engine sees it within one poll and sends the cancel,
//! so that a cancel always names the job that is running at that moment. SIGTERM and SIGHUP count as
//! Ctrl-C: a batch system that ends us must not lose the latents either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Exit;

/// Whether the person at the keyboard has asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Installs the handler. A process has one, so this is called once, by the subcommand that runs jobs.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let asked = Arc::clone(&interrupt.asked);
        ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::SeqCst) {
                // Temporary files stay under their temporary names; nothing final is half written.
                std::process::exit(i32::from(Exit::Cancelled.code()));
            }
        })?;
        Ok(interrupt)
    }

    /// True from the first Ctrl-C on.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}
