//! What each action and command does.

use eframe::egui::{Context, ViewportCommand};
use serde_json::Value;
use tessera_pipeline::events::{Command as EngineCommand, JobId};
use tessera_pipeline::tune::Preset;

use super::action::Action;
use super::app::Window;
use super::commands::Command;
use super::compare;
use super::cursor::Cursor;
use super::layout;
use super::lens;
use super::lens::export::Which;
use super::lens::replays;
use super::log::Level;
use super::past::Wish;
use super::runs::Pause;
use super::store::Over;
use super::theme::{Choice, Theme};
use super::workers::{Errand, Pick};

/// The scales that Larger and Smaller go through.
const SCALES: [f32; 9] = [0.6, 0.75, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0];

/// Does what was asked for.
pub(crate) fn apply(window: &mut Window, ctx: &Context, action: Action) {
    let store = &mut window.store;
    match action {
        Action::Run(command) => run(window, ctx, command),
        Action::Set(key, value) => store.draft.set(key, value),
        Action::Tuned(name) => {
            let presets = store.planning.tuned().map(|tuned| &tuned.presets);
            let preset = presets.into_iter().flatten().find(|preset| preset.name == name);
            if let Some(request) = preset.and_then(Preset::request) {
                store.draft.take_attention(&request);
            }
        }
        Action::SeedMode(mode) => store.draft.seed_mode = mode,
        Action::Go(cursor) => store.trail.go(cursor),
        Action::Seek(frame) => {
            store.player.is_playing = false;
            store.player.seek(frame as isize);
        }
        Action::Shift(job, places) => store.queue.shift(job, places),
        Action::Duplicate(job) => store.queue.duplicate(job),
        Action::Remove(job) => {
            if store.queue.remove(job).is_none() {
                store.runs.forget(job);
            }
        }
        Action::Edit(job) => {
            if let Some(item) = store.queue.remove(job) {
                store.draft.take(&item.request);
            }
        }
        Action::Take(job) => {
            if let Some(run) = store.runs.get(job) {
                store.draft.take(&run.request);
            }
        }
        Action::Retry(job) => {
            if let Some(request) = store.runs.get(job).map(|run| run.request.clone()) {
                store.queue.add(request);
            }
        }
        Action::Theme(choice) => theme(window, ctx, choice),
        Action::Scale(scale) => {
            store.scale = scale;
            ctx.set_zoom_factor(scale);
        }
        Action::Listen(listening) => store.over = Over::Settings { listening },
        Action::Bind(command, keys) => {
            if let Some(loser) = store.keys.bind(command, keys) {
                let text = format!("\"{}\" has no keys any more.", loser.row().name);
                store.log.say(Level::Info, text);
            }
            store.over = Over::Settings { listening: None };
        }
        Action::ResetKeys => store.keys.reset(),
        Action::ForgetModelFolder(folder) => {
            store.model_folders.retain(|other| *other != folder);
            scan(window);
        }
        Action::Filter(typed) => store.over = Over::Palette { typed, chosen: 0 },
        Action::Point(line) => {
            if let Over::Palette { chosen, .. } = &mut store.over {
                *chosen = line;
            }
        }
        Action::ClearLog => store.log.clear(),
        Action::Past(wish) => super::past_apply::apply(window, wish),
        Action::Lens(lens::Wish::Open(path)) => window.open_recording(path),
        Action::Lens(lens::Wish::Cuts(lens::cuts::Wish::Use)) => lens::cuts::give(store),
        Action::Lens(lens::Wish::Replay(wish)) => replay(window, wish),
        Action::Lens(wish) => store.lens.apply(wish),
        Action::Compare(wish) => compare::apply::apply(store, wish),
        Action::RestartEngine => window.restart_engine(ctx),
    }
}

