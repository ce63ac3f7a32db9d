//! How busy the machine is: read by a thread while a clip is made, and never else.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::machine::{self, Reading};

use super::pace;

/// Time between two readings.
const EVERY: Duration = Duration::from_secs(1);

/// The way to the thread, which ends when this is dropped.
pub(crate) struct Meter {
    wanted: Sender<bool>,
    readings: Receiver<Reading>,
    is_on: bool,
}

impl Meter {
    /// Starts the thread. It sleeps until readings are wanted.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (wanted, wishes) = bounded(8);
        let (latest, readings) = Latest::channel();
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-meter".into()).spawn(move || {
            while let Ok(is_wanted) = wishes.recv() {
                if is_wanted {
                    watch(&wishes, &latest, &ctx);
                }
            }
        })?;
        Ok(Self { wanted, readings, is_on: false })
    }

    /// Wants readings, or no more of them.
    pub(crate) fn want(&mut self, is_wanted: bool) {
        if self.is_on != is_wanted && self.wanted.try_send(is_wanted).is_ok() {
            self.is_on = is_wanted;
        }
    }

    /// The newest reading since the last time, if it is wanted.
    pub(crate) fn reading(&self) -> Option<Reading> {
        self.readings.try_iter().last().filter(|_| self.is_on)
    }
}

/// Reads until no more is wanted.
fn watch(wishes: &Receiver<bool>, latest: &Latest<Reading>, ctx: &Context) {
    let Some(mut meter) = machine::Meter::new() else { return };
    while let Err(RecvTimeoutError::Timeout) = wishes.recv_timeout(EVERY) {
        latest.put(meter.read());
        pace::wake(ctx);
    }
}
