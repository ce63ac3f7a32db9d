//! The Lens as a pane: what is looked at on top, the timeline, heads on the left, one head large on the right.

use eframe::egui::{Align, Button, DragValue, Frame, Label, Layout, Margin, Panel, RichText, Ui};
use tessera_pipeline::recording::Outcome;

use super::subject::{Look, Subject};
use super::{Face, Wish, brush, heads, map, order, replays, scores, timeline};
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::cursor::Cursor;
use crate::window::store::Store;
use crate::window::views::parts;

/// The large pictures of a head, as they are called.
const FACES: [(Face, &str); 6] = [
    (Face::Map, "Level map"),
    (Face::Scores, "Attention"),
    (Face::Order, "Order"),
    (Face::Brush, "Query brush"),
    (Face::Words, "Words"),
    (Face::Replay, "Replay"),
];

/// Draws it.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let Some(subject) = store.lens.subject() else { return empty(ui, store, actions) };
    let look = subject.look(store.trail.now());
    let plain = Frame::new().inner_margin(Margin { bottom: 6, ..Margin::ZERO });
    Panel::top("lens head").frame(plain).resizable(false).show_separator_line(false).show(
        ui,
        |ui| {
            head(ui, store, subject, look, actions);
        },
    );
    let strip =
        Panel::top("lens timeline").frame(plain).resizable(false).show_separator_line(false);
    strip.exact_size(timeline::height(subject) + 6.0).show(ui, |ui| {
        timeline::show(ui, store, subject, look, actions);
    });
    let side = Frame::new().inner_margin(Margin { right: 8, ..Margin::ZERO });
    let width = ui.available_width();
    let left = Panel::left("lens heads").frame(side).resizable(true).default_size(width * 0.36);
    left.size_range(160.0..=(width * 0.6).max(170.0)).show(ui, |ui| {
        heads::show(ui, store, subject, look, actions);
    });
    let right = Frame::new().inner_margin(Margin { left: 8, ..Margin::ZERO });
    right.show(ui, |ui| face(ui, store, subject, actions));
}

/// Nothing is open yet.
fn empty(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    ui.vertical_centered(|ui| {
        ui.add_space(ui.available_height() * 0.22);
        ui.label(RichText::new("Lens").heading());
        let text = "See what attention looks at and what is skipped: of the clip that is being made, and of any recorded run.";
        ui.label(text);
        ui.add_space(10.0);
        if store.lens.is_opening() {
            ui.weak("Opening…");
        }
        parts::command_button(ui, store, Command::OpenRecording, "Open recording…", actions);
        let examples = &store.lens.examples;
        if !examples.is_empty() {
            ui.add_space(10.0);
            ui.label(RichText::new("Examples").strong());
        }
        for path in examples {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', " ");
            if ui.button(format!("Example: {name}")).clicked() {
                actions.push(Action::Lens(Wish::Open(path.clone())));
            }
        }
    });
}

/// What is looked at, and where in it.
fn head(ui: &mut Ui, store: &Store, subject: &Subject, look: Look, actions: &mut Vec<Action>) {
    let meta = &subject.meta;
    ui.horizontal(|ui| {
        ui.label(RichText::new(subject.name()).strong())
            .on_hover_text(subject.path.display().to_string());
        let about = format!(
            "{} · {} · {}",
            meta.request.attention.as_deref().unwrap_or("dense"),
            meta.model.name,
            meta.size
        );
        ui.label(RichText::new(about).weak()).on_hover_text(&meta.request.prompt);
        let is_live = store.lens.is_growing();
        match &subject.outcome {
            Outcome::Unfinished if is_live => parts::note(ui, store.theme.colors.accent, "live"),
            Outcome::Finished => {}
            Outcome::Cancelled => parts::note(ui, store.theme.colors.warning, "stopped"),
            Outcome::Failed { error } => parts::note(ui, store.theme.colors.error, error),
            Outcome::Unfinished => parts::note(ui, store.theme.colors.warning, "not at its end"),
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            parts::command_button(ui, store, Command::OpenRecording, "Open…", actions);
            if is_live {
                let button = Button::selectable(store.lens.follows, "Follow");
                if parts::explain(ui, store, Command::Follow, button).clicked() {
                    actions.push(Action::Run(Command::Follow));
                }
            }
            parts::command_button(ui, store, Command::ExportView, "Export…", actions);
            if let Some((name, done, of)) = &store.lens.exporting {
                parts::command_button(ui, store, Command::StopExport, "Stop", actions);
                ui.weak(format!("{name}: {done} of {of}"));
            }
            let now = Cursor {
                step: look.step,
                branch: look.branch,
                layer: look.layer,
                head: look.head,
                ..store.trail.now()
            };
            let place = |ui: &mut Ui, name: &str, (value, count, first): (usize, usize, usize)| {
                let mut shown = value + first;
                let range = first..=(count + first).saturating_sub(1);
                let field = DragValue::new(&mut shown).range(range).prefix(format!("{name} "));
                let field = ui.add(field);
                parts::named(&field, name);
                field.changed().then(|| shown - first)
            };
            let mut to = now;
            if let Some(head) = place(ui, "Head", (look.head, meta.heads, 0)) {
                to.head = head;
            }
            if let Some(layer) = place(ui, "Layer", (look.layer, meta.layers, 0)) {
                to.layer = layer;
            }
            if let Some(step) = place(ui, "Step", (look.step, meta.steps(), 1)) {
                to.step = step;
            }
            if meta.branches().len() > 1 {
                let text = if look.branch == 0 { "with the prompt" } else { "without it" };
                let button = Button::new(text);
                if parts::explain(ui, store, Command::OtherBranch, button).clicked() {
                    actions.push(Action::Run(Command::OtherBranch));
                }
            }
            if to != now {
                actions.push(Action::Go(to));
            }
        });
    });
}

/// One head, large.
fn face(ui: &mut Ui, store: &Store, subject: &Subject, actions: &mut Vec<Action>) {
    let lens = &store.lens;
    ui.horizontal(|ui| {
        for (face, name) in FACES {
            if ui.selectable_label(lens.face == face, name).clicked() {
                actions.push(Action::Lens(Wish::Face(face)));
            }
        }
        if let Some(detail) = lens.detail() {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let mut text = subject.spoken(detail.look);
                if let Some(head) = lens.replays.head(detail.look) {
                    text = format!("error {:.1} %, {text}", head.error * 100.0);
                }
                // Beside many faces in a narrow window; the whole is under the pointer and spoken.
                ui.add(Label::new(RichText::new(text).strong()).truncate());
            });
        }
    });
    let Some(detail) = lens.detail() else {
        ui.weak("Reading…");
        return;
    };
    if subject.outcome == Outcome::Unfinished && subject.call(detail.look).is_none() {
        ui.weak(format!("Step {} has not come to this layer yet.", detail.look.step + 1));
        return;
    }
    match lens.face {
        Face::Replay => replays::view::show(ui, store, subject, actions),
        Face::Brush => brush::view::show(ui, store, subject, actions),
        Face::Words => brush::words::show(ui, store, subject, actions),
        Face::Map => map::show(ui, store, subject, detail, actions),
        Face::Scores => scores::show(ui, store, subject, detail, actions),
        Face::Order => order::show(ui, store, subject, detail),
    }
}
