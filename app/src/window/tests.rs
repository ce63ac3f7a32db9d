//! The window as a person uses it, found by its accessible names, with an engine that says what a test makes it say.
//!
//! [`Desk`] has the window in a harness and the other ends of the engine's channels. Nothing here needs a display, a graphics
//! device or a model, except for `pictures`, which says loudly when it cannot draw.

mod brush;
mod commands;
pub(super) mod compare;
mod cuts;
mod export;
mod faults;
mod frame;
mod generate;
mod history;
mod idle;
mod lens;
mod live;
mod open;
mod pace;
mod pictures;
mod replays;
mod tuned;
mod words;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::{Context, Key, Modifiers, RawInput, Ui, UiBuilder, Vec2};
use egui_kittest::kittest::Queryable as _;
use egui_kittest::{Harness, HarnessBuilder};
use tessera_pipeline::engine::{Engine, Options};
use tessera_pipeline::events::{Command, Event, EventKind, JobId};
use tessera_pipeline::preview::Preview;

use super::app::{Dial, Window};
use super::bridge::Line;
use super::prefs::Prefs;
use super::theme::install_fonts;

/// Longer than any worker takes here.
const PATIENCE: Duration = Duration::from_mins(1);

/// The ends of the channels that an engine would hold.
pub(super) struct FakeEngine {
    commands: Receiver<Command>,
    events: Sender<Event>,
    previews: Sender<Preview>,
}

/// A file as a person drops it.
#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl eframe::egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

/// A window on a test's desk.
pub(super) struct Desk {
    pub(super) harness: Harness<'static, Window>,
    engine: Rc<RefCell<Option<FakeEngine>>>,
    /// What the window's threads ask for frames.
    waker: Context,
    /// Removed when it is dropped.
    pub(super) folder: Arc<tempfile::TempDir>,
}

impl Desk {
    /// A window of 1280 × 800 with a fake engine.
    pub(super) fn new() -> Self {
        Self::with(Harness::builder().with_size(Vec2::new(1280.0, 800.0)))
    }

    pub(super) fn with(builder: HarnessBuilder<Window>) -> Self {
        Self::in_folder(builder, Arc::new(tempfile::tempdir().expect("a folder")))
    }

    /// A window that remembers in this folder.
    pub(super) fn in_folder(
        builder: HarnessBuilder<Window>,
        folder: Arc<tempfile::TempDir>,
    ) -> Self {
        let engine = Rc::new(RefCell::new(None));
        let line = Rc::clone(&engine);
        let dial: Dial = Box::new(move || {
            let (commands, inbox) = bounded(64);
            let (outbox, events) = bounded(4096);
            let (pictures, previews) = bounded(1);
            *line.borrow_mut() =
                Some(FakeEngine { commands: inbox, events: outbox, previews: pictures });
            Ok(Line { commands, events, previews, engine: None })
        });
        Self::at(builder, folder, engine, dial)
    }

    /// A window with the real engine.
    pub(super) fn with_engine(builder: HarnessBuilder<Window>) -> Self {
        Self::with_engine_in(builder, Arc::new(tempfile::tempdir().expect("a folder")))
    }

    /// A window with the real engine, which keeps its history where the window looks for it.
    pub(super) fn with_engine_in(
        builder: HarnessBuilder<Window>,
        folder: Arc<tempfile::TempDir>,
    ) -> Self {
        let data_dir = Some(folder.path().join("data"));
        let dial = move || {
            let options = Options { data_dir: data_dir.clone(), machine: None, threads: None };
            Engine::start_with(options).map(Line::of).map_err(|error| error.to_string())
        };
        Self::at(builder, folder, Rc::default(), Box::new(dial))
    }

