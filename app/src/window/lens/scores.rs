//! What a map was made from: attention averaged over blocks, or the scores that levels were chosen by, with their histogram.

use eframe::egui::{
    Align2, Color32, FontId, Pos2, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo,
};
use tessera_pipeline::palette;
use tessera_pipeline::recording::Held;

use super::detail::{BARS, Detail, Histogram, Scores};
use super::plate::{self, Plate};
use super::subject::Subject;
use super::{map, pixels::Picture};
use crate::window::store::Store;

/// How high the histogram is.
const HISTOGRAM: f32 = 96.0;

/// Draws attention where it was recorded, otherwise scores.
pub(super) fn show(ui: &mut Ui, store: &Store, subject: &Subject, detail: &Detail) {
    let pictures = &store.lens.pictures;
    let all: [(&str, &Held<Scores>, &Option<Picture>); 2] = [
        ("Attention, mean over blocks", &detail.attention, &pictures.attention),
        ("Scores that levels were chosen by", &detail.scores, &pictures.scores),
    ];
    let here = all.iter().find_map(|(name, held, picture)| match held {
        Held::Here(scores) => Some((*name, scores, picture.as_ref())),
        _ => None,
    });
    let Some((name, scores, picture)) = here else {
        let was_dropped = all.iter().any(|(_, held, _)| matches!(held, Held::Dropped));
        return map::missing(ui, "attention", was_dropped);
    };
    ui.label(format!("{name}{}", if scores.histogram.is_log { ", log scale" } else { "" }));
    histogram(ui, name, &scores.histogram);
    let columns = subject.meta.blocks().columns();
    let words = |row: usize, column: usize| {
        let value = scores.values.get(row * columns + column).copied().unwrap_or_default();
        format!("{}\n{value:.3e}", map::pair(subject, detail, row, column))
    };
    let plate =
        map::of(subject, detail, format!("{name}, {}", subject.spoken(detail.look)), &words);
    let rows = map::brushed(store, subject, detail);
    plate::show(ui, "scores", &Plate { picture, rows, ..plate });
}

/// Bars in the colours of the levels, and where they part.
fn histogram(ui: &mut Ui, name: &str, histogram: &Histogram) {
    let size = Vec2::new(ui.available_width().min(560.0), HISTOGRAM);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let cuts: Vec<String> = histogram
        .cuts
        .iter()
        .map(|(level, cut)| format!("level {level} above {}", number(*cut, histogram.is_log)))
        .collect();
    let spoken = format!("Histogram of {name}, {}", cuts.join(", "));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
    let painter = ui.painter();
    let plot = Rect::from_min_max(rect.min, rect.max - Vec2::new(0.0, 16.0));
    painter.rect_filled(plot, 0.0, ui.visuals().extreme_bg_color);
    let most = histogram.bars.iter().map(|bar| bar.iter().sum::<u32>()).max().unwrap_or(1).max(1);
    let wide = plot.width() / BARS as f32;
    for (index, bar) in histogram.bars.iter().enumerate() {
        let mut foot = plot.max.y;
        for (level, count) in bar.iter().enumerate().filter(|(_, count)| **count > 0) {
            let high = *count as f32 / most as f32 * plot.height();
            let left = plot.min.x + index as f32 * wide;
            let area = Rect::from_min_max(
                Pos2::new(left, foot - high),
                Pos2::new(left + wide - 1.0, foot),
            );
            // Black bars would be lost on a dark ground.
            let [r, g, b] =
                if level == 0 { [0x8a, 0x8a, 0x92] } else { palette::level(level as u8) };
            painter.rect_filled(area, 0.0, Color32::from_rgb(r, g, b));
            foot -= high;
        }
    }
    let (ink, font) = (ui.visuals().text_color(), FontId::proportional(11.0));
    let [least, largest] = histogram.range;
    for (level, cut) in &histogram.cuts {
        let share = ((cut - least) / (largest - least).max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
        let x = plot.min.x + share * plot.width();
        painter.vline(x, plot.y_range(), Stroke::new(1.5, ink));
        painter.text(
            Pos2::new(x + 3.0, plot.min.y + 1.0),
            Align2::LEFT_TOP,
            level,
            font.clone(),
            ink,
        );
    }
    let weak = ui.visuals().weak_text_color();
    let ends = [(plot.min.x, Align2::LEFT_TOP, least), (plot.max.x, Align2::RIGHT_TOP, largest)];
    for (x, align, value) in ends {
        let text = number(value, histogram.is_log);
        painter.text(Pos2::new(x, plot.max.y + 2.0), align, text, font.clone(), weak);
    }
}

/// A number of the scale; of powers of ten when logarithmic.
fn number(value: f32, is_log: bool) -> String {
    if is_log { format!("{:.1e}", 10f32.powf(value)) } else { format!("{value:.2}") }
}
