//! Frames with something laid over them: one large, all latent frames small below it, and between them the transport.
//!
//! Keys while the picture has the keyboard: arrows move the query token, with Shift they add the next one; Page Up and Page Down
//! change the frame; Backspace chooses no token.

use std::fmt::Write as _;

use eframe::egui::{
    Align2, Color32, EventFilter, FontId, Image, Key, Pos2, Rect, Response, RichText, Role, Sense,
    Slider, Stroke, StrokeKind, TextureHandle, Ui, UiBuilder, Vec2, WidgetInfo,
};

use super::reel::{frames_of, latent_of};
use super::{Brush, Tiles, Token, Wish};
use crate::window::action::Action;
use crate::window::cursor::Cursor;
use crate::window::lens;
use crate::window::lens::subject::Subject;
use crate::window::store::Store;
use crate::window::views::parts;

/// How high a small frame is at most.
const SMALL: f32 = 84.0;
/// Between small frames.
const GAP: f32 = 3.0;
/// Room for the transport.
const TRANSPORT: f32 = 30.0;

/// What lies over the frames.
pub(crate) struct Stage<'a> {
    /// What it is, spoken after the frame.
    pub(crate) spoken: String,
    /// All latent frames of it.
    pub(crate) heat: Option<(&'a TextureHandle, Tiles)>,
    /// The mass in each latent frame.
    pub(crate) of_frames: &'a [f32],
    /// Tokens that are framed.
    pub(crate) tokens: &'a [Token],
    /// Whether tokens may be chosen here.
    pub(crate) paints: bool,
}

/// Draws it into what is left.
pub(crate) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    stage: &Stage<'_>,
    actions: &mut Vec<Action>,
) {
    let brush = &store.lens.brush;
    let Some(film) = brush.player.film() else {
        ui.weak("Looking for the frames…");
        return;
    };
    let grid = subject.meta.grid;
    let latent = latent_of(brush.player.frame(), film.frames.len(), grid.frames);
    let space = ui.available_rect_before_wrap();
    let aspect = grid.cols as f32 / grid.rows.max(1) as f32;
    let count = grid.frames.max(1) as f32;
    let small = (space.width() / count - GAP).min(SMALL * aspect).max(8.0);
    let strip = Vec2::new(space.width(), small / aspect + 18.0);
    let foot = strip.y + TRANSPORT + 8.0;
    let high = (space.height() - foot).max(48.0);
    let large = Vec2::new(high * aspect, high);
    let large = large * (space.width() / large.x).min(1.0);
    let middle = Pos2::new(space.center().x, space.min.y + large.y / 2.0);
    let picture = Rect::from_center_size(middle, large);
    self::picture(ui, store, subject, stage, (picture, latent), actions);
    let rest = Rect::from_min_max(Pos2::new(space.min.x, picture.max.y + 4.0), space.max);
    ui.scope_builder(UiBuilder::new().max_rect(rest), |ui| {
        transport(ui, brush, actions);
        let area = ui.available_rect_before_wrap();
        for tile in 0..grid.frames {
            let corner = area.min + Vec2::new(tile as f32 * (small + GAP), 0.0);
            let cell = Rect::from_min_size(corner, Vec2::new(small, small / aspect));
            thumbnail(ui, store, stage, (cell, tile, grid.frames), latent, actions);
        }
        ui.allocate_rect(Rect::from_min_size(area.min, strip), Sense::hover());
    });
}