/// Runs a command, or says why not.
fn run(window: &mut Window, ctx: &Context, command: Command) {
    if let Some(why) = command.refusal(&window.store) {
        window.store.log.say(Level::Warning, why);
        return;
    }
    let store = &mut window.store;
    if compare::apply::is_comparing(store) && compare::apply::play(&mut store.compare, command) {
        return;
    }
    match command {
        Command::Generate => generate(window),
        Command::StopNow => stop(window),
        Command::Pause => pause(window),
        Command::StopAfter => store.queue.is_held = !store.queue.is_held,
        Command::NewSeed => {
            let seed = window.random();
            window.store.draft.set("seed", Some(seed.into()));
        }
        Command::ClearSettings => store.draft.clear(),
        Command::SnapSize => {
            if let Some(size) = store.planning.snapped() {
                for (key, side) in ["width", "height", "frames"].into_iter().zip(size) {
                    store.draft.set(key, Some(Value::from(side)));
                }
            }
        }
        Command::Duplicate => {
            if let Some(request) = store.shown_run().map(|run| run.request.clone()) {
                store.draft.take(&request);
            }
        }
        Command::FullSteps => {
            if let Some(run) = store.shown_run() {
                window.workers.give(Errand::FullSteps(Box::new(run.request.clone())));
            }
        }
        Command::Forget => {
            if let Some(id) = store.past.chosen {
                super::past_apply::apply(window, Wish::Forget { id, with_video: false });
            }
        }
        Command::SaveAs => {
            if let Some(video) = store.shown_video() {
                window.workers.save_as(video.clone());
            }
        }
        Command::ExportView => export(window, Which::Face),
        Command::ExportTimeline => export(window, Which::Timeline),
        Command::ExportHeads => export(window, Which::Heads),
        Command::StopExport => store.lens.stop_exports(),
        Command::ReplayStep => {
            store.lens.face = lens::Face::Replay;
            layout::reveal(store.layout.as_mut(), layout::Pane::Lens);
            replay(window, replays::Wish::Start);
        }
        Command::StopReplay => replay(window, replays::Wish::Cancel),
        Command::ReplayAsRun => replay(window, replays::Wish::TakeRun),
        Command::KeepDense => replay(window, replays::Wish::KeepDense),
        Command::MeasureExactly => {
            store.lens.apply(lens::Wish::Brush(lens::brush::Wish::Measure));
        }
        Command::OpenFile => window.workers.pick(Pick::Settings),
        Command::AddModelFolder => window.workers.pick(Pick::Folder),
        Command::OpenRecording => window.workers.pick(Pick::Recording),
        Command::ScanModels => scan(window),
        Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
        Command::PlayPause => {
            let player = store.playing();
            player.is_playing = !player.is_playing;
        }
        Command::FrameBack | Command::FrameForward => {
            let by = if command == Command::FrameBack { -1 } else { 1 };
            let player = store.playing();
            player.is_playing = false;
            player.seek(player.frame() as isize + by);
        }
        Command::FirstFrame => store.playing().seek(0),
        Command::Loop => {
            let player = store.playing();
            player.repeats = !player.repeats;
        }
        Command::Slower => store.playing().change_speed(-1),
        Command::Faster => store.playing().change_speed(1),
        Command::CopyPath => {
            if let Some(path) = store.shown_video() {
                ctx.copy_text(path.display().to_string());
                store.log.say(Level::Info, "The path is on the clipboard.");
            }
        }
        Command::CopyFrame => {
            if let Some(picture) = store.player.picture() {
                ctx.copy_image(picture);
                store.log.say(Level::Info, "The frame is on the clipboard.");
            }
        }
        Command::OpenFolder => {
            if let Some(folder) = store.shown_video().and_then(|path| path.parent()) {
                let folder =
                    if folder.as_os_str().is_empty() { ".".into() } else { folder.to_path_buf() };
                window.workers.give(Errand::Reveal(folder));
            }
        }
        Command::StepBack
        | Command::StepForward
        | Command::LayerUp
        | Command::LayerDown
        | Command::HeadBack
        | Command::HeadForward
        | Command::OtherBranch => look(window, command),
        Command::Follow => store.lens.follow(!store.lens.follows),
        Command::RecordClips => store.records = !store.records,
        Command::SpareProcessor => store.drawing.spares = !store.drawing.spares,
        Command::SelectionBack => store.trail.back(),
        Command::SelectionForward => store.trail.forward(),
        Command::Palette => open(window, Over::Palette { typed: String::new(), chosen: 0 }),
        Command::Keys => open(window, Over::Keys),
        Command::Settings => open(window, Over::Settings { listening: None }),
        Command::FocusPrompt => store.wants_prompt = true,
        Command::NextTheme => theme(window, ctx, window.store.choice.next()),
        Command::Larger => scale(window, ctx, 1),
        Command::Smaller => scale(window, ctx, -1),
        Command::NormalSize => apply(window, ctx, Action::Scale(1.0)),
        Command::FullScreen => {
            let is_full = ctx.input(|input| input.viewport().fullscreen.unwrap_or(false));
            ctx.send_viewport_cmd(ViewportCommand::Fullscreen(!is_full));
        }
        Command::History => layout::reveal(store.layout.as_mut(), layout::Pane::History),
        Command::ResetLayout => store.layout = Some(layout::first()),
        Command::Compare
        | Command::AddClip
        | Command::CompareClip
        | Command::SwapSides
        | Command::NextCandidate
        | Command::NextMode
        | Command::ShowDifference
        | Command::LessGain
        | Command::MoreGain
        | Command::HideFirst
        | Command::HideSecond
        | Command::WipeBack
        | Command::WipeForward
        | Command::WipeAxis
        | Command::Magnifier
        | Command::CompareMetrics
        | Command::CompareDetails
        | Command::WorstFrame
        | Command::PlayBack
        | Command::Hold
        | Command::PlayOn
        | Command::Blind
        | Command::VoteFirst
        | Command::VoteSecond
        | Command::VoteNeither
        | Command::ZoomIn
        | Command::ZoomOut
        | Command::FitPicture
        | Command::PanLeft
        | Command::PanRight
        | Command::PanUp
        | Command::PanDown => compare::apply::run(window, command),
        Command::Close => store.over = Over::Nothing,
    }
}

