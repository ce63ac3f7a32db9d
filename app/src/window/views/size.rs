//! Width, height and frames, with what they come to: tokens, blocks, padding, seconds. What is not legal can be snapped.

use eframe::egui::{DragValue, RichText, Ui, Vec2};
use serde_json::Value;
use tessera_pipeline::inspect::grouped;
use tessera_pipeline::settings::{Kind, Section, setting};

use super::{control, parts};
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::draft;
use crate::window::store::Store;

/// Draws the sides in one line and what follows from them below.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    ui.label(RichText::new(Section::Size.to_string()).strong());
    let plan = store.planning.plan();
    let of_plan = |key: &str| {
        let request = &plan?.request;
        match key {
            "width" => request.width,
            "height" => request.height,
            _ => request.frames,
        }
    };
    ui.horizontal(|ui| {
        for (key, sign) in [("width", "×"), ("height", "×"), ("frames", "")] {
            let Some((Kind::Int { min, max, step }, row)) = setting(key).map(|row| (row.kind, row))
            else {
                continue;
            };
            let given = store.draft.get(key).and_then(Value::as_u64);
            let mut number = given.unwrap_or_else(|| of_plan(key).map_or(min, u64::from));
            let suffix =
                if key == "frames" { control::suffix(row, number as f64) } else { String::new() };
            let field = DragValue::new(&mut number)
                .range(min..=max)
                .speed(step as f64 * 0.2)
                .suffix(suffix)
                .update_while_editing(false);
            let width = if key == "frames" { 96.0 } else { 66.0 };
            let field = ui.add_sized(Vec2::new(width, ui.spacing().interact_size.y), field);
            parts::named(&field, &draft::label(key));
            if field.changed() {
                // A drag goes through legal sizes; what is typed stays as it is typed.
                let offset = u64::from(key == "frames");
                let snapped = (number.saturating_sub(offset) + step / 2) / step * step + offset;
                let number = if field.dragged() { snapped.clamp(min, max) } else { number };
                actions.push(Action::Set(row.key, Some(number.into())));
            }
            field.on_hover_text(draft::help(key));
            if !sign.is_empty() {
                ui.weak(sign);
            }
        }
        let is_given =
            ["width", "height", "frames"].iter().any(|key| store.draft.get(key).is_some());
        if is_given && parts::icon(ui, "↺", "Default: Size").clicked() {
            actions.extend(["width", "height", "frames"].map(|key| Action::Set(key, None)));
        }
    });
    match (store.planning.snapped(), plan) {
        (Some([width, height, frames]), _) => {
            ui.horizontal_wrapped(|ui| {
                parts::note(ui, store.theme.colors.warning, "This model cannot make that size.");
                let text = format!("Snap to {width} × {height} × {frames}");
                parts::command_button(ui, store, Command::SnapSize, &text, actions);
            });
        }
        (None, Some(plan)) => {
            let [rows, columns] = plan.blocks();
            let padding = match plan.padding() {
                0 => "no padding".to_owned(),
                padding => format!("{padding} of padding"),
            };
            let text = format!(
                "{:.2} s, {} × {} × {} = {} tokens, {rows} × {columns} blocks, {padding}",
                plan.seconds,
                plan.grid.frames,
                plan.grid.rows,
                plan.grid.cols,
                grouped(plan.tokens as u64)
            );
            let help = "Tokens are latent frames × rows × columns. Attention divides them into blocks of 128 queries by 64 keys; any size runs, padding only wastes a little of the last block.";
            ui.label(RichText::new(text).small().weak()).on_hover_text(help);
        }
        (None, None) => {}
    }
    if let Some(row) = setting("fps") {
        let resolved = plan.and_then(|plan| plan.request.fps).map(Value::from);
        control::show(ui, store, row, resolved.as_ref(), actions);
    }
}
