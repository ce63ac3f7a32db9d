//! The pictures: in tiles, on both sides of a line, over one another, in turn or as their difference.
//!
//! A drag moves the line of the wipe, or what is seen of a picture that is nearer than whole; the wheel comes nearer; a double
//! click shows all. Every one of these has a command with keys.

use std::time::Duration;

use eframe::egui::{
    Align2, Color32, EventFilter, FontId, Id, PointerButton, Pos2, Rect, Response, Role, Sense,
    Stroke, StrokeKind, TextureHandle, Ui, Vec2, WidgetInfo,
};

use super::camera::{Camera, uv};
use super::clip::Clip;
use super::{Compare, Mode, Wish, loupe};
use crate::window::action::Action;
use crate::window::store::Store;

/// How long a side is seen in turn.
const BLINK_SECONDS: f64 = 0.5;
/// Between tiles.
const GAP: f32 = 4.0;
/// How much a point of the wheel comes nearer.
const WHEEL: f32 = 1.0 / 240.0;

/// The stage's name, by which keys know that it has the keyboard.
pub(crate) fn id() -> Id {
    Id::unique("compare stage")
}

/// Draws them into what is left.
pub(super) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    let area = ui.available_rect_before_wrap();
    // A widget that is not told of loses the keyboard after a frame.
    ui.ctx().check_for_id_clash(id(), area, "the compared clips");
    let response = ui.interact(area, id(), Sense::click_and_drag());
    let is_taken = response.clicked() || response.drag_stopped();
    if compare.wants_focus || is_taken || response.is_pointer_button_down_on() {
        response.request_focus();
    }
    let painter = ui.painter().with_clip_rect(area);
    painter.rect_filled(area, 2.0, store.theme.colors.screen);
    let views = views(compare, area);
    for view in &views {
        view.draw(ui, store);
    }
    if let Some(why) = compare.refusal() {
        say(ui, store, area, &why);
    } else if compare.looking.mode == Mode::Wipe {
        line(ui, store, area);
    }
    if compare.looking.magnifies {
        let place = views.first().map(|view| view.place);
        let clips = views.iter().flat_map(|view| &view.layers).map(|(clip, ..)| *clip);
        loupe::show(ui, store, (area, place), clips);
    }
    let edge = if response.has_focus() {
        ui.visuals().selection.stroke
    } else {
        ui.visuals().widgets.noninteractive.bg_stroke
    };
    ui.painter().rect_stroke(area, 2.0, edge, StrokeKind::Inside);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, spoken(compare)));
    if response.has_focus() {
        // Tab is for the next candidate only while there is one to go to; Escape gives the keyboard back.
        let filter = EventFilter {
            tab: compare.clips().len() > 2,
            horizontal_arrows: true,
            vertical_arrows: true,
            ..EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
    }
    pointer(ui, compare, &response, &views, actions);
}

/// What is seen, in words.
fn spoken(compare: &Compare) -> String {
    let looking = &compare.looking;
    let mut what = match looking.mode {
        Mode::Wipe => format!("Wipe at {:.0} %", looking.wipe.at * 100.0),
        Mode::Overlay => format!("Overlay, {:.0} % of B", looking.opacity * 100.0),
        Mode::Difference => format!("Difference times {}", looking.gain),
        mode => mode.name().to_owned(),
    };
    if let Some(why) = compare.refusal() {
        what = format!("{what}: {why}");
    }
    let at = format!("frame {} of {}", compare.frame() + 1, compare.frames().max(1));
    if compare.is_blind() {
        return format!("Compared clips, {what}, {at}, without names");
    }
    let names: Vec<String> = compare
        .clips()
        .iter()
        .map(|clip| format!("{} is {}", compare.letter(clip.id), clip.source.name))
        .collect();
    format!("Compared clips, {what}, {at}, {}", names.join(", "))
}

/// A part of the stage that shows one picture, or two of one place.
struct View<'a> {
    area: Rect,
    place: Rect,
    /// What is drawn, with where it ends and how opaque it is.
    layers: Vec<(&'a Clip, Rect, f32)>,
    is_blend: bool,
}

