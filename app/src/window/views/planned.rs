//! What pressing Generate would do: time and peak memory by phase against what is free, files, warnings.

use eframe::egui::{Align, CollapsingHeader, Layout, RichText, Ui};
use tessera_pipeline::plan::Plan;

use super::parts;
use crate::text::{bytes, duration};
use crate::window::runs::phase_name;
use crate::window::store::Store;

/// Draws the plan of the form; folded away at first while a clip is made, which is then what one looks at.
pub(crate) fn show(ui: &mut Ui, store: &Store) {
    let is_busy = store.runs.running().is_some();
    CollapsingHeader::new(RichText::new("Next clip").heading())
        .id_salt(("next clip", is_busy))
        .default_open(!is_busy)
        .show_unindented(ui, |ui| {
            match (store.planning.plan(), store.planning.error()) {
                (Some(plan), _) => draw(ui, store, plan),
                (None, Some(error)) => {
                    ui.label(RichText::new(error).color(store.theme.colors.warning));
                }
                (None, None) => {
                    ui.weak("What it takes is worked out while you write.");
                }
            }
            if store.planning.is_behind() {
                ui.weak("planning…");
            }
        });
}

fn draw(ui: &mut Ui, store: &Store, plan: &Plan) {
    let request = &plan.request;
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    let facts = format!(
        "{} on {} in {}: {}, {} steps, {} attention",
        plan.model.name,
        word(&request.device),
        word(&request.dtype),
        plan.size,
        request.steps.unwrap_or(0),
        word(&request.attention)
    );
    ui.label(RichText::new(facts).weak());
    ui.add_space(4.0);
    let available = plan.memory.available_bytes;
    let colors = &store.theme.colors;
    for phase in &plan.phases {
        let sign = if phase.is_measured { "" } else { "~" };
        let words = format!(
            "{sign}{}   {}",
            duration((phase.seconds * 1000.0) as u64),
            bytes(phase.peak_bytes)
        );
        let fill = if phase.peak_bytes > available { colors.error } else { colors.accent };
        parts::bar(
            ui,
            phase_name(phase.phase),
            &words,
            phase.peak_bytes as f32 / available.max(1) as f32,
            fill.into(),
        );
    }
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("All").strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let time = duration((plan.total_seconds() * 1000.0) as u64);
            ui.label(
                RichText::new(format!(
                    "{time}   {} of {}",
                    bytes(plan.memory.peak_bytes),
                    bytes(available)
                ))
                .strong(),
            );
        });
    });
    if plan.phases.iter().any(|phase| !phase.is_measured) {
        parts::note(
            ui,
            ui.visuals().weak_text_color(),
            "~ is a guess until this machine has made a clip. Bars are memory against what is free.",
        );
    }
    if let Some(refusal) = &plan.memory.refusal {
        parts::note(ui, colors.error, &refusal.to_string());
    }
    if let Some(attention) = &plan.attention {
        ui.add_space(4.0);
        ui.label(RichText::new(attention.to_string()).monospace().small());
    }
    ui.add_space(4.0);
    for file in &plan.files {
        let text = format!("writes {} (about {})", file.path.display(), bytes(file.bytes));
        ui.add(eframe::egui::Label::new(RichText::new(text).small().weak()).truncate())
            .on_hover_text(file.path.display().to_string());
    }
    for warning in &plan.warnings {
        parts::note(ui, colors.warning, warning);
    }
}
