//! Everything that was told, newest at the foot.

use eframe::egui::{RichText, ScrollArea, Ui};

use crate::window::action::Action;
use crate::window::log::Line;
use crate::window::store::Store;

/// Draws the log.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let lines = store.log.lines();
    if lines.is_empty() {
        ui.weak("Nothing to tell yet. Warnings and errors stay here when their notice is gone.");
        return;
    }
    if ui.small_button("Clear").clicked() {
        actions.push(Action::ClearLog);
    }
    ScrollArea::vertical().auto_shrink(false).stick_to_bottom(true).show(ui, |ui| {
        for line in lines {
            draw(ui, store, line);
        }
    });
}

fn draw(ui: &mut Ui, store: &Store, line: &Line) {
    let (sign, color) = store.theme.sign(line.level);
    let times = if line.times > 1 { format!("  ×{}", line.times) } else { String::new() };
    ui.horizontal_top(|ui| {
        ui.label(RichText::new(sign).color(color));
        let text = RichText::new(format!("{}{times}", line.text));
        ui.add(eframe::egui::Label::new(text).wrap().selectable(true));
    });
}