fn views(compare: &Compare, area: Rect) -> Vec<View<'_>> {
    let looking = &compare.looking;
    let is_hidden = |side: usize| looking.hidden == Some(side);
    let place = |clip: &Clip, area: Rect, camera: &Camera| {
        let [width, height] = clip.size().unwrap_or([16, 9]);
        camera.place(area, width as f32 / height.max(1) as f32)
    };
    let pair = compare.seen_pair().filter(|_| looking.mode != Mode::Side);
    let Some([a, b]) = pair else {
        let candidate = compare.candidate().map(|clip| clip.id);
        let clips = compare.clips().iter().enumerate().filter(|(place, clip)| {
            !(*place == 0 && is_hidden(0) || candidate == Some(clip.id) && is_hidden(1))
        });
        let mut clips: Vec<&Clip> = clips.map(|(_, clip)| clip).collect();
        if compare.is_blind() {
            clips = compare.seen_pair().map(Vec::from).unwrap_or_default();
        }
        let aspect = clips.first().and_then(|clip| clip.size()).unwrap_or([16, 9]);
        let tiles = tiles(area, clips.len(), aspect[0] as f32 / aspect[1].max(1) as f32);
        return clips
            .into_iter()
            .zip(tiles)
            .map(|(clip, area)| View {
                area,
                place: place(clip, area, &looking.camera),
                layers: vec![(clip, area, 1.0)],
                is_blend: false,
            })
            .collect();
    };
    if compare.refusal().is_some() {
        return Vec::new();
    }
    let place = place(a, area, &looking.camera);
    let layers = match looking.mode {
        _ if is_hidden(0) => vec![(b, area, 1.0)],
        _ if is_hidden(1) => vec![(a, area, 1.0)],
        Mode::Wipe => {
            let [first, second] = halves(place, area, looking.wipe.at, looking.wipe.is_flat);
            vec![(a, first, 1.0), (b, second, 1.0)]
        }
        Mode::Overlay => vec![(a, area, 1.0), (b, area, looking.opacity)],
        _ => vec![(a, area, 1.0), (b, area, 1.0)],
    };
    let is_blend = looking.mode.pairs_pixels() && looking.hidden.is_none();
    vec![View { area, place, layers, is_blend }]
}

/// The parts of the area on both sides of the line.
fn halves(place: Rect, area: Rect, at: f32, is_flat: bool) -> [Rect; 2] {
    let (mut first, mut second) = (area, area);
    if is_flat {
        let y = (place.top() + at * place.height()).clamp(area.top(), area.bottom());
        (first.max.y, second.min.y) = (y, y);
    } else {
        let x = (place.left() + at * place.width()).clamp(area.left(), area.right());
        (first.max.x, second.min.x) = (x, x);
    }
    [first, second]
}

/// So many tiles, as large as they can be for pictures of this aspect.
fn tiles(area: Rect, count: usize, aspect: f32) -> Vec<Rect> {
    let count = count.max(1);
    let size = |columns: usize| {
        let rows = count.div_ceil(columns);
        let room = area.size() - Vec2::new((columns - 1) as f32, (rows - 1) as f32) * GAP;
        Vec2::new(room.x / columns as f32, room.y / rows as f32)
    };
    let shown = |columns: usize| size(columns).x.min(size(columns).y * aspect);
    let columns = (1..=count).max_by(|a, b| shown(*a).total_cmp(&shown(*b))).unwrap_or(1);
    let size = size(columns);
    let corner = |index: usize| {
        area.min
            + Vec2::new((index % columns) as f32, (index / columns) as f32)
                * (size + Vec2::splat(GAP))
    };
    (0..count).map(|index| Rect::from_min_size(corner(index), size)).collect()
}

