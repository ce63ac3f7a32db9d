//! Finished runs: searched, filtered, in a grid or as lines. Only what can be seen is read and drawn.
//!
//! Arrows, Page Up, Page Down, Home and End go through the list; what they come to is chosen.

use std::ops::Range;

use eframe::egui::style::ScrollAnimation;
use eframe::egui::{Button, Key, Memory, Panel, Rect, ScrollArea, TextEdit, Ui, Vec2};
use tessera_pipeline::history::{Op, keys, kind};
use tessera_pipeline::settings::Kind;

use super::history_row::{line, place_id, spot, tile};
use super::{history_details, parts};
use crate::text::plural;
use crate::window::action::Action;
use crate::window::draft;
use crate::window::past::{Past, Wish};
use crate::window::store::Store;

/// Width of a picture in the grid, at least.
const TILE: f32 = 128.0;
/// Height of a line.
const LINE: f32 = 58.0;

/// Draws the view.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let past = &store.past;
    search(ui, store, actions);
    ui.add_space(4.0);
    if let Some(id) = past.chosen {
        Panel::right("history details").default_size(270.0).show(ui, |ui| match past.row(id) {
            Some(row) => history_details::show(ui, store, row, actions),
            None => drop(ui.weak("Reading…")),
        });
    }
    let found = past.found.as_deref().unwrap_or_default();
    if let Some(why) = &past.why_none {
        parts::note(ui, store.theme.colors.error, &format!("There is no history: {why}"));
        return;
    }
    if found.is_empty() {
        if past.found.is_some() {
            ui.weak(if past.line.trim().is_empty() {
                "No clips yet. Every finished clip is kept here with its settings."
            } else {
                "Nothing is found. Words and settings must all fit."
            });
        }
        return;
    }
    let mut seen = Vec::new();
    let grid = Grid::of(ui, past.is_grid);
    let rows = found.len().div_ceil(grid.columns);
    let wanted = past.wanted.and_then(|id| found.iter().position(|other| *other == id));
    let list = ScrollArea::vertical().id_salt(("history", past.is_grid)).auto_shrink(false);
    let shown = list.show_rows(ui, grid.size.y, rows, |ui, range| {
        if let Some(index) = wanted {
            bring(ui, &range, index / grid.columns, grid.size.y);
        }
        for row in range.clone() {
            ui.horizontal(|ui| {
                for id in found.iter().skip(row * grid.columns).take(grid.columns) {
                    seen.push(*id);
                    let Some(spot) = spot(ui, store, *id, grid.size, actions) else { continue };
                    if past.is_grid {
                        tile(ui, store, &spot, actions);
                    } else {
                        line(ui, store, &spot, actions);
                    }
                }
            });
        }
    });
    let page = (shown.inner_rect.height() / grid.size.y) as usize;
    if let Some(id) = led(ui, past, found, (grid.columns, page.max(1))) {
        actions.push(Action::Past(Wish::MoveTo(id)));
    }
    let missing = past.missing(&seen);
    if !missing.is_empty() {
        actions.push(Action::Past(Wish::See(missing)));
    }
}

/// The field, what it found, and its conditions as chips.
fn search(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let past = &store.past;
    let mut want = |wish| actions.push(Action::Past(wish));
    ui.horizontal(|ui| {
        let mut line = past.line.clone();
        let field = TextEdit::singleline(&mut line)
            .hint_text("Search: red ball steps>=20")
            .desired_width((ui.available_width() - 350.0).max(80.0));
        let field = ui.add(field);
        parts::named(&field, "Search history");
        if field.changed() {
            want(Wish::Search(line));
        }
        filters(ui, &past.line, &mut want);
        let is_starred = past.line.split_whitespace().any(|word| word == "starred=true");
        let star = ui.selectable_label(is_starred, "Starred");
        parts::named(&star, "Only starred");
        if star.on_hover_text("Only starred").clicked() {
            let line = if is_starred {
                without(&past.line, "starred=true")
            } else {
                with(&past.line, "starred=true")
            };
            want(Wish::Search(line));
        }
        for (is_grid, sign, name) in [(true, "Grid", "As a grid"), (false, "Lines", "As lines")] {
            let choice = ui.selectable_label(past.is_grid == is_grid, sign);
            parts::named(&choice, name);
            if choice.on_hover_text(name).clicked() {
                want(Wish::Grid(is_grid));
            }
        }
        let count = past.found.as_ref().map_or(0, Vec::len);
        ui.weak(plural(count as u64, "clip"));
    });
    if !past.query.filters.is_empty() {
        ui.horizontal_wrapped(|ui| {
            for filter in &past.query.filters {
                let chip = ui.add(Button::new(format!("{filter}  ×")).small());
                parts::named(&chip, &format!("Take the filter away: {filter}"));
                if chip.clicked() {
                    // Typed otherwise than it is shown, it is not in the line; then all are written again.
                    let rest = past.query.filters.iter().filter(|other| *other != filter);
                    let rest: Vec<String> = past
                        .query
                        .words
                        .iter()
                        .cloned()
                        .chain(rest.map(ToString::to_string))
                        .collect();
                    want(Wish::Search(rest.join(" ")));
                }
            }
        });
    }
    for problem in &past.query.problems {
        parts::note(ui, store.theme.colors.warning, problem);
    }
}

