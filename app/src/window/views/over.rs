//! What lies over the panes: the command palette, the sheet of keys, the preferences.

use eframe::egui::{
    Align2, Area, Button, ComboBox, Context, Grid, Id, Key, Modal, Modifiers, Order, RichText,
    ScrollArea, TextEdit, Ui, Vec2,
};

use super::parts;
use crate::window::action::Action;
use crate::window::commands::{COMMANDS, Command, Menu, Row, score};
use crate::window::pace::RARELY;
use crate::window::store::{Over, Store};
use crate::window::theme::{Choice, Theme};

/// Draws what is open.
pub(crate) fn show(ctx: &Context, store: &Store, actions: &mut Vec<Action>) {
    let is_closed = match &store.over {
        Over::Nothing => return,
        Over::Palette { typed, chosen } => {
            let area = Area::new(Id::unique("palette area"))
                .order(Order::Foreground)
                .anchor(Align2::CENTER_TOP, Vec2::new(0.0, 80.0));
            let modal = Modal::new(Id::unique("palette")).area(area);
            modal
                .show(ctx, |ui| palette(ui, store, typed, *chosen, actions))
                .backdrop_response
                .clicked()
        }
        Over::Keys => {
            let modal = Modal::new(Id::unique("keys"));
            modal.show(ctx, |ui| keys(ui, store, actions)).backdrop_response.clicked()
        }
        Over::Settings { listening } => {
            let modal = Modal::new(Id::unique("settings"));
            modal
                .show(ctx, |ui| settings(ui, store, *listening, actions))
                .backdrop_response
                .clicked()
        }
    };
    if is_closed {
        actions.push(Action::Run(Command::Close));
    }
}

/// Commands that answer to what was typed, the best first.
fn found(typed: &str) -> Vec<&'static Row> {
    let mut found: Vec<_> = COMMANDS
        .iter()
        .filter(|row| row.menu != Menu::Hidden && row.command != Command::Palette)
        .filter_map(|row| Some((score(row.name, typed)?, row)))
        .collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, row)| row).collect()
}

fn palette(ui: &mut Ui, store: &Store, typed: &str, chosen: usize, actions: &mut Vec<Action>) {
    ui.set_width(480.0);
    let found = found(typed);
    let last = found.len().saturating_sub(1);
    let press = |ui: &Ui, key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    let mut at = chosen.min(last);
    if press(ui, Key::ArrowDown) {
        at = if at >= last { 0 } else { at + 1 };
    }
    if press(ui, Key::ArrowUp) {
        at = if at == 0 { last } else { at - 1 };
    }
    if at != chosen {
        actions.push(Action::Point(at));
    }
    let is_entered = press(ui, Key::Enter);

    let mut text = typed.to_owned();
    let field =
        TextEdit::singleline(&mut text).hint_text("Find a command").desired_width(f32::INFINITY);
    let field = ui.add(field);
    parts::named(&field, "Find a command");
    field.request_focus();
    if field.changed() {
        actions.push(Action::Filter(text));
    }
    let mut run = is_entered.then(|| found.get(at)).flatten().map(|row| row.command);
    if found.is_empty() {
        ui.weak("No command has these letters in this order.");
    }
    ScrollArea::vertical().max_height(360.0).show(ui, |ui| {
        for (index, row) in found.iter().enumerate() {
            let refusal = row.command.refusal(store);
            let keys = RichText::new(store.keys.text(row.command)).weak();
            let button = Button::selectable(index == at, row.name)
                .right_text(keys)
                .min_size(Vec2::new(ui.available_width(), 0.0));
            let line = ui.add_enabled(refusal.is_none(), button);
            let line =
                line.on_hover_text(row.help).on_disabled_hover_text(refusal.unwrap_or_default());
            if index == at && at != chosen {
                line.scroll_to_me(None);
            }
            if line.clicked() {
                run = Some(row.command);
            }
        }
    });
    if let Some(command) = run {
        actions.extend([Action::Run(Command::Close), Action::Run(command)]);
    }
}

fn title(ui: &mut Ui, text: &str, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.heading(text);
        ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
            if parts::icon(ui, "×", "Close").clicked() {
                actions.push(Action::Run(Command::Close));
            }
        });
    });
    ui.add_space(4.0);
}

fn keys(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    ui.set_width(560.0);
    title(ui, "Keys", actions);
    ScrollArea::vertical().max_height(520.0).show(ui, |ui| {
        for menu in Menu::SHOWN {
            ui.label(RichText::new(menu.title()).strong());
            Grid::new(("keys", menu.title())).num_columns(2).min_col_width(130.0).show(ui, |ui| {
                for row in COMMANDS.iter().filter(|row| row.menu == menu) {
                    let keys = store.keys.text(row.command);
                    if !keys.is_empty() {
                        ui.label(RichText::new(keys).monospace());
                        ui.label(row.name).on_hover_text(row.help);
                        ui.end_row();
                    }
                }
            });
            ui.add_space(8.0);
        }
        ui.weak(
            "Single letters and signs do nothing while you write. Preferences change all of these.",
        );
    });
}

