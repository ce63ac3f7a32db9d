//! One frame of the window: what came in, what is drawn, what was asked for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui::{CentralPanel, Context, Frame, Margin, Panel, Ui};
use egui_notify::{Anchor, Toasts};
use tessera_pipeline::events::{Command as EngineCommand, JobId};
use tessera_pipeline::request::Request;

use super::action::Action;
use super::apply::{apply, scan};
use super::archive::{Archive, Ask};
use super::bridge::{Bridge, Line};
use super::commands::{Command, Menu};
use super::compare;
use super::cursor::Cursor;
use super::keys;
use super::layout::{self, Pane, Panes};
use super::lens::{self, Reader, brush, cuts, mass, replays};
use super::log::Level;
use super::meter::Meter;
use super::prefs::Remembered;
use super::saving::Saver;
use super::store::{Over, Store};
use super::theme::install_fonts;
use super::views;
use super::workers::{Errand, Workers};

/// How long a change may go unsaved.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// How a line to an engine is opened, at the start and after a loss.
pub(crate) type Dial = Box<dyn Fn() -> Result<Line, String>>;

/// The window: state, the engine's line, the workers.
pub(crate) struct Window {
    /// All state.
    pub(crate) store: Store,
    /// The line to the engine; `None` when none could be opened.
    pub(crate) bridge: Option<Bridge>,
    /// The way to the history.
    pub(crate) archive: Archive,
    /// Slow work.
    pub(crate) workers: Workers,
    /// Reads recordings.
    reader: Reader,
    /// Reads what the brush asks for.
    pub(crate) brush: brush::Desk,
    /// Looks how busy the machine is.
    meter: Meter,
    /// Says what cut-offs would do.
    pub(crate) cuts: cuts::Desk,
    /// Computes retained masses.
    pub(crate) mass: mass::Desk,
    /// Replays steps.
    pub(crate) replays: replays::Desk,
    /// The workers of Compare.
    pub(crate) compare: compare::apply::Desks,
    dial: Dial,
    toasts: Toasts,
    /// Writes what is to be remembered; `None` remembers nothing.
    saver: Option<Saver>,
    saved_at: Instant,
    /// Whether something to remember has changed since.
    pub(super) is_unsaved: bool,
    /// The clips that the saved queue has, in their order.
    saved_queue: Vec<JobId>,
    size: [f32; 2],
    random: u64,
}

