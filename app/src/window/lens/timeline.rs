//! Steps × layers: how much of the dense work each call did, where maps were made anew, which calls were dense.

use std::fmt::Write as _;

use eframe::egui::{
    Align2, Color32, FontId, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};
use tessera_pipeline::sparsity::Mode;

use super::subject::{Look, Subject, mode_words};
use crate::window::action::Action;
use crate::window::cursor::Cursor;
use crate::window::store::Store;

/// Room for the names of layers.
const NAMES: f32 = 58.0;
/// Room for the numbers of steps and their marks.
const FOOT: f32 = 20.0;

/// How high it wants to be.
pub(super) fn height(subject: &Subject) -> f32 {
    (subject.meta.layers as f32 * 11.0).clamp(48.0, 130.0) + FOOT
}

/// Draws the strip.
pub(super) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    look: Look,
    actions: &mut Vec<Action>,
) {
    let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    let strip =
        Rect::from_min_max(rect.min + Vec2::new(NAMES, 0.0), rect.max - Vec2::new(2.0, FOOT));
    let (steps, layers) = (subject.meta.steps().max(1), subject.meta.layers.max(1));
    let side = Vec2::new(strip.width() / steps as f32, strip.height() / layers as f32);
    let cell = |step: usize, layer: usize| {
        Rect::from_min_size(
            strip.min + Vec2::new(step as f32 * side.x, layer as f32 * side.y),
            side,
        )
    };
    let painter = ui.painter();
    let wide = strip.width() * ui.pixels_per_point();
    painter.rect_filled(strip, 0.0, ui.visuals().extreme_bg_color); // of calls that have not been made
    if let Some(texture) = store.lens.pictures.timeline.as_ref().and_then(|strip| strip.at(wide)) {
        let uv = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
        painter.image(texture, strip, uv, Color32::WHITE);
    }
    let edge = ui.visuals().widgets.noninteractive.bg_stroke;
    painter.rect_stroke(strip, 0.0, edge, StrokeKind::Outside);
    marks(ui, subject, look, side, &cell, strip);
    names(ui, strip, (steps, layers), side);
    painter.rect_stroke(
        cell(look.step, look.layer),
        0.0,
        Stroke::new(2.0, ui.visuals().strong_text_color()),
        StrokeKind::Outside,
    );
    let at = |pos: Pos2| {
        let place = (pos - strip.min) / side;
        let step = (place.x.max(0.0) as usize).min(steps - 1);
        let layer = (place.y.max(0.0) as usize).min(layers - 1);
        Look { step, layer, ..look }
    };
    let pressed =
        response.interact_pointer_pos().filter(|_| response.clicked() || response.dragged());
    if let Some(to) = pressed.map(at).filter(|to| *to != look) {
        let now = store.trail.now();
        actions.push(Action::Go(Cursor { step: to.step, layer: to.layer, ..now }));
    }
    let name = format!("Timeline, {}", words(subject, look));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if let Some(over) = response.hover_pos().filter(|pos| strip.contains(*pos)).map(at) {
        let text = words(subject, over);
        response.on_hover_ui_at_pointer(|ui| {
            ui.label(text);
        });
    }
}

/// A call in words.
fn words(subject: &Subject, look: Look) -> String {
    let call = subject.call(look);
    let mut text = format!(
        "step {} of {}, layer {}: {}",
        look.step + 1,
        subject.meta.steps(),
        look.layer,
        mode_words(call)
    );
    if let Some(call) = call {
        if call.mode != Mode::Dense {
            let _ = write!(text, ", {:.0} % of the dense work", call.density().exact * 100.0); // writing to a String cannot fail
        }
        let _ = write!(text, ", {:.1} ms", call.estimate_ms + call.attention_ms); // writing to a String cannot fail
        if let Some(why) = &call.fallback {
            let _ = write!(text, "; {why}"); // writing to a String cannot fail
        }
    }
    text
}

/// A dot where a map was made, stripes over dense calls; below, a mark for steps with any new map.
fn marks(
    ui: &Ui,
    subject: &Subject,
    look: Look,
    side: Vec2,
    cell: &dyn Fn(usize, usize) -> Rect,
    strip: Rect,
) {
    let painter = ui.painter();
    let ink = Stroke::new(1.0, Color32::from_black_alpha(90));
    for step in 0..subject.meta.steps() {
        let mut is_fresh = false;
        for layer in 0..subject.meta.layers {
            let area = cell(step, layer);
            match subject.call(Look { step, layer, ..look }).map(|call| call.mode) {
                Some(Mode::Fresh) => {
                    is_fresh = true;
                    if side.min_elem() >= 7.0 {
                        painter.circle_filled(area.center(), 3.5, Color32::BLACK);
                        painter.circle_filled(area.center(), 2.4, Color32::WHITE);
                    }
                }
                Some(Mode::Dense) if side.x >= 4.0 => {
                    painter.line_segment([area.left_bottom(), area.right_top()], ink);
                }
                _ => {}
            }
        }
        if is_fresh {
            let at = Rect::from_min_size(
                Pos2::new(cell(step, 0).min.x + 1.0, strip.max.y + 2.0),
                Vec2::new((side.x - 2.0).max(1.0), 3.0),
            );
            painter.rect_filled(at, 0.0, ui.visuals().text_color());
        }
    }
}

/// Numbers of steps below and of layers beside.
fn names(ui: &Ui, strip: Rect, (steps, layers): (usize, usize), side: Vec2) {
    let (painter, font) = (ui.painter(), FontId::proportional(11.0));
    let ink = ui.visuals().weak_text_color();
    let every = |count: usize, side: f32, room: f32| {
        let least = (room / side).ceil().max(1.0) as usize;
        [1, 2, 5, 10, 20, 50, 100].into_iter().find(|n| *n >= least).unwrap_or(count.max(1))
    };
    for step in (0..steps).step_by(every(steps, side.x, 22.0)) {
        let at = Pos2::new(strip.min.x + (step as f32 + 0.5) * side.x, strip.max.y + 6.0);
        painter.text(at, Align2::CENTER_TOP, step + 1, font.clone(), ink);
    }
    for layer in (0..layers).step_by(every(layers, side.y, 11.0)) {
        let at = Pos2::new(strip.min.x - 6.0, strip.min.y + (layer as f32 + 0.5) * side.y);
        painter.text(at, Align2::RIGHT_CENTER, layer, font.clone(), ink);
    }
    let at = Pos2::new(strip.min.x - NAMES, strip.center().y);
    painter.text(at, Align2::LEFT_CENTER, "layer", font.clone(), ink);
    let at = Pos2::new(strip.min.x - 6.0, strip.max.y + 6.0);
    painter.text(at, Align2::RIGHT_TOP, "step", font, ink);
}
