//! The replay of a step: what to replay it with on the left, what came of it on the right.

use eframe::egui::{
    Align, Button, DragValue, Frame, Layout, Margin, Panel, RichText, ScrollArea, Ui,
};
use tessera_pipeline::replay::Head;
use tessera_pipeline::settings::{SETTINGS, Setting};

use super::super::detail::Detail;
use super::super::map;
use super::super::pixels::Picture;
use super::super::plate::{self, Plate};
use super::super::subject::{Look, Subject};
use super::{Found, Wish, refusal};
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::cursor::Cursor;
use crate::window::lens;
use crate::window::store::Store;
use crate::window::views::{compose, control, parts};

/// The settings that are worth a try; Studio has the others.
const TRIED: [&str; 8] =
    ["attention", "preset", "density", "thresholds", "order", "floor", "least_full", "dense_heads"];
/// Room for them.
const WIDE: f32 = 310.0;

/// Draws it.
pub(in super::super) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    actions: &mut Vec<Action>,
) {
    let look = subject.look(store.trail.now());
    let frame = Frame::new().inner_margin(Margin { right: 8, ..Margin::ZERO });
    let left = Panel::left("replay settings").frame(frame).resizable(false);
    left.exact_size(WIDE.min(ui.available_width() * 0.5)).show(ui, |ui| {
        settings(ui, store, look, actions);
        if let (Some(detail), Some(picture)) =
            (store.lens.detail(), store.lens.pictures.map.as_ref())
        {
            recorded(ui, subject, detail, picture);
        }
    });
    let frame = Frame::new().inner_margin(Margin { left: 8, ..Margin::ZERO });
    frame.show(ui, |ui| {
        if let Some(found) = store.lens.replays.found() {
            results(ui, store, look, found, actions);
        } else {
            let text = "Runs this step of the recording once more with the settings on the left, from the latents that were kept, and tells of every head how far its output is from dense attention. Nothing of the clip is changed.";
            ui.add(eframe::egui::Label::new(RichText::new(text).weak()).wrap());
        }
    });
}

fn ask(actions: &mut Vec<Action>, wish: Wish) {
    actions.push(Action::Lens(lens::Wish::Replay(wish)));
}

/// What the step is replayed with, and the button.
fn settings(ui: &mut Ui, store: &Store, look: Look, actions: &mut Vec<Action>) {
    let replays = &store.lens.replays;
    ui.horizontal(|ui| {
        ui.label(RichText::new("Studio's attention").strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            parts::command_button(ui, store, Command::ReplayAsRun, "As in the run", actions);
        });
    });
    let rows = |key: &&str| SETTINGS.iter().find(|row| row.key == *key);
    let rows: Vec<&'static Setting> = TRIED.iter().filter_map(rows).collect();
    let resolved = compose::resolved(store);
    for row in rows {
        control::show(ui, store, row, resolved.get(row.key), actions);
    }
    ui.add_space(6.0);
    if let Some((step, progress)) = replays.going() {
        let (share, words) = progress.map_or((0.0, "beginning".to_owned()), |progress| {
            let share = progress.done as f32 / progress.of.max(1) as f32;
            (share, format!("{} {} of {}", progress.doing, progress.done, progress.of))
        });
        let name = format!("Replaying step {}", step + 1);
        parts::bar(ui, &name, &words, share, store.theme.colors.accent.into());
        parts::command_button(ui, store, Command::StopReplay, "Stop the replay", actions);
        return;
    }
    let why = refusal(store);
    let button = Button::new(RichText::new(format!("Replay step {}", look.step + 1)).strong());
    if parts::explain(ui, store, Command::ReplayStep, button).clicked() {
        actions.push(Action::Run(Command::ReplayStep));
    }
    if let Some(why) = why {
        parts::note(ui, store.theme.colors.warning, &why);
    }
    if let Some(failure) = &replays.failure {
        parts::note(ui, store.theme.colors.error, failure);
    }
}

