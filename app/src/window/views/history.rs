//! Finished runs: searched, filtered, in a grid or as lines. Only what can be seen is read and drawn.

use std::f32::consts::TAU;

use eframe::egui::{
    Align, Button, Color32, Image, Key, Label, Layout, Panel, Pos2, Rect, Response, RichText, Role,
    ScrollArea, Sense, Shape, Stroke, StrokeKind, TextEdit, Ui, UiBuilder, Vec2, WidgetInfo,
};
use tessera_pipeline::history::{Op, Row, keys};

use super::{history_details, parts};
use crate::text::{duration, plural, shorten};
use crate::window::action::Action;
use crate::window::draft;
use crate::window::past::{Thumb, Wish};
use crate::window::store::Store;

/// Width of a picture in the grid, at least.
const TILE: f32 = 128.0;
/// Height of a line.
const LINE: f32 = 58.0;
/// Frames of a strip shown in a second.
const PACE: f64 = 6.0;

/// Draws the view.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let past = &store.past;
    search(ui, store, actions);
    ui.add_space(4.0);
    if let Some(row) = past.chosen.and_then(|id| past.row(id)) {
        Panel::right("history details").default_size(270.0).show(ui, |ui| {
            history_details::show(ui, store, row, actions);
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
    if past.is_grid {
        grid(ui, store, found, &mut seen, actions);
    } else {
        let list = ScrollArea::vertical().id_salt("history lines").auto_shrink(false);
        list.show_rows(ui, LINE, found.len(), |ui, range| {
            for id in &found[range] {
                seen.push(*id);
                let size = Vec2::new(ui.available_width(), LINE);
                if let Some(spot) = spot(ui, store, *id, size, actions) {
                    line(ui, store, &spot, actions);
                }
            }
        });
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
                    for (op, sign) in Op::ALL {
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

fn grid(ui: &mut Ui, store: &Store, found: &[i64], seen: &mut Vec<i64>, actions: &mut Vec<Action>) {
    let gap = ui.spacing().item_spacing.x;
    let room = ui.available_width() - ui.spacing().scroll.bar_width - gap;
    let columns = (((room + gap) / (TILE + gap)) as usize).max(1);
    let width = (room + gap) / columns as f32 - gap;
    let height = width * 0.62 + 24.0;
    let rows = found.len().div_ceil(columns);
    let list = ScrollArea::vertical().id_salt("history grid").auto_shrink(false);
    list.show_rows(ui, height, rows, |ui, range| {
        for row in range {
            ui.horizontal(|ui| {
                for id in found.iter().skip(row * columns).take(columns) {
                    seen.push(*id);
                    if let Some(spot) = spot(ui, store, *id, Vec2::new(width, height), actions) {
                        tile(ui, store, &spot, actions);
                    }
                }
            });
        }
    });
}

/// What a place in the list does: pressed it is chosen, pressed twice it plays.
fn place(
    ui: &Ui,
    store: &Store,
    id: i64,
    area: Rect,
    response: &Response,
    actions: &mut Vec<Action>,
) {
    let past = &store.past;
    let is_chosen = past.chosen == Some(id);
    let words = past.row(id).map_or_else(|| "A clip that is being read".into(), spoken);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_chosen, &words));
    let visuals = ui.style().interact_selectable(response, is_chosen);
    if is_chosen || response.hovered() || response.has_focus() {
        ui.painter().rect_filled(area, visuals.corner_radius, visuals.weak_bg_fill);
    }
    if response.has_focus() {
        let stroke = Stroke::new(1.5, Color32::from(store.theme.colors.accent));
        ui.painter().rect_stroke(area, visuals.corner_radius, stroke, StrokeKind::Inside);
    }
    if response.gained_focus() {
        response.scroll_to_me(None);
    }
    if response.double_clicked() {
        actions.push(Action::Past(Wish::Play(id)));
    } else if response.clicked() {
        actions.push(Action::Past(Wish::Choose(Some(id))));
    }
    if response.has_focus() && ui.input(|input| input.key_pressed(Key::Delete)) {
        actions.push(Action::Past(Wish::Forget { id, with_video: false }));
    }
}

/// A run in words.
fn spoken(row: &Row) -> String {
    let star = if row.is_starred { ", starred" } else { "" };
    let gone = if row.is_gone { ", its video is gone" } else { "" };
    format!("{}, {}{star}{gone}", shorten(&row.prompt, 80), row.finished)
}

/// What is drawn of a run, where, and how it answers.
struct Spot<'a> {
    row: &'a Row,
    area: Rect,
    response: Response,
}

/// A place in the list and what of it is drawn, once its row was read.
fn spot<'a>(
    ui: &mut Ui,
    store: &'a Store,
    id: i64,
    size: Vec2,
    actions: &mut Vec<Action>,
) -> Option<Spot<'a>> {
    let (area, response) = ui.allocate_exact_size(size, Sense::click());
    place(ui, store, id, area, &response, actions);
    let row = store.past.row(id)?;
    Some(Spot { row, area: area.shrink(4.0), response })
}

fn tile(ui: &mut Ui, store: &Store, spot: &Spot<'_>, actions: &mut Vec<Action>) {
    let Spot { row, area, response } = spot;
    let picture = Rect::from_min_max(area.min, Pos2::new(area.max.x, area.max.y - 22.0));
    thumbnail(ui, store, row, picture, response);
    let below = Rect::from_min_max(Pos2::new(area.min.x, picture.max.y + 2.0), area.max);
    beside_star(ui, store, row, below, actions, |ui| {
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            small(ui, RichText::new(shorten(&row.prompt, 80)).small());
        });
    });
}