impl View<'_> {
    fn draw(&self, ui: &Ui, store: &Store) {
        let compare = &store.compare;
        if self.is_blend {
            if let Some(texture) = compare.shown_blend() {
                paint(ui, texture, self.place, self.area, 1.0);
            }
            return;
        }
        let is_blink = compare.looking.mode == Mode::Blink && self.layers.len() == 2;
        let turn = usize::from(is_blink && is_second_turn(ui));
        for (index, (clip, part, opacity)) in self.layers.iter().enumerate() {
            if is_blink && index != turn {
                continue;
            }
            match compare.shown_clip(clip.id) {
                Some(texture) => paint(ui, texture, self.place, *part, *opacity),
                None if clip.is_unreadable() => {
                    say(ui, store, self.area, clip.error.as_deref().unwrap_or_default());
                }
                None => say(ui, store, self.area, "Reading…"),
            }
        }
        let names = self.layers.iter().enumerate().filter(|(index, _)| !is_blink || *index == turn);
        for (index, (clip, ..)) in names {
            badge(ui, store, clip, self.area, index > 0 && !is_blink);
        }
    }
}

/// Which of the two is seen now; asks for the frame in which it is the other's turn.
fn is_second_turn(ui: &Ui) -> bool {
    let turns = ui.input(|input| input.time) / BLINK_SECONDS;
    let left = (1.0 - turns.fract()) * BLINK_SECONDS;
    ui.request_repaint_after(Duration::from_secs_f64(left.max(0.01)));
    turns.rem_euclid(2.0) >= 1.0
}

/// Draws the part of a picture at `place` that lies in `part`.
fn paint(ui: &Ui, texture: &TextureHandle, place: Rect, part: Rect, opacity: f32) {
    let seen = place.intersect(part);
    if seen.is_positive() {
        let tint = Color32::WHITE.gamma_multiply(opacity);
        ui.painter().image(texture.id(), seen, uv(place, seen), tint);
    }
}

/// The letter and name of a clip in a corner of the picture, B's in the other one.
fn badge(ui: &Ui, store: &Store, clip: &Clip, area: Rect, is_right: bool) {
    let compare = &store.compare;
    let letter = compare.letter(clip.id);
    let color = store.theme.series(compare.place(clip.id));
    let mut words = crate::text::shorten(&clip.source.name, 40);
    let (mut letter, mut color) = (letter, color);
    if compare.is_blind() {
        let is_first = compare.seen_pair().is_some_and(|[first, _]| first.id == clip.id);
        (letter, color) = (if is_first { '1' } else { '2' }, Color32::WHITE);
        words.clear();
    }
    let painter = ui.painter().with_clip_rect(area);
    let white = Color32::WHITE;
    let name = painter.layout_no_wrap(words, FontId::proportional(12.0), white);
    let sign = painter.layout_no_wrap(letter.into(), FontId::proportional(13.0), on_plate(color));
    let rest = if name.text().is_empty() { 0.0 } else { name.size().x + 12.0 };
    let size = Vec2::new(22.0 + rest, 22.0);
    let corner = if is_right {
        area.right_top() + Vec2::new(-8.0 - size.x, 8.0)
    } else {
        area.min + Vec2::splat(8.0)
    };
    let back = Rect::from_min_size(corner, size);
    painter.rect_filled(back, 4.0, Color32::from_black_alpha(190));
    let plate = Rect::from_min_size(corner, Vec2::splat(22.0));
    painter.rect_filled(plate, 4.0, color);
    let at = Align2::CENTER_CENTER.anchor_size(plate.center(), sign.size()).min;
    painter.galley(at, sign, on_plate(color));
    let at = Pos2::new(plate.right() + 6.0, back.center().y - name.size().y / 2.0);
    painter.galley(at, name, white);
}

/// Black or white, whichever can be read on a colour.
fn on_plate(color: Color32) -> Color32 {
    if color.intensity() > 0.45 { Color32::BLACK } else { Color32::WHITE }
}

/// Words in the middle of a part of the stage.
fn say(ui: &Ui, store: &Store, area: Rect, words: &str) {
    let painter = ui.painter().with_clip_rect(area);
    let color = store.theme.on_screen();
    let width = (area.width() - 40.0).max(60.0);
    let galley = painter.layout(words.to_owned(), FontId::proportional(14.0), color, width);
    let corner = Align2::CENTER_CENTER.anchor_size(area.center(), galley.size()).min;
    painter.galley(corner, galley, color);
}

