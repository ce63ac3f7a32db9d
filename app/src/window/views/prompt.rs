//! What the clip shows and what not: two texts with their tokens. What the model does not read any more is struck out.

use std::sync::Arc;

use eframe::egui::text::LayoutJob;
use eframe::egui::{
    Align, Galley, Layout, RichText, ScrollArea, Stroke, TextBuffer, TextEdit, TextFormat,
    TextStyle, Ui,
};

use super::parts;
use crate::window::action::Action;
use crate::window::draft;
use crate::window::store::Store;

/// A field: its setting, how high it is, what stands in it while it is empty, and how warnings about it begin.
const FIELDS: [(&str, usize, &str, &str); 2] = [
    (
        "prompt",
        4,
        "What the clip shows, such as: a red ball bouncing on a blue floor",
        "The prompt has",
    ),
    ("negative", 2, "What it should not show (optional)", "The negative prompt"),
];

/// Points up to which a field grows with its text.
const HIGHEST: f32 = 150.0;

/// Draws both.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    let plan = store.planning.plan();
    for (index, (key, rows, hint, said)) in FIELDS.into_iter().enumerate() {
        let tokens = plan.and_then(|plan| [Some(plan.prompt_tokens), plan.negative_tokens][index]);
        let read = plan.and_then(|plan| plan.words_read[index]);
        let mut text = store.draft.text(key).to_owned();
        let label = ui.horizontal(|ui| {
            let label =
                ui.label(RichText::new(draft::label(key)).strong()).on_hover_text(draft::help(key));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if let Some(tokens) = tokens.filter(|_| !text.trim().is_empty()) {
                    let words = RichText::new(format!("{tokens} tokens")).small();
                    ui.label(match read {
                        Some(_) => words.color(store.theme.colors.warning),
                        None => words.weak(),
                    });
                }
            });
            label.id
        });
        let mut layouter =
            |ui: &Ui, text: &dyn TextBuffer, width: f32| laid_out(ui, text.as_str(), read, width);
        // Enter makes no new line in a sentence, but Ctrl+Enter generates, and both reach the table of keys.
        let field = TextEdit::multiline(&mut text)
            .id_salt(key)
            .hint_text(hint)
            .desired_rows(rows)
            .desired_width(f32::INFINITY)
            .return_key(None)
            .layouter(&mut layouter);
        // A field that grew with its text would push all others out of the form.
        let scroll = ScrollArea::vertical().id_salt(("field", key)).max_height(HIGHEST);
        let field = scroll.show(ui, |ui| ui.add(field).labelled_by(label.inner)).inner;
        if store.wants_prompt && key == "prompt" {
            field.request_focus();
        }
        if field.changed() {
            let text = text.replace('\n', " ");
            actions.push(Action::Set(key, (!text.is_empty()).then(|| text.into())));
        }
        if !has_letters(ui, &text) {
            let words = "Signs that no font on this machine has are drawn as boxes; the model reads them all the same.";
            parts::note(ui, ui.visuals().weak_text_color(), words);
        }
        let warnings = plan.into_iter().flat_map(|plan| &plan.warnings);
        for warning in warnings.filter(|warning| warning.starts_with(said)) {
            parts::note(ui, store.theme.colors.warning, warning);
        }
    }
}

/// Whether every sign of a text has a letter in a font.
fn has_letters(ui: &Ui, text: &str) -> bool {
    let font_id = TextStyle::Body.resolve(ui.style());
    // Joiners and variation selectors are never drawn by themselves.
    let is_drawn = |sign: &char| {
        !sign.is_ascii() && !matches!(*sign, '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}')
    };
    text.is_ascii()
        || ui.fonts_mut(|fonts| {
            text.chars().filter(is_drawn).all(|sign| fonts.has_glyph(&font_id, sign))
        })
}

/// The text in its field; words from the one on that is not read any more are struck out.
fn laid_out(ui: &Ui, text: &str, read: Option<usize>, width: f32) -> Arc<Galley> {
    let font_id = TextStyle::Body.resolve(ui.style());
    let (seen, unseen) = text.split_at(read.map_or(text.len(), |words| end_of_word(text, words)));
    let format = TextFormat { font_id, color: ui.visuals().text_color(), ..TextFormat::default() };
    let weak = ui.visuals().weak_text_color();
    let struck =
        TextFormat { color: weak, strikethrough: Stroke::new(1.0, weak), ..format.clone() };
    let mut job = LayoutJob::default();
    job.append(seen, 0.0, format);
    if !unseen.is_empty() {
        job.append(unseen, 0.0, struck);
    }
    job.wrap.max_width = width;
    ui.fonts_mut(|fonts| fonts.layout_job(job))
}

/// Where so many words of a text end, in bytes.
fn end_of_word(text: &str, words: usize) -> usize {
    let last = words.checked_sub(1).and_then(|last| text.split_whitespace().nth(last));
    match (words, last) {
        (0, _) => 0,
        (_, None) => text.len(),
        (_, Some(word)) => word.as_ptr().addr() - text.as_ptr().addr() + word.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_where_they_end() {
        let text = "a  red bäll bounces";
        let ends: Vec<&str> = (0..6).map(|words| &text[..end_of_word(text, words)]).collect();
        assert_eq!(ends, ["", "a", "a  red", "a  red bäll", text, text]);
    }
}
