//! Layers × heads: a small picture of each map or one number, in the model's order or sorted.

use eframe::egui::{
    Align2, Button, Color32, ComboBox, FontId, Pos2, Rect, Role, ScrollArea, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo,
};
use tessera_pipeline::palette;

use super::subject::{Look, Measure, Subject, mode_words};
use super::{Cell, Face, Sort, Wish, replays};
use crate::window::action::Action;
use crate::window::cursor::Cursor;
use crate::window::store::Store;
use crate::window::views::parts;

/// Sides of a cell, in points.
const SMALLEST: f32 = 22.0;
const LARGEST: f32 = 76.0;
/// Between cells.
const GAP: f32 = 3.0;
/// Room for the names of layers.
const NAMES: f32 = 26.0;

/// Draws the grid.
pub(super) fn show(
    ui: &mut Ui,
    store: &Store,
    subject: &Subject,
    look: Look,
    actions: &mut Vec<Action>,
) {
    tools(ui, store, look, actions);
    ui.add_space(2.0);
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let heads = subject.meta.heads;
        let across = heads.max(1) as f32;
        let room = ui.available_width() - NAMES - 6.0;
        let side = ((room / across) - GAP).clamp(SMALLEST, LARGEST);
        let columns = match store.lens.sort {
            Sort::Model => heads.max(1),
            Sort::By(_) => ((room / (side + GAP)) as usize).max(1),
        };
        let all = sorted(store, subject, look);
        let rows = all.len().div_ceil(columns);
        let size = Vec2::new(
            ui.available_width().max(NAMES + across * SMALLEST),
            rows as f32 * (side + GAP),
        );
        let (area, _) = ui.allocate_exact_size(size, Sense::hover());
        let most = all.iter().filter_map(|at| measured(store, *at)).fold(0.0, f64::max);
        for (index, at) in all.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let corner =
                Vec2::new(NAMES + column as f32 * (side + GAP), 2.0 + row as f32 * (side + GAP));
            let cell = Rect::from_min_size(area.min + corner, Vec2::splat(side));
            if !ui.is_rect_visible(cell) {
                continue;
            }
            if column == 0 && store.lens.sort == Sort::Model {
                let place = Pos2::new(cell.min.x - 6.0, cell.center().y);
                let ink = ui.visuals().weak_text_color();
                ui.painter().text(
                    place,
                    Align2::RIGHT_CENTER,
                    at.layer,
                    FontId::proportional(11.0),
                    ink,
                );
            }
            draw(ui, store, subject, (*at, cell), most, actions);
        }
    });
}

fn tools(ui: &mut Ui, store: &Store, look: Look, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let sort = match store.lens.sort {
            Sort::Model => "as in the model",
            Sort::By(measure) => measure.name(),
        };
        let label = ui.label("Sort");
        let combo = ComboBox::from_id_salt("lens sort").selected_text(sort).width(112.0);
        let combo = combo.show_ui(ui, |ui| {
            let choices = std::iter::once((Sort::Model, "as in the model"))
                .chain(Measure::ALL.map(|measure| (Sort::By(measure), measure.name())));
            for (choice, name) in choices {
                let measure = if let Sort::By(measure) = choice { Some(measure) } else { None };
                if entry(ui, store, look, (store.lens.sort == choice, name), measure) {
                    actions.push(Action::Lens(Wish::Sort(choice)));
                }
            }
        });
        combo.response.labelled_by(label.id);
        let cell = match store.lens.cell {
            Cell::Picture => "Map",
            Cell::Number(measure) => measure.name(),
        };
        let label = ui.label("Show");
        let combo = ComboBox::from_id_salt("lens cell").selected_text(cell).width(100.0);
        let combo = combo.show_ui(ui, |ui| {
            let choices = std::iter::once((Cell::Picture, "Map"))
                .chain(Measure::ALL.map(|measure| (Cell::Number(measure), measure.name())));
            for (choice, name) in choices {
                let measure = if let Cell::Number(measure) = choice { Some(measure) } else { None };
                if entry(ui, store, look, (store.lens.cell == choice, name), measure) {
                    actions.push(Action::Lens(Wish::Cell(choice)));
                }
            }
        });
        combo.response.labelled_by(label.id);
    });
}

/// One line of a list, greyed with the reason where no head has its number.
fn entry(
    ui: &mut Ui,
    store: &Store,
    look: Look,
    (is_chosen, name): (bool, &str),
    measure: Option<Measure>,
) -> bool {
    let lacks = measure.and_then(|measure| store.lens.lacks(look, measure));
    let line = ui.add_enabled(lacks.is_none(), Button::selectable(is_chosen, name));
    line.on_disabled_hover_text(lacks.unwrap_or_default()).clicked()
}

