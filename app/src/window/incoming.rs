//! What comes to the window from outside it: events of the engine, replies of the workers, files that are dropped.

use eframe::egui::Context;
use tessera_pipeline::events::EventKind;

use super::app::Window;
use super::apply::scan;
use super::archive::Ask;
use super::compare;
use super::cursor::Cursor;
use super::layout::{self, Pane};
use super::lens;
use super::log::Level;
use super::runs::State;
use super::workers::{Errand, Reply};

impl Window {
    /// Reads what the engine told.
    pub(super) fn hear(&mut self) {
        let Some(bridge) = &self.bridge else { return };
        if let Some(preview) = bridge.preview() {
            self.store.runs.preview(preview);
        }
        let (events, is_gone) = (bridge.events(), bridge.is_gone());
        for event in events {
            let store = &mut self.store;
            if let EventKind::Warning { text } = &event.kind {
                store.log.say(Level::Warning, text.clone());
            }
            let is_last = event.kind.is_last();
            let Some(run) = store.runs.event(event).filter(|_| is_last) else { continue };
            let name = crate::text::shorten(&run.request.prompt, 50);
            let (level, text) = match &run.state {
                State::Finished(_) => (Level::Success, format!("Done: {name}")),
                State::Failed(error) => (Level::Error, error.clone()),
                State::Cancelled | State::Running => (Level::Info, format!("Stopped: {name}")),
            };
            store.log.say(level, text);
            self.archive.ask(Ask::Find(store.past.line.clone()));
            store.planning.forget(); // speeds were measured and memory has changed
            self.is_unsaved = true;
        }
        if is_gone {
            let why = "The engine's thread has ended; start it again to go on. The queue is kept.";
            self.store.runs.lose(why);
            self.store.log.say(Level::Error, why);
            (self.store.engine_lost, self.store.queue.is_held) = (Some(why.into()), true);
            self.bridge = None;
        }
    }

    /// Reads what the workers found.
    pub(super) fn answer(&mut self) {
        for reply in self.workers.replies() {
            let store = &mut self.store;
            match reply {
                Reply::Planned(answer) => store.planning.take(*answer),
                Reply::Film(film) => store.film(film),
                Reply::Clip(path, receipt) => {
                    let id = store.queue.name();
                    if store.draft.text("prompt").trim().is_empty() {
                        store.draft.take(&receipt.request);
                    }
                    store.runs.ended(id, &path, receipt);
                    store.trail.go(Cursor { run: Some(id), ..store.trail.now() });
                }
                Reply::Make(request) => {
                    store.queue.add(*request);
                }
                Reply::Spared { job, request, taken } => {
                    if let Some(taken) = taken {
                        let name = request.out.as_deref().unwrap_or(&taken).display();
                        let text = format!(
                            "{} is there already; this clip becomes {name}.",
                            taken.display()
                        );
                        store.log.say(Level::Info, text);
                    }
                    self.begin(job, request);
                }
                Reply::Exporting(name, done, of) => {
                    super::brush_apply::exporting(store, name, done, of);
                }
                Reply::Exported(exported) => super::brush_apply::exported(store, exported),
                Reply::Copied(to) => {
                    store.log.say(Level::Success, format!("Saved as {}.", to.display()));
                }
                Reply::Models(models) => store.models = Some(models),
                Reply::Settings(path, Ok(request)) => {
                    store.draft.take(&request);
                    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                    store.log.say(Level::Info, format!("These are the settings of {name}."));
                    self.is_unsaved = true;
                }
                Reply::Settings(_, Err(error)) | Reply::Failed(error) => {
                    store.log.say(Level::Error, error);
                }
                Reply::Recording(path) => self.open_recording(path),
                Reply::Compare(paths) => {
                    for path in paths {
                        compare::apply::apply(
                            store,
                            compare::Wish::Add(compare::Source::file(&path)),
                        );
                    }
                }
                Reply::PickedFile(path) => self.workers.give(Errand::Settings(path)),
                Reply::PickedFolder(folder) => {
                    store.model_folders.retain(|other| *other != folder);
                    store.model_folders.push(folder);
                    self.is_unsaved = true;
                    scan(self);
                }
            }
        }
    }

    /// Files that were dropped on the window: on Compare they are clips; else a folder is a model, a recording is opened, and
    /// others have settings in them.
    pub(super) fn drops(&mut self, ctx: &Context) {
        let dropped = ctx.input(|input| input.raw.dropped_files.clone());
        for path in dropped.iter().map(|file| file.path().to_path_buf()) {
            let is_for_compare = layout::is_shown(self.store.layout.as_ref(), Pane::Compare);
            if is_for_compare && !lens::is_for_lens(&path) {
                let wish = compare::Wish::Add(compare::Source::file(&path));
                compare::apply::apply(&mut self.store, wish);
            } else if path.is_dir() {
                self.store.model_folders.push(path);
                scan(self);
            } else {
                self.workers.give(Errand::Dropped(path));
            }
        }
    }
}
