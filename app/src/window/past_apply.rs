//! What each wish about the history does, and what is done with the archive's answers.

use eframe::egui::{Context, TextureOptions};

use super::app::Window;
use super::archive::{Ask, Told};
use super::compare::{self, Source};
use super::cursor::Cursor;
use super::layout::{Pane, reveal};
use super::log::Level;
use super::past::{Thumb, Wish};
use super::workers::Errand;

/// Does what was asked for.
pub(super) fn apply(window: &mut Window, wish: Wish) {
    let (past, archive) = (&mut window.store.past, &window.archive);
    match wish {
        Wish::Search(line) => {
            archive.ask(Ask::Find(line.clone()));
            past.search(line);
        }
        Wish::See(ids) => {
            past.ask(&ids);
            archive.ask(Ask::See(ids));
        }
        Wish::Choose(id) => choose(window, id),
        Wish::MoveTo(id) => {
            past.wanted = Some(id);
            choose(window, Some(id));
        }
        Wish::Reached => past.wanted = None,
        Wish::Star(id, is_starred) => {
            past.star(id, is_starred);
            archive.ask(Ask::Star(id, is_starred));
            archive.ask(Ask::Find(past.line.clone()));
        }
        Wish::TypeTags(tags) => past.write_tags(tags),
        Wish::SaveTags => save_tags(window),
        Wish::Grid(is_grid) => past.is_grid = is_grid,
        Wish::Restore(id) => {
            if let Some(request) = past.row(id).and_then(|row| row.request.clone()) {
                window.store.draft.take(&request);
                window.store.log.say(Level::Info, "The settings of that run are in Studio.");
                reveal(window.store.layout.as_mut(), Pane::Compose);
            }
        }
        Wish::Play(id) => archive.ask(Ask::Receipt(id)),
        Wish::Compare(id) => {
            if let Some(row) = past.row(id) {
                let source = Source { path: row.video.clone(), name: row.prompt.clone() };
                compare::apply::apply(&mut window.store, compare::Wish::Add(source));
            }
        }
        Wish::Folder(id) => {
            if let Some(folder) = past.row(id).and_then(|row| row.video.parent()) {
                window.workers.give(Errand::Reveal(folder.to_path_buf()));
            }
        }
        Wish::Forget { id, with_video } => {
            let video = past.row(id).map(|row| row.video.clone()).filter(|_| with_video);
            if past.chosen == Some(id) {
                let next = past.neighbour(id);
                past.choose(next);
                past.wanted = next;
            }
            archive.ask(Ask::Forget(id, video));
            archive.ask(Ask::Find(past.line.clone()));
        }
    }
}

/// Chooses a run; what was written for the one before is saved.
fn choose(window: &mut Window, id: Option<i64>) {
    save_tags(window);
    window.store.past.choose(id);
}

/// Saves the tags that were written.
fn save_tags(window: &Window) {
    if let Some((id, tags)) = window.store.past.unsaved_tags() {
        window.archive.ask(Ask::Tags(id, tags.to_owned()));
    }
}

/// Takes in what the archive told.
pub(super) fn hear(window: &mut Window, ctx: &Context) {
    for told in window.archive.told() {
        let store = &mut window.store;
        match told {
            Told::Found(line, found) => {
                store.past.why_none = None;
                if line == store.past.line {
                    store.past.take(found);
                }
            }
            Told::Row(row) => store.past.see(*row),
            Told::Tagged(row, words) => store.past.tagged(*row, &words),
            Told::Thumb(id, image, frames) => {
                let name = format!("history {id}");
                let texture = ctx.load_texture(name, image, TextureOptions::LINEAR);
                store.past.show(id, Thumb { texture, frames });
            }
            Told::Receipt(receipt, video) => {
                let known =
                    store.runs.iter().find(|run| run.video() == Some(&video)).map(|run| run.id);
                let id = known.unwrap_or_else(|| {
                    let id = store.queue.name();
                    store.runs.ended(id, &video, receipt);
                    id
                });
                store.trail.go(Cursor { run: Some(id), ..store.trail.now() });
                reveal(store.layout.as_mut(), Pane::Screen);
            }
            Told::Note(text) => store.log.say(Level::Warning, text),
            Told::None(why) => {
                let text = format!("There is no history: {why}");
                if store.past.why_none.is_none() {
                    store.log.say(Level::Warning, text);
                }
                (store.past.why_none, store.past.found) = (Some(why), Some(Vec::new()));
            }
            Told::Failed(error) => store.log.say(Level::Error, error),
        }
    }
}