/// The line of the wipe, with a handle.
fn line(ui: &Ui, store: &Store, area: Rect) {
    let looking = &store.compare.looking;
    let Some([a, _]) = store.compare.seen_pair().filter(|_| looking.hidden.is_none()) else {
        return;
    };
    let [width, height] = a.size().unwrap_or([16, 9]);
    let place = looking.camera.place(area, width as f32 / height.max(1) as f32);
    let seen = place.intersect(area);
    let [first, _] = halves(place, area, looking.wipe.at, looking.wipe.is_flat);
    let (ends, middle) = if looking.wipe.is_flat {
        let y = first.max.y;
        ([Pos2::new(seen.left(), y), Pos2::new(seen.right(), y)], Pos2::new(seen.center().x, y))
    } else {
        let x = first.max.x;
        ([Pos2::new(x, seen.top()), Pos2::new(x, seen.bottom())], Pos2::new(x, seen.center().y))
    };
    let painter = ui.painter().with_clip_rect(area);
    painter.line_segment(ends, Stroke::new(4.0, Color32::from_black_alpha(150)));
    painter.line_segment(ends, Stroke::new(1.5, Color32::WHITE));
    painter.circle_filled(middle, 7.0, Color32::from_black_alpha(190));
    painter.circle_filled(middle, 4.5, Color32::WHITE);
}

/// What the pointer asks for.
fn pointer(
    ui: &Ui,
    compare: &Compare,
    response: &Response,
    views: &[View<'_>],
    actions: &mut Vec<Action>,
) {
    let looking = &compare.looking;
    let mut want = |wish| actions.push(Action::Compare(wish));
    let under = |at: Pos2| views.iter().find(|view| view.area.contains(at)).or(views.first());
    let share = |view: &View<'_>, at: Pos2| ((at - view.place.min) / view.place.size()).to_pos2();
    let Some(at) = response.hover_pos().or(response.interact_pointer_pos()) else {
        if looking.pointer.is_some() {
            want(Wish::Point(None));
        }
        return;
    };
    let Some(view) = under(at) else { return };
    let here = share(view, at);
    if looking.magnifies && looking.pointer != Some(here) {
        want(Wish::Point(Some(here)));
    }
    let (wheel, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
    let factor = pinch * (wheel * WHEEL).exp();
    if (factor - 1.0).abs() > 1e-3 && response.hovered() {
        want(Wish::Nearer(factor, here));
    }
    let moves_line = looking.mode == Mode::Wipe && looking.hidden.is_none();
    let is_primary = response.dragged_by(PointerButton::Primary)
        || response.is_pointer_button_down_on() && ui.input(|input| input.pointer.primary_down());
    if moves_line && is_primary {
        let to = if looking.wipe.is_flat { here.y } else { here.x }.clamp(0.0, 1.0);
        if (to - looking.wipe.at).abs() > f32::EPSILON {
            want(Wish::Wipe(to));
        }
    } else if response.dragged() && response.drag_delta() != Vec2::ZERO {
        want(Wish::Pan(-response.drag_delta() / view.place.size()));
    }
    if response.double_clicked() && !moves_line {
        want(Wish::Nearer(0.0, here));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_large_as_they_can_be() {
        let area = Rect::from_min_size(Pos2::ZERO, Vec2::new(1000.0, 500.0));
        let two = tiles(area, 2, 1.7);
        assert!((two[1].left() - 502.0).abs() < 1.0 && two[0].height() > 499.0);
        let four = tiles(area, 4, 1.7);
        assert!((four[3].left() - 502.0).abs() < 1.0 && (four[3].top() - 252.0).abs() < 1.0);
        let tall = Rect::from_min_size(Pos2::ZERO, Vec2::new(400.0, 900.0));
        assert!(tiles(tall, 2, 1.7)[1].top() > 450.0, "one above the other");
    }

    #[test]
    fn the_line_parts_the_picture_and_not_the_area() {
        let area = Rect::from_min_size(Pos2::ZERO, Vec2::new(100.0, 100.0));
        let place = Rect::from_min_size(Pos2::new(20.0, 0.0), Vec2::new(60.0, 100.0));
        let [a, b] = halves(place, area, 0.5, false);
        assert_eq!((a.right(), b.left()), (50.0, 50.0));
        let [a, _] = halves(place, area, 0.25, true);
        assert!((a.bottom() - 25.0).abs() < 1e-5);
    }
}