/// The large picture.
fn picture(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    stage: &Stage<'_>,
    (rect, latent): (Rect, usize),
    actions: &mut Vec<Action>,
) {
    let (brush, grid) = (&store.lens.brush, subject.meta.grid);
    let sense = if stage.paints { Sense::click_and_drag() } else { Sense::click() };
    let response = ui.interact(rect, ui.scope_id().with("stage"), sense);
    ui.painter().rect_filled(rect, 0.0, store.theme.colors.screen);
    if let Some(texture) = brush.player.texture() {
        Image::new((texture.id(), rect.size())).paint_at(ui, rect);
    }
    overlay(ui, stage, rect, latent);
    let side = Vec2::new(rect.width() / grid.cols as f32, rect.height() / grid.rows as f32);
    let painter = ui.painter().with_clip_rect(rect.expand(2.0));
    for [frame, row, column] in stage.tokens {
        if *frame != latent {
            continue;
        }
        let corner = rect.min + Vec2::new(*column as f32, *row as f32) * side;
        let cell = Rect::from_min_size(corner, side);
        painter.rect_stroke(cell, 0.0, Stroke::new(3.0, Color32::BLACK), StrokeKind::Middle);
        painter.rect_stroke(cell, 0.0, Stroke::new(1.5, Color32::WHITE), StrokeKind::Middle);
    }
    let edge = if response.has_focus() {
        ui.visuals().selection.stroke
    } else {
        ui.visuals().widgets.noninteractive.bg_stroke
    };
    ui.painter().rect_stroke(rect, 0.0, edge, StrokeKind::Outside);
    let frames = brush.player.film().map_or(1, |film| film.frames.len());
    let frame = brush.player.frame() + 1;
    let name = format!("Frame {frame} of {frames}, {}", stage.spoken);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if !stage.paints {
        return;
    }
    let token_at = |at: Pos2| {
        let place = (at - rect.min) / side;
        let within = |x: f32, count: usize| (x.max(0.0) as usize).min(count.saturating_sub(1));
        [latent, within(place.y, grid.rows), within(place.x, grid.cols)]
    };
    pointer(ui, store, stage, &response, &token_at, actions);
    keys(ui, store, subject, stage, (&response, latent), actions);
}

fn overlay(ui: &Ui, stage: &Stage<'_>, rect: Rect, tile: usize) {
    if let Some((texture, tiles)) = &stage.heat {
        ui.painter().image(texture.id(), rect, tiles.uv(tile), Color32::WHITE);
    }
}

/// A press chooses a token, dragging paints on; with Shift those before stay.
fn pointer(
    ui: &Ui,
    store: &Store,
    stage: &Stage<'_>,
    response: &Response,
    token_at: &dyn Fn(Pos2) -> Token,
    actions: &mut Vec<Action>,
) {
    let (is_pressed, extends, moved) = ui.input(|input| {
        (input.pointer.primary_pressed(), input.modifiers.shift, input.pointer.delta())
    });
    match response.interact_pointer_pos() {
        Some(at) if response.is_pointer_button_down_on() && is_pressed => {
            response.request_focus();
            choose(store, token_at(at), extends, actions);
        }
        Some(at) if response.dragged() => {
            // The pointer may have jumped over tokens since the last frame.
            let steps = (moved.length() / 4.0).ceil().max(1.0);
            let on_the_way = (0..=steps as usize).map(|i| at - moved * (i as f32 / steps));
            let mut tokens: Vec<Token> = on_the_way.map(token_at).collect();
            tokens.sort_unstable();
            tokens.dedup();
            tokens.retain(|token| !stage.tokens.contains(token));
            if !tokens.is_empty() {
                actions.push(wish(Wish::Paint { tokens, extends: true }));
            }
        }
        None if response.clicked() => {
            response.request_focus(); // by who has no pointer: the arrows go on from here
            if stage.tokens.is_empty() {
                choose(store, token_at(response.rect.center()), false, actions);
            }
        }
        _ => {}
    }
}

fn keys(
    ui: &Ui,
    store: &Store,
    subject: &Subject,
    stage: &Stage<'_>,
    (response, latent): (&Response, usize),
    actions: &mut Vec<Action>,
) {
    if !response.has_focus() {
        return;
    }
    let filter =
        EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
    let (grid, brush) = (subject.meta.grid, &store.lens.brush);
    let pressed = |key| ui.input(|input| input.key_pressed(key));
    let arrows = [
        (Key::ArrowUp, (-1, 0)),
        (Key::ArrowDown, (1, 0)),
        (Key::ArrowLeft, (0, -1)),
        (Key::ArrowRight, (0, 1)),
    ];
    for (key, (down, right)) in arrows {
        if pressed(key) {
            let moved = |at: usize, by: isize, count: usize| {
                at.saturating_add_signed(by).min(count.saturating_sub(1))
            };
            let to = match store.trail.now().token {
                Some([_, row, column]) => {
                    [latent, moved(row, down, grid.rows), moved(column, right, grid.cols)]
                }
                None => [latent, grid.rows / 2, grid.cols / 2],
            };
            choose(store, to, ui.input(|input| input.modifiers.shift), actions);
        }
    }
    let frames = brush.player.film().map_or(1, |film| film.frames.len());
    for (key, by) in [(Key::PageUp, -1), (Key::PageDown, 1)] {
        if pressed(key) {
            let to = latent.saturating_add_signed(by).min(grid.frames.saturating_sub(1));
            actions.push(wish(Wish::Seek(frames_of(to, frames, grid.frames).1)));
        }
    }
    if pressed(Key::Backspace) && !stage.tokens.is_empty() {
        actions.push(wish(Wish::Clear));
        actions.push(Action::Go(Cursor { token: None, ..store.trail.now() }));
    }
}

