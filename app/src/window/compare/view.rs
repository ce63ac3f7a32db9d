//! Compare as a pane: the clips on top, how they are seen, the pictures, the scrubber below and the settings beside.

use std::fmt::Write as _;

use eframe::egui::{Align, Button, Frame, Label, Layout, Margin, Panel, RichText, Slider, Ui};

use super::clip::{Clip, Source};
use super::scores::Metric;
use super::{Compare, MOST_CLIPS, Mode, Wish, blind, curves, details, stage};
use crate::text::shorten;
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::store::Store;
use crate::window::views::parts;

/// Draws it.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    if compare.clips().is_empty() {
        return empty(ui, store, actions);
    }
    let plain = Frame::new().inner_margin(Margin { bottom: 6, ..Margin::ZERO });
    let bar =
        |id: &'static str| Panel::top(id).frame(plain).resizable(false).show_separator_line(false);
    if let Some(blind) = &compare.blind {
        bar("compare blind").show(ui, |ui| blind::show(ui, store, blind, actions));
    }
    if !compare.is_blind() {
        bar("compare clips").show(ui, |ui| clips(ui, store, actions));
        bar("compare modes").show(ui, |ui| modes(ui, store, actions));
    }
    let foot = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
    let below =
        Panel::bottom("compare scrubber").frame(foot).resizable(false).show_separator_line(false);
    below.show(ui, |ui| {
        curves::show(ui, store, actions);
        transport(ui, store, actions);
    });
    if compare.looking.has_details && !compare.is_blind() {
        let side = Frame::new().inner_margin(Margin { left: 8, ..Margin::ZERO });
        let panel = Panel::right("compare details").frame(side).resizable(true).default_size(280.0);
        panel.size_range(180.0..=520.0).show(ui, |ui| details::show(ui, store, actions));
    }
    stage::show(ui, store, actions);
}

/// Nothing is compared yet.
fn empty(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    ui.vertical_centered(|ui| {
        ui.add_space(ui.available_height() * 0.22);
        ui.label(RichText::new("Compare").heading());
        ui.label("See up to four clips on one playhead: side by side, with a wipe, as their difference, and measured frame by frame.");
        ui.add_space(10.0);
        parts::command_button(ui, store, Command::AddClip, "Add clips…", actions);
        ui.add_space(4.0);
        ui.weak("Or drop videos here, or press Compare beside a clip of the history.");
        runs(ui, store, actions);
    });
}

/// Finished clips of this session that are not compared yet, as buttons.
fn runs(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let taken =
        |source: &Source| store.compare.clips().iter().any(|clip| clip.source.path == source.path);
    let finished: Vec<Source> = store
        .runs
        .iter()
        .rev()
        .filter_map(Source::of_run)
        .filter(|source| !taken(source))
        .collect();
    if finished.is_empty() {
        return;
    }
    ui.add_space(8.0);
    ui.label(RichText::new("Clips of this session").strong());
    for source in finished.into_iter().take(8) {
        let button = ui.button(shorten(&source.name, 60));
        if button.on_hover_text(source.path.display().to_string()).clicked() {
            actions.push(Action::Compare(Wish::Add(source)));
            ui.close();
        }
    }
}

/// A button a clip, and one to add another.
fn clips(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    ui.horizontal_wrapped(|ui| {
        for clip in compare.clips() {
            chip(ui, store, clip, actions);
        }
        if compare.clips().len() < MOST_CLIPS {
            ui.menu_button("Add a clip", |ui| {
                ui.set_min_width(220.0);
                parts::command_button(ui, store, Command::AddClip, "From files…", actions);
                runs(ui, store, actions);
            });
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            toggle(
                ui,
                store,
                Command::CompareDetails,
                compare.looking.has_details,
                "Details",
                actions,
            );
            toggle(
                ui,
                store,
                Command::CompareMetrics,
                compare.looking.measures,
                "Metrics",
                actions,
            );
            parts::command_button(ui, store, Command::Blind, "Blind…", actions);
            toggle(ui, store, Command::Magnifier, compare.looking.magnifies, "Magnifier", actions);
        });
    });
    for note in compare.notes() {
        parts::note(ui, store.theme.colors.warning, &note);
    }
}

