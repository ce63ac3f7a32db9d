//! The cut-offs over the histogram that they cut, each a slider for pointer and keys, and what they would come to.

use eframe::egui::{
    Align, Align2, Button, Color32, CornerRadius, EventFilter, FontId, Key, Layout, Pos2, Rect,
    RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, accesskit,
};
use tessera_pipeline::palette;
use tessera_pipeline::sparsity::Ends;
use tessera_pipeline::sparsity::cuts::Scale;

use super::super::subject::{Measure, Subject};
use super::{Cut, Wish};
use crate::window::action::Action;
use crate::window::lens;
use crate::window::store::Store;

/// How high the histogram is.
const HISTOGRAM: f32 = 104.0;
/// The part of the scale that one key press moves a cut-off by; with Shift a tenth of it.
const STEP: f64 = 0.01;
/// The size of the part of a cut-off that is taken hold of.
const GRIP: Vec2 = Vec2::new(18.0, 14.0);

/// Draws histogram, cut-offs and what they come to.
pub(in super::super) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    cut: &Cut,
    actions: &mut Vec<Action>,
) {
    let cuts = &store.lens.cuts;
    let ends = cuts.ends().unwrap_or(&cut.cuts.ends);
    ui.horizontal(|ui| {
        let title = match cut.cuts.scale {
            Scale::Mass => "Blocks by the share of their row's attention that better blocks hold",
            Scale::Blocks => "Blocks by their place in their row, best first",
        };
        ui.label(title).on_hover_text(about(subject, cut));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let mut ask = |wish| actions.push(Action::Lens(lens::Wish::Cuts(wish)));
            let is_moved = cuts.is_moved();
            let reset = ui.add_enabled(is_moved, Button::new("Reset"));
            if reset.on_disabled_hover_text("No cut-off was moved.").clicked() {
                ask(Wish::Reset);
            }
            let give = ui.button("Use these thresholds");
            if give.on_hover_text("Puts them into Studio's attention settings.").clicked() {
                ask(Wish::Use);
            }
        });
    });
    let size = Vec2::new(ui.available_width(), HISTOGRAM);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let spoken = format!("Histogram of blocks, thresholds {ends}");
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
    let plot = Rect::from_min_max(
        rect.min + Vec2::new(GRIP.x / 2.0, 0.0),
        rect.max - Vec2::new(GRIP.x / 2.0, 16.0),
    );
    bars(ui, plot, &cut.bars);
    scale(ui, plot);
    for index in 0..ends.as_slice().len() {
        handle(ui, store, plot, (ends, index), actions);
    }
    ui.horizontal_wrapped(|ui| {
        for (text, is_strong) in told(subject, cut) {
            let text = RichText::new(text);
            ui.label(if is_strong { text.strong() } else { text.weak() });
        }
    });
}

/// What the cut-offs come to, and what the run had.
fn told(subject: &Subject, cut: &Cut) -> Vec<(String, bool)> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut all = vec![(
        format!("Predicted density {} (nominal {})", percent(cut.exact), percent(cut.nominal)),
        true,
    )];
    if let Some(time) = cut.time {
        all.push((format!("Predicted attention time {time:.2} × dense"), true));
    }
    if let Some(density) = subject.measure(cut.look, Measure::Density) {
        all.push((format!("recorded density {}", percent(density)), false));
    }
    all
}

/// How far the prediction can be trusted.
fn about(subject: &Subject, cut: &Cut) -> String {
    let method = subject.meta.request.attention.as_deref().unwrap_or("dense");
    let mut text = String::from(
        "A cut-off gives its level to blocks on its left that no finer level has taken; what is right of all gets the floor. Forced keeps and the least share of full blocks act as in a run.",
    );
    if !cut.is_own {
        text.extend([
            "\n\n",
            method,
            " has no cut-offs: these are psa's, and using them chooses psa.",
        ]);
    }
    if cut.is_exact {
        text += "\n\nCut by this head's exact attention: what the method estimated of it was not recorded (--capture-scores).";
    }
    text += if cut.has_dense {
        "\n\nTime is predicted from the densities and times of this run's calls, if every head were so; dense calls of the run are the unit."
    } else {
        "\n\nTime is predicted from the densities and times of this run's calls, if every head were so; the run had no dense call, so the unit is what the line says of density 1."
    };
    text
}

