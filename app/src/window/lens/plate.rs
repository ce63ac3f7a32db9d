//! A map of pairs of blocks as something to look at closely: it zooms and is dragged, has the lines of frames and rows, and knows
//! which block is under the pointer.
//!
//! Lengths are tokens: a query block is as high as it has tokens and a key block as wide, so the diagonal is a diagonal. Keys:
//! arrows move the pointed block, + and − zoom, 0 shows all.

use eframe::egui::{
    Color32, EventFilter, Key, Pos2, Rect, Response, Role, Sense, Shape, Stroke, StrokeKind, Ui,
    Vec2, WidgetInfo,
};

use super::pixels::Picture;

/// Lines nearer than this are left out, in points.
const NEAREST: f32 = 7.0;
/// How far one may zoom in, in points a token.
const LARGEST: f32 = 8.0;

/// What is drawn.
pub(super) struct Plate<'a> {
    /// As it is spoken.
    pub(super) name: String,
    /// Its pixels, a block each.
    pub(super) picture: Option<&'a Picture>,
    /// Rows and columns of blocks.
    pub(super) blocks: [usize; 2],
    /// Tokens of a whole query block and a whole key block.
    pub(super) sides: [usize; 2],
    /// Tokens; beyond them is padding.
    pub(super) tokens: usize,
    /// Tokens between lines, the more important first: frames, then rows.
    pub(super) lines: Vec<usize>,
    /// Query blocks of the tokens that the brush chose.
    pub(super) rows: Vec<usize>,
    /// A block that another view points at.
    pub(super) linked: Vec<(usize, usize)>,
    /// Of a cell (row, column): what it is, in a few lines.
    pub(super) words: &'a dyn Fn(usize, usize) -> String,
}

/// How it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sight {
    /// Times larger than what shows all.
    zoom: f32,
    /// Tokens at the left and upper edge.
    corner: Vec2,
    /// The block that keys chose.
    chosen: Option<(usize, usize)>,
}

impl Default for Sight {
    fn default() -> Self {
        Self { zoom: 1.0, corner: Vec2::ZERO, chosen: None }
    }
}