/// The map that the run used in the head that is looked at, below the settings.
fn recorded(ui: &mut Ui, subject: &Subject, detail: &Detail, picture: &Picture) {
    if ui.available_height() < 60.0 {
        return;
    }
    ui.add_space(4.0);
    ui.small("The map in the run");
    let words = |row: usize, column: usize| map::pair(subject, detail, row, column);
    let plate = map::of(subject, detail, format!("Map, {}", subject.spoken(detail.look)), &words);
    plate::show(ui, "replayed", &Plate { picture: Some(picture), ..plate });
}

/// What came of it: a few numbers, and the heads by their error.
fn results(ui: &mut Ui, store: &Store, look: Look, found: &Found, actions: &mut Vec<Action>) {
    let replays = &store.lens.replays;
    ui.label(RichText::new(format!("Step {}: {}", found.step + 1, found.name)).strong());
    if let Some(Some(summary)) = found.summaries.get(look.branch) {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        ui.label(format!(
            "Error of a head {} in the median, {} at worst; density {}, recall {}.",
            percent(summary.error.median),
            percent(summary.error.worst),
            percent(summary.density),
            percent(summary.recall.mean),
        ));
        let time = (summary.estimate_ms + summary.attention_ms) / summary.dense_ms.max(1e-9);
        ui.label(
            RichText::new(format!(
                "A layer {:.1} ms and {:.1} ms to choose, dense {:.1} ms: {time:.2} × dense.",
                summary.attention_ms, summary.estimate_ms, summary.dense_ms
            ))
            .weak(),
        );
    }
    if !found.is_exact {
        let text = "The clip was recorded in half precision, so this is nearly, not exactly, what the run met.";
        parts::note(ui, ui.visuals().weak_text_color(), text);
    }
    if found.step != look.step {
        let text = format!(
            "Step {} is looked at now; these are errors of step {}.",
            look.step + 1,
            found.step + 1
        );
        parts::note(ui, store.theme.colors.warning, &text);
    }
    for fallback in &found.fallbacks {
        parts::note(ui, store.theme.colors.warning, fallback);
    }
    let worst = found.worst(look.branch);
    ui.horizontal_wrapped(|ui| {
        let mut count = replays.count;
        let field = DragValue::new(&mut count).range(1..=worst.len().max(1)).prefix("worst ");
        let field = ui.add(field);
        parts::named(&field, "How many of the worst heads");
        if field.changed() {
            ask(actions, Wish::Count(count));
        }
        if ui.button("Choose").on_hover_text("Chooses the heads with the largest errors.").clicked()
        {
            ask(actions, Wish::Worst);
        }
        if replays.chosen() > 0 && ui.button("None").clicked() {
            ask(actions, Wish::Nothing);
        }
        parts::command_button(ui, store, Command::KeepDense, "Keep these heads dense", actions);
        if replays.chosen() > 0 {
            ui.weak(format!("{} chosen", replays.chosen()));
        }
    });
    let high = ui.spacing().interact_size.y;
    ScrollArea::vertical().auto_shrink(false).show_rows(ui, high, worst.len(), |ui, shown| {
        for (place, head) in &worst[shown] {
            line(ui, store, look, (*place, head), actions);
        }
    });
}

/// One head, chosen by click or space; its place is also a way to look at it.
fn line(
    ui: &mut Ui,
    store: &Store,
    look: Look,
    ([layer, head], found): ([usize; 2], &Head),
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
        if ui.small_button("Look").on_hover_text("Looks at this head.").clicked() {
            let now = store.trail.now();
            actions.push(Action::Go(Cursor { step: look.step, layer, head, ..now }));
        }
        let mut is_chosen = store.lens.replays.is_chosen([layer, head]);
        let text = format!(
            "layer {layer} head {head}: error {:.1} %, density {:.0} %, recall {:.0} %",
            found.error * 100.0,
            found.density * 100.0,
            found.recall * 100.0
        );
        if ui.checkbox(&mut is_chosen, text).clicked() {
            ask(actions, Wish::Toggle([layer, head]));
        }
    });
}
