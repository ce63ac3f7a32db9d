//! The query brush as a face of the Lens: which part of the mass, how much of it, and the stage.

use eframe::egui::{Align, Button, Layout, RichText, Ui};
use tessera_pipeline::gaze::{Grain, Reading};
use tessera_pipeline::recording::Held;

use super::reel::Under;
use super::stage::{self, Stage};
use super::{Seen, Token, Wish, refusal, words};
use crate::text::plural;
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::lens;
use crate::window::lens::map;
use crate::window::lens::subject::Subject;
use crate::window::store::Store;
use crate::window::views::parts;

/// Draws it.
pub(crate) fn show(ui: &mut Ui, store: &Store, subject: &Subject, actions: &mut Vec<Action>) {
    let brush = &store.lens.brush;
    let now = store.trail.now();
    let tokens = brush.tokens(subject, now);
    let seen = match brush.seen() {
        Held::Here(seen) if !tokens.is_empty() => Some(seen),
        _ => None,
    };
    // Without the map there is nothing but the truth.
    let has_map = seen.is_none_or(|seen| seen.gaze.kept.is_some());
    let shown = if has_map { brush.reading } else { Reading::Truth };
    ui.horizontal(|ui| {
        for reading in Reading::ALL {
            let label = Button::selectable(shown == reading, called(reading));
            let label = ui.add_enabled(has_map || reading == Reading::Truth, label);
            let label = label.on_disabled_hover_text("This head's map was not recorded.");
            if label.on_hover_text(explained(reading)).clicked() {
                actions.push(Action::Lens(lens::Wish::Brush(Wish::Reading(reading))));
            }
        }
        let measure = Button::new("Measure exactly");
        if brush.working.is_none()
            && parts::explain(ui, store, Command::MeasureExactly, measure).clicked()
        {
            actions.push(Action::Run(Command::MeasureExactly));
        }
        words::working(ui, brush, &mut |wish| actions.push(Action::Lens(lens::Wish::Brush(wish))));
        if let Some(seen) = seen.filter(|_| brush.working.is_none()) {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let kept = match seen.gaze.kept_share() {
                    Some(share) => format!("the map keeps {:.1} %", share * 100.0),
                    None => "no map recorded".into(),
                };
                ui.label(format!("{}: {kept}", plural(seen.tokens.len() as u64, "query token")));
            });
        }
    });
    let under = brush.frames.as_ref().map(|frames| &frames.under);
    ui.label(RichText::new(about(subject, seen, &tokens, under)).small().weak());
    match brush.seen() {
        Held::Dropped if !tokens.is_empty() => map::missing(ui, "attention", true),
        Held::NotCaptured if !tokens.is_empty() && !brush.is_behind(&tokens) => {
            if refusal(subject).is_none() {
                let text = "This head's attention was not recorded. “Measure exactly” runs the step again for it.";
                ui.label(RichText::new(text).small());
            } else {
                map::missing(ui, "attention", false);
            }
        }
        _ => {}
    }
    let index = Reading::ALL.iter().position(|reading| *reading == shown).unwrap_or(0);
    let stage = Stage {
        spoken: spoken(subject, seen, &tokens, shown),
        heat: seen.map(|seen| (&seen.textures[index], seen.tiles)),
        of_frames: seen.map_or(&[], |seen| seen.of_frames[index].as_slice()),
        tokens: &tokens,
        paints: true,
    };
    stage::show(ui, store, subject, &stage, actions);
}

fn called(reading: Reading) -> &'static str {
    match reading {
        Reading::Truth => "Dense truth",
        Reading::Kept => "Kept",
        Reading::Missed => "Missed",
    }
}

fn explained(reading: Reading) -> &'static str {
    match reading {
        Reading::Truth => "Where dense attention looks from the chosen tokens.",
        Reading::Kept => {
            "The part of it in blocks that the map sees finer than its floor, or at all where the floor is skipping."
        }
        Reading::Missed => "The part of it that the map skips, or sees only as the floor's mean.",
    }
}

/// What is to be known about the picture.
fn about(
    subject: &Subject,
    seen: Option<&Seen>,
    tokens: &[Token],
    under: Option<&Under>,
) -> String {
    let under = match under {
        Some(Under::Clip(path)) => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            format!("On {name}.")
        }
        Some(Under::Predicted(step)) => {
            format!("On what step {} was heading for, from the recorded latents.", step + 1)
        }
        Some(Under::Nothing) => {
            "On empty frames: the run's clip is not beside the recording, and no latents are in it."
                .into()
        }
        None => String::new(),
    };
    if tokens.is_empty() {
        return format!(
            "Click or paint on the picture to choose query tokens; arrow keys move one. {under}"
        );
    }
    let grain = match seen.map(|seen| seen.gaze.grain) {
        Some(Grain::Blocks) => format!(
            "Block resolution: a row of the map, its mass spread over the {} tokens of each key block. Log scale. ",
            subject.meta.blocks().key_block
        ),
        Some(Grain::Tokens) => "Token resolution, exact. Log scale. ".into(),
        None => String::new(),
    };
    format!("{grain}{under}")
}

/// The picture in words, after its frame.
fn spoken(subject: &Subject, seen: Option<&Seen>, tokens: &[Token], reading: Reading) -> String {
    let grid = subject.meta.grid;
    let chosen = match tokens {
        [] => return "no query token chosen".into(),
        [[frame, row, column]] => format!(
            "query token latent frame {} of {}, row {row}, column {column}",
            frame + 1,
            grid.frames
        ),
        several => plural(several.len() as u64, "query token"),
    };
    match seen {
        Some(seen) => {
            let (of, reading) = (seen.look, called(reading).to_lowercase());
            let map = match seen.gaze.kept_share() {
                Some(share) => format!("keeps {:.0} percent", share * 100.0),
                None => "was not recorded".into(),
            };
            format!("{chosen}, {reading}, the map of layer {} head {} {map}", of.layer, of.head)
        }
        None => chosen,
    }
}
