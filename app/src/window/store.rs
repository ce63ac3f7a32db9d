//! Everything the window knows. Views read it; only `apply` and what comes from the engine and the workers change it.

use std::path::PathBuf;

use eframe::egui::Context;
use egui_tiles::Tree;
use tessera_pipeline::events::JobId;
use tessera_pipeline::machine::Reading;

use super::commands::Command;
use super::compare::Compare;
use super::cursor::Trail;
use super::draft::Draft;
use super::keys::Keymap;
use super::layout::{self, Pane};
use super::lens::Lens;
use super::log::{Level, Log};
use super::models::Model;
use super::pace::Drawing;
use super::past::Past;
use super::planning::Planning;
use super::player::{Film, Player, Source};
use super::prefs::Prefs;
use super::queue::Queue;
use super::runs::{Run, Runs};
use super::theme::{Choice, Theme};

/// What lies over the panes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Over {
    /// Nothing.
    #[default]
    Nothing,
    /// The command palette, with what was typed and the line that is chosen.
    Palette { typed: String, chosen: usize },
    /// The sheet of keys.
    Keys,
    /// The preferences, with the command whose keys are waited for.
    Settings { listening: Option<Command> },
}

/// All state.
pub(crate) struct Store {
    /// The look.
    pub(crate) theme: Theme,
    /// Which look it is.
    pub(crate) choice: Choice,
    /// How large everything is; 1 is the screen's own size.
    pub(crate) scale: f32,
    /// Which keys give which command.
    pub(crate) keys: Keymap,
    /// What is being composed.
    pub(crate) draft: Draft,
    /// What that would mean.
    pub(crate) planning: Planning,
    /// Clips that wait.
    pub(crate) queue: Queue,
    /// Clips that run or ran.
    pub(crate) runs: Runs,
    /// Where everyone looks.
    pub(crate) trail: Trail,
    /// The clip on the screen.
    pub(crate) player: Player,
    /// Models that were found; `None` until the first look.
    pub(crate) models: Option<Vec<Model>>,
    /// Model folders that a person added.
    pub(crate) model_folders: Vec<PathBuf>,
    /// Finished runs of all times.
    pub(crate) past: Past,
    /// What attention did, of a recording.
    pub(crate) lens: Lens,
    /// Clips on one playhead.
    pub(crate) compare: Compare,
    /// Whether clips are recorded for the Lens.
    pub(crate) records: bool,
    /// How often it is drawn.
    pub(crate) drawing: Drawing,
    /// What was told.
    pub(crate) log: Log,
    /// What lies over the panes.
    pub(crate) over: Over,
    /// Where the panes are; taken out while they are drawn.
    pub(crate) layout: Option<Tree<Pane>>,
    /// Whether the prompt is to get the keyboard at the next chance.
    pub(crate) wants_prompt: bool,
    /// How busy the machine is while a clip is made.
    pub(crate) reading: Option<Reading>,
    /// Why there is no engine, if there is none.
    pub(crate) engine_lost: Option<String>,
    /// The clip whose film is being decoded or on the screen.
    pub(crate) film_of: Option<JobId>,
}

