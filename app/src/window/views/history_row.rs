//! A run in the list of finished ones: a picture that plays under the pointer, its words, its star.

use std::f32::consts::TAU;

use eframe::egui::{
    Align, Button, Color32, EventFilter, Id, Image, Label, Layout, Pos2, Rect, Response, RichText,
    Role, Sense, Shape, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo,
};
use tessera_pipeline::history::Row;

use super::parts;
use crate::text::{duration, shorten};
use crate::window::action::Action;
use crate::window::past::{Thumb, Wish};
use crate::window::store::Store;

/// Frames of a strip shown in a second.
const PACE: f64 = 6.0;

/// By which a run in the list has the keyboard.
pub(super) fn place_id(id: i64) -> Id {
    Id::unique(("history", id))
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
        // Arrows go through the list, not to whatever lies in their direction.
        let filter = EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            ..EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let stroke = Stroke::new(1.5, Color32::from(store.theme.colors.accent));
        ui.painter().rect_stroke(area, visuals.corner_radius, stroke, StrokeKind::Inside);
    }
    if past.wanted == Some(id) {
        response.request_focus();
        actions.push(Action::Past(Wish::Reached));
    } else if response.gained_focus() {
        response.scroll_to_me(None);
    }
    if response.double_clicked() {
        actions.push(Action::Past(Wish::Play(id)));
    } else if response.clicked() {
        response.request_focus();
        actions.push(Action::Past(Wish::Choose(Some(id))));
    }
}

/// A run in words.
fn spoken(row: &Row) -> String {
    let star = if row.is_starred { ", starred" } else { "" };
    let gone = if row.is_gone { ", its video is gone" } else { "" };
    format!("{}, {}{star}{gone}", shorten(&row.prompt, 80), row.finished)
}

/// What is drawn of a run, where, and how it answers.
pub(super) struct Spot<'a> {
    row: &'a Row,
    area: Rect,
    response: Response,
}

/// A place in the list and what of it is drawn, once its row was read.
pub(super) fn spot<'a>(
    ui: &mut Ui,
    store: &'a Store,
    id: i64,
    size: Vec2,
    actions: &mut Vec<Action>,
) -> Option<Spot<'a>> {
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let response = ui.interact(area, place_id(id), Sense::click());
    place(ui, store, id, area, &response, actions);
    let row = store.past.row(id)?;
    Some(Spot { row, area: area.shrink(4.0), response })
}

/// A picture with its prompt below.
pub(super) fn tile(ui: &mut Ui, store: &Store, spot: &Spot<'_>, actions: &mut Vec<Action>) {
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

/// A picture with words beside it.
pub(super) fn line(ui: &mut Ui, store: &Store, spot: &Spot<'_>, actions: &mut Vec<Action>) {
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
