//! What commands and wishes about Compare do, and what is done with its workers' answers.

use std::path::PathBuf;

use eframe::egui::{Context, Pos2, Vec2};
use tessera_pipeline::votes::Choice;

use super::{Compare, Mode, Source, Wish, blend, blind, reel, scores, stage};
use crate::window::app::Window;
use crate::window::commands::Command;
use crate::window::keys::Hearing;
use crate::window::layout::{self, Pane};
use crate::window::log::Level;
use crate::window::runs::Run;
use crate::window::store::Store;

/// How far a key moves the line of the wipe, and the view.
const STEP: f32 = 0.02;
/// How far a key moves the view, in shares of what is seen.
const PAN: f32 = 0.2;
/// How much a key comes nearer.
const NEARER: f32 = 1.5;

/// The workers of Compare.
pub(crate) struct Desks {
    reel: reel::Desk,
    blend: blend::Desk,
    scores: scores::Desk,
    votes: blind::Desk,
}

impl Desks {
    /// Starts their threads; votes are kept in this folder.
    pub(crate) fn start(ctx: &Context, folder: Option<PathBuf>) -> std::io::Result<Self> {
        Ok(Self {
            reel: reel::Desk::start(ctx)?,
            blend: blend::Desk::start(ctx)?,
            scores: scores::Desk::start(ctx)?,
            votes: blind::Desk::start(ctx, folder)?,
        })
    }
}

impl Source {
    /// The finished clip of a run, called by its prompt and what most often tells runs apart.
    pub(crate) fn of_run(run: &Run) -> Option<Self> {
        let path = run.video()?.clone();
        let request = run.plan.as_ref().map_or(&run.request, |plan| &plan.request);
        let method = request.attention.as_deref().unwrap_or("dense");
        Some(Self { name: format!("{method} · {}", request.prompt), path })
    }
}

/// Takes in what the workers told, asks for what is to be seen, and moves the playhead on while it can be seen.
pub(crate) fn hear(window: &mut Window, ctx: &Context) {
    let most_side = ctx.input(|input| input.max_texture_side);
    let (store, desks) = (&mut window.store, &window.compare);
    let compare = &mut store.compare;
    for told in desks.reel.told() {
        if let Err(error) = compare.take(told, most_side) {
            store.log.say(Level::Error, error);
        }
    }
    for (key, picture) in desks.blend.told() {
        compare.take_blend(key, picture);
    }
    for told in desks.scores.told() {
        compare.take_score(&told);
    }
    for told in desks.votes.told() {
        match told {
            Ok((pair, tally)) => compare.take_tally(&pair, tally),
            Err(error) => store.log.say(Level::Error, format!("The vote is not stored: {error}")),
        }
    }
    if let Some(ask) = compare.ask() {
        // With no room for it now it is asked again, when the worker has told something.
        if desks.reel.ask(ask.clone()) {
            compare.was_asked(ask);
        }
    }
    if let Some(ask) = compare.ask_scores() {
        desks.scores.ask(ask);
    }
    if !layout::is_shown(store.layout.as_ref(), Pane::Compare) {
        return; // behind another tab clips ask for no frames
    }
    if let Some(jobs) = compare.ask_blends() {
        desks.blend.ask(jobs);
    }
    compare.tick(ctx);
}

/// Does what a view asked for.
pub(crate) fn apply(store: &mut Store, wish: Wish) {
    if let Wish::Take(id) = wish {
        let clip = store.compare.clips().iter().find(|clip| clip.id == id);
        if let Some(request) = clip.and_then(|clip| clip.request()).cloned() {
            store.draft.take(&request);
            store.log.say(Level::Info, "These settings are in Studio.");
            layout::reveal(store.layout.as_mut(), Pane::Compose);
        }
        return;
    }
    let is_new = matches!(wish, Wish::Add(_));
    if let Err(why) = store.compare.apply(wish) {
        store.log.say(Level::Warning, why);
    } else if is_new {
        layout::reveal(store.layout.as_mut(), Pane::Compare);
    }
}

/// Whether the keys of the player work Compare: it can be seen and has clips.
pub(crate) fn is_comparing(store: &Store) -> bool {
    layout::is_shown(store.layout.as_ref(), Pane::Compare) && !store.compare.clips().is_empty()
}

/// Whether keys are for Compare.
pub(crate) fn hearing(store: &Store, ctx: &Context) -> Hearing {
    let is_stage = || ctx.memory(|memory| memory.focused() == Some(stage::id()));
    match layout::is_shown(store.layout.as_ref(), Pane::Compare) {
        false => Hearing::Elsewhere,
        true if is_stage() => Hearing::Stage,
        true => Hearing::Compare,
    }
}

/// Does a command of the player for all clips at once; answers whether it is one.
pub(crate) fn play(compare: &mut Compare, command: Command) -> bool {
    let frames = compare.frames();
    let transport = &mut compare.transport;
    match command {
        Command::PlayPause => transport.toggle(),
        Command::FrameBack => transport.step(-1, frames),
        Command::FrameForward => transport.step(1, frames),
        Command::FirstFrame => transport.seek(0, frames),
        Command::Loop => transport.repeats = !transport.repeats,
        Command::Slower => transport.change_speed(-1),
        Command::Faster => transport.change_speed(1),
        _ => return false,
    }
    compare.goes_to_worst = false;
    true
}

