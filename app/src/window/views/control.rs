//! One setting's control, made from its row in pipeline's table: the kind decides the control, the rest is its name, range,
//! help and default.

use eframe::egui::{
    Align, ComboBox, DragValue, Label, Layout, Response, RichText, TextEdit, Ui, Vec2,
};
use serde_json::Value;
use tessera_pipeline::settings::{Kind, Preset, Setting};

use super::parts;
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::draft::{self, SeedMode};
use crate::window::store::Store;

/// Room for the names.
const NAMES: f32 = 128.0;
/// Whole numbers above this lose digits in a drag control.
const EXACT: u64 = 1 << 53;

/// Draws a setting: name, control, and a way back to the default when it was given. `resolved` is what the plan made of it.
pub(crate) fn show(
    ui: &mut Ui,
    store: &Store,
    row: &'static Setting,
    resolved: Option<&Value>,
    actions: &mut Vec<Action>,
) {
    let given = store.draft.get(row.key);
    ui.horizontal(|ui| {
        let name = name(ui, row.key, given.is_some());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if given.is_some()
                && parts::icon(ui, "↺", &format!("Default: {}", draft::label(row.key))).clicked()
            {
                actions.push(Action::Set(row.key, None));
            }
            if row.key == "seed" && parts::icon(ui, "New", Command::NewSeed.row().name).clicked() {
                actions.push(Action::Run(Command::NewSeed));
            }
            let control = control(ui, row, given, resolved, actions);
            control.labelled_by(name.id).on_hover_text(draft::help(row.key));
        });
    });
    if row.key == "seed" {
        next_seed(ui, store, actions);
    }
    if let Some(value) = given.filter(|value| !row.allows(value)) {
        let got = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        parts::note(ui, store.theme.colors.error, &format!("expected {}, got \"{got}\"", row.kind));
    }
}

/// The name in its column; bright when the setting was given.
fn name(ui: &mut Ui, key: &str, is_given: bool) -> Response {
    let text = RichText::new(draft::label(key));
    let text = if is_given { text.strong() } else { text };
    cell(ui, text).on_hover_text(draft::help(key))
}

/// Words in the column of names.
fn cell(ui: &mut Ui, text: RichText) -> Response {
    let size = Vec2::new(NAMES, ui.spacing().interact_size.y);
    let cell = ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_width(NAMES);
        ui.add(Label::new(text).truncate())
    });
    cell.inner
}

fn control(
    ui: &mut Ui,
    row: &'static Setting,
    given: Option<&Value>,
    resolved: Option<&Value>,
    actions: &mut Vec<Action>,
) -> Response {
    let shown = given.or(resolved);
    let mut set = |value: Option<Value>| actions.push(Action::Set(row.key, value));
    match row.kind {
        Kind::Int { min, max, step } if max <= EXACT => {
            let first = if let Preset::Int(number) = row.default { number } else { min };
            let mut number = shown.and_then(Value::as_u64).unwrap_or(first);
            let now = number as f64;
            let control = DragValue::new(&mut number).range(min..=max).speed(step as f64 * 0.1);
            let control = place(ui, or_unset(control, row, shown, now));
            if control.changed() {
                set(Some(number.into()));
            }
            control
        }
        Kind::Float { min, max } => {
            let mut number = shown.and_then(Value::as_f64).unwrap_or(min);
            let now = number;
            let control = DragValue::new(&mut number)
                .range(min..=max)
                .speed((max - min).min(10.0) / 200.0)
                .max_decimals(3);
            let control = place(ui, or_unset(control, row, shown, now));
            if control.changed() {
                set(Some(number.into()));
            }
            control
        }
        Kind::Choice(words) => {
            let now = shown.and_then(Value::as_str).unwrap_or_default();
            let combo = ComboBox::from_id_salt(row.key)
                .width(ui.available_width())
                .selected_text(now)
                .truncate();
            let combo = combo.show_ui(ui, |ui| {
                for word in words {
                    if ui.selectable_label(now == *word, *word).clicked() {
                        set(Some((*word).into()));
                    }
                }
            });
            combo.response
        }
        Kind::Bool => {
            let mut is_on =
                shown.and_then(Value::as_bool).unwrap_or(row.default == Preset::Bool(true));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let text = if is_on { "on" } else { "off" };
                let control = ui.checkbox(&mut is_on, text);
                if control.changed() {
                    set(Some(is_on.into()));
                }
                control
            })
            .inner
        }
        Kind::Int { .. } | Kind::Text | Kind::Form { .. } | Kind::Path => {
            let mut text = given.map(written).unwrap_or_default();
            let hint = resolved.map_or_else(|| row.default.to_string(), written);
            let field = TextEdit::singleline(&mut text)
                .id_salt(row.key)
                .hint_text(hint)
                .desired_width(ui.available_width());
            let control = ui.add(field);
            if control.changed() {
                set((!text.is_empty()).then(|| row.parse(&text).unwrap_or_else(|_| text.into())));
            }
            control
        }
    }
}

/// A value as one types it.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A number with its unit; a word where neither a person nor the plan has given one.
fn or_unset<'a>(
    control: DragValue<'a>,
    row: &Setting,
    shown: Option<&Value>,
    number: f64,
) -> DragValue<'a> {
    let word = match row.default {
        Preset::Decided(_) => "auto",
        Preset::Absent(text) => text,
        Preset::Int(_) | Preset::Text(_) | Preset::Bool(_) => "",
    };
    if shown.is_some() || word.is_empty() {
        control.suffix(suffix(row, number))
    } else {
        control.custom_formatter(move |_, _| word.to_owned())
    }
}

/// A number's control, as wide as there is room. What is typed counts when it is whole.
fn place(ui: &mut Ui, control: DragValue<'_>) -> Response {
    let size = Vec2::new(ui.available_width(), ui.spacing().interact_size.y);
    ui.add_sized(size, control.update_while_editing(false))
}

/// The unit behind a number, if it has one.
pub(super) fn suffix(row: &Setting, number: f64) -> String {
    let unit = row.unit_of(number);
    if unit.is_empty() { unit } else { format!(" {unit}") }
}

/// How the seed of the clip after this one is chosen, in a line of its own.
fn next_seed(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let chosen = store.draft.seed_mode;
    ui.horizontal(|ui| {
        let name = cell(ui, RichText::new("Next seed"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let of_chosen = SeedMode::ALL.iter().find(|(mode, ..)| *mode == chosen);
            let (_, words, help) = of_chosen.copied().unwrap_or(SeedMode::ALL[0]);
            let combo = ComboBox::from_id_salt("seed mode").width(ui.available_width());
            let combo = combo.selected_text(words).show_ui(ui, |ui| {
                for (mode, name, help) in SeedMode::ALL {
                    if ui.selectable_label(chosen == mode, name).on_hover_text(help).clicked() {
                        actions.push(Action::SeedMode(mode));
                    }
                }
            });
            combo.response.labelled_by(name.id).on_hover_text(help);
        });
    });
}
