//! The one table of commands. Menus, the palette, keys and the `?` sheet all come from it; running one is in `apply`.

mod table;

use super::compare;
use super::layout::{self, Pane};
use super::lens::brush::refusal;
use super::lens::replays;
use super::runs::Run;
use super::store::Store;
pub(crate) use table::COMMANDS;

/// Everything that can be done without saying to what: what it acts on is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    Generate,
    StopNow,
    Pause,
    StopAfter,
    NewSeed,
    ClearSettings,
    SnapSize,
    Duplicate,
    FullSteps,
    Forget,
    OpenFile,
    OpenRecording,
    AddModelFolder,
    ScanModels,
    Quit,
    PlayPause,
    FrameBack,
    FrameForward,
    FirstFrame,
    Loop,
    Slower,
    Faster,
    CopyPath,
    CopyFrame,
    OpenFolder,
    SaveAs,
    StepBack,
    StepForward,
    LayerUp,
    LayerDown,
    HeadBack,
    HeadForward,
    OtherBranch,
    Follow,
    RecordClips,
    MeasureExactly,
    ReplayStep,
    StopReplay,
    ReplayAsRun,
    KeepDense,
    ExportView,
    ExportTimeline,
    ExportHeads,
    AddClip,
    CompareClip,
    SwapSides,
    NextCandidate,
    NextMode,
    ShowDifference,
    LessGain,
    MoreGain,
    HideFirst,
    HideSecond,
    WipeBack,
    WipeForward,
    WipeAxis,
    Magnifier,
    CompareMetrics,
    CompareDetails,
    WorstFrame,
    PlayBack,
    Hold,
    PlayOn,
    Blind,
    VoteFirst,
    VoteSecond,
    VoteNeither,
    ZoomIn,
    ZoomOut,
    FitPicture,
    PanLeft,
    PanRight,
    PanUp,
    PanDown,
    StopExport,
    SelectionBack,
    SelectionForward,
    Palette,
    Keys,
    Settings,
    FocusPrompt,
    History,
    Compare,
    NextTheme,
    Larger,
    Smaller,
    NormalSize,
    FullScreen,
    ResetLayout,
    SpareProcessor,
    Close,
}

/// Under which menu a command is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Menu {
    File,
    Clip,
    Play,
    /// Of the Lens: silent when typed with nothing to look at.
    Lens,
    /// Of Compare: heard only while that can be seen, and then before all others.
    Compare,
    View,
    Help,
    /// Keys only.
    Hidden,
}

impl Menu {
    /// The menus in their order.
    pub(crate) const SHOWN: [Self; 7] =
        [Self::File, Self::Clip, Self::Play, Self::Lens, Self::Compare, Self::View, Self::Help];

    /// The menu's title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Clip => "Clip",
            Self::Play => "Play",
            Self::Lens => "Lens",
            Self::Compare => "Compare",
            Self::View => "View",
            Self::Help => "Help",
            Self::Hidden => "",
        }
    }
}

/// One command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Which.
    pub(crate) command: Command,
    /// Its name in files; never changes.
    pub(crate) id: &'static str,
    /// Its name for people; it ends in an ellipsis when it asks for more.
    pub(crate) name: &'static str,
    /// The keys it has unless a person gives it others; empty for none.
    pub(crate) keys: &'static str,
    /// Where it is found.
    pub(crate) menu: Menu,
    /// What it does, a full sentence.
    pub(crate) help: &'static str,
}