/// Chooses a token, which everyone's cursor then has.
fn choose(store: &Store, token: Token, extends: bool, actions: &mut Vec<Action>) {
    actions.push(wish(Wish::Paint { tokens: vec![token], extends }));
    actions.push(Action::Go(Cursor { token: Some(token), ..store.trail.now() }));
}

fn wish(wish: Wish) -> Action {
    Action::Lens(lens::Wish::Brush(wish))
}

/// Play, and which frame.
fn transport(ui: &mut Ui, brush: &Brush, actions: &mut Vec<Action>) {
    let count = brush.player.film().map_or(1, |film| film.frames.len());
    ui.horizontal(|ui| {
        let (sign, name) = if brush.player.is_playing { ("‖", "Hold") } else { ("▶", "Play") };
        if parts::icon(ui, sign, &format!("{name} the frames")).clicked() {
            actions.push(wish(Wish::Play));
        }
        let mut frame = brush.player.frame();
        ui.spacing_mut().slider_width = (ui.available_width() - 76.0).max(60.0);
        let slider = ui.add(Slider::new(&mut frame, 0..=count - 1).show_value(false));
        parts::named(&slider, "Frame under the overlay");
        if slider.changed() {
            actions.push(wish(Wish::Seek(frame)));
        }
        ui.label(RichText::new(format!("{} / {count}", frame + 1)).monospace());
    });
}

/// A share as a percentage, small ones with more digits.
fn percent(share: f32) -> String {
    let digits = usize::from(share < 0.0995) + usize::from(share < 0.00995);
    format!("{:.digits$} %", share * 100.0)
}

/// One latent frame, small, with its part of the mass below.
fn thumbnail(
    ui: &mut Ui,
    store: &Store,
    stage: &Stage<'_>,
    (cell, tile, of): (Rect, usize, usize),
    shown: usize,
    actions: &mut Vec<Action>,
) {
    let brush = &store.lens.brush;
    if let Some(frames) = &brush.frames {
        let uv = frames.tiles.uv(tile);
        ui.painter().image(frames.strip.id(), cell, uv, Color32::WHITE);
    }
    overlay(ui, stage, cell, tile);
    let response = ui.interact(cell, ui.scope_id().with(("latent frame", tile)), Sense::click());
    let share = stage.of_frames.get(tile).map(|share| percent(*share));
    let chosen = stage.tokens.iter().filter(|token| token[0] == tile).count();
    let mut name = format!("Latent frame {} of {of}", tile + 1);
    if let Some(share) = &share {
        let _ = write!(name, ", {share} of the mass"); // writing to a String cannot fail
    }
    if chosen > 0 {
        let chosen = crate::text::plural(chosen as u64, "token");
        let _ = write!(name, ", {chosen} chosen"); // writing to a String cannot fail
    }
    let is_shown = tile == shown;
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_shown, &name));
    let stroke = match (is_shown, response.hovered() || response.has_focus()) {
        (true, _) => Stroke::new(2.0, store.theme.colors.accent),
        (false, true) => ui.visuals().widgets.hovered.fg_stroke,
        (false, false) => ui.visuals().widgets.noninteractive.bg_stroke,
    };
    ui.painter().rect_stroke(cell, 0.0, stroke, StrokeKind::Outside);
    if chosen > 0 {
        let at = cell.right_top() + Vec2::new(-6.0, 6.0);
        ui.painter().circle_filled(at, 4.0, Color32::BLACK);
        ui.painter().circle_filled(at, 2.8, Color32::WHITE);
    }
    if let Some(share) = share.filter(|_| cell.width() >= 24.0) {
        let at = cell.center_bottom() + Vec2::new(0.0, 2.0);
        let (font, ink) = (FontId::proportional(11.0), ui.visuals().weak_text_color());
        ui.painter().text(at, Align2::CENTER_TOP, share, font, ink);
    }
    if response.clicked() {
        let frames = brush.player.film().map_or(1, |film| film.frames.len());
        actions.push(wish(Wish::Seek(frames_of(tile, frames, of).1)));
    }
    response.on_hover_text(name);
}