/// All heads of the step, in the order in which they are shown.
fn sorted(store: &Store, subject: &Subject, look: Look) -> Vec<Look> {
    let (layers, heads) = (subject.meta.layers, subject.meta.heads);
    let mut all: Vec<Look> = (0..layers)
        .flat_map(|layer| (0..heads).map(move |head| Look { layer, head, ..look }))
        .collect();
    if let Sort::By(measure) = store.lens.sort {
        let value = |at: &Look| store.lens.known(*at, measure).unwrap_or(f64::MIN);
        all.sort_by(|a, b| value(b).total_cmp(&value(a)));
    }
    all
}

/// The number in a cell.
fn measured(store: &Store, at: Look) -> Option<f64> {
    match store.lens.cell {
        Cell::Picture => None,
        Cell::Number(measure) => store.lens.known(at, measure),
    }
}

fn draw(
    ui: &Ui,
    store: &Store,
    subject: &Subject,
    (at, cell): (Look, Rect),
    most: f64,
    actions: &mut Vec<Action>,
) {
    let painter = ui.painter();
    let meta = &subject.meta;
    match (store.lens.cell, &store.lens.pictures.sheet) {
        (Cell::Picture, Some(sheet)) => {
            let part = Vec2::new(1.0 / meta.heads as f32, 1.0 / meta.layers as f32);
            let corner = Pos2::new(at.head as f32 * part.x, at.layer as f32 * part.y);
            if let Some(texture) = sheet.at(f32::MAX) {
                painter.image(texture, cell, Rect::from_min_size(corner, part), Color32::WHITE);
            }
        }
        (Cell::Number(measure), _) => {
            let value = store.lens.known(at, measure);
            let share = value.map_or(0.0, |value| match measure {
                Measure::Time | Measure::Error => value / most.max(f64::MIN_POSITIVE),
                Measure::Density | Measure::Retained => value,
            }) as f32;
            let [r, g, b] = palette::heat(share);
            painter.rect_filled(cell, 2.0, Color32::from_rgb(r, g, b));
            if cell.width() >= 30.0 {
                let ink = if share > 0.6 { Color32::BLACK } else { Color32::WHITE };
                let text = value.map_or_else(|| "–".into(), |value| measure.words(value));
                painter.text(
                    cell.center(),
                    Align2::CENTER_CENTER,
                    text,
                    FontId::proportional(11.0),
                    ink,
                );
            }
        }
        _ => {}
    }
    let id = ui.scope_id().with(("head", at.layer, at.head));
    let response = ui.interact(cell, id, Sense::click());
    let now = store.trail.now();
    let is_shown = subject.look(now) == at;
    let spoken = subject.spoken(at);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_shown, &spoken));
    let visuals = ui.visuals();
    let stroke = match (is_shown, response.hovered() || response.has_focus()) {
        (true, _) => Stroke::new(2.0, store.theme.colors.accent),
        (false, true) => visuals.widgets.hovered.fg_stroke,
        (false, false) => visuals.widgets.noninteractive.bg_stroke,
    };
    ui.painter().rect_stroke(cell, 0.0, stroke, StrokeKind::Outside);
    if store.lens.replays.is_chosen([at.layer, at.head]) {
        let mark = Rect::from_min_size(cell.min + Vec2::splat(2.0), Vec2::splat(9.0));
        ui.painter().rect_filled(mark, 2.0, store.theme.colors.accent);
        ui.painter().rect_stroke(mark, 2.0, Stroke::new(1.0, Color32::BLACK), StrokeKind::Inside);
    }
    let is_choosing = store.lens.face == Face::Replay && ui.input(|i| i.modifiers.command);
    if response.clicked() && is_choosing && store.lens.replays.found().is_some() {
        let wish = replays::Wish::Toggle([at.layer, at.head]);
        actions.push(Action::Lens(Wish::Replay(wish)));
    } else if response.clicked() {
        actions.push(Action::Go(Cursor { layer: at.layer, head: at.head, ..now }));
    }
    response.on_hover_ui(|ui| {
        ui.strong(&spoken);
        ui.label(mode_words(subject.call(at)));
        for measure in Measure::ALL {
            if let Some(value) = store.lens.known(at, measure) {
                ui.label(format!("{}: {}", measure.name(), measure.words(value)));
            }
        }
        let is_pinned = meta.capture.pinned(at.layer).any(|head| head == at.head);
        if !is_pinned {
            parts::note(ui, ui.visuals().weak_text_color(), "Its map was not kept in full.");
        }
    });
}