impl Command {
    /// The table's row. Every command has one; a test holds that.
    pub(crate) fn row(self) -> &'static Row {
        COMMANDS.iter().find(|row| row.command == self).unwrap_or(&COMMANDS[0])
    }

    /// The command of a name in a file.
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        COMMANDS.iter().find(|row| row.id == id).map(|row| row.command)
    }

    /// Why it cannot be run now, if it cannot: shown where a person would press it.
    pub(crate) fn refusal(self, store: &Store) -> Option<String> {
        let unless = |is_possible: bool, why: &str| (!is_possible).then(|| why.to_owned());
        match self {
            _ if self.row().menu == Menu::Compare => compare::apply::refusal(store, self),
            Self::Generate => store.refusal(),
            Self::StopNow | Self::Pause => {
                unless(store.runs.running().is_some(), "Nothing is running.")
            }
            Self::StopAfter => {
                unless(store.runs.running().is_some() || store.queue.is_held, "Nothing is running.")
            }
            Self::PlayPause | Self::FrameBack | Self::FrameForward | Self::FirstFrame => {
                let has_film = store.player.film().is_some()
                    || store.is_brushing()
                    || compare::apply::is_comparing(store);
                unless(has_film, "There is no clip on the screen.")
            }
            Self::CopyFrame => {
                unless(store.player.film().is_some(), "There is no clip on the screen.")
            }
            Self::CopyPath | Self::OpenFolder | Self::SaveAs => {
                unless(store.shown_video().is_some(), "There is no finished clip on the screen.")
            }
            Self::FullSteps => {
                let ended = store.shown_run().is_some_and(|run| !run.is_running());
                unless(ended, "There is no clip on the screen that has ended.")
            }
            Self::Duplicate => {
                unless(store.shown_run().is_some(), "There is no clip on the screen.")
            }
            Self::StepBack
            | Self::StepForward
            | Self::LayerUp
            | Self::LayerDown
            | Self::HeadBack
            | Self::HeadForward
            | Self::OtherBranch
            | Self::ReplayAsRun
            | Self::ExportTimeline
            | Self::ExportHeads => unless(store.lens.subject().is_some(), "No recording is open."),
            Self::Follow => {
                let grows = |run: &Run| run.recording().is_some_and(|(_, grows)| grows);
                let is_there = store.shown_run().is_some_and(grows);
                unless(is_there, "The clip on the screen is not being made and recorded.")
            }
            Self::ExportView => store.lens.export_refusal(store.trail.now()).map(ToOwned::to_owned),
            Self::StopExport => {
                unless(store.lens.exporting.is_some(), "Nothing is being exported.")
            }
            Self::ReplayStep => replays::refusal(store),
            Self::StopReplay => {
                unless(store.lens.replays.going().is_some(), "No step is being replayed.")
            }
            Self::KeepDense => unless(
                store.lens.replays.chosen() > 0,
                "No heads are chosen: replay a step, then choose some of its heads.",
            ),
            Self::MeasureExactly => {
                let Some(subject) = store.lens.subject() else {
                    return Some("No recording is open.".into());
                };
                let tokens = store.lens.brush.tokens(subject, store.trail.now());
                let chosen = unless(!tokens.is_empty(), "No query token is chosen.");
                chosen.or_else(|| refusal(subject))
            }
            Self::Forget => {
                let is_seen = layout::is_shown(store.layout.as_ref(), Pane::History);
                unless(is_seen && store.past.chosen.is_some(), "No clip is chosen in the history.")
            }
            Self::SpareProcessor => {
                unless(store.drawing.software.is_some(), "A graphics device draws the window.")
            }
            Self::SnapSize => unless(store.planning.snapped().is_some(), "The size is legal."),
            Self::SelectionBack => unless(store.trail.can_go_back(), "There is nothing before."),
            Self::SelectionForward => {
                unless(store.trail.can_go_forward(), "There is nothing after.")
            }
            _ => None,
        }
    }
}

/// How well a name answers to what was typed: all letters in their order, the closer together and the nearer to the start of
/// words the better. `None` when it does not.
pub(crate) fn score(name: &str, typed: &str) -> Option<i32> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut at = 0;
    let mut total = 0;
    for letter in typed.to_lowercase().chars().filter(|letter| !letter.is_whitespace()) {
        let found = at + name[at..].iter().position(|c| *c == letter)?;
        let starts_word = found == 0 || !name[found - 1].is_alphanumeric();
        total += if found == at && at > 0 { 4 } else { 0 } + if starts_word { 6 } else { 0 }
            - (found - at).min(9) as i32;
        at = found + 1;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_own_row_and_name() {
        for (index, row) in COMMANDS.iter().enumerate() {
            assert_eq!(row.command.row().id, row.id);
            assert_eq!(Command::from_id(row.id), Some(row.command));
            let others = || COMMANDS[index + 1..].iter();
            assert!(
                others().all(|other| other.id != row.id && other.name != row.name),
                "{}",
                row.id
            );
            assert!(row.help.ends_with('.'), "{}", row.help);
        }
        assert_eq!(COMMANDS.len(), Command::Close as usize + 1, "a command without a row");
    }

    #[test]
    fn letters_in_order_find_a_command_and_starts_of_words_count_more() {
        assert!(score("Reset layout", "rl").unwrap() > score("Normal size", "rl").unwrap());
        assert!(score("Reset layout", "layres").is_none());
        assert_eq!(score("Generate", ""), Some(0));
    }
}
