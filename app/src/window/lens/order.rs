//! The head's order of tokens: its map beside what it would be in the raster, and its way through the clip.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use eframe::egui::{
    Color32, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo,
};
use tessera_pipeline::recording::Held;

use super::detail::Detail;
use super::map;
use super::plate::{self, Plate};
use super::subject::Subject;
use super::walk::Walk;
use crate::window::store::Store;

/// Tokens up to which the way is drawn as a line.
const MOST_LINES: usize = 4096;

/// Draws it.
pub(super) fn show(ui: &mut Ui, store: &Store, subject: &Subject, detail: &Detail) {
    let Some(walk) = &detail.walk else { return map::missing(ui, "order", false) };
    let name = detail.order.as_deref().unwrap_or("not recorded");
    let [raster, order] = walk.busy.map(|share| share * 100.0);
    let mut text = if walk.is_raster {
        "Raster: tokens as the model has them.".to_owned()
    } else {
        format!("Order {name}: {:.1} tokens from one to the next.", walk.stride)
    };
    if matches!(detail.levels, Held::Here(_)) {
        let _ = write!(
            text,
            " Blocks seen finer than the coarsest: {raster:.0} % in the raster, {order:.0} % in this order."
        ); // writing to a String cannot fail
    }
    ui.label(text);
    let pictures = &store.lens.pictures;
    let space = ui.available_rect_before_wrap();
    let high = (space.height() - 8.0) * 0.62;
    let half = Vec2::new((space.width() - 10.0) / 2.0, high);
    let words = |row: usize, column: usize| map::pair(subject, detail, row, column);
    let right = Rect::from_min_size(space.min + Vec2::new(half.x + 10.0, 0.0), half);
    let mut of_order = ui.new_child(UiBuilder::new().max_rect(right).id_salt("of order"));
    of_order.small("In the head's order");
    let plate = map::of(subject, detail, format!("Map in order {name}"), &words);
    let rows = map::brushed(store, subject, detail);
    let pointed = plate::show(
        &mut of_order,
        "permuted",
        &Plate { picture: pictures.map.as_ref(), rows, ..plate },
    );
    let left = Rect::from_min_size(space.min, half);
    let mut of_raster = ui.new_child(UiBuilder::new().max_rect(left).id_salt("of raster"));
    of_raster.small("As it would lie in the raster");
    let columns = subject.meta.blocks().columns();
    let kept = |row: usize, column: usize| {
        let share = walk.kept.get(row * columns + column).copied().unwrap_or_default();
        format!("raster blocks {row} and {column}: {:.0} % kept", share * 100.0)
    };
    let plate = map::of(subject, detail, "Map in the raster".into(), &kept);
    let grid = subject.meta.grid;
    let lines = vec![grid.rows * grid.cols, grid.cols];
    let linked = pointed.map(|pointed| linked(subject, detail, pointed)).unwrap_or_default();
    let picture = pictures.raster.as_ref();
    plate::show(&mut of_raster, "raster", &Plate { picture, lines, linked, ..plate });
    let below = Rect::from_min_max(Pos2::new(space.min.x, space.min.y + high + 8.0), space.max);
    ui.scope_builder(UiBuilder::new().max_rect(below), |ui| {
        frames(ui, store, subject, detail, walk, pointed);
    });
}

/// The raster blocks in which the tokens of a pair of blocks lie.
fn linked(
    subject: &Subject,
    detail: &Detail,
    (row, column): (usize, usize),
) -> Vec<(usize, usize)> {
    let blocks = subject.meta.blocks();
    let of = |tokens: Option<&[i64]>, side: usize| -> BTreeSet<usize> {
        let video = tokens.unwrap_or_default().iter().filter(|token| **token >= 0);
        video.map(|token| *token as usize / side).collect()
    };
    let rows = of(detail.queries.get(blocks.query_range(row)), blocks.query_block);
    let columns = of(detail.keys.get(blocks.key_range(column)), blocks.key_block);
    rows.iter().flat_map(|row| columns.iter().map(|column| (*row, *column))).collect()
}

/// The frames side by side with the way of the order through them; tokens of the pointed blocks are framed.
fn frames(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    detail: &Detail,
    walk: &Walk,
    pointed: Option<(usize, usize)>,
) {
    ui.small("The way through the clip, latent frame by latent frame, from dark to light");
    let grid = subject.meta.grid;
    let across = (grid.frames * (grid.cols + 1)) as f32;
    let space = ui.available_size();
    let side = (space.x / across).min(space.y / grid.rows as f32).max(1.0);
    let size = Vec2::new(across, grid.rows as f32) * side;
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let name = format!(
        "Way of order {} through {} latent frames, mean step {:.1} tokens",
        detail.order.as_deref().unwrap_or("unknown"),
        grid.frames,
        walk.stride
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let painter = ui.painter().with_clip_rect(rect.expand(1.0));
    if let Some(texture) = store.lens.pictures.frames.as_ref().and_then(|all| all.at(f32::MAX)) {
        // Each frame by itself: what is between them in the picture is no part of the clip.
        let part = 1.0 / across;
        for frame in 0..grid.frames {
            let first = (frame * (grid.cols + 1)) as f32;
            let (left, right) = (first * part, (first + grid.cols as f32) * part);
            let uv = Rect::from_min_max(Pos2::new(left, 0.0), Pos2::new(right, 1.0));
            let corner = rect.min + Vec2::new(first * side, 0.0);
            let size = Vec2::new(grid.cols as f32, grid.rows as f32) * side;
            painter.image(texture, Rect::from_min_size(corner, size), uv, Color32::WHITE);
        }
    }
    let plane = grid.rows * grid.cols;
    let corner = |token: usize| {
        let (frame, row, column) =
            (token / plane, token / grid.cols % grid.rows, token % grid.cols);
        rect.min + Vec2::new((frame * (grid.cols + 1) + column) as f32, row as f32) * side
    };
    let video: Vec<usize> =
        detail.queries.iter().filter(|token| **token >= 0).map(|token| *token as usize).collect();
    if video.len() <= MOST_LINES && side >= 4.0 {
        let middle = Vec2::splat(side / 2.0);
        let stroke = Stroke::new(1.0, Color32::from_white_alpha(170));
        for pair in video.windows(2).filter(|pair| pair[0] / plane == pair[1] / plane) {
            let ends = [corner(pair[0]) + middle, corner(pair[1]) + middle];
            painter.add(Shape::line_segment(ends, stroke));
        }
    }
    let Some((row, column)) = pointed else { return };
    let blocks = subject.meta.blocks();
    let marks = [
        (detail.keys.get(blocks.key_range(column)), store.theme.colors.accent.into()),
        (detail.queries.get(blocks.query_range(row)), Color32::WHITE),
    ];
    for (tokens, color) in marks {
        for token in tokens.unwrap_or_default().iter().filter(|token| **token >= 0) {
            let cell = Rect::from_min_size(corner(*token as usize), Vec2::splat(side));
            painter.rect_stroke(cell, 0.0, Stroke::new(1.5, color), StrokeKind::Inside);
        }
    }
}