impl Window {
    /// A window that talks to what `dial` opens, begins with what was remembered and remembers in `folder`.
    pub(crate) fn new(
        ctx: &Context,
        dial: Dial,
        folder: Option<PathBuf>,
        (prefs, told): Remembered,
        software: Option<String>,
    ) -> anyhow::Result<Self> {
        let size = prefs.size;
        let mut store = Store::new(prefs, software)?;
        install_fonts(ctx);
        store.dress(ctx);
        ctx.set_zoom_factor(store.scale);
        ctx.options_mut(|options| options.zoom_with_keyboard = false); // the table has these keys
        if let Some(told) = told {
            store.log.say(Level::Warning, told);
        }
        if store.queue.is_held {
            let count = store.queue.waiting().len();
            store.log.say(
                Level::Info,
                format!("{count} from last time wait in the queue; it goes on when you let it."),
            );
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let saved_queue = store.unfinished();
        let mut window = Self {
            store,
            bridge: None,
            archive: Archive::open(folder.clone(), ctx)?,
            workers: Workers::start(ctx)?,
            reader: Reader::start(ctx)?,
            brush: brush::Desk::start(ctx)?,
            meter: Meter::start(ctx)?,
            cuts: cuts::Desk::start(ctx)?,
            mass: mass::Desk::start(ctx)?,
            replays: replays::Desk::start(ctx)?,
            compare: compare::apply::Desks::start(ctx, folder.clone())?,
            saver: folder.map(|folder| Saver::start(folder, ctx)).transpose()?,
            dial,
            toasts: Toasts::default().with_anchor(Anchor::BottomRight),
            saved_at: Instant::now(),
            is_unsaved: false,
            saved_queue,
            size,
            random: now.map_or(1, |since| since.as_nanos() as u64),
        };
        window.restart_engine(ctx);
        scan(&mut window);
        window.archive.ask(Ask::Find(String::new()));
        Ok(window)
    }

    /// Opens a line to an engine.
    pub(crate) fn restart_engine(&mut self, ctx: &Context) {
        self.bridge = None; // the old engine ends before the new one starts
        let opened =
            (self.dial)().and_then(|line| Bridge::open(line, ctx).map_err(|e| e.to_string()));
        match opened {
            Ok(bridge) => (self.bridge, self.store.engine_lost) = (Some(bridge), None),
            Err(error) => {
                self.store.engine_lost = Some(format!("The engine did not start: {error}"));
            }
        }
    }

    /// A number for a seed, up to 2³², which is as far as torch's generator looks.
    pub(crate) fn random(&mut self) -> u64 {
        // splitmix64: one addition and two multiplications make any counter look random.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 32
    }

    /// Takes in what came, moves the queue and the film on. Runs before each frame, and while the window is hidden.
    pub(crate) fn logic(&mut self, ctx: &Context) {
        self.hear();
        self.answer();
        super::past_apply::hear(self, ctx);
        self.drops(ctx);
        self.advance();
        self.store.drawing.find(ctx, self.store.runs.running().is_some());
        self.measure();
        if let Some((job, path, fps)) = self.store.stage() {
            self.workers.give(Errand::Film { job, path, fps });
        }
        let (request, wrong) = self.store.draft.request();
        if wrong.is_empty()
            && let Some(question) = self.store.planning.ask(&request)
        {
            self.workers.ask(question);
        }
        self.see(ctx);
        compare::apply::hear(self, ctx);
        if layout::is_shown(self.store.layout.as_ref(), Pane::Screen) {
            let rests = self.store.drawing.is_sparing();
            self.store.player.tick(ctx, rests); // behind another tab a film asks for no frames
        }
        self.save(ctx);
    }

    /// Draws everything, and does what it asked for.
    pub(crate) fn show(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        let mut actions = self.typed(&ctx);
        Panel::top("menu").frame(bar(self, 4)).show_separator_line(false).show(ui, |ui| {
            views::menu::show(ui, &self.store, &mut actions);
        });
        Panel::bottom("status").frame(bar(self, 3)).show_separator_line(false).show(ui, |ui| {
            views::status::show(ui, &self.store, &mut actions);
        });
        let background =
            Frame::new().fill(self.store.theme.background()).inner_margin(Margin::symmetric(4, 0));
        CentralPanel::default().frame(background).show(ui, |ui| {
            if let Some(mut tree) = self.store.layout.take() {
                let mut panes =
                    Panes { store: &self.store, actions: &mut actions, is_edited: false };
                tree.ui(&mut panes, ui);
                self.is_unsaved |= panes.is_edited;
                self.store.layout = Some(tree);
            }
        });
        views::over::show(&ctx, &self.store, &mut actions);
        self.store.wants_prompt = false;
        if layout::is_shown(self.store.layout.as_ref(), Pane::Compare) {
            self.store.compare.wants_focus = false;
        }
        if !actions.is_empty() {
            self.is_unsaved = true;
            let step = self.store.trail.now().step;
            for action in actions {
                apply(self, &ctx, action);
            }
            if self.store.trail.now().step != step {
                self.store.lens.follow(false); // somebody chose a step
            }
            ctx.request_repaint(); // what was asked for is to be seen
        }
        self.toast(&ctx);
    }

    /// What keys asked for.
    fn typed(&mut self, ctx: &Context) -> Vec<Action> {
        if let Over::Settings { listening: Some(command) } = self.store.over {
            return match keys::pressed(ctx) {
                Some(keys) if keys.logical_key == eframe::egui::Key::Escape => {
                    vec![Action::Listen(None)]
                }
                Some(keys) => {
                    ctx.input_mut(|input| input.events.clear());
                    vec![Action::Bind(command, Some(keys))]
                }
                None => Vec::new(),
            };
        }
        let typed =
            self.store.keys.typed(ctx, compare::apply::hearing(&self.store, ctx)).into_iter();
        // Arrows mean nothing while nothing is open to look at, and need not say so.
        let is_heard = |command: &Command| {
            command.row().menu != Menu::Lens || command.refusal(&self.store).is_none()
        };
        typed.filter(is_heard).map(Action::Run).collect()
    }

    /// Opens a recording in the Lens and brings that to the front.
    pub(crate) fn open_recording(&mut self, path: PathBuf) {
        self.store.lens.open_where_sparse(path);
        layout::reveal(self.store.layout.as_mut(), Pane::Lens);
    }

    /// Takes in what was read of the recording that is open, and asks for what is looked at now.
    fn see(&mut self, ctx: &Context) {
        let store = &mut self.store;
        for found in self.reader.found() {
            if let Err(error) = store.lens.take(ctx, found) {
                store.log.say(Level::Error, error);
            }
        }
        if let Some(run) = store.trail.now().run.and_then(|id| store.runs.get(id)) {
            store.lens.accompany(run);
        }
        if let Some(step) = store.lens.news(store.trail.now().step) {
            store.trail.follow(step);
        }
        let cursor = store.trail.now();
        if layout::is_shown(store.layout.as_ref(), Pane::Lens)
            && let Some(ask) = store.lens.ask(cursor)
        {
            self.reader.ask(ask);
        }
        store.lens.tick(ctx, cursor);
        super::lens_desks::hear(self, ctx);
        super::brush_apply::hear(self, ctx);
    }

    /// Starts the next clip when nothing runs. Whoever watched the last one watches this one.
    fn advance(&mut self) {
        let store = &mut self.store;
        if store.runs.running().is_some() || store.engine_lost.is_some() {
            return;
        }
        let watched = store.runs.iter().next_back().map(|run| run.id);
        let Some(next) = store.queue.next() else { return };
        let request =
            if store.records { lens::recorded(&next.request) } else { next.request.clone() };
        let (job, request) = (next.id, Box::new(request));
        store.runs.start(job, next.request);
        let now = store.trail.now();
        if now.run.is_none() || now.run == watched {
            store.trail.go(Cursor { run: Some(next.id), ..now });
        }
        match request.out {
            Some(_) => self.workers.give(Errand::Spare { job, request }),
            None => self.begin(job, request), // its name is made so that it is nobody's
        }
    }

    /// Hands the clip whose turn it is to the engine, unless it was stopped meanwhile.
    pub(super) fn begin(&mut self, job: JobId, request: Box<Request>) {
        if self.store.runs.running().is_none_or(|run| run.id != job) {
            return;
        }
        self.store.runs.named(job, request.out.clone());
        let command = EngineCommand::Generate { job, request };
        if !self.bridge.as_ref().is_some_and(|bridge| bridge.send(command)) {
            self.store.runs.lose("The engine does not listen; start it again.");
        }
    }

    /// Sees to it that the machine is looked at while a clip is made.
    fn measure(&mut self) {
        let is_busy = self.store.runs.running().is_some();
        self.meter.want(is_busy);
        let newer = self.meter.reading();
        self.store.reading = newer.or(self.store.reading.take()).filter(|_| is_busy);
    }

    /// Saves after a change, but not after each; the queue at once, so that a crash costs no clip.
    fn save(&mut self, ctx: &Context) {
        let failed = self.saver.as_ref().and_then(Saver::failed);
        if let Some(error) = failed {
            self.store.log.say(Level::Error, error);
        }
        let queue = self.store.unfinished();
        if queue == self.saved_queue {
            if !self.is_unsaved {
                return;
            }
            if let Some(left) = SAVE_EVERY.checked_sub(self.saved_at.elapsed()) {
                ctx.request_repaint_after(left);
                return;
            }
        }
        self.saved_queue = queue;
        self.size = ctx.input(|input| input.content_rect().size()).into();
        if let Some(saver) = &self.saver {
            saver.save(self.store.prefs(self.size));
        }
        (self.saved_at, self.is_unsaved) = (Instant::now(), false);
    }

    /// Saves for the last time and ends the engine.
    pub(crate) fn close(&mut self) {
        if let Some(saver) = self.saver.take() {
            saver.save(self.store.prefs(self.size));
        }
        if let Some(bridge) = &mut self.bridge {
            bridge.close();
        }
    }

    /// Shows new lines of the log for a while. They move in and out, so those that come while the processor is spared wait.
    fn toast(&mut self, ctx: &Context) {
        if self.store.drawing.is_sparing() {
            return;
        }
        for line in self.store.log.take_unread() {
            let text = crate::text::shorten(&line.text, 90);
            let seconds = match line.level {
                Level::Info | Level::Success => 4,
                Level::Warning => 7,
                Level::Error => 12,
            };
            let (sign, color) = self.store.theme.sign(line.level);
            let toast = self.toasts.custom(text, sign.to_owned(), color);
            toast.duration(Duration::from_secs(seconds)).show_progress_bar(false).closable(false);
        }
        if !self.toasts.is_empty() {
            self.toasts.show(ctx);
        }
    }
}

/// The frame of a bar at the window's edge.
fn bar(window: &Window, height: i8) -> Frame {
    Frame::new().fill(window.store.theme.background()).inner_margin(Margin::symmetric(8, height))
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &Context, _: &mut eframe::Frame) {
        self.logic(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.show(ui);
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        self.close();
    }
}
