//! The magnifier: the pixels around the pointer, of each clip beside one another, and the value of the one in the middle.

use eframe::egui::{
    Align2, Color32, FontId, Mesh, Pos2, Rect, Shape, Stroke, StrokeKind, TextureHandle, Ui, Vec2,
};

use super::clip::Clip;
use crate::window::store::Store;

/// Pixels of the picture across, and points of one of them.
const ACROSS: (f32, f32) = (17.0, 9.0);
/// Between the glasses.
const GAP: f32 = 4.0;

/// Draws it in the half of the stage where the pointer is not.
pub(super) fn show<'a>(
    ui: &Ui,
    store: &Store,
    (area, place): (Rect, Option<Rect>),
    clips: impl Iterator<Item = &'a Clip>,
) {
    let compare = &store.compare;
    if compare.is_blind() {
        return; // values would tell
    }
    let (Some(at), Some(place)) = (compare.looking.pointer, place) else { return };
    let clips: Vec<&Clip> = clips.collect();
    let side = ACROSS.0 * ACROSS.1;
    let width = clips.len() as f32 * (side + GAP);
    let seen = place.min + at.to_vec2() * place.size();
    let y = if seen.y > area.center().y { area.top() + 38.0 } else { area.bottom() - side - 10.0 };
    let mut corner = Pos2::new(area.center().x - width / 2.0, y);
    for clip in clips {
        let Some(texture) = compare.shown_clip(clip.id) else { continue };
        let size = texture.size();
        let pixel = pixel_at(at, size);
        let [wide, high] = size.map(|side| side as f32);
        // Whole pixels, so that the one under the pointer is the middle one.
        let middle = Pos2::new((pixel[0] as f32 + 0.5) / wide, (pixel[1] as f32 + 0.5) / high);
        let part = Rect::from_center_size(middle, Vec2::new(ACROSS.0 / wide, ACROSS.0 / high));
        let glass = Rect::from_min_size(corner, Vec2::splat(side));
        let painter = ui.painter();
        painter.rect_filled(glass, 0.0, Color32::BLACK);
        magnified(ui, texture, glass, part);
        let middle = Rect::from_center_size(glass.center(), Vec2::splat(ACROSS.1));
        painter.rect_stroke(middle, 0.0, Stroke::new(1.0, Color32::WHITE), StrokeKind::Outside);
        let letter = compare.letter(clip.id);
        let color = store.theme.series(compare.place(clip.id));
        painter.rect_stroke(glass, 0.0, Stroke::new(2.0, color), StrokeKind::Outside);
        let value = compare.pixel(clip.id, pixel);
        let words = value.map_or_else(String::new, |[r, g, b]| format!("{letter}  {r} {g} {b}"));
        let galley = painter.layout_no_wrap(words, FontId::monospace(11.0), Color32::WHITE);
        let back = Align2::LEFT_TOP.anchor_size(glass.min, galley.size() + Vec2::new(8.0, 4.0));
        painter.rect_filled(back, 0.0, Color32::from_black_alpha(190));
        painter.galley(back.min + Vec2::new(4.0, 2.0), galley, Color32::WHITE);
        corner.x += side + GAP;
    }
}

fn pixel_at(at: Pos2, size: [usize; 2]) -> [usize; 2] {
    let within = |share: f32, count: usize| {
        ((share.clamp(0.0, 1.0) * count as f32) as usize).min(count.saturating_sub(1))
    };
    [within(at.x, size[0]), within(at.y, size[1])]
}

/// A part of a texture, cut where the picture ends.
fn magnified(ui: &Ui, texture: &TextureHandle, glass: Rect, part: Rect) {
    let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
    let seen = part.intersect(whole);
    let to = |at: Pos2| glass.min + (at - part.min) / part.size() * glass.size();
    let mut mesh = Mesh::with_texture(texture.id());
    mesh.add_rect_with_uv(Rect::from_min_max(to(seen.min), to(seen.max)), seen, Color32::WHITE);
    ui.painter().add(Shape::mesh(mesh));
}
