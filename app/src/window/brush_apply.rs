//! What comes from the brush's desk and from exports, and what they are asked.

use std::path::PathBuf;

use eframe::egui::Context;

use super::app::Window;
use super::cursor::Cursor;
use super::layout::{self, Pane};
use super::log::Level;
use super::store::Store;

/// Takes in what the desk found, asks for what is chosen now, and moves the frames on.
pub(crate) fn hear(window: &mut Window, ctx: &Context) {
    let store = &mut window.store;
    let cursor = store.trail.now();
    for told in window.brush.told() {
        if let Err(error) = store.lens.take_brush(ctx, told) {
            store.log.say(Level::Error, error);
        }
    }
    if let Some(measure) = store.lens.measure(cursor) {
        match window.brush.measure(measure) {
            Ok(working) => store.lens.brush.working = Some(working),
            Err(error) => store.log.say(Level::Error, format!("Nothing is measured: {error}")),
        }
    }
    if let Some(ask) = store.lens.ask_brush(cursor) {
        window.brush.ask(ask);
    }
    let is_shown = layout::is_shown(store.layout.as_ref(), Pane::Lens);
    if let Some(frame) = store.lens.play(ctx, cursor, is_shown) {
        store.trail.go(Cursor { frame, ..cursor });
    }
}

/// So many pictures of a view are written.
pub(crate) fn exporting(store: &mut Store, name: String, done: usize, of: usize) {
    if store.lens.exporting.is_none() {
        store.log.say(Level::Info, format!("Writing {name}…"));
    }
    store.lens.exporting = Some((name, done, of));
}

/// A view was written, was stopped, or failed.
pub(crate) fn exported(store: &mut Store, exported: Result<Option<PathBuf>, String>) {
    store.lens.exporting = None;
    match exported {
        Ok(Some(to)) => store.log.say(Level::Success, format!("Saved as {}.", to.display())),
        Ok(None) => store.log.say(Level::Info, "The export was stopped; nothing was written."),
        Err(error) => store.log.say(Level::Error, error),
    }
}
