//! What a view may ask for. Views change nothing themselves; what they ask for is done after all of them were drawn.

use std::path::PathBuf;

use eframe::egui::KeyboardShortcut;
use serde_json::Value;
use tessera_pipeline::events::JobId;

use super::commands::Command;
use super::compare;
use super::cursor::Cursor;
use super::draft::SeedMode;
use super::lens;
use super::past::Wish;
use super::theme::Choice;

/// One wish.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Run a command of the table.
    Run(Command),
    /// Give a setting a value, or leave it to the plan.
    Set(&'static str, Option<Value>),
    /// Take the attention settings of a tuned preset, by its name.
    Tuned(String),
    /// Choose where seeds come from.
    SeedMode(SeedMode),
    /// Look elsewhere.
    Go(Cursor),
    /// Show a frame of the clip on the screen.
    Seek(usize),
    /// Move a clip that waits so many places towards the end.
    Shift(JobId, isize),
    /// Make a clip that waits twice.
    Duplicate(JobId),
    /// Take a clip out of the queue, or out of the list of those that ended.
    Remove(JobId),
    /// Take a clip out of the queue and into the form.
    Edit(JobId),
    /// Take the settings of a clip into the form.
    Take(JobId),
    /// Make a clip again that failed.
    Retry(JobId),
    /// Choose a theme.
    Theme(Choice),
    /// Choose how large everything is.
    Scale(f32),
    /// Wait for the keys of a command to be pressed, or stop waiting.
    Listen(Option<Command>),
    /// Give a command these keys, or none.
    Bind(Command, Option<KeyboardShortcut>),
    /// Give every command its first keys again.
    ResetKeys,
    /// Forget a model folder that was added.
    ForgetModelFolder(PathBuf),
    /// Write this into the palette.
    Filter(String),
    /// Choose a line of the palette.
    Point(usize),
    /// Forget the log.
    ClearLog,
    /// Do this with the history.
    Past(Wish),
    /// Do this in the Lens.
    Lens(lens::Wish),
    /// Do this in Compare.
    Compare(compare::Wish),
    /// Start the engine again.
    RestartEngine,
}
