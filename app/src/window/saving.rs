//! Writes what the window remembers, on a thread that does nothing else: no errand, however long, stands before it.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use eframe::egui::Context;
use tessera_pipeline::latest::Latest;

use super::pace;
use super::prefs::Prefs;

/// The way to the thread. Dropping it waits until the newest that was given is written.
pub(crate) struct Saver {
    newest: Option<Latest<Box<Prefs>>>,
    failures: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// Starts the thread, which writes into this folder.
    pub(crate) fn start(folder: PathBuf, ctx: &Context) -> std::io::Result<Self> {
        let (newest, given) = Latest::<Box<Prefs>>::channel();
        let (failed, failures) = Latest::channel();
        let ctx = ctx.clone();
        let thread = std::thread::Builder::new().name("tessera-save".into()).spawn(move || {
            for prefs in given {
                if let Err(error) = prefs.write(&folder) {
                    failed.put(format!("What the window remembers could not be saved: {error}"));
                    pace::wake(&ctx);
                }
            }
        })?;
        Ok(Self { newest: Some(newest), failures, thread: Some(thread) })
    }

    /// Has this written, instead of what was given before and is not written yet.
    pub(crate) fn save(&self, prefs: Prefs) {
        if let Some(newest) = &self.newest {
            newest.put(Box::new(prefs));
        }
    }

    /// Why the last one could not be written, told once.
    pub(crate) fn failed(&self) -> Option<String> {
        self.failures.try_recv().ok()
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.newest = None; // the thread writes what waits, then ends
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that saves what the window remembers has panicked");
        }
        if let Some(error) = self.failed() {
            tracing::error!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_last_is_in_the_file_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let saver = Saver::start(folder.path().into(), &Context::default()).unwrap();
        for step in 0..50 {
            let mut prefs = Prefs::default();
            prefs.draft.set("steps", Some(step.into()));
            saver.save(prefs);
        }
        drop(saver);
        let (prefs, told) = Prefs::read(folder.path());
        assert!(told.is_none());
        assert_eq!(prefs.draft.get("steps"), Some(&49.into()));
    }
}
