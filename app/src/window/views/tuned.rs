//! The presets that `tessera tune` found for this model, size and device, as buttons.

use eframe::egui::{Button, RichText, Ui};
use serde_json::Value;
use tessera_pipeline::tune::{Preset, Tuned};

use crate::window::action::Action;
use crate::window::draft;
use crate::window::store::Store;

/// Draws a button for each preset; nothing where none was tuned for what is planned.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let Some(tuned) = store.planning.tuned() else { return };
    ui.label(RichText::new("Tuned").strong()).on_hover_text(format!(
        "Found by `tessera tune` for {} at {}, {} steps. They set attention and leave all else.",
        tuned.model, tuned.place, tuned.steps
    ));
    ui.horizontal_wrapped(|ui| {
        for preset in &tuned.presets {
            let button = Button::selectable(is_chosen(store, preset), words(preset));
            if ui.add(button).on_hover_text(help(tuned, preset)).clicked() {
                actions.push(Action::Tuned(preset.name.clone()));
            }
        }
    });
}

/// `Fast, 0.74 of the time`.
fn words(preset: &Preset) -> String {
    let name = draft::label(&preset.name);
    if is_dense(preset) { name } else { format!("{name}, {:.2} of the time", preset.time.median) }
}

fn is_dense(preset: &Preset) -> bool {
    preset.settings.get("attention").is_some_and(|method| method == "dense")
}

fn help(tuned: &Tuned, preset: &Preset) -> String {
    if is_dense(preset) {
        return "Dense attention: nothing is left out.".into();
    }
    let settings: Vec<String> = preset
        .settings
        .iter()
        .map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            format!("{}: {value}", draft::label(key))
        })
        .collect();
    let close = preset.closeness;
    let held = preset.held_out.map_or(String::new(), |held| {
        format!("\n{} of {} held-out prompts hold the floor.", held.clips, held.of)
    });
    format!(
        "{}\nOver {} prompts: {} {:.4} [{:.4}, {:.4}] to the dense clips, floor {:.4}.{held}",
        settings.join("\n"),
        tuned.prompts,
        preset.floor.metric.name(),
        close.median,
        close.low,
        close.high,
        preset.floor.least
    )
}

/// Whether the form holds this preset's settings.
fn is_chosen(store: &Store, preset: &Preset) -> bool {
    let is_given = |(key, value): (&String, &Value)| store.draft.get(key) == Some(value);
    preset.settings.iter().all(is_given)
}
