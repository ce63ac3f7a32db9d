//! The menu bar: every command of the table under its heading.

use eframe::egui::{Button, MenuBar, Ui};

use super::parts;
use crate::window::action::Action;
use crate::window::commands::{COMMANDS, Menu};
use crate::window::store::Store;

/// Draws the bar.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    MenuBar::new().ui(ui, |ui| {
        for menu in Menu::SHOWN {
            ui.menu_button(menu.title(), |ui| {
                ui.set_min_width(240.0);
                for row in COMMANDS.iter().filter(|row| row.menu == menu) {
                    let button = Button::new(row.name).shortcut_text(store.keys.text(row.command));
                    if parts::explain(ui, store, row.command, button).clicked() {
                        actions.push(Action::Run(row.command));
                        ui.close();
                    }
                }
            });
        }
    });
}
