//! Under the pictures: the scrubber, and one curve a clip of how near it is to A in every frame.

use std::fmt::Write as _;

use eframe::egui::{
    Align2, Color32, FontId, Key, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo,
};

use super::scores::{Metric, drawn};
use super::{Compare, Wish};
use crate::window::action::Action;
use crate::window::store::Store;

/// Height with curves, and without.
const HEIGHTS: [f32; 2] = [84.0, 20.0];
/// Room for the ends of the scale.
const SCALE: f32 = 58.0;

/// Draws it over the whole width; a click or a drag goes to a frame.
pub(super) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    let has_curves = compare.shows_curves();
    let height = HEIGHTS[usize::from(!has_curves)];
    let size = Vec2::new(ui.available_width(), height);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let frames = compare.frames();
    let metric = compare.looking.metric;
    let mut plot = rect.shrink2(Vec2::new(6.0, 3.0));
    plot.max.x -= if has_curves { SCALE } else { 0.0 };
    let x = |frame: f32| {
        let span = (frames.saturating_sub(1)).max(1) as f32;
        plot.left() + frame / span * plot.width()
    };
    let frame_at = |at: f32| {
        let share = ((at - plot.left()) / plot.width().max(1.0)).clamp(0.0, 1.0);
        (share * frames.saturating_sub(1) as f32).round() as usize
    };
    let painter = ui.painter().with_clip_rect(rect);
    painter.rect_filled(rect, 3.0, ui.visuals().extreme_bg_color);
    let hovered = response.hover_pos().map(|at| frame_at(at.x)).filter(|_| frames > 0);
    let at = compare.frame();
    if has_curves {
        if let Some(why) = compare.measure_refusal() {
            let (font, ink) = (FontId::proportional(12.0), ui.visuals().weak_text_color());
            painter.text(plot.left_center(), Align2::LEFT_CENTER, why, font, ink);
        } else {
            curves(ui, store, (rect, plot), &x);
        }
    }
    let head = |frame: usize, stroke: Stroke| {
        painter.vline(x(frame as f32), rect.y_range(), stroke);
    };
    if let Some(frame) = hovered {
        head(frame, Stroke::new(1.0, ui.visuals().weak_text_color()));
    }
    head(at, Stroke::new(2.0, store.theme.colors.accent));
    painter.circle_filled(
        Pos2::new(x(at as f32), rect.bottom() - 6.0),
        5.0,
        store.theme.colors.accent,
    );
    if response.has_focus() {
        painter.rect_stroke(rect, 3.0, ui.visuals().selection.stroke, StrokeKind::Inside);
    }
    let words = words(compare, at, metric);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::Slider, true, format!("Frame, {words}"));
        info.value = Some((at + 1) as f64);
        info
    });
    let mut go = |frame: usize| actions.push(Action::Compare(Wish::Seek(frame)));
    if let Some(pos) = response.interact_pointer_pos().filter(|_| frames > 0)
        && (response.dragged() || response.clicked() || response.is_pointer_button_down_on())
    {
        let frame = frame_at(pos.x);
        if frame != compare.transport.frame(frames) || compare.transport.is_playing {
            go(frame);
        }
    } else if response.has_focus() {
        for (key, frame) in [(Key::PageUp, at.saturating_sub(10)), (Key::PageDown, at + 10)] {
            if ui.input(|input| input.key_pressed(key)) {
                go(frame.min(frames.saturating_sub(1)));
            }
        }
    }
    if let Some(frame) = hovered {
        response.on_hover_text_at_pointer(self::words(compare, frame, metric));
    }
}

/// A frame and what is measured of it.
fn words(compare: &Compare, frame: usize, metric: Metric) -> String {
    let mut words = format!("{} of {}", frame + 1, compare.frames().max(1));
    let Some(a) = compare.reference().filter(|_| !compare.is_blind()) else { return words };
    for clip in &compare.clips()[1..] {
        let score = compare.curve([a.id, clip.id]).get(frame).copied().flatten();
        if let Some(value) = score.and_then(|score| score.of(metric)) {
            let letter = compare.letter(clip.id);
            let value = metric.words(value);
            let _ = write!(words, "\n{letter}: {} {value}", metric.name()); // writing to a String cannot fail
        }
    }
    words
}

/// The curves over one scale, with its ends beside it and the worst frame of B marked.
fn curves(ui: &Ui, store: &Store, (rect, plot): (Rect, Rect), x: &dyn Fn(f32) -> f32) {
    let compare = &store.compare;
    let (metric, frames) = (compare.looking.metric, compare.frames());
    let Some(a) = compare.reference() else { return };
    let value = |index: usize, frame: usize| {
        let score =
            compare.curve([a.id, compare.clips()[index].id]).get(frame).copied().flatten()?;
        score.of(metric).filter(|value| !value.is_nan()).map(|value| drawn(metric, value))
    };
    let others = 1..compare.clips().len();
    let all =
        others.clone().flat_map(|index| (0..frames).filter_map(move |frame| value(index, frame)));
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let painter = ui.painter().with_clip_rect(rect);
    let (font, ink) = (FontId::monospace(10.5), ui.visuals().weak_text_color());
    if !low.is_finite() {
        let words = format!("Measuring {} of every frame against A…", metric.name());
        painter.text(
            plot.left_center(),
            Align2::LEFT_CENTER,
            words,
            FontId::proportional(12.0),
            ink,
        );
        return;
    }
    // A curve without a slope is drawn in the middle.
    let span = (high - low).max(1e-6);
    let y = |value: f64| {
        let share = if high - low < 1e-6 { 0.5 } else { (value - low) / span };
        plot.bottom() - 4.0 - share as f32 * (plot.height() - 8.0)
    };
    let right = plot.right() + 6.0;
    painter.text(
        Pos2::new(right, plot.top()),
        Align2::LEFT_TOP,
        short(metric, high),
        font.clone(),
        ink,
    );
    painter.text(
        Pos2::new(right, plot.bottom()),
        Align2::LEFT_BOTTOM,
        short(metric, low),
        font,
        ink,
    );
    let candidate = compare.candidate().map(|clip| compare.place(clip.id));
    for index in others {
        let color: Color32 = store.theme.series(index);
        let is_b = candidate == Some(index);
        let stroke = Stroke::new(if is_b { 2.0 } else { 1.0 }, color);
        let mut run: Vec<Pos2> = Vec::new();
        for frame in 0..frames {
            match value(index, frame) {
                Some(value) => run.push(Pos2::new(x(frame as f32), y(value))),
                None => painter.extend([Shape::line(std::mem::take(&mut run), stroke)]),
            }
        }
        painter.add(Shape::line(run, stroke));
        if let Some(worst) = compare.worst().filter(|_| is_b)
            && let Some(value) = value(index, worst)
        {
            let at = Pos2::new(x(worst as f32), y(value));
            painter.circle(at, 4.0, ui.visuals().extreme_bg_color, Stroke::new(2.0, color));
        }
    }
}

/// An end of the scale.
fn short(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Ssim => format!("{value:.3}"),
        Metric::Psnr => format!("{value:.1} dB"),
    }
}