impl Store {
    /// The state of a window that opens.
    pub(crate) fn new(prefs: Prefs, software: Option<String>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            theme: Theme::load(prefs.theme)?,
            choice: prefs.theme,
            scale: prefs.scale.clamp(0.5, 3.0),
            keys: Keymap::read(&prefs.keys),
            draft: prefs.draft,
            planning: Planning::default(),
            queue: Queue::restore(prefs.queue),
            runs: Runs::default(),
            trail: Trail::default(),
            player: Player::default(),
            models: None,
            model_folders: prefs.model_folders,
            past: Past::new(prefs.is_history_grid),
            lens: Lens::default(),
            compare: Compare::default(),
            records: prefs.records,
            drawing: Drawing::new(software, prefs.spares),
            log: Log::default(),
            over: Over::Nothing,
            layout: Some(prefs.layout.unwrap_or_else(layout::first)),
            wants_prompt: true,
            reading: None,
            engine_lost: None,
            film_of: None,
        })
    }

    /// Makes egui look like the theme; without a graphics device nothing fades or slides.
    pub(crate) fn dress(&self, ctx: &Context) {
        self.theme.apply(ctx);
        if self.drawing.software.is_some() {
            ctx.all_styles_mut(|style| style.animation_time = 0.0);
        }
    }

    /// What to remember.
    pub(crate) fn prefs(&self, size: [f32; 2]) -> Prefs {
        let running = self.runs.running().map(|run| run.request.clone());
        let waiting = self.queue.waiting().iter().map(|item| item.request.clone());
        Prefs {
            theme: self.choice,
            scale: self.scale,
            keys: self.keys.save(),
            records: self.records,
            spares: self.drawing.spares,
            model_folders: self.model_folders.clone(),
            draft: self.draft.clone(),
            queue: running.into_iter().chain(waiting).collect(),
            layout: self.layout.clone(),
            is_history_grid: self.past.is_grid,
            size,
        }
    }

    /// Clips that must not be lost: the running one and those that wait.
    pub(crate) fn unfinished(&self) -> Vec<JobId> {
        let running = self.runs.running().map(|run| run.id);
        running.into_iter().chain(self.queue.waiting().iter().map(|item| item.id)).collect()
    }

    /// The run that everyone looks at.
    pub(crate) fn shown_run(&self) -> Option<&Run> {
        self.runs.get(self.trail.now().run?)
    }

    /// The finished video of the run that everyone looks at.
    pub(crate) fn shown_video(&self) -> Option<&PathBuf> {
        self.shown_run()?.video()
    }

    /// Why Generate cannot be pressed, if it cannot.
    pub(crate) fn refusal(&self) -> Option<String> {
        if let Some(lost) = &self.engine_lost {
            return Some(lost.clone());
        }
        if self.draft.text("prompt").trim().is_empty() {
            return Some("Write what the clip shows.".into());
        }
        let (_, wrong) = self.draft.request();
        if let Some(first) = wrong.first() {
            return Some(first.clone());
        }
        if self.planning.is_behind() {
            return None; // the plan of these settings is on its way; the engine plans for itself
        }
        self.planning.error().map(ToOwned::to_owned)
    }

    /// The player that the keys work: the Lens's frames where those can be seen and no clip is on a screen beside them.
    pub(crate) fn playing(&mut self) -> &mut Player {
        if self.is_brushing() { &mut self.lens.brush.player } else { &mut self.player }
    }

    /// Whether the keys of the player work the frames of the Lens.
    pub(crate) fn is_brushing(&self) -> bool {
        let sees = |pane| layout::is_shown(self.layout.as_ref(), pane);
        let has_clip = self.player.film().is_some() && sees(Pane::Screen);
        let has_frames = self.lens.face.has_frames() && self.lens.brush.player.film().is_some();
        has_frames && sees(Pane::Lens) && !has_clip
    }

    /// Puts on the screen what belongs to the run that everyone looks at; says which clip has to be decoded for it.
    pub(crate) fn stage(&mut self) -> Option<(JobId, PathBuf, f64)> {
        let Some(run) = self.shown_run() else {
            if self.player.film().is_some() {
                self.player.show(None);
            }
            self.film_of = None;
            return None;
        };
        let (id, video) = (run.id, run.video().cloned());
        let shown = self.player.film().map(|film| film.source);
        if let Some(video) = video {
            let resolved = run.plan.as_ref().map_or(&run.request, |plan| &plan.request);
            let fps = resolved.fps.unwrap_or(16.0);
            let is_there = shown == Some(Source::Clip { job: id }) || self.film_of == Some(id);
            self.film_of = Some(id);
            return (!is_there).then_some((id, video, fps));
        }
        let preview = run.preview.clone();
        let seconds = run.plan.as_ref().map_or(2.0, |plan| plan.seconds);
        self.film_of = None;
        match preview {
            Some(preview) if shown != Some(Source::Preview { job: id, step: preview.step }) => {
                self.player.show(Some(Film::of_preview(&preview, seconds)));
            }
            None if shown.is_some() => self.player.show(None),
            _ => {}
        }
        None
    }

    /// Takes a decoded clip in, if it is still the one to show.
    pub(crate) fn film(&mut self, film: Result<Film, String>) {
        match film {
            Ok(film) => {
                if let Source::Clip { job } = film.source
                    && self.film_of == Some(job)
                {
                    self.player.show(Some(film));
                }
            }
            Err(error) => self.log.say(Level::Error, format!("The clip cannot be shown: {error}")),
        }
    }
}
