//! One finished run, closely: what can be done with it, its tags, and in what its settings differ from those in Studio.

use eframe::egui::{Grid, Label, RichText, ScrollArea, TextEdit, Ui};
use tessera_pipeline::history::Row;

use super::parts;
use crate::text::duration;
use crate::window::action::Action;
use crate::window::past::{Wish, differences};
use crate::window::store::Store;

/// Draws the run.
pub(crate) fn show(ui: &mut Ui, store: &Store, row: &Row, actions: &mut Vec<Action>) {
    let mut want = |wish| actions.push(Action::Past(wish));
    ui.horizontal(|ui| {
        ui.strong(format!("{}, {}", row.finished, duration((row.seconds * 1000.0) as u64)));
        ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
            if parts::icon(ui, "×", "Close the details").clicked() {
                want(Wish::Choose(None));
            }
        });
    });
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.add(Label::new(&row.prompt).wrap().selectable(true));
        if row.is_gone {
            parts::note(ui, store.theme.colors.warning, "Its video is not there any more.");
        }
        ui.add(
            Label::new(RichText::new(row.video.display().to_string()).small().weak()).truncate(),
        );
        ui.horizontal_wrapped(|ui| {
            if ui
                .add_enabled(row.request.is_some(), eframe::egui::Button::new("Restore settings"))
                .clicked()
            {
                want(Wish::Restore(row.id));
            }
            let gone = "Its video is not there any more.";
            let play = eframe::egui::Button::new("Open in player");
            if ui.add_enabled(!row.is_gone, play).on_disabled_hover_text(gone).clicked() {
                want(Wish::Play(row.id));
            }
            let compare = eframe::egui::Button::new("Compare");
            if ui.add_enabled(!row.is_gone, compare).on_disabled_hover_text(gone).clicked() {
                want(Wish::Compare(row.id));
            }
            if ui.button("Open folder").clicked() {
                want(Wish::Folder(row.id));
            }
            ui.menu_button("Remove", |ui| {
                if ui.button("Forget the run, keep its video").clicked() {
                    want(Wish::Forget { id: row.id, with_video: false });
                    ui.close();
                }
                let delete = eframe::egui::Button::new("Delete its video too");
                if ui.add_enabled(!row.is_gone, delete).clicked() {
                    want(Wish::Forget { id: row.id, with_video: true });
                    ui.close();
                }
            });
        });
        ui.add_space(4.0);
        let mut tags = store.past.tags(row).to_owned();
        let field = TextEdit::singleline(&mut tags)
            .hint_text("Tags, commas between them")
            .desired_width(f32::INFINITY);
        let field = ui.add(field);
        parts::named(&field, "Tags");
        if field.changed() {
            want(Wish::TypeTags(tags));
        }
        if field.lost_focus() {
            want(Wish::SaveTags);
        }
        ui.add_space(6.0);
        diff(ui, store, row);
    });
}

/// Only what differs, from here to Studio.
fn diff(ui: &mut Ui, store: &Store, row: &Row) {
    let Some(then) = &row.request else {
        ui.weak("A newer Tessera made it; its settings cannot be read.");
        return;
    };
    let form = store.draft.request().0;
    let plan = store.planning.plan().filter(|_| !store.planning.is_behind());
    let now = plan.map_or(&form, |plan| &plan.request);
    let differences = differences(then, now);
    if differences.is_empty() {
        ui.weak("Studio has the same settings.");
        return;
    }
    ui.strong("Differs from Studio");
    Grid::new("history differences").num_columns(3).striped(true).spacing([10.0, 3.0]).show(
        ui,
        |ui| {
            for head in ["Setting", "Here", "Studio"] {
                ui.label(RichText::new(head).small().weak());
            }
            ui.end_row();
            for (name, here, there) in &differences {
                ui.label(RichText::new(name).small());
                for text in [here, there] {
                    let short = crate::text::shorten(text, 18);
                    ui.label(RichText::new(short).small()).on_hover_text(text);
                }
                ui.end_row();
            }
        },
    );
}