/// A button that stays pressed.
fn toggle(
    ui: &mut Ui,
    store: &Store,
    command: Command,
    is_on: bool,
    text: &str,
    actions: &mut Vec<Action>,
) {
    let button = parts::explain(ui, store, command, Button::selectable(is_on, text));
    if button.clicked() {
        actions.push(Action::Run(command));
    }
}

/// One clip: what it is, and in its menu what can be done with it.
fn chip(ui: &mut Ui, store: &Store, clip: &Clip, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    let (place, letter) = (compare.place(clip.id), compare.letter(clip.id));
    let is_b = compare.candidate().is_some_and(|b| b.id == clip.id);
    let role = match (place, is_b) {
        (0, _) => "reference",
        (_, true) => "candidate",
        _ => "",
    };
    let color = store.theme.series(place);
    let error = store.theme.colors.error;
    let frame = Frame::group(ui.style()).inner_margin(Margin::symmetric(6, 2));
    let mut want = |wish| actions.push(Action::Compare(wish));
    frame.show(ui, |ui| {
        ui.set_min_height(24.0);
        ui.label(RichText::new(letter).strong().color(color));
        let words = RichText::new(shorten(&clip.source.name, 28));
        let words = if clip.error.is_some() { words.color(error) } else { words };
        let name = ui.add(Button::selectable(is_b, words).truncate());
        parts::named(&name, &format!("{letter}, {} {role}", clip.source.name));
        let mut about = clip.source.path.display().to_string();
        if let Some([width, height]) = clip.size() {
            let _ = write!(about, "\n{width}×{height}, {} frames", clip.frames()); // writing to a String cannot fail
        }
        if let Some(error) = &clip.error {
            let _ = write!(about, "\n{error}"); // as above
        }
        let name = name.on_hover_text(about);
        if name.clicked() {
            want(Wish::Candidate(clip.id));
        }
        if name.secondary_clicked() {
            want(Wish::Reference(clip.id));
        }
        if !role.is_empty() {
            ui.weak(RichText::new(role).small());
        }
        let menu = ui.menu_button("▾", |ui| {
            if ui.add_enabled(place > 0, Button::new("Measure against this one")).clicked() {
                want(Wish::Reference(clip.id));
                ui.close();
            }
            let has_settings = clip.request().is_some();
            if ui.add_enabled(has_settings, Button::new("Use its settings in Studio")).clicked() {
                want(Wish::Take(clip.id));
                ui.close();
            }
            if ui.button("Take it away").clicked() {
                want(Wish::Remove(clip.id));
                ui.close();
            }
        });
        parts::named(&menu.response, &format!("What can be done with {letter}"));
    });
}

/// How clips are seen, and what there is to set about it.
fn modes(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    let looking = &compare.looking;
    ui.horizontal_wrapped(|ui| {
        for (mode, name) in Mode::ALL {
            let refusal = compare.refusal_of(mode);
            let button = Button::selectable(looking.mode == mode, name);
            let button = ui.add_enabled(refusal.is_none(), button);
            if button.on_disabled_hover_text(refusal.unwrap_or_default()).clicked() {
                actions.push(Action::Compare(Wish::Mode(mode)));
            }
        }
        ui.separator();
        match looking.mode {
            Mode::Wipe => {
                share(ui, "Wipe", looking.wipe.at, Wish::Wipe, actions);
                toggle(
                    ui,
                    store,
                    Command::WipeAxis,
                    looking.wipe.is_flat,
                    "Top and bottom",
                    actions,
                );
            }
            Mode::Overlay => share(ui, "B over A", looking.opacity, Wish::Opacity, actions),
            Mode::Difference => {
                if parts::icon(ui, "−", "Smaller gain").clicked() {
                    actions.push(Action::Run(Command::LessGain));
                }
                ui.label(format!("× {}", looking.gain))
                    .on_hover_text("What differences are multiplied with");
                if parts::icon(ui, "+", "Larger gain").clicked() {
                    actions.push(Action::Run(Command::MoreGain));
                }
            }
            Mode::Ssim => {
                ui.weak("Bright where B is unlike A");
            }
            Mode::Side | Mode::Blink => {}
        }
        if compare.clips().len() > 1 {
            for (side, command, name) in
                [(0, Command::HideFirst, "Hide A"), (1, Command::HideSecond, "Hide B")]
            {
                toggle(ui, store, command, looking.hidden == Some(side), name, actions);
            }
            parts::command_button(ui, store, Command::SwapSides, "Swap", actions);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            parts::command_button(ui, store, Command::FitPicture, "Fit", actions);
            ui.weak(format!("{:.0} %", looking.camera.zoom * 100.0));
        });
    });
}