fn line(ui: &mut Ui, store: &Store, spot: &Spot<'_>, actions: &mut Vec<Action>) {
    let Spot { row, area, response } = spot;
    let picture = Rect::from_min_size(area.min, Vec2::new(84.0, area.height()));
    thumbnail(ui, store, row, picture, response);
    let beside = Rect::from_min_max(Pos2::new(picture.max.x + 8.0, area.min.y), area.max);
    beside_star(ui, store, row, beside, actions, |ui| {
        ui.with_layout(Layout::top_down(Align::Min), |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            small(ui, RichText::new(shorten(&row.prompt, 160)));
            small(ui, RichText::new(facts(row)).small().weak());
        });
    });
}

/// One line of text that is cut off where the room ends.
fn small(ui: &mut Ui, text: RichText) {
    ui.add(Label::new(text).truncate().selectable(false));
}

/// The star at the right of an area, and words in the rest of it.
fn beside_star(
    ui: &mut Ui,
    store: &Store,
    row: &Row,
    area: Rect,
    actions: &mut Vec<Action>,
    words: impl FnOnce(&mut Ui),
) {
    ui.scope_builder(UiBuilder::new().max_rect(area), |ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            star(ui, store, row, actions);
            words(ui);
        });
    });
}

/// When, which model, how long, tags.
fn facts(row: &Row) -> String {
    let size = row.request.as_ref().and_then(|request| {
        Some(format!("{} × {} × {}", request.width?, request.height?, request.frames?))
    });
    let mut facts = vec![row.finished.clone(), row.model.clone(), row.method.clone()];
    facts.extend(size);
    facts.push(duration((row.seconds * 1000.0) as u64));
    facts.extend((!row.tags.is_empty()).then(|| format!("# {}", row.tags)));
    facts.join("  ·  ")
}

fn star(ui: &mut Ui, store: &Store, row: &Row, actions: &mut Vec<Action>) {
    let (name, color) = if row.is_starred {
        ("Take the star", store.theme.colors.accent.into())
    } else {
        ("Star", ui.visuals().weak_text_color())
    };
    let star = ui.add(Button::new("").frame(false).min_size(Vec2::splat(20.0)));
    paint_star(ui, star.rect.center(), color, row.is_starred);
    parts::named(&star, &format!("{name}: {}", shorten(&row.prompt, 60)));
    if star.on_hover_text(name).clicked() {
        actions.push(Action::Past(Wish::Star(row.id, !row.is_starred)));
    }
}

/// Five points; the font has no such sign.
fn paint_star(ui: &Ui, center: Pos2, color: Color32, is_filled: bool) {
    let corner = |index: usize| {
        let (radius, angle) =
            (if index.is_multiple_of(2) { 7.5 } else { 3.2 }, index as f32 * TAU / 10.0);
        center + Vec2::angled(angle - TAU / 4.0) * radius
    };
    let corners: Vec<Pos2> = (0..10).map(corner).collect();
    if is_filled {
        let inner = corners.iter().skip(1).step_by(2).copied().collect();
        ui.painter().add(Shape::convex_polygon(inner, color, Stroke::NONE));
        for tip in (0..10).step_by(2) {
            let triangle = vec![corners[(tip + 9) % 10], corners[tip], corners[tip + 1]];
            ui.painter().add(Shape::convex_polygon(triangle, color, Stroke::NONE));
        }
    }
    ui.painter().add(Shape::closed_line(corners, Stroke::new(1.0, color)));
}

/// The first small frame, or under the pointer one after the other.
fn thumbnail(ui: &Ui, store: &Store, row: &Row, area: Rect, response: &Response) {
    ui.painter().rect_filled(area, 3.0, store.theme.colors.screen);
    let Some(Thumb { texture, frames }) = store.past.thumb(row.id) else {
        let words = if row.is_gone { "gone" } else { "…" };
        let font = eframe::egui::FontId::proportional(12.0);
        ui.painter().text(
            area.center(),
            eframe::egui::Align2::CENTER_CENTER,
            words,
            font,
            store.theme.on_screen(),
        );
        return;
    };
    let count = (*frames).max(1);
    let mut frame = 0;
    if response.contains_pointer() && count > 1 {
        let time = ui.input(|input| input.time) * PACE;
        frame = time as usize % count;
        let left = (time.floor() + 1.0 - time) / PACE;
        ui.ctx().request_repaint_after(std::time::Duration::from_secs_f64(left.max(0.005)));
    }
    let whole = texture.size_vec2();
    let size = Vec2::new(whole.x / count as f32, whole.y);
    let scale = (area.width() / size.x).min(area.height() / size.y);
    let part = |index: usize| index as f32 / count as f32;
    let tint = if row.is_gone { Color32::from_gray(110) } else { Color32::WHITE };
    Image::new((texture.id(), size * scale))
        .uv(Rect::from_min_max(Pos2::new(part(frame), 0.0), Pos2::new(part(frame + 1), 1.0)))
        .tint(tint)
        .paint_at(ui, Rect::from_center_size(area.center(), size * scale));
}