/// Blocks in the colours of the levels that they get.
fn bars(ui: &Ui, plot: Rect, bars: &[[u32; 8]]) {
    let painter = ui.painter();
    painter.rect_filled(plot, 0.0, ui.visuals().extreme_bg_color);
    // Roots, so that a bar of a thousand blocks leaves others to be seen.
    let total = |bar: &[u32; 8]| f64::from(bar.iter().sum::<u32>());
    let most = bars.iter().map(total).fold(1.0, f64::max).sqrt();
    let wide = plot.width() / bars.len().max(1) as f32;
    for (index, bar) in bars.iter().enumerate() {
        let whole = total(bar);
        if whole == 0.0 {
            continue;
        }
        let high = (whole.sqrt() / most) as f32 * plot.height();
        let left = plot.min.x + index as f32 * wide;
        let mut foot = plot.max.y;
        for (level, count) in bar.iter().enumerate().filter(|(_, count)| **count > 0) {
            let part = (f64::from(*count) / whole) as f32 * high;
            let area = Rect::from_min_max(
                Pos2::new(left, foot - part),
                Pos2::new(left + wide - 1.0, foot),
            );
            // Black bars would be lost on a dark ground.
            let [r, g, b] =
                if level == 0 { [0x8a, 0x8a, 0x92] } else { palette::level(level as u8) };
            painter.rect_filled(area, 0.0, Color32::from_rgb(r, g, b));
            foot -= part;
        }
    }
}

/// Numbers below the histogram.
fn scale(ui: &Ui, plot: Rect) {
    let (weak, font) = (ui.visuals().weak_text_color(), FontId::proportional(11.0));
    for tenth in (0..=10).step_by(2) {
        let x = plot.min.x + plot.width() * tenth as f32 / 10.0;
        let text = format!("{} %", tenth * 10);
        ui.painter().text(
            Pos2::new(x, plot.max.y + 2.0),
            Align2::CENTER_TOP,
            text,
            font.clone(),
            weak,
        );
    }
}

/// One cut-off: a line with a grip, dragged or moved by keys and by who cannot see it.
fn handle(
    ui: &Ui,
    store: &Store,
    plot: Rect,
    (ends, index): (&Ends, usize),
    actions: &mut Vec<Action>,
) {
    let Some((level, end)) = ends.as_slice().get(index).copied() else { return };
    let x = plot.min.x + plot.width() * end as f32;
    let place = Pos2::new(x, plot.min.y + 9.0 + index as f32 * (GRIP.y + 2.0));
    let grip = Rect::from_center_size(place, GRIP);
    let id = ui.scope_id().with(("cut-off", level));
    let response = ui.interact(grip.expand(2.0), id, Sense::click_and_drag());
    let name = format!("Cut-off of level {level}");
    response.widget_info(|| WidgetInfo::slider(true, end, &name));
    ui.ctx().accesskit_node_builder(id, |node| {
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(1.0);
        node.set_numeric_value_step(STEP);
        for action in [
            accesskit::Action::SetValue,
            accesskit::Action::Increment,
            accesskit::Action::Decrement,
        ] {
            node.add_action(action);
        }
    });
    if response.clicked() || response.drag_started() {
        response.request_focus();
    }
    let mut to = end;
    if response.dragged()
        && let Some(at) = response.interact_pointer_pos()
    {
        to = f64::from((at.x - plot.min.x) / plot.width());
    }
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        to += ui.input(|input| {
            let pressed = |key| input.num_presses(key) as f64;
            let step = if input.modifiers.shift { STEP / 10.0 } else { STEP };
            step * (pressed(Key::ArrowRight) - pressed(Key::ArrowLeft))
        });
    }
    ui.input(|input| {
        let asked = |action| input.num_accesskit_action_requests(id, action) as f64;
        to += STEP * (asked(accesskit::Action::Increment) - asked(accesskit::Action::Decrement));
        for request in input.accesskit_action_requests(id, accesskit::Action::SetValue) {
            if let Some(accesskit::ActionData::NumericValue(value)) = request.data {
                to = value;
            }
        }
    });
    let to = (to * 1000.0).round() / 1000.0;
    if (to - end).abs() > 1e-9 {
        actions.push(Action::Lens(lens::Wish::Cuts(Wish::Move(index, to))));
    }
    let is_held = response.dragged() || response.has_focus();
    let line = if is_held || response.hovered() {
        store.theme.colors.accent.into()
    } else {
        ui.visuals().text_color()
    };
    let painter = ui.painter();
    painter.vline(x, plot.y_range(), Stroke::new(if is_held { 2.0 } else { 1.5 }, line));
    let [r, g, b] = palette::level(level);
    let fill = Color32::from_rgb(r, g, b);
    let ink = if fill.intensity() > 0.5 { Color32::BLACK } else { Color32::WHITE };
    painter.rect(grip, CornerRadius::same(3), fill, Stroke::new(1.5, line), StrokeKind::Outside);
    painter.text(place, Align2::CENTER_CENTER, level, FontId::proportional(11.0), ink);
    response.on_hover_text(format!(
        "Level {level} up to {:.1} %. Drag it, or move it with the arrow keys (Shift: finer).",
        end * 100.0
    ));
}