/// A menu that begins a condition on a setting.
fn filters(ui: &mut Ui, now: &str, want: &mut impl FnMut(Wish)) {
    ui.menu_button("Filter", |ui| {
        ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
            for key in keys() {
                ui.menu_button(draft::label(key), |ui| {
                    let words = match kind(key) {
                        Some(Kind::Choice(words)) => words,
                        Some(Kind::Bool) => &["yes", "no"],
                        _ => &[],
                    };
                    for word in words {
                        if ui.button(*word).clicked() {
                            want(Wish::Search(with(now, &format!("{key}={word}"))));
                            ui.close();
                        }
                    }
                    for (op, sign) in Op::ALL.into_iter().filter(|_| words.is_empty()) {
                        let name = match op {
                            Op::Is => "is",
                            Op::IsNot => "is not",
                            Op::Below => "is below",
                            Op::AtMost => "is at most",
                            Op::Above => "is above",
                            Op::AtLeast => "is at least",
                        };
                        if ui.button(name).clicked() {
                            want(Wish::Search(with(now, &format!("{key}{sign}"))));
                            ui.close();
                        }
                    }
                });
            }
        });
    })
    .response
    .on_hover_text("Writes a condition into the search; type its value behind it");
}

fn with(line: &str, part: &str) -> String {
    if line.trim().is_empty() { part.to_owned() } else { format!("{} {part}", line.trim()) }
}

fn without(line: &str, part: &str) -> String {
    line.split_whitespace().filter(|word| *word != part).collect::<Vec<_>>().join(" ")
}

/// How many runs are beside one another, and how large each is.
struct Grid {
    columns: usize,
    size: Vec2,
}

impl Grid {
    fn of(ui: &Ui, is_grid: bool) -> Self {
        if !is_grid {
            return Self { columns: 1, size: Vec2::new(ui.available_width(), LINE) };
        }
        let gap = ui.spacing().item_spacing.x;
        let room = ui.available_width() - ui.spacing().scroll.bar_width - gap;
        let columns = (((room + gap) / (TILE + gap)) as usize).max(1);
        let width = (room + gap) / columns as f32 - gap;
        Self { columns, size: Vec2::new(width, width * 0.62 + 24.0) }
    }
}

/// Scrolls to a row, which need not be drawn: only those of `range` are.
fn bring(ui: &Ui, range: &Range<usize>, row: usize, height: f32) {
    let away = row as f32 - range.start as f32;
    let top = ui.max_rect().top() + away * (height + ui.spacing().item_spacing.y);
    let place = Rect::from_x_y_ranges(ui.max_rect().x_range(), top..=top + height);
    ui.scroll_to_rect_animation(place, None, ScrollAnimation::none());
}

/// Where the pressed key leads in the list, if it is for the list: a run has the keyboard, or nothing has it.
fn led(ui: &Ui, past: &Past, found: &[i64], (columns, page): (usize, usize)) -> Option<i64> {
    const KEYS: [Key; 8] = [
        Key::ArrowUp,
        Key::ArrowDown,
        Key::ArrowLeft,
        Key::ArrowRight,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
    ];
    let key = ui.input(|input| KEYS.into_iter().find(|key| input.key_pressed(*key)))?;
    let at = match ui.memory(Memory::focused) {
        Some(focused) => Some(found.iter().position(|id| place_id(*id) == focused)?),
        None => past.chosen.and_then(|chosen| found.iter().position(|id| *id == chosen)),
    };
    let last = found.len().checked_sub(1)?;
    let to = match (key, at) {
        (Key::End, _) => last,
        (Key::Home, _) | (_, None) => 0,
        (Key::ArrowUp, Some(at)) => at.checked_sub(columns).unwrap_or(at),
        (Key::ArrowLeft, Some(at)) => at.saturating_sub(1),
        (Key::ArrowRight, Some(at)) => at + 1,
        (Key::PageUp, Some(at)) => at.saturating_sub(page * columns),
        (Key::PageDown, Some(at)) => at + page * columns,
        (_, Some(at)) => at + columns,
    };
    found.get(to.min(last)).copied()
}
