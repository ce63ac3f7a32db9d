//! What a map was made from: attention averaged over blocks, or the scores that levels were chosen by, beside the map that the
//! cut-offs on its histogram give.

use eframe::egui::{Rect, Ui, UiBuilder, Vec2};
use tessera_pipeline::recording::Held;

use super::detail::{Detail, Scores};
use super::plate::{self, Plate};
use super::subject::Subject;
use super::{cuts, map, pixels::Picture};
use crate::window::action::Action;
use crate::window::store::Store;

/// Draws what levels were chosen by where it was recorded, otherwise attention, and the cut-offs on it.
pub(super) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    detail: &Detail,
    actions: &mut Vec<Action>,
) {
    let pictures = &store.lens.pictures;
    let cut = match store.lens.cuts.cut() {
        Some(Held::Here(cut)) => Some(cut),
        _ => None,
    };
    let mut all: [(&str, &Held<Scores>, &Option<Picture>); 2] = [
        ("Attention, mean over blocks", &detail.attention, &pictures.attention),
        ("Scores that levels were chosen by", &detail.scores, &pictures.scores),
    ];
    if cut.is_some_and(|cut| !cut.is_exact) {
        all.reverse();
    }
    let here = all.iter().find_map(|(name, held, picture)| match held {
        Held::Here(scores) => Some((*name, scores, picture.as_ref())),
        _ => None,
    });
    let Some((name, scores, picture)) = here else {
        let was_dropped = all.iter().any(|(_, held, _)| matches!(held, Held::Dropped));
        return map::missing(ui, "attention", was_dropped);
    };
    if let Some(cut) = cut {
        cuts::view::show(ui, store, subject, cut, actions);
    }
    let space = ui.available_rect_before_wrap();
    let half = Vec2::new((space.width() - 10.0) / 2.0, space.height());
    let columns = subject.meta.blocks().columns();
    let mut below = |at: f32| {
        let area = Rect::from_min_size(space.min + Vec2::new(at, 0.0), half);
        ui.new_child(UiBuilder::new().max_rect(area).id_salt(("half", at as i32)))
    };
    let mut left = below(0.0);
    let log = if scores.scale.is_log { ", log scale" } else { "" };
    left.small(format!("{name}{log}"));
    let words = |row: usize, column: usize| {
        let value = scores.values.get(row * columns + column).copied().unwrap_or_default();
        format!("{}\n{value:.3e}", map::pair(subject, detail, row, column))
    };
    let spoken = format!("{name}, {}", subject.spoken(detail.look));
    let plate = map::of(subject, detail, spoken, &words);
    let rows = map::brushed(store, subject, detail);
    let pointed = plate::show(&mut left, "scores", &Plate { picture, rows, ..plate });
    let Some(cut) = cut else { return };
    let mut right = below(half.x + 10.0);
    right.small("The map that these cut-offs give");
    let words = |row: usize, column: usize| {
        let level = cut.levels.get(row * columns + column).copied().unwrap_or_default();
        format!("{}\n{}", map::pair(subject, detail, row, column), map::level_words(level))
    };
    let spoken = format!("Map of these cut-offs, {:.1} percent dense", cut.exact * 100.0);
    let plate = map::of(subject, detail, spoken, &words);
    let (picture, linked) = (store.lens.cuts.picture.as_ref(), pointed.into_iter().collect());
    plate::show(&mut right, "cut-offs", &Plate { picture, linked, ..plate });
}
