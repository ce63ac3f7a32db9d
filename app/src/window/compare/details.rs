//! Beside the pictures: in what the settings of the clips differ, and their receipts, a column a clip.

use eframe::egui::{Grid, RichText, ScrollArea, Ui};
use tessera_pipeline::receipt::Receipt;

use super::clip::Clip;
use super::{Compare, Wish};
use crate::text::{bytes, shorten};
use crate::window::action::Action;
use crate::window::past::differing;
use crate::window::store::Store;
use crate::window::views::parts;

/// Characters of a value in a column.
const COLUMN: usize = 15;

/// Draws them.
pub(super) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    ScrollArea::both().auto_shrink(false).show(ui, |ui| {
        ui.strong("Settings that differ");
        let known: Vec<&Clip> =
            compare.clips().iter().filter(|clip| clip.request().is_some()).collect();
        let requests: Vec<_> = known.iter().filter_map(|clip| clip.request()).collect();
        if known.len() < compare.clips().len() {
            let silent = compare.clips().iter().filter(|clip| clip.request().is_none());
            let names: Vec<String> =
                silent.map(|clip| compare.letter(clip.id).to_string()).collect();
            ui.weak(format!("{} came without settings.", names.join(", ")));
        }
        let rows = differing(&requests);
        if requests.len() < 2 {
            ui.weak("Settings of two clips are needed.");
        } else if rows.is_empty() {
            ui.weak("They are the same.");
        } else {
            table(ui, store, "settings", &known, &rows);
        }
        ui.add_space(10.0);
        ui.strong("Receipts");
        let known: Vec<&Clip> =
            compare.clips().iter().filter(|clip| clip.receipt().is_some()).collect();
        if known.is_empty() {
            ui.weak("No clip has a receipt beside it.");
        } else {
            let receipts: Vec<&Receipt> = known.iter().filter_map(|clip| clip.receipt()).collect();
            table(ui, store, "receipts", &known, &lines(&receipts));
            fallbacks(ui, store, compare, &known);
        }
        ui.add_space(10.0);
        for clip in compare.clips().iter().filter(|clip| clip.request().is_some()) {
            let words = format!("Use the settings of {}", compare.letter(clip.id));
            if ui.button(words).clicked() {
                actions.push(Action::Compare(Wish::Take(clip.id)));
            }
        }
    });
}

/// A row a name, a column a clip.
fn table(ui: &mut Ui, store: &Store, id: &str, clips: &[&Clip], rows: &[(String, Vec<String>)]) {
    let columns = clips.len() + 1;
    Grid::new(("compare", id)).num_columns(columns).striped(true).spacing([10.0, 3.0]).show(
        ui,
        |ui| {
            ui.label("");
            for clip in clips {
                let color = store.theme.series(store.compare.place(clip.id));
                let letter = RichText::new(store.compare.letter(clip.id)).strong().color(color);
                ui.label(letter).on_hover_text(&clip.source.name);
            }
            ui.end_row();
            for (name, values) in rows {
                ui.label(RichText::new(name).small());
                for value in values {
                    let label = ui.label(RichText::new(shorten(value, COLUMN)).small());
                    if value.chars().count() > COLUMN {
                        label.on_hover_text(value);
                    }
                }
                ui.end_row();
            }
        },
    );
}

/// What really ran.
fn lines(receipts: &[&Receipt]) -> Vec<(String, Vec<String>)> {
    let row = |name: &str, of: &dyn Fn(&Receipt) -> String| {
        (name.to_owned(), receipts.iter().map(|receipt| of(receipt)).collect())
    };
    let seconds = |of: f64| format!("{of:.1} s");
    let attention = |receipt: &Receipt| {
        let of = receipt.attention.iter().map(|used| used.attend_seconds + used.estimate_seconds);
        if receipt.attention.is_empty() { "–".into() } else { seconds(of.sum()) }
    };
    let share = |receipt: &Receipt, mode: &str| {
        let all: u64 = receipt.attention.iter().map(|u| u.calls).sum();
        let of = receipt.attention.iter().filter(|u| u.mode == mode).map(|u| u.calls).sum::<u64>();
        if all == 0 { "–".into() } else { format!("{:.0} %", of as f64 / all as f64 * 100.0) }
    };
    vec![
        row("Time", &|receipt| seconds(receipt.seconds())),
        row("Attention", &attention),
        row("Density", &|receipt| density(receipt)),
        row("Dense calls", &|receipt| share(receipt, "dense")),
        row("Fresh maps", &|receipt| share(receipt, "fresh")),
        row("Cached maps", &|receipt| share(receipt, "cached")),
        row("Method", &|receipt| {
            receipt.request.attention.clone().unwrap_or_else(|| "dense".into())
        }),
        row("Model", &|receipt| receipt.model.name.clone()),
        row("Device", &|receipt| receipt.ran_on.device.clone()),
        row("Numbers", &|receipt| receipt.ran_on.dtype.clone()),
        row("Peak memory", &|receipt| receipt.peak_memory_bytes.map_or("–".into(), bytes)),
        row("Codec", &|receipt| receipt.video.codec.clone()),
    ]
}

/// The mean density over all calls.
fn density(receipt: &Receipt) -> String {
    let calls: u64 = receipt.attention.iter().map(|u| u.calls).sum();
    let sum: f64 = receipt.attention.iter().map(|u| u.density_exact * u.calls as f64).sum();
    if calls == 0 { "–".into() } else { format!("{:.1} %", sum / calls as f64 * 100.0) }
}

/// What did not run as asked is never left out.
fn fallbacks(ui: &mut Ui, store: &Store, compare: &Compare, clips: &[&Clip]) {
    for clip in clips {
        let lines = clip.receipt().map(|receipt| receipt.fallbacks.as_slice()).unwrap_or_default();
        for line in lines {
            let text = format!("{}: {line}", compare.letter(clip.id));
            parts::note(ui, store.theme.colors.warning, &text);
        }
    }
}