/// The scales on offer.
const SCALES: [f32; 7] = [0.75, 0.9, 1.0, 1.15, 1.3, 1.5, 2.0];

fn settings(ui: &mut Ui, store: &Store, listening: Option<Command>, actions: &mut Vec<Action>) {
    ui.set_width(600.0);
    title(ui, "Preferences", actions);
    Grid::new("preferences").num_columns(2).min_col_width(130.0).spacing([16.0, 8.0]).show(
        ui,
        |ui| {
            ui.label("Theme");
            ui.horizontal(|ui| {
                for choice in Choice::ALL {
                    let is_chosen = store.choice == choice;
                    let name = Theme::load(choice).map(|theme| theme.name).unwrap_or_default();
                    if ui.selectable_label(is_chosen, name).clicked() {
                        actions.push(Action::Theme(choice));
                    }
                }
            });
            ui.end_row();
            let label = ui.label("Scale");
            let percent = |scale: f32| format!("{:.0} %", scale * 100.0);
            let combo = ComboBox::from_id_salt("scale").selected_text(percent(store.scale));
            let combo = combo.show_ui(ui, |ui| {
                for scale in SCALES {
                    if ui.selectable_label(store.scale == scale, percent(scale)).clicked() {
                        actions.push(Action::Scale(scale));
                    }
                }
            });
            combo.response.labelled_by(label.id);
            ui.end_row();
            ui.label("Layout");
            parts::command_button(ui, store, Command::ResetLayout, "Reset layout", actions);
            ui.end_row();
            ui.label("Lens");
            let row = Command::RecordClips.row();
            let mut records = store.records;
            if ui.checkbox(&mut records, row.name).on_hover_text(row.help).changed() {
                actions.push(Action::Run(Command::RecordClips));
            }
            ui.end_row();
            ui.label("Drawing");
            drawing(ui, store, actions);
            ui.end_row();
        },
    );
    ui.add_space(6.0);
    ui.label(RichText::new("Model folders").strong());
    if store.model_folders.is_empty() {
        ui.weak("None added. Those in the Hugging Face cache are found without this.");
    }
    for folder in &store.model_folders {
        ui.horizontal(|ui| {
            if parts::icon(ui, "×", &format!("Forget {}", folder.display())).clicked() {
                actions.push(Action::ForgetModelFolder(folder.clone()));
            }
            ui.label(folder.display().to_string());
        });
    }
    parts::command_button(ui, store, Command::AddModelFolder, "Add model folder…", actions);
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Keys").strong());
        if ui.small_button("Reset all keys").clicked() {
            actions.push(Action::ResetKeys);
        }
    });
    ScrollArea::vertical().max_height(280.0).auto_shrink([false, true]).show(ui, |ui| {
        Grid::new("bindings").num_columns(3).striped(true).min_col_width(90.0).show(ui, |ui| {
            for row in COMMANDS.iter().filter(|row| row.menu != Menu::Hidden) {
                binding(ui, store, row, listening == Some(row.command), actions);
                ui.end_row();
            }
        });
    });
}

/// What draws the window, and where that is the processor whether it is spared.
fn drawing(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let Some(name) = &store.drawing.software else {
        ui.weak("By the graphics device.");
        return;
    };
    let row = Command::SpareProcessor.row();
    let mut spares = store.drawing.spares;
    if ui.checkbox(&mut spares, row.name).on_hover_text(row.help).changed() {
        actions.push(Action::Run(Command::SpareProcessor));
    }
    ui.end_row();
    ui.label("");
    ui.weak(format!(
        "No graphics device: the processor draws ({name}). While it makes a clip the window is drawn every {} seconds \
         and previews rest, until you touch it.",
        RARELY.as_secs()
    ));
}

/// A line of the table of keys.
fn binding(ui: &mut Ui, store: &Store, row: &Row, is_listening: bool, actions: &mut Vec<Action>) {
    let name = RichText::new(row.name);
    let is_changed = store.keys.is_changed(row.command);
    ui.label(if is_changed { name.strong() } else { name }).on_hover_text(row.help);
    let keys = store.keys.text(row.command);
    ui.label(RichText::new(if keys.is_empty() { "–" } else { &keys }).monospace());
    ui.horizontal(|ui| {
        let text = if is_listening { "Press the keys, or Escape" } else { "Change" };
        let change = ui.selectable_label(is_listening, text);
        parts::named(&change, &format!("Change the keys of {}", row.name));
        if change.clicked() {
            actions.push(Action::Listen(Some(row.command)));
        }
        if !keys.is_empty()
            && parts::icon(ui, "×", &format!("Take the keys from {}", row.name)).clicked()
        {
            actions.push(Action::Bind(row.command, None));
        }
    });
}