/// Draws it as large as it fits; answers with the block under the pointer, or the one that keys chose.
pub(super) fn show(ui: &mut Ui, salt: &str, plate: &Plate<'_>) -> Option<(usize, usize)> {
    let id = ui.make_persistent_id(("plate", salt));
    let mut sight: Sight = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    let extent = Vec2::new(
        (plate.blocks[1] * plate.sides[1]) as f32,
        (plate.blocks[0] * plate.sides[0]) as f32,
    );
    let space = ui.available_size();
    let fit = (space.x / extent.x).min(space.y / extent.y);
    let shown = (extent * fit).max(Vec2::splat(16.0));
    let (rect, response) = ui.allocate_exact_size(shown, Sense::click_and_drag());
    let before = sight;
    handle(ui, &response, rect, (fit, extent), &mut sight, plate.blocks);
    if sight != before {
        ui.data_mut(|data| data.insert_temp(id, sight));
    }
    let scale = fit * sight.zoom;
    let to_screen = |tokens: Vec2| rect.min + (tokens - sight.corner) * scale;
    let painter = ui.painter().with_clip_rect(rect);
    let whole = Rect::from_min_size(to_screen(Vec2::ZERO), extent * scale);
    let pixels = whole.width() * ui.pixels_per_point();
    if let Some(texture) = plate.picture.and_then(|picture| picture.at(pixels)) {
        let uv = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
        painter.image(texture, whole, uv, Color32::WHITE);
    }
    lines(ui, rect, plate, &|tokens| to_screen(Vec2::splat(tokens)), scale);
    hatch(ui, rect, plate, &to_screen, extent);
    let cell = |(row, column): (usize, usize)| {
        let side = Vec2::new(plate.sides[1] as f32, plate.sides[0] as f32);
        let corner = Vec2::new(column as f32 * side.x, row as f32 * side.y);
        Rect::from_min_size(to_screen(corner), side * scale)
    };
    let under = response.hover_pos().and_then(|at| {
        let tokens = (at - rect.min) / scale + sight.corner;
        let row = (tokens.y / plate.sides[0] as f32) as usize;
        let column = (tokens.x / plate.sides[1] as f32) as usize;
        (row < plate.blocks[0] && column < plate.blocks[1]).then_some((row, column))
    });
    let strong = ui.visuals().strong_text_color();
    for linked in &plate.linked {
        painter.rect_stroke(cell(*linked), 0.0, Stroke::new(1.0, strong), StrokeKind::Outside);
    }
    for row in &plate.rows {
        let line = cell((*row, 0)).union(cell((*row, plate.blocks[1].saturating_sub(1))));
        let ink = ui.visuals().selection.stroke.color;
        painter.rect_stroke(line, 0.0, Stroke::new(3.0, Color32::BLACK), StrokeKind::Middle);
        painter.rect_stroke(line, 0.0, Stroke::new(1.5, ink), StrokeKind::Middle);
    }
    let pointed = under.or(sight.chosen.filter(|_| response.has_focus()));
    if let Some(pointed) = pointed {
        painter.rect_stroke(cell(pointed), 0.0, Stroke::new(2.0, strong), StrokeKind::Outside);
    }
    let edge = if response.has_focus() {
        ui.visuals().selection.stroke
    } else {
        ui.visuals().widgets.noninteractive.bg_stroke
    };
    ui.painter().rect_stroke(rect, 0.0, edge, StrokeKind::Outside);
    let words = pointed.map(|(row, column)| (plate.words)(row, column));
    let name = match &words {
        Some(words) => format!("{}; {words}", plate.name),
        None => plate.name.clone(),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if let (Some(words), Some(_)) = (words, under) {
        response.on_hover_ui_at_pointer(|ui| {
            ui.label(words);
        });
    }
    pointed
}

/// Pointer and keys.
fn handle(
    ui: &Ui,
    response: &Response,
    rect: Rect,
    (fit, extent): (f32, Vec2),
    sight: &mut Sight,
    blocks: [usize; 2],
) {
    if response.clicked() {
        response.request_focus();
    }
    if response.double_clicked() {
        *sight = Sight { chosen: sight.chosen, ..Sight::default() };
    }
    let mut factor = 1.0;
    let mut about = rect.center();
    if let Some(at) = response.hover_pos() {
        about = at;
        factor =
            ui.input(|input| input.zoom_delta() * (input.smooth_scroll_delta().y * 0.004).exp());
    }
    if response.has_focus() {
        let filter = EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            ..EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let steps = [
            (Key::ArrowUp, (-1, 0)),
            (Key::ArrowDown, (1, 0)),
            (Key::ArrowLeft, (0, -1)),
            (Key::ArrowRight, (0, 1)),
        ];
        for (key, (down, right)) in steps {
            if pressed(key) {
                let moved = |at: usize, by: isize, count: usize| {
                    at.saturating_add_signed(by).min(count.saturating_sub(1))
                };
                sight.chosen = Some(match sight.chosen {
                    Some((row, column)) => {
                        (moved(row, down, blocks[0]), moved(column, right, blocks[1]))
                    }
                    None => (0, 0),
                });
            }
        }
        if pressed(Key::Plus) || pressed(Key::Equals) {
            factor *= 1.5;
        }
        if pressed(Key::Minus) {
            factor /= 1.5;
        }
        if pressed(Key::Num0) {
            *sight = Sight { chosen: sight.chosen, ..Sight::default() };
        }
    }
    if factor != 1.0 {
        let most = (LARGEST / fit).max(1.0);
        let zoom = (sight.zoom * factor).clamp(1.0, most);
        let under = (about - rect.min) / (fit * sight.zoom) + sight.corner;
        sight.corner = under - (about - rect.min) / (fit * zoom);
        sight.zoom = zoom;
    }
    if response.dragged() {
        sight.corner -= response.drag_delta() / (fit * sight.zoom);
    }
    let most = extent * (1.0 - 1.0 / sight.zoom);
    sight.corner = sight.corner.clamp(Vec2::ZERO, most.max(Vec2::ZERO));
}

/// The lines of frames, and those of rows where they are far enough apart.
fn lines(ui: &Ui, rect: Rect, plate: &Plate<'_>, at: &dyn Fn(f32) -> Pos2, scale: f32) {
    let painter = ui.painter().with_clip_rect(rect);
    for (rank, every) in plate.lines.iter().enumerate() {
        if *every < 2 || *every as f32 * scale < NEAREST {
            continue;
        }
        let alpha = if rank == 0 { 110 } else { 45 };
        let stroke = Stroke::new(1.0, Color32::from_white_alpha(alpha));
        for index in 1..plate.tokens.div_ceil(*every) {
            let place = at((index * every) as f32);
            if rect.x_range().contains(place.x) {
                painter.vline(place.x, rect.y_range(), stroke);
            }
            if rect.y_range().contains(place.y) {
                painter.hline(rect.x_range(), place.y, stroke);
            }
        }
    }
}

/// Hatches what is beyond the last token.
fn hatch(ui: &Ui, rect: Rect, plate: &Plate<'_>, to_screen: &dyn Fn(Vec2) -> Pos2, extent: Vec2) {
    let end = plate.tokens as f32;
    let beyond = [
        Rect::from_min_max(to_screen(Vec2::new(end, 0.0)), to_screen(extent)),
        Rect::from_min_max(to_screen(Vec2::new(0.0, end)), to_screen(Vec2::new(end, extent.y))),
    ];
    for area in beyond.map(|area| area.intersect(rect)) {
        if area.width() < 1.0 || area.height() < 1.0 {
            continue;
        }
        let painter = ui.painter().with_clip_rect(area);
        painter.rect_filled(area, 0.0, ui.visuals().panel_fill);
        let stroke = Stroke::new(1.0, ui.visuals().weak_text_color());
        let mut x = area.min.x - area.height();
        while x < area.max.x {
            let ends = [Pos2::new(x, area.max.y), Pos2::new(x + area.height(), area.min.y)];
            painter.add(Shape::line_segment(ends, stroke));
            x += 6.0;
        }
    }
}
