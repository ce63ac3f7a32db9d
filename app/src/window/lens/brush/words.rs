//! Word chips as a face of the Lens: a word of the prompt, and where its cross-attention acts, over all frames.

use eframe::egui::{Button, ProgressBar, RichText, ScrollArea, Ui};

use super::measure::{self, Word, Words};
use super::stage::{self, Stage};
use super::{Brush, Wish};
use crate::window::action::Action;
use crate::window::lens;
use crate::window::lens::subject::{Look, Subject};
use crate::window::store::Store;
use crate::window::views::parts;

/// How high the chips may be.
const CHIPS: f32 = 66.0;

/// Draws it.
pub(crate) fn show(ui: &mut Ui, store: &Store, subject: &Subject, actions: &mut Vec<Action>) {
    let brush = &store.lens.brush;
    let look = subject.look(store.trail.now());
    let refusal = measure::refusal(subject);
    let mut wish = |wish| actions.push(Action::Lens(lens::Wish::Brush(wish)));
    let texts = texts(subject, look);
    if texts.is_empty() {
        ui.weak("This prompt has no words.");
    }
    ScrollArea::vertical().id_salt("chips").max_height(CHIPS).show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ui.add_enabled_ui(refusal.is_none(), |ui| {
            ui.horizontal_wrapped(|ui| {
                for (index, text) in texts.iter().enumerate() {
                    let chip = Button::new(*text).selected(brush.word == Some(index));
                    let chip = ui.add(chip);
                    parts::named(&chip, &format!("Word {}, {text}", index + 1));
                    if chip.clicked() {
                        wish(Wish::Word(index));
                    }
                }
            });
        });
    });
    ui.horizontal(|ui| {
        ui.add_enabled_ui(refusal.is_none(), |ui| {
            for (of_head, name) in [(false, "Mean of heads"), (true, "This head")] {
                if ui.selectable_label(brush.of_head == of_head, name).clicked() {
                    wish(Wish::OfHead(of_head));
                }
            }
        });
        if !working(ui, brush, &mut wish) {
            ui.label(RichText::new(about(brush, look, refusal.as_deref())).small().weak());
        }
    });
    let shown = shown(brush, look);
    let stage = Stage {
        spoken: match shown {
            Some((words, word)) => format!(
                "the word {}, {} of layer {}",
                word.text,
                if words.of_head {
                    format!("head {}", words.look.head)
                } else {
                    "mean of all heads".into()
                },
                words.look.layer
            ),
            None => "no word shown".into(),
        },
        heat: shown.and_then(|(words, _)| Some((brush.word_texture()?, words.tiles))),
        of_frames: shown.map_or(&[], |(_, word)| word.of_frames.as_slice()),
        tokens: &[],
        paints: false,
    };
    stage::show(ui, store, subject, &stage, actions);
}

/// The words that the branch reads.
pub(super) fn texts(subject: &Subject, look: Look) -> Vec<&str> {
    let request = &subject.meta.request;
    let prompt = match look.branch {
        0 => &request.prompt,
        _ => request.negative.as_ref().unwrap_or(&request.prompt),
    };
    prompt.split_whitespace().collect()
}

/// The chosen word at the place that is looked at, once it was measured there.
pub(crate) fn shown(brush: &Brush, look: Look) -> Option<(&Words, &Word)> {
    let words = brush.words.as_ref().filter(|words| is_of(words, look, brush.of_head))?;
    Some((words, words.all.get(brush.word?)?))
}

/// Whether words were measured at a place.
pub(super) fn is_of(words: &Words, look: Look, of_head: bool) -> bool {
    let head = |look: Look| if of_head { look.head } else { 0 };
    let place = |look: Look| Look { head: head(look), ..look };
    words.of_head == of_head && place(words.look) == place(look)
}

/// How far a measurement is, with a way to stop it; whether there is one.
pub(super) fn working(ui: &mut Ui, brush: &Brush, wish: &mut dyn FnMut(Wish)) -> bool {
    let Some(working) = &brush.working else { return false };
    let (doing, done, of) = working.progress;
    let text = match doing {
        "blocks" => format!("layer {done} of {of}"),
        "text" | "weights" => format!("reading the model, {doing}"),
        _ => "reading the model".into(),
    };
    let bar = ProgressBar::new(done as f32 / of.max(1) as f32).desired_width(120.0);
    let bar = ui.add(bar.desired_height(8.0));
    parts::named(&bar, &format!("Measuring, {text}"));
    ui.label(RichText::new(&text).small());
    if ui.button("Stop measuring").clicked() {
        wish(Wish::StopMeasuring);
    }
    true
}

/// What is to be known about the picture.
fn about(brush: &Brush, look: Look, refusal: Option<&str>) -> String {
    match (refusal, shown(brush, look)) {
        (Some(refusal), _) => refusal.into(),
        (None, Some((_, word))) => {
            let most = word.shares.iter().copied().fold(0.0, f32::max);
            let mean = word.of_frames.iter().sum::<f32>() / word.of_frames.len().max(1) as f32;
            format!(
                "“{}” gets {:.2} % of the look at words on average, {:.1} % at most; padding is looked at too. Linear scale.",
                word.text,
                mean * 100.0,
                most * 100.0
            )
        }
        (None, None) if brush.words.is_some() && brush.word.is_some() => {
            "Measured elsewhere: click a word to measure this step and layer.".into()
        }
        (None, None) => {
            "Click a word to see where it acts; the step is run again with its model, on the CPU."
                .into()
        }
    }
}
