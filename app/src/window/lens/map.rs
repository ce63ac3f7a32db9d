//! One head's level map, or what changed in it since the step before.

use std::fmt::Write as _;

use eframe::egui::{Color32, RichText, Sense, Ui, Vec2};
use tessera_pipeline::palette;
use tessera_pipeline::recording::Held;

use super::detail::Detail;
use super::plate::{self, Plate};
use super::subject::Subject;
use super::{Wish, brush};
use crate::window::action::Action;
use crate::window::store::Store;

/// Draws it.
pub(super) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    detail: &Detail,
    actions: &mut Vec<Action>,
) {
    let levels = match &detail.levels {
        Held::Here(levels) => levels,
        Held::Dropped => return missing(ui, "map", true),
        Held::NotCaptured => return missing(ui, "map", false),
    };
    let lens = &store.lens;
    ui.horizontal_wrapped(|ui| {
        let mut changes = lens.changes;
        let is_possible = lens.pictures.changes.is_some();
        let toggle = ui.add_enabled_ui(is_possible, |ui| {
            ui.checkbox(&mut changes, "Changes since the step before")
        });
        if toggle.inner.on_disabled_hover_text("There is no map of the step before.").changed() {
            actions.push(Action::Lens(Wish::Changes(changes)));
        }
        if lens.changes && is_possible {
            legend(ui, &[("finer", palette::FINER), ("coarser", palette::COARSER)]);
        } else {
            let there = |level: &u8| levels.contains(level);
            let entries: Vec<_> = (0..8u8)
                .filter(there)
                .map(|level| (level_name(level), palette::level(level)))
                .collect();
            legend(ui, &entries);
        }
    });
    let shows_changes = lens.changes && lens.pictures.changes.is_some();
    let columns = subject.meta.blocks().columns();
    let words = |row: usize, column: usize| {
        let mut text = pair(subject, detail, row, column);
        let index = row * columns + column;
        if let Some(level) = levels.get(index) {
            let _ = write!(text, "\n{}", level_words(*level)); // writing to a String cannot fail
            match detail.before.as_ref().and_then(|before| before.get(index)) {
                Some(before) if before != level => {
                    let _ = write!(text, "; one step before: {}", level_words(*before)); // writing to a String cannot fail
                }
                _ => {}
            }
        }
        text
    };
    let what = if shows_changes { "Changes of the map" } else { "Map" };
    let rows = brushed(store, subject, detail);
    let mut name = format!("{what}, {}", subject.spoken(detail.look));
    if let [first, ..] = rows.as_slice() {
        let more = if rows.len() > 1 { " and others" } else { "" };
        let _ = write!(name, ", query block {first}{more} chosen by the brush"); // writing to a String cannot fail
    }
    let plate = of(subject, detail, name, &words);
    let picture = if shows_changes { &lens.pictures.changes } else { &lens.pictures.map };
    plate::show(ui, "map", &Plate { picture: picture.as_ref(), rows, ..plate });
}

/// The query blocks of the tokens that the brush chose.
pub(super) fn brushed(store: &Store, subject: &Subject, detail: &Detail) -> Vec<usize> {
    let tokens = store.lens.brush.tokens(subject, store.trail.now());
    brush::rows(subject, detail, &tokens)
}

/// What plates of a head have in common.
pub(super) fn of<'a>(
    subject: &Subject,
    detail: &Detail,
    name: String,
    words: &'a dyn Fn(usize, usize) -> String,
) -> Plate<'a> {
    let blocks = subject.meta.blocks();
    Plate {
        name,
        picture: None,
        blocks: [blocks.rows(), blocks.columns()],
        sides: [blocks.query_block, blocks.key_block],
        tokens: subject.meta.tokens(),
        lines: lines(subject, detail.order.as_deref()),
        rows: Vec::new(),
        linked: Vec::new(),
        words,
    }
}

