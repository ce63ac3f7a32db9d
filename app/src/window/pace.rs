//! How often the window draws without being touched.
//!
//! A graphics device draws a frame for nothing. Where there is none the processor does it, and a frame of 1280 × 800 takes some
//! 20 ms of it: time that the clip being made would have. So there, while a clip is made and nobody touches the window, what comes
//! in is gathered and shown every three seconds, previews stand still and nothing fades. A touch brings everything back at once.

use std::time::Duration;

use eframe::egui::{Context, Id};

/// Time between two frames that nobody asked for while a clip is made without a graphics device.
pub(crate) const RARELY: Duration = Duration::from_secs(3);
/// How long after the last touch the window is still looked at, in seconds.
const LINGER_S: f64 = 0.5;
/// What the window says while it spares the processor.
pub(crate) const WHY: &str = "drawn by the processor: previews rest until you touch the window";

/// How often frames come that nobody asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as there is something to see.
    #[default]
    Lively,
    /// Every [`RARELY`], whatever has come.
    Sparing,
}

/// What the pace follows from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawing {
    /// The name of the processor's own renderer, where no graphics device draws.
    pub(crate) software: Option<String>,
    /// Whether a person wants the processor spared for clips.
    pub(crate) spares: bool,
    /// The pace of the last frame.
    pub(crate) pace: Pace,
    /// When the window was touched last, in egui's time.
    touched_s: f64,
}

impl Drawing {
    /// One of a window that opens.
    pub(crate) fn new(software: Option<String>, spares: bool) -> Self {
        Self { software, spares, ..Self::default() }
    }

    /// Finds the pace of this frame, and tells it to the threads that wake the window.
    pub(crate) fn find(&mut self, ctx: &Context, is_busy: bool) {
        let (now, is_touched) = ctx.input(|input| (input.time, !input.raw.events.is_empty()));
        if is_touched {
            self.touched_s = now;
        }
        let is_watched = now - self.touched_s < LINGER_S;
        let is_sparing = self.software.is_some() && self.spares && is_busy && !is_watched;
        self.pace = if is_sparing { Pace::Sparing } else { Pace::Lively };
        ctx.data_mut(|data| data.insert_temp(Id::unique("pace"), self.pace));
    }

    /// Whether what nobody asked for waits now.
    pub(crate) fn is_sparing(&self) -> bool {
        self.pace == Pace::Sparing
    }
}

/// Wakes the window for something that has come, at its pace.
pub(crate) fn wake(ctx: &Context) {
    wake_after(ctx, Duration::ZERO);
}

/// As [`wake`], and no sooner than this.
pub(crate) fn wake_after(ctx: &Context, delay: Duration) {
    let pace = ctx.data(|data| data.get_temp::<Pace>(Id::unique("pace")).unwrap_or_default());
    ctx.request_repaint_after(if pace == Pace::Sparing { delay.max(RARELY) } else { delay });
}
