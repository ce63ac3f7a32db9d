//! Small parts that views share: buttons of commands, icons with a name, a bar with words.

use eframe::egui::{Align, Button, Color32, Layout, ProgressBar, Response, RichText, Ui, Vec2};

use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::store::Store;

/// A button of a command: its keys and what it does are in the text under the pointer, or why it cannot be pressed.
pub(crate) fn command_button(
    ui: &mut Ui,
    store: &Store,
    command: Command,
    text: &str,
    actions: &mut Vec<Action>,
) -> Response {
    let response = explain(ui, store, command, Button::new(text));
    if response.clicked() {
        actions.push(Action::Run(command));
    }
    response
}

/// Adds a button of a command with its explanation; the caller sees to the click.
pub(crate) fn explain(
    ui: &mut Ui,
    store: &Store,
    command: Command,
    button: Button<'_>,
) -> Response {
    let refusal = command.refusal(store);
    let row = command.row();
    let keys = store.keys.text(command);
    let help = if keys.is_empty() { row.help.to_owned() } else { format!("{}\n{keys}", row.help) };
    ui.add_enabled(refusal.is_none(), button)
        .on_hover_text(help)
        .on_disabled_hover_text(refusal.unwrap_or_default())
}

/// A button with a sign instead of words, and the words for who cannot see it.
pub(crate) fn icon(ui: &mut Ui, sign: &str, name: &str) -> Response {
    icon_if(ui, true, sign, name)
}

/// As [`icon`], pressed only when `is_enabled`.
pub(crate) fn icon_if(ui: &mut Ui, is_enabled: bool, sign: &str, name: &str) -> Response {
    let response = ui.add_enabled(is_enabled, Button::new(sign).min_size(Vec2::splat(26.0)));
    named(&response, name);
    response.on_hover_text(name)
}

/// Gives what was drawn a name for who cannot see it.
pub(crate) fn named(response: &Response, name: &str) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
}

/// A name on the left and words on the right.
pub(crate) fn line(ui: &mut Ui, name: &str, words: &str) {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 0.0; // no higher than its text
        ui.horizontal(|ui| {
            ui.label(name);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.weak(words));
        });
    });
}

/// A [`line`] with a thin bar below it, spoken as "Denoise, step 3 of 20".
pub(crate) fn bar(ui: &mut Ui, name: &str, words: &str, share: f32, fill: Color32) {
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        line(ui, name, words);
        let bar = ProgressBar::new(share).desired_height(4.0).fill(fill).corner_radius(2);
        let response = ui.add(bar);
        named(&response, &format!("{name}, {words}"));
    });
}

/// A line that says what is wrong, or what to look at.
pub(crate) fn note(ui: &mut Ui, color: impl Into<Color32>, text: &str) {
    ui.label(RichText::new(text).color(color).small());
}