/// Does a command of Compare.
pub(crate) fn run(window: &mut Window, command: Command) {
    let is_turned = window.random() % 2 == 1;
    let store = &mut window.store;
    let compare = &mut store.compare;
    let looking = &mut compare.looking;
    let back = |is_back: bool| if is_back { -1.0 } else { 1.0 };
    match command {
        Command::Compare => {
            layout::reveal(store.layout.as_mut(), Pane::Compare);
            compare.wants_focus = true;
        }
        Command::AddClip => window.workers.pick_clips(),
        Command::CompareClip => {
            if let Some(source) = store.shown_run().and_then(Source::of_run) {
                apply(store, Wish::Add(source));
            }
        }
        Command::SwapSides => compare.swap(),
        Command::NextCandidate => compare.next_candidate(),
        Command::NextMode => {
            let now = Mode::ALL.iter().position(|(mode, _)| *mode == looking.mode).unwrap_or(0);
            looking.mode = Mode::ALL[(now + 1) % Mode::ALL.len()].0;
        }
        Command::ShowDifference => compare.toggle_difference(),
        Command::LessGain => compare.change_gain(-1),
        Command::MoreGain => compare.change_gain(1),
        Command::HideFirst => compare.toggle_side(0),
        Command::HideSecond => compare.toggle_side(1),
        Command::WipeBack | Command::WipeForward if looking.mode == Mode::Wipe => {
            let by = back(command == Command::WipeBack) * STEP;
            looking.wipe.at = (looking.wipe.at + by).clamp(0.0, 1.0);
        }
        Command::WipeAxis => looking.wipe.is_flat = !looking.wipe.is_flat,
        Command::Magnifier => {
            looking.magnifies = !looking.magnifies;
            looking.pointer =
                looking.magnifies.then_some(looking.pointer.unwrap_or(Pos2::new(0.5, 0.5)));
        }
        Command::CompareMetrics => looking.measures = !looking.measures,
        Command::CompareDetails => looking.has_details = !looking.has_details,
        Command::WorstFrame => compare.go_to_worst(),
        Command::Blind => match &mut compare.blind {
            Some(blind) if blind.is_over => compare.blind = None,
            Some(blind) => blind.is_over = true,
            None => {
                if let Some(pair) = compare.begin_blind(is_turned) {
                    window.compare.votes.ask(pair, None);
                }
            }
        },
        Command::VoteFirst | Command::VoteSecond | Command::VoteNeither => {
            let seen = match command {
                Command::VoteFirst => Choice::First,
                Command::VoteSecond => Choice::Second,
                _ => Choice::Neither,
            };
            if let Some((pair, choice)) = compare.vote(seen, is_turned) {
                window.compare.votes.ask(pair, Some(choice));
            }
        }
        Command::PlayBack => compare.transport.shuttle(false),
        Command::PlayOn => compare.transport.shuttle(true),
        Command::Hold => compare.transport.is_playing = false,
        Command::ZoomIn => looking.camera.nearer(NEARER, looking.camera.middle),
        Command::ZoomOut => looking.camera.nearer(1.0 / NEARER, looking.camera.middle),
        Command::FitPicture => looking.camera = super::Camera::default(),
        Command::PanLeft | Command::PanRight => {
            let by = back(command == Command::PanLeft) * PAN / looking.camera.zoom;
            looking.camera.pan(Vec2::new(by, 0.0));
        }
        Command::PanUp | Command::PanDown => {
            let by = back(command == Command::PanUp) * PAN / looking.camera.zoom;
            looking.camera.pan(Vec2::new(0.0, by));
        }
        _ => {}
    }
}

/// Why a command of Compare cannot be run now, if it cannot.
pub(crate) fn refusal(store: &Store, command: Command) -> Option<String> {
    let compare = &store.compare;
    let unless = |is_possible: bool, why: &str| (!is_possible).then(|| why.to_owned());
    match command {
        Command::CompareClip => {
            unless(store.shown_video().is_some(), "There is no finished clip on the screen.")
        }
        Command::NextCandidate => unless(compare.clips().len() > 2, "There is no third clip."),
        Command::SwapSides | Command::HideFirst | Command::HideSecond => {
            unless(compare.clips().len() > 1, "There is no second clip.")
        }
        Command::Blind if compare.blind.is_none() => compare.blind_refusal(),
        Command::VoteFirst | Command::VoteSecond | Command::VoteNeither => {
            unless(compare.is_blind(), "No clips are compared blindly.")
        }
        _ if compare.is_blind() && tells(command) => {
            Some("It would tell which clip is which; ask for the result first.".into())
        }
        Command::Compare | Command::AddClip | Command::CompareDetails | Command::CompareMetrics => {
            None
        }
        Command::WorstFrame => compare.measure_refusal(),
        Command::ShowDifference => compare.refusal_of(Mode::Difference),
        _ => unless(!compare.clips().is_empty(), "No clip is compared."),
    }
}

/// Whether a command would tell in a blind comparison which clip is which.
fn tells(command: Command) -> bool {
    matches!(
        command,
        Command::CompareDetails
            | Command::CompareMetrics
            | Command::Magnifier
            | Command::ShowDifference
            | Command::NextMode
            | Command::SwapSides
            | Command::NextCandidate
            | Command::HideFirst
            | Command::HideSecond
            | Command::WorstFrame
    )
}