/// A share that can be dragged.
fn share(ui: &mut Ui, name: &str, now: f32, wish: impl Fn(f32) -> Wish, actions: &mut Vec<Action>) {
    let mut percent = now * 100.0;
    ui.spacing_mut().slider_width = 110.0;
    let slider =
        ui.add(Slider::new(&mut percent, 0.0..=100.0).suffix(" %").fixed_decimals(0).step_by(1.0));
    parts::named(&slider, name);
    if slider.on_hover_text(name).changed() {
        actions.push(Action::Compare(wish(percent / 100.0)));
    }
}

/// Play, frames, speed, the metric and its worst frame.
fn transport(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    let moves = &compare.transport;
    ui.horizontal(|ui| {
        let play = if moves.is_playing { ("‖", "Hold") } else { ("▶", "Play") };
        for (sign, name, command) in [
            (play.0, play.1, Command::PlayPause),
            ("«", "First frame", Command::FirstFrame),
            ("◂", "One frame back", Command::FrameBack),
            ("▸", "One frame on", Command::FrameForward),
        ] {
            let keys = store.keys.text(command);
            if parts::icon(ui, sign, name).on_hover_text(keys).clicked() {
                actions.push(Action::Run(command));
            }
        }
        let count = compare.frames();
        let text =
            if count == 0 { "–".into() } else { format!("{} / {count}", compare.frame() + 1) };
        ui.label(RichText::new(text).monospace());
        let way = if moves.is_forward { "" } else { "−" };
        ui.label(RichText::new(format!("{way}{}×", moves.speed())).monospace())
            .on_hover_text("Speed");
        let repeat = ui.selectable_label(moves.repeats, "↻");
        parts::named(&repeat, "Repeat");
        if repeat.on_hover_text("Repeat").clicked() {
            actions.push(Action::Run(Command::Loop));
        }
        if compare.shows_curves() {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                measured(ui, store, compare, actions);
            });
        }
    });
}

/// The metric, what it says of this frame, and the way to the worst one.
fn measured(ui: &mut Ui, store: &Store, compare: &Compare, actions: &mut Vec<Action>) {
    parts::command_button(ui, store, Command::WorstFrame, "Worst frame", actions);
    for metric in Metric::ALL.into_iter().rev() {
        if ui.selectable_label(compare.looking.metric == metric, metric.name()).clicked() {
            actions.push(Action::Compare(Wish::Metric(metric)));
        }
    }
    let Some([a, b]) = compare.pair() else { return };
    let score = compare.curve([a.id, b.id]).get(compare.frame()).copied().flatten();
    if let Some(score) = score {
        let words: Vec<String> = Metric::ALL
            .into_iter()
            .filter_map(|metric| {
                Some(format!("{} {}", metric.name(), metric.words(score.of(metric)?)))
            })
            .collect();
        let letter = compare.letter(b.id);
        ui.add(
            Label::new(RichText::new(format!("{letter} to A: {}", words.join(" · "))).monospace())
                .truncate(),
        )
        .on_hover_text("Distance from the reference in this frame, not quality");
    }
}
