//! The way to the engine and back: commands go out at once, events come in through a thread that wakes the window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::engine::Engine;
use tessera_pipeline::events::{Command, Event, EventKind};
use tessera_pipeline::preview::Preview;

use super::pace;

/// How soon progress is seen. Drawing has a price where the processor does it, and no bar is read twenty times a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Events that may wait for the window; a minute of progress.
const UNREAD: usize = 4096;

/// The channels of an engine, or of whatever stands for one.
pub(crate) struct Line {
    /// Where commands go.
    pub(crate) commands: Sender<Command>,
    /// Where events come from.
    pub(crate) events: Receiver<Event>,
    /// The newest preview.
    pub(crate) previews: Receiver<Preview>,
    /// The engine itself; dropping it ends its thread.
    pub(crate) engine: Option<Engine>,
}

impl Line {
    /// To the real engine; the error is for people.
    pub(crate) fn to_engine() -> Result<Self, String> {
        Engine::start().map(Self::of).map_err(|error| error.to_string())
    }

    /// To this engine.
    pub(crate) fn of(engine: Engine) -> Self {
        Self {
            commands: engine.commands.clone(),
            events: engine.events.clone(),
            previews: engine.previews.clone(),
            engine: Some(engine),
        }
    }
}

/// An open line whose events wake the window.
pub(crate) struct Bridge {
    commands: Sender<Command>,
    events: Receiver<Event>,
    previews: Receiver<Preview>,
    is_gone: Arc<AtomicBool>,
    engine: Option<Engine>,
}

impl Bridge {
    /// Begins to listen.
    pub(crate) fn open(line: Line, ctx: &Context) -> std::io::Result<Self> {
        let (outbox, events) = bounded(UNREAD);
        let is_gone = Arc::new(AtomicBool::new(false));
        let (ctx, gone) = (ctx.clone(), Arc::clone(&is_gone));
        std::thread::Builder::new().name("tessera-events".into()).spawn(move || {
            for event in line.events {
                let (is_progress, is_last) =
                    (matches!(event.kind, EventKind::Progress { .. }), event.kind.is_last());
                // Without a window nobody reads; going on reading keeps the engine from waiting.
                let _ = outbox.send(event);
                match (is_progress, is_last) {
                    (true, _) => pace::wake_after(&ctx, PROGRESS_EVERY),
                    (_, true) => ctx.request_repaint(),
                    _ => pace::wake(&ctx),
                }
            }
            gone.store(true, Ordering::Release);
            ctx.request_repaint();
        })?;
        let (commands, previews, engine) = (line.commands, line.previews, line.engine);
        Ok(Self { commands, events, previews, is_gone, engine })
    }

    /// Sends a command without waiting; false when the engine is gone or a thousand commands wait.
    pub(crate) fn send(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Events that have come since the last frame.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// The newest preview, if there is a new one.
    pub(crate) fn preview(&self) -> Option<Preview> {
        self.previews.try_iter().last()
    }

    /// Whether the engine's thread has ended and all that it said was read.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire) && self.events.is_empty()
    }

    /// Ends the engine: what runs is cancelled, and this waits until it is.
    pub(crate) fn close(&mut self) {
        self.engine = None;
    }
}
