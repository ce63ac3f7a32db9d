//! Clips that wait, which can be moved, changed, doubled and taken out, and clips that ended, which can be looked at.

use eframe::egui::{Align, Button, Layout, RichText, ScrollArea, Ui};

use super::parts;
use crate::text::shorten;
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::cursor::Cursor;
use crate::window::queue::Waiting;
use crate::window::runs::{Run, State};
use crate::window::store::Store;

/// Draws both lists.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let waiting = store.queue.waiting();
    if waiting.is_empty() && store.runs.iter().next().is_none() {
        ui.weak("No clips yet. Press Generate again while one runs, and the next ones wait here.");
        return;
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.set_max_width(ui.available_width() - 4.0);
        if store.queue.is_held {
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new("The queue is held.").color(store.theme.colors.warning));
                let text = "Let it go on";
                parts::command_button(ui, store, Command::StopAfter, text, actions);
            });
        }
        for (index, item) in waiting.iter().enumerate() {
            line(ui, item, (index, waiting.len()), actions);
        }
        if !waiting.is_empty() {
            ui.separator();
        }
        for run in store.runs.iter().rev() {
            ended(ui, store, run, actions);
        }
    });
}

/// A clip that waits.
fn line(ui: &mut Ui, item: &Waiting, (index, of): (usize, usize), actions: &mut Vec<Action>) {
    let (id, prompt) = (item.id, shorten(&item.request.prompt, 60));
    ui.horizontal(|ui| {
        ui.weak(format!("{}.", index + 1));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let spacing = ui.spacing().item_spacing;
            ui.spacing_mut().item_spacing.x = 2.0;
            let buttons = [
                ("×", "Remove", true, Action::Remove(id)),
                ("Edit", "Edit", true, Action::Edit(id)),
                ("⊕", "Duplicate", true, Action::Duplicate(id)),
                ("↓", "Later", index + 1 < of, Action::Shift(id, 1)),
                ("↑", "Sooner", index > 0, Action::Shift(id, -1)),
            ];
            for (sign, name, is_possible, action) in buttons {
                if parts::icon_if(ui, is_possible, sign, &format!("{name}: {prompt}")).clicked() {
                    actions.push(action);
                }
            }
            ui.spacing_mut().item_spacing = spacing;
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let label = eframe::egui::Label::new(prompt.as_str()).truncate();
                ui.add(label).on_hover_text(&item.request.prompt);
            });
        });
    });
}

/// A clip that runs or ended.
fn ended(ui: &mut Ui, store: &Store, run: &Run, actions: &mut Vec<Action>) {
    let colors = &store.theme.colors;
    let (sign, color, state) = match run.state {
        State::Running => ("▶", colors.accent, "running"),
        State::Finished(_) => ("●", colors.success, "done"),
        State::Failed(_) => ("■", colors.error, "failed"),
        State::Cancelled => ("▲", colors.warning, "stopped"),
    };
    let prompt = shorten(&run.request.prompt, 60);
    let is_shown = store.trail.now().run == Some(run.id);
    ui.horizontal(|ui| {
        ui.label(RichText::new(sign).color(color)).on_hover_text(state);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if !run.is_running() && parts::icon(ui, "×", &format!("Forget: {prompt}")).clicked() {
                actions.push(Action::Remove(run.id));
            }
            ui.with_layout(Layout::left_to_right(Align::Center).with_main_justify(true), |ui| {
                let button = Button::selectable(is_shown, prompt.as_str()).truncate();
                let button =
                    ui.add(button).on_hover_text(format!("{state}: {}", run.request.prompt));
                if button.clicked() {
                    actions.push(Action::Go(Cursor { run: Some(run.id), ..store.trail.now() }));
                }
            });
        });
    });
}