fn replay(window: &mut Window, wish: replays::Wish) {
    replays::apply(&mut window.store, &window.replays, wish);
}

/// Asks where a view goes, and writes it.
fn export(window: &mut Window, which: Which) {
    let store = &mut window.store;
    match store.lens.export(which, store.trail.now()) {
        Ok(job) => window.workers.export_as(job),
        Err(why) => store.log.say(Level::Warning, why),
    }
}

/// Moves everyone's look by one step, layer, head or branch, as far as the recording goes.
fn look(window: &mut Window, command: Command) {
    let store = &mut window.store;
    let Some(subject) = store.lens.subject() else { return };
    let at = subject.look(store.trail.now());
    let now = store.trail.now();
    let here = Cursor { step: at.step, branch: at.branch, layer: at.layer, head: at.head, ..now };
    let to = match command {
        Command::StepBack => Cursor { step: at.step.saturating_sub(1), ..here },
        Command::StepForward => Cursor { step: at.step + 1, ..here },
        Command::LayerUp => Cursor { layer: at.layer.saturating_sub(1), ..here },
        Command::LayerDown => Cursor { layer: at.layer + 1, ..here },
        Command::HeadBack => Cursor { head: at.head.saturating_sub(1), ..here },
        Command::HeadForward => Cursor { head: at.head + 1, ..here },
        _ => Cursor { branch: 1 - at.branch.min(1), ..here },
    };
    let there = subject.look(to);
    let to = Cursor {
        step: there.step,
        branch: there.branch,
        layer: there.layer,
        head: there.head,
        ..to
    };
    if to != now {
        store.trail.go(to);
    }
}

/// Opens what lies over the panes, or closes it when it is open.
fn open(window: &mut Window, over: Over) {
    let is_same = std::mem::discriminant(&window.store.over) == std::mem::discriminant(&over);
    window.store.over = if is_same { Over::Nothing } else { over };
}

fn generate(window: &mut Window) {
    let random = window.random();
    let store = &mut window.store;
    let was_idle = store.runs.running().is_none() && store.queue.waiting().is_empty();
    let requests = store.draft.requests(random);
    let jobs: Vec<JobId> = requests.into_iter().map(|request| store.queue.add(request)).collect();
    if was_idle && let Some(first) = jobs.first() {
        store.queue.is_held = false;
        store.trail.go(Cursor { run: Some(*first), ..store.trail.now() });
    }
}

fn stop(window: &mut Window) {
    let Some(job) = window.store.runs.running().map(|run| run.id) else { return };
    if window.bridge.as_ref().is_some_and(|bridge| bridge.send(EngineCommand::Cancel { job })) {
        window.store.runs.stopping(job);
    }
}

/// Lets the running clip rest, or go on when it rests or was asked to.
fn pause(window: &mut Window) {
    let Some(run) = window.store.runs.running() else { return };
    let job = run.id;
    let (command, pause) = match run.pause {
        Pause::No => (EngineCommand::Pause { job }, Pause::Asked),
        Pause::Asked => (EngineCommand::Continue { job }, Pause::No),
        // It goes on when it says so.
        Pause::Resting => (EngineCommand::Continue { job }, Pause::Resting),
    };
    if window.bridge.as_ref().is_some_and(|bridge| bridge.send(command)) {
        window.store.runs.pausing(job, pause);
    }
}

fn theme(window: &mut Window, ctx: &Context, choice: Choice) {
    match Theme::load(choice) {
        Ok(theme) => {
            (window.store.theme, window.store.choice) = (theme, choice);
            window.store.dress(ctx);
        }
        Err(error) => {
            window.store.log.say(Level::Error, format!("This theme cannot be read: {error}"));
        }
    }
}

fn scale(window: &mut Window, ctx: &Context, by: isize) {
    let now = window.store.scale;
    let nearest = SCALES
        .iter()
        .enumerate()
        .min_by(|(_, a), (_, b)| (*a - now).abs().total_cmp(&(*b - now).abs()))
        .map_or(3, |(index, _)| index);
    let next = SCALES[nearest.saturating_add_signed(by).min(SCALES.len() - 1)];
    apply(window, ctx, Action::Scale(next));
}

/// Looks for models on a worker's thread.
pub(crate) fn scan(window: &mut Window) {
    window.store.models = None;
    window.workers.give(Errand::Models(window.store.model_folders.clone()));
}