    fn at(
        builder: HarnessBuilder<Window>,
        folder: Arc<tempfile::TempDir>,
        engine: Rc<RefCell<Option<FakeEngine>>>,
        dial: Dial,
    ) -> Self {
        // The window is made with the harness's own context, so that its threads wake the right one.
        let ctx = Context::default();
        let path = folder.path().join("data");
        let remembered = Prefs::read(&path);
        let window = Window::new(&ctx, dial, Some(path), remembered, None).expect("a window");
        let mut is_first = true;
        let frame = move |ui: &mut Ui, window: &mut Window| {
            if std::mem::take(&mut is_first) {
                install_fonts(ui.ctx());
                window.store.theme.apply(ui.ctx());
            }
            window.logic(ui.ctx());
            // The harness leaves a margin that the program's window does not have.
            let whole = UiBuilder::new().max_rect(ui.ctx().content_rect());
            ui.scope_builder(whole, |ui| {
                ui.set_clip_rect(ui.max_rect());
                window.show(ui);
            });
        };
        let harness = builder.build_ui_state(frame, window);
        let mut desk = Self { harness, engine, waker: ctx, folder };
        desk.wait("models and a plan", |window| {
            window.store.models.is_some() && !window.store.planning.is_behind()
        });
        desk
    }

    /// Draws until what the workers do has come.
    pub(super) fn wait(&mut self, what: &str, is_there: impl Fn(&Window) -> bool) {
        let start = Instant::now();
        while !is_there(self.harness.state()) {
            let log = || self.harness.state().store.log.lines();
            assert!(start.elapsed() < PATIENCE, "{what} did not come; the log: {:#?}", log());
            std::thread::sleep(Duration::from_millis(10));
            self.harness.step();
        }
        self.harness.run_steps(3);
    }

    /// Draws until something on the window is named with `words` (workers' answers reach it some frames later).
    #[track_caller]
    pub(super) fn sees(&mut self, words: &str) {
        let start = Instant::now();
        while self.harness.query_all_by_label_contains(words).next().is_none() {
            assert!(start.elapsed() < PATIENCE, "nothing is named {words:?}");
            std::thread::sleep(Duration::from_millis(10));
            self.harness.step();
        }
    }

    /// Forgets that threads asked for a frame.
    pub(super) fn hush(&self) {
        for _ in 0..3 {
            self.waker.run_ui(RawInput::default(), |_| ()).textures_delta.clear();
        }
        assert!(!self.is_woken());
    }

    /// Whether a thread has asked for a frame since.
    pub(super) fn is_woken(&self) -> bool {
        self.waker.has_requested_repaint()
    }

    /// What the window sent to the engine.
    pub(super) fn sent(&self) -> Vec<Command> {
        let engine = self.engine.borrow();
        engine.as_ref().map(|engine| engine.commands.try_iter().collect()).unwrap_or_default()
    }

    /// The next that it sends: a clip with a name goes by a worker first, which looks for a free one.
    pub(super) fn next_sent(&mut self) -> Vec<Command> {
        let start = Instant::now();
        loop {
            let sent = self.sent();
            if !sent.is_empty() {
                return sent;
            }
            assert!(start.elapsed() < PATIENCE, "nothing was sent to the engine");
            std::thread::sleep(Duration::from_millis(10));
            self.harness.step();
        }
    }

    /// The engine says something, and the window hears it.
    pub(super) fn tell(&mut self, job: u64, kind: EventKind) {
        if let Some(engine) = self.engine.borrow().as_ref() {
            engine.events.send(Event { job: JobId(job), kind }).expect("the window listens");
            let start = Instant::now();
            while !engine.events.is_empty() && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_millis(30)); // through the thread that wakes the window
        self.harness.run_steps(2);
    }

    /// The engine shows a preview.
    pub(super) fn preview(&mut self, preview: Preview) {
        if let Some(engine) = self.engine.borrow().as_ref() {
            engine.previews.send(preview).expect("the window listens");
        }
        self.harness.run_steps(2);
    }

    /// The engine's thread is gone.
    pub(super) fn kill_engine(&mut self) {
        *self.engine.borrow_mut() = None;
        self.wait("the news", |window| window.store.engine_lost.is_some());
    }

    /// Presses a key.
    pub(super) fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.run_steps(2);
    }

    /// A file is dropped on the window.
    pub(super) fn drop_file(&mut self, path: &std::path::Path) {
        self.harness.input_mut().dropped_files.push(Arc::new(Dropped(path.into())));
        self.harness.run_steps(2);
    }

    pub(super) fn window(&self) -> &Window {
        self.harness.state()
    }
}
