//! The window: Studio, Lens, Compare and History on one frame.
//!
//! ```text
//!   engine ── events, newest preview ──► bridge ─┐
//!  workers ── plans, films, models ──────────────┤ logic: take in, start the next clip, move the film on
//!     keys ── commands ──────────────────────────┤
//!                                                ▼
//!                        Store ──── &Store ────► views ── Vec<Action> ──► apply ──► Store, commands to the engine
//! ```
//!
//! - [`store::Store`] is all state: the draft, the queue, the runs, the film on the screen, and one [`cursor::Cursor`] (run, step,
//!   branch, layer, head, frame, token) that every view reads and any may set.
//! - A view is a function `show(ui, &Store, &mut Vec<Action>)` in a file of its own below `views/`. It changes nothing.
//! - [`action::Action`] is what a view may ask for; `apply` does it, after everything was drawn.
//! - [`commands::COMMANDS`] is the one table from which menus, palette, keys and the `?` sheet come.
//! - [`bridge`], [`workers`] and [`saving`] are threads behind bounded channels that wake the window. Its own thread never waits: no
//!   file, no plan, no decoding on it. It draws when something came or was touched, while a film plays, and never else.
//! - Colours and sizes are data in `assets/theme/`; only [`theme`] makes colours.
//!
//! A new pane: a name in [`layout::Pane`], a view, two lines in `layout`. A new command: a row in the table, a line in `apply`.

mod action;
mod app;
mod apply;
mod archive;
mod bridge;
mod brush_apply;
mod commands;
mod compare;
mod cursor;
mod draft;
mod incoming;
mod keys;
mod layout;
mod lens;
mod lens_desks;
mod log;
mod meter;
mod models;
mod pace;
mod past;
mod past_apply;
mod planning;
mod player;
mod prefs;
mod queue;
mod renderer;
mod runs;
mod saving;
mod store;
#[cfg(test)]
mod tests;
mod theme;
mod views;
mod workers;

use std::path::Path;

use eframe::egui::{IconData, ViewportBuilder};
use tessera_pipeline::history;
use tessera_pipeline::recording::Recording;

use crate::exit::Exit;
use app::Window;
use bridge::Line;
use prefs::Prefs;
use workers::Errand;

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WindowError {
    /// The session has no screen.
    #[error(
        "there is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set); `tessera generate \"PROMPT\"` works without one, `tessera --help` says more"
    )]
    NoDisplay,
    /// There seems to be a screen, but no window came of it.
    #[error("the window could not be opened: {0}; `tessera generate \"PROMPT\"` works without one")]
    NotOpened(String),
}

/// Opens the window, with this clip on its screen or this recording in the Lens if one is given, and returns when it is closed. A
/// recording that cannot be opened is told before there is a window.
pub(crate) fn open(file: Option<&Path>) -> anyhow::Result<Exit> {
    let is_recording = file.is_some_and(lens::is_for_lens);
    if let Some(file) = file.filter(|_| is_recording) {
        Recording::open(file)?;
    }
    if !has_display() {
        return Err(WindowError::NoDisplay.into());
    }
    let file = file.map(std::path::absolute).transpose()?;
    let folder = history::data_dir();
    let remembered = folder.as_deref().map_or_else(Default::default, Prefs::read);
    let viewport = ViewportBuilder::default()
        .with_app_id("tessera")
        .with_title("Tessera")
        .with_icon(icon())
        .with_inner_size(remembered.0.size)
        .with_min_inner_size([720.0, 480.0]);
    let (renderer, software) = renderer::find();
    // All fills are flat, so that dithering would only cost time where the processor draws.
    let options =
        eframe::NativeOptions { viewport, renderer, dithering: false, ..Default::default() };
    let opened = eframe::run_native(
        "Tessera",
        options,
        Box::new(|creation| {
            let dial = Box::new(Line::to_engine);
            let mut window = Window::new(&creation.egui_ctx, dial, folder, remembered, software)?;
            if let Some(file) = file {
                if is_recording {
                    window.open_recording(file);
                } else {
                    window.workers.give(Errand::Clip(file));
                }
            }
            Ok(Box::new(window))
        }),
    );
    match opened {
        Ok(()) => Ok(Exit::Success),
        Err(error) => Err(WindowError::NotOpened(error.to_string()).into()),
    }
}

/// Whether there is a screen. Only X11 and Wayland can be asked without opening one.
fn has_display() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_os = "macos")))
        || ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].into_iter().any(is_set)
}

/// The icon; one that cannot be read is none.
fn icon() -> IconData {
    eframe::icon_data::from_png_bytes(include_bytes!("../../../assets/icon/tessera.png"))
        .unwrap_or_default()
}
