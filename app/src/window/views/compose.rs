//! The form: prompts, model, size, every other setting of the table, and the button.

use eframe::egui::{
    Button, CollapsingHeader, ComboBox, Frame, Margin, Panel, RichText, ScrollArea, Ui, Vec2,
};
use serde_json::{Map, Value};
use tessera_pipeline::settings::{SETTINGS, Section};

use super::{control, parts, prompt, size, tuned};
use crate::text::{bytes, duration};
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::draft;
use crate::window::models::Model;
use crate::window::store::Store;

/// Settings with a control of their own; all others get theirs from their row.
const OWN: [&str; 6] = ["prompt", "negative", "model", "width", "height", "frames"];

/// The other sections, and whether they are open at first.
const SECTIONS: [(Section, bool); 5] = [
    (Section::Sampling, true),
    (Section::Sparsity, false),
    (Section::Output, false),
    (Section::Machine, false),
    (Section::Recording, false),
];

/// Draws the form.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let frame = Frame::new().inner_margin(Margin { top: 8, ..Margin::ZERO });
    Panel::bottom("generate").frame(frame).resizable(false).show(ui, |ui| foot(ui, store, actions));
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.set_max_width(ui.available_width() - 4.0);
        prompt::show(ui, store, actions);
        model(ui, store, actions);
        size::show(ui, store, actions);
        tuned::show(ui, store, actions);
        let resolved = resolved(store);
        for (section, is_open) in SECTIONS {
            CollapsingHeader::new(heading(store, section))
                .id_salt(section.to_string())
                .default_open(is_open)
                .show_unindented(ui, |ui| {
                    for row in SETTINGS
                        .iter()
                        .filter(|row| row.section == section && !OWN.contains(&row.key))
                    {
                        control::show(ui, store, row, resolved.get(row.key), actions);
                    }
                    if section == Section::Sampling {
                        parts::command_button(
                            ui,
                            store,
                            Command::ClearSettings,
                            "Clear all settings",
                            actions,
                        );
                    }
                });
        }
    });
}

/// What the newest plan made of the settings.
pub(crate) fn resolved(store: &Store) -> Map<String, Value> {
    match store.planning.plan().map(|plan| serde_json::to_value(&plan.request)) {
        Some(Ok(Value::Object(settings))) => settings,
        _ => Map::new(),
    }
}

/// A section's name, with how many of its settings were given.
fn heading(store: &Store, section: Section) -> RichText {
    let given = SETTINGS
        .iter()
        .filter(|row| {
            row.section == section && !OWN.contains(&row.key) && store.draft.get(row.key).is_some()
        })
        .count();
    let text = if given == 0 { section.to_string() } else { format!("{section}  ({given} set)") };
    RichText::new(text).strong()
}

fn model(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let chosen = store.draft.text("model");
    let models = store.models.as_deref().unwrap_or_default();
    let is_chosen = |model: &&Model| model.path.as_os_str() == chosen;
    let name = match models.iter().find(is_chosen) {
        Some(model) => model.name.clone(),
        None if chosen.is_empty() => "toybox (bundled)".into(),
        None => chosen.to_owned(),
    };
    let label = ui.label(RichText::new("Model").strong()).on_hover_text(draft::help("model"));
    ui.horizontal(|ui| {
        let width = ui.available_width() - 36.0;
        let combo = ComboBox::from_id_salt("model").width(width).selected_text(name).truncate();
        let combo = combo.show_ui(ui, |ui| {
            ui.set_min_width(360.0);
            if store.models.is_none() {
                ui.weak("Looking for models…");
            }
            for model in models {
                let is_bundled = model.place == crate::window::models::Place::Bundled;
                let is_chosen = is_chosen(&model) || (is_bundled && chosen.is_empty());
                let button = Button::selectable(is_chosen, model.name.as_str())
                    .right_text(RichText::new(model.words()).weak());
                let line = ui.add_enabled(model.problems.is_empty(), button);
                let line = line.on_hover_text(model.path.display().to_string());
                if line.on_disabled_hover_text(model.problems.join("\n")).clicked() {
                    let path = (!is_bundled).then(|| Value::from(model.path.display().to_string()));
                    actions.push(Action::Set("model", path));
                }
            }
        });
        combo.response.labelled_by(label.id);
        if parts::icon(ui, "+", Command::AddModelFolder.row().name).clicked() {
            actions.push(Action::Run(Command::AddModelFolder));
        }
    });
}

/// The button, with what pressing it costs.
fn foot(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let is_busy = store.runs.running().is_some() || !store.queue.waiting().is_empty();
    let count = store.draft.get("count").and_then(Value::as_u64).unwrap_or(1);
    let text = match (is_busy, count) {
        (false, 1) => "Generate".to_owned(),
        (false, n) => format!("Generate {n} clips"),
        (true, 1) => "Add to the queue".to_owned(),
        (true, n) => format!("Add {n} clips to the queue"),
    };
    let colors = &store.theme.colors;
    let refusal = Command::Generate.refusal(store);
    let mut button = Button::new(RichText::new(&text).strong());
    if refusal.is_none() {
        let label = RichText::new(text).strong().color(colors.on_accent);
        button = Button::new(label).fill(colors.accent);
    }
    let button = button.min_size(Vec2::new(0.0, 34.0));
    ui.vertical_centered_justified(|ui| {
        if parts::explain(ui, store, Command::Generate, button).clicked() {
            actions.push(Action::Run(Command::Generate));
        }
    });
    ui.horizontal_wrapped(|ui| match (refusal, store.planning.plan()) {
        // A form that nobody has written in is not wrong.
        (Some(why), _) if store.draft.text("prompt").is_empty() => {
            parts::note(ui, ui.visuals().weak_text_color(), &why);
        }
        (Some(why), _) => parts::note(ui, colors.warning, &why),
        (None, Some(plan)) => {
            let time = duration((plan.total_seconds() * 1000.0) as u64 * count);
            let is_guess = plan.phases.iter().any(|phase| !phase.is_measured);
            let about = if is_guess { "a guess: " } else { "about " };
            let text = format!(
                "{about}{time}, {} of {} memory",
                bytes(plan.memory.peak_bytes),
                bytes(plan.memory.available_bytes)
            );
            ui.label(RichText::new(text).small().weak());
            if let Some(refusal) = &plan.memory.refusal {
                parts::note(ui, colors.warning, &refusal.to_string());
            }
        }
        (None, None) => parts::note(ui, ui.visuals().weak_text_color(), "planning…"),
    });
}
