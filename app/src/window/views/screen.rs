//! The clip: while it is made, as predicted after every step; then as it is. Below it the transport.

use eframe::egui::{
    Align2, Button, FontId, Frame, Image, Margin, Panel, Pos2, Rect, RichText, Sense, Slider, Ui,
    UiBuilder, Vec2,
};

use super::parts;
use crate::text::shorten;
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::player::{Film, Source};
use crate::window::runs::{Run, State};
use crate::window::store::Store;

/// Prompts to begin with, one a line.
const EXAMPLES: &str = include_str!("../../../../assets/toybox/prompts.txt");
/// How many of them are offered.
const OFFERED: usize = 4;

/// Draws the screen and the transport.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let frame = Frame::new().inner_margin(Margin::symmetric(10, 6));
    Panel::bottom("transport").frame(frame).resizable(false).show_separator_line(false).show(
        ui,
        |ui| {
            transport(ui, store, actions);
        },
    );
    let area = ui.available_rect_before_wrap();
    ui.painter().rect_filled(area, 0.0, store.theme.colors.screen);
    match (store.player.film(), store.shown_run()) {
        (Some(film), run) => picture(ui, store, area, film, run),
        (None, Some(run)) => empty(ui, store, area, run),
        (None, None) => welcome(ui, store, area, actions),
    }
}

/// The picture as large as it fits, spoken as what it is.
fn picture(ui: &mut Ui, store: &Store, area: Rect, film: &Film, run: Option<&Run>) {
    let Some(texture) = store.player.texture() else { return };
    let size = Vec2::new(film.size[0] as f32, film.size[1] as f32);
    let scale = (area.width() / size.x).min(area.height() / size.y);
    let shown = Rect::from_center_size(area.center(), size * scale);
    let frame = store.player.frame() + 1;
    let what = match film.source {
        Source::Preview { step, .. } => {
            let of = run.and_then(|run| run.steps).map_or(step + 1, |(_, of)| of);
            format!("Preview after step {} of {of}", step + 1)
        }
        Source::Clip { .. } => "Finished clip".into(),
        Source::Recorded { .. } => "Recorded run".into(),
    };
    let words = format!("{what}, frame {frame} of {}", film.frames.len());
    let response = ui.interact(shown, ui.scope_id().with("picture"), Sense::HOVER);
    response
        .widget_info(|| eframe::egui::WidgetInfo::labeled(eframe::egui::Role::Image, true, &words));
    Image::new((texture.id(), shown.size())).paint_at(ui, shown);
    if matches!(film.source, Source::Preview { .. }) {
        badge(ui, store, area.min + Vec2::splat(10.0), &what);
    }
}

/// Words on the picture that can be read on any picture.
fn badge(ui: &Ui, store: &Store, at: Pos2, words: &str) {
    let colors = &store.theme.colors;
    let galley = ui.painter().layout_no_wrap(
        words.into(),
        FontId::proportional(12.0),
        colors.on_accent.into(),
    );
    let back = Rect::from_min_size(at, galley.size() + Vec2::new(14.0, 8.0));
    ui.painter().rect_filled(back, 4.0, colors.accent);
    ui.painter().galley(at + Vec2::new(7.0, 4.0), galley, colors.on_accent.into());
}

/// A run without a picture yet, or for good.
fn empty(ui: &mut Ui, store: &Store, area: Rect, run: &Run) {
    let words = match &run.state {
        State::Running => "The first picture comes after the first step.",
        State::Finished(_) => "Reading the clip…",
        State::Failed(_) => "This run failed; what went wrong stands beside it.",
        State::Cancelled => "This run was stopped before its first step.",
    };
    let color = on_screen(store);
    ui.painter().text(
        area.center(),
        Align2::CENTER_CENTER,
        words,
        FontId::proportional(14.0),
        color,
    );
}

/// The colour of words on the empty screen.
fn on_screen(store: &Store) -> eframe::egui::Color32 {
    store.theme.on_screen()
}

/// What to do in a window that has made nothing yet.
fn welcome(ui: &mut Ui, store: &Store, area: Rect, actions: &mut Vec<Action>) {
    let middle =
        Rect::from_center_size(area.center(), Vec2::new((area.width() - 40.0).min(460.0), 240.0));
    ui.scope_builder(UiBuilder::new().max_rect(middle), |ui| {
        ui.vertical_centered(|ui| {
            let color = on_screen(store);
            ui.label(RichText::new("Tessera").size(28.0).color(color));
            ui.label(RichText::new("Write what the clip shows, then press Generate.").color(color));
            ui.add_space(14.0);
            ui.label(RichText::new("Or begin with one of these:").small().color(color));
            for example in EXAMPLES.lines().filter(|line| !line.trim().is_empty()).take(OFFERED) {
                let button = Button::new(shorten(example, 64))
                    .min_size(Vec2::new(middle.width(), 0.0))
                    .truncate();
                if ui.add(button).on_hover_text(example).clicked() {
                    actions.extend([
                        Action::Set("prompt", Some(example.into())),
                        Action::Run(Command::FocusPrompt),
                    ]);
                }
            }
        });
    });
}

/// Play, frames, speed.
fn transport(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let player = &store.player;
    let (count, is_empty) =
        (player.film().map_or(1, |film| film.frames.len()), player.film().is_none());
    ui.horizontal(|ui| {
        let play = if player.is_playing && !is_empty { ("‖", "Pause") } else { ("▶", "Play") };
        let buttons = [
            (play.0, play.1, Command::PlayPause),
            ("«", "First frame", Command::FirstFrame),
            ("◂", "One frame back", Command::FrameBack),
            ("▸", "One frame on", Command::FrameForward),
        ];
        for (sign, name, command) in buttons {
            let keys = store.keys.text(command);
            let response = parts::icon_if(ui, !is_empty, sign, name);
            if response.on_hover_text(keys).clicked() {
                actions.push(Action::Run(command));
            }
        }
        let mut frame = player.frame();
        let rest = 200.0;
        ui.spacing_mut().slider_width = (ui.available_width() - rest).max(60.0);
        let slider = Slider::new(&mut frame, 0..=count - 1).show_value(false);
        let slider = ui.add_enabled(!is_empty, slider);
        parts::named(&slider, "Frame");
        if slider.changed() {
            actions.push(Action::Seek(frame));
        }
        let text = if is_empty { "–".into() } else { format!("{} / {count}", frame + 1) };
        ui.label(RichText::new(text).monospace());
        let repeat = ui.selectable_label(player.repeats, "↻");
        parts::named(&repeat, "Repeat");
        if repeat.on_hover_text("Repeat").clicked() {
            actions.push(Action::Run(Command::Loop));
        }
        if parts::icon(ui, "−", "Slower").clicked() {
            actions.push(Action::Run(Command::Slower));
        }
        ui.label(RichText::new(format!("{}×", player.speed())).monospace()).on_hover_text("Speed");
        if parts::icon(ui, "+", "Faster").clicked() {
            actions.push(Action::Run(Command::Faster));
        }
    });
}