/// Tokens between the lines of an order: of its outer axis, then of its middle one. Curves have none.
fn lines(subject: &Subject, order: Option<&str>) -> Vec<usize> {
    let grid = subject.meta.grid;
    let side = |axis: char| match axis {
        'f' => Some(grid.frames),
        'h' => Some(grid.rows),
        'w' => Some(grid.cols),
        _ => None,
    };
    let sides: Option<Vec<usize>> = order.unwrap_or("fhw").chars().map(side).collect();
    match sides.as_deref() {
        Some([_, middle, inner]) if subject.meta.text_tokens == 0 => vec![middle * inner, *inner],
        _ => Vec::new(),
    }
}

/// A pair of blocks: its tokens, and where in the clip they are.
pub(super) fn pair(subject: &Subject, detail: &Detail, row: usize, column: usize) -> String {
    let blocks = subject.meta.blocks();
    let (queries, keys) = (blocks.query_range(row), blocks.key_range(column));
    format!(
        "query block {row}: tokens {}–{}{}\nkey block {column}: tokens {}–{}{}",
        queries.start,
        queries.end.saturating_sub(1),
        place(subject, detail.queries.get(queries.clone())),
        keys.start,
        keys.end.saturating_sub(1),
        place(subject, detail.keys.get(keys.clone())),
    )
}

/// The box of the clip that tokens lie in: ", frames 0–1, rows 0–7, columns 0–15".
fn place(subject: &Subject, tokens: Option<&[i64]>) -> String {
    let grid = subject.meta.grid;
    let mut of_box: Option<[(usize, usize); 3]> = None;
    for token in tokens.unwrap_or_default().iter().filter(|token| **token >= 0) {
        let token = *token as usize;
        let at =
            [token / (grid.rows * grid.cols), token / grid.cols % grid.rows, token % grid.cols];
        let mut wider = of_box.unwrap_or(at.map(|side| (side, side)));
        for (range, side) in wider.iter_mut().zip(at) {
            *range = (range.0.min(side), range.1.max(side));
        }
        of_box = Some(wider);
    }
    let range = |name: &str, (from, to): (usize, usize)| {
        if from == to { format!(", {name} {from}") } else { format!(", {name}s {from}–{to}") }
    };
    match of_box {
        Some([frames, rows, columns]) => {
            range("latent frame", frames) + &range("row", rows) + &range("column", columns)
        }
        None => String::new(),
    }
}

/// A level in one word.
fn level_name(level: u8) -> &'static str {
    ["skipped", "full", "halves", "quarters", "eighths", "16ths", "32nds", "64ths"]
        [usize::from(level.min(7))]
}

/// A level in words.
pub(super) fn level_words(level: u8) -> String {
    match level {
        0 => "skipped".into(),
        1 => "seen in full (level 1)".into(),
        _ => format!("keys pooled by {} (level {level})", 1u32 << (level - 1)),
    }
}

/// Colours with their names.
pub(super) fn legend(ui: &mut Ui, entries: &[(&str, [u8; 3])]) {
    for (name, [r, g, b]) in entries {
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(11.0), Sense::hover());
        ui.painter().rect_filled(rect, 1.0, Color32::from_rgb(*r, *g, *b));
        ui.label(RichText::new(*name).small());
    }
}

/// Why there is nothing to see.
pub(super) fn missing(ui: &mut Ui, what: &str, was_dropped: bool) {
    let text = if was_dropped {
        format!(
            "The recording's byte limit dropped this {what}; a higher --record-limit keeps more."
        )
    } else {
        format!(
            "This head's {what} was not recorded: --capture-heads all keeps the maps of all heads, --capture-attention and --capture-scores what they were made from."
        )
    };
    ui.add(eframe::egui::Label::new(RichText::new(text).weak()).wrap());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_words() {
        assert_eq!((level_name(0), level_name(200)), ("skipped", "64ths"));
        assert_eq!(level_words(4), "keys pooled by 8 (level 4)");
    }
}
