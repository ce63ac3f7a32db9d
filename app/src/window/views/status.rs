//! The line at the foot of the window: what the engine does, and where help is.

use std::fmt::Write as _;

use eframe::egui::{Align, Layout, RichText, Ui};

use crate::text::duration;
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::pace::WHY;
use crate::window::runs::{Pause, phase_name};
use crate::window::store::Store;

/// Draws the line.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let colors = &store.theme.colors;
        if let Some(lost) = &store.engine_lost {
            ui.label(RichText::new(lost).color(colors.error).small());
            if ui.small_button("Start it again").clicked() {
                actions.push(Action::RestartEngine);
            }
        } else {
            ui.label(RichText::new(doing(store)).small());
            if store.drawing.is_sparing() {
                ui.label(RichText::new(WHY).small().weak())
                    .on_hover_text(Command::SpareProcessor.row().help);
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let keys = [Command::Keys, Command::Palette].map(|command| {
                (command, format!("{}  {}", store.keys.text(command), command.row().name))
            });
            for (command, text) in keys {
                let text = RichText::new(text).small().weak();
                if ui.add(eframe::egui::Button::new(text).frame(false)).clicked() {
                    actions.push(Action::Run(command));
                }
            }
        });
    });
}

/// "Denoise 34 %, 12 s left", or what is waited for.
fn doing(store: &Store) -> String {
    let waiting = store.queue.waiting().len();
    let Some(run) = store.runs.running() else {
        return match waiting {
            0 => "Ready".into(),
            _ if store.queue.is_held => format!("The queue is held: {waiting} wait"),
            _ => format!("{waiting} wait"),
        };
    };
    if run.is_stopping {
        return "Stopping…".into();
    }
    let rests = match run.pause {
        Pause::No => "",
        Pause::Asked => "Pausing: ",
        Pause::Resting => "Paused: ",
    };
    let mut text = match run.phases.last() {
        Some(phase) => {
            format!("{rests}{} {:.0} %", phase_name(phase.phase), phase.share() * 100.0)
        }
        None => format!("{rests}Planning"),
    };
    if let Some(left) = run.eta_ms {
        let _ = write!(text, ", {} left", duration(left)); // writing to a String cannot fail
    }
    if waiting > 0 {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        let _ = write!(text, ", {waiting} more {verb}");
    }
    text
}
