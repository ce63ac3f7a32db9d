//! What the desks of the Lens are asked, and what is done with their answers: cut-offs, retained masses, replays.

use eframe::egui::Context;

use super::app::Window;
use super::log::Level;

/// Takes in what came, and asks for what is looked at now.
pub(super) fn hear(window: &mut Window, ctx: &Context) {
    let store = &mut window.store;
    let cursor = store.trail.now();
    let mut failures = Vec::new();
    for told in window.cuts.told() {
        failures.extend(store.lens.take_cuts(ctx, told).err());
    }
    if let Some(ask) = store.lens.ask_cuts(cursor) {
        window.cuts.ask(ask);
    }
    for mass in window.mass.told() {
        failures.extend(store.lens.take_mass(mass).err());
    }
    if let Some(ask) = store.lens.ask_mass(cursor) {
        window.mass.ask(ask);
    }
    for told in window.replays.told() {
        store.lens.take_replay(told);
    }
    for failure in failures {
        store.log.say(Level::Error, failure);
    }
}
