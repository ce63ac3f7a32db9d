//! The one table of commands. Menus, the palette, keys and the `?` sheet all come from it; running one is in `apply`.

use super::store::Store;

/// Everything that can be done without saying to what: what it acts on is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    Generate,
    StopNow,
    StopAfter,
    NewSeed,
    ClearSettings,
    SnapSize,
    Duplicate,
    FullSteps,
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
    OpenFolder,
    SaveAs,
    StepBack,
    StepForward,
    LayerUp,
    LayerDown,
    HeadBack,
    HeadForward,
    OtherBranch,
    SelectionBack,
    SelectionForward,
    Palette,
    Keys,
    Settings,
    FocusPrompt,
    History,
    NextTheme,
    Larger,
    Smaller,
    NormalSize,
    FullScreen,
    ResetLayout,
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
    View,
    Help,
    /// Keys only.
    Hidden,
}

impl Menu {
    /// The menus in their order.
    pub(crate) const SHOWN: [Self; 6] =
        [Self::File, Self::Clip, Self::Play, Self::Lens, Self::View, Self::Help];

    /// The menu's title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Clip => "Clip",
            Self::Play => "Play",
            Self::Lens => "Lens",
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

const fn row(
    command: Command,
    id: &'static str,
    name: &'static str,
    keys: &'static str,
    menu: Menu,
    help: &'static str,
) -> Row {
    Row { command, id, name, keys, menu, help }
}

/// Every command, in the order of the menus.
pub(crate) const COMMANDS: &[Row] = &[
    row(
        Command::OpenFile,
        "open_file",
        "Open settings…",
        "Ctrl+O",
        Menu::File,
        "Takes the settings of a video, sidecar or recording; dropping a video on the window does the same.",
    ),
    row(
        Command::OpenRecording,
        "open_recording",
        "Open recording…",
        "Ctrl+Shift+O",
        Menu::File,
        "Shows in the Lens what attention did in a recorded run; dropping it on the window does the same.",
    ),
    row(
        Command::AddModelFolder,
        "add_model_folder",
        "Add model folder…",
        "",
        Menu::File,
        "Adds a checkpoint folder to the models that can be picked.",
    ),
    row(
        Command::ScanModels,
        "scan_models",
        "Look for models again",
        "",
        Menu::File,
        "Looks through the Hugging Face cache and the added folders.",
    ),
    row(
        Command::Settings,
        "settings",
        "Preferences…",
        "Ctrl+,",
        Menu::File,
        "Theme, scale, keys and model folders.",
    ),
    row(
        Command::Quit,
        "quit",
        "Quit",
        "Ctrl+Q",
        Menu::File,
        "Closes the window; what runs is cancelled.",
    ),
    row(
        Command::Generate,
        "generate",
        "Generate",
        "Ctrl+Enter",
        Menu::Clip,
        "Makes a clip with these settings, after those that wait.",
    ),
    row(
        Command::StopNow,
        "stop_now",
        "Stop now",
        "Ctrl+.",
        Menu::Clip,
        "Cancels the running clip; latents that are saved are kept.",
    ),
    row(
        Command::StopAfter,
        "stop_after",
        "Finish this one, then wait",
        "",
        Menu::Clip,
        "Lets the running clip end and starts none of those that wait, until it is chosen again.",
    ),
    row(
        Command::NewSeed,
        "new_seed",
        "New random seed",
        "Ctrl+R",
        Menu::Clip,
        "Puts a random number into the seed.",
    ),
    row(
        Command::SnapSize,
        "snap_size",
        "Snap to a legal size",
        "",
        Menu::Clip,
        "Moves width, height and frames to the nearest that the model can make.",
    ),
    row(
        Command::ClearSettings,
        "clear_settings",
        "Clear settings",
        "",
        Menu::Clip,
        "Leaves everything but the prompt to the model's own defaults.",
    ),
    row(
        Command::Duplicate,
        "duplicate",
        "Take this clip's settings",
        "",
        Menu::Clip,
        "Puts the settings of the clip on the screen into the form.",
    ),
    row(
        Command::FullSteps,
        "full_steps",
        "Same seed, full steps",
        "",
        Menu::Clip,
        "Makes the clip on the screen again, from the same seed, with as many steps as suit its model or more.",
    ),
    row(
        Command::PlayPause,
        "play_pause",
        "Play or pause",
        "Space",
        Menu::Play,
        "Plays the clip on the screen, or holds it.",
    ),
    row(
        Command::FrameBack,
        "frame_back",
        "One frame back",
        ",",
        Menu::Play,
        "Holds the clip and shows the frame before.",
    ),
    row(
        Command::FrameForward,
        "frame_forward",
        "One frame on",
        ".",
        Menu::Play,
        "Holds the clip and shows the next frame.",
    ),
    row(
        Command::FirstFrame,
        "first_frame",
        "First frame",
        "Home",
        Menu::Play,
        "Goes to the start of the clip.",
    ),
    row(
        Command::Loop,
        "loop",
        "Repeat",
        "L",
        Menu::Play,
        "Starts again at the end of the clip, or does not.",
    ),
    row(Command::Slower, "slower", "Slower", "Shift+J", Menu::Play, "Plays at half the speed."),
    row(Command::Faster, "faster", "Faster", "Shift+L", Menu::Play, "Plays at twice the speed."),
    row(
        Command::SaveAs,
        "save_as",
        "Save the clip as…",
        "Ctrl+Shift+S",
        Menu::File,
        "Copies the file of the clip on the screen to where you want it; the first one stays.",
    ),
    row(
        Command::CopyPath,
        "copy_path",
        "Copy the file's path",
        "Ctrl+Shift+C",
        Menu::Play,
        "Puts the path of the clip on the screen onto the clipboard.",
    ),
    row(
        Command::OpenFolder,
        "open_folder",
        "Show in the file manager",
        "",
        Menu::Play,
        "Opens the folder of the clip on the screen.",
    ),
    row(
        Command::StepBack,
        "step_back",
        "One step back",
        "[",
        Menu::Lens,
        "Looks at the denoising step before.",
    ),
    row(
        Command::StepForward,
        "step_forward",
        "One step on",
        "]",
        Menu::Lens,
        "Looks at the next denoising step.",
    ),
    row(
        Command::LayerUp,
        "layer_up",
        "Layer above",
        "ArrowUp",
        Menu::Lens,
        "Looks at the layer before.",
    ),
    row(
        Command::LayerDown,
        "layer_down",
        "Layer below",
        "ArrowDown",
        Menu::Lens,
        "Looks at the next layer.",
    ),
    row(
        Command::HeadBack,
        "head_back",
        "Head before",
        "ArrowLeft",
        Menu::Lens,
        "Looks at the head before.",
    ),
    row(
        Command::HeadForward,
        "head_forward",
        "Next head",
        "ArrowRight",
        Menu::Lens,
        "Looks at the next head.",
    ),
    row(
        Command::OtherBranch,
        "other_branch",
        "With or without the prompt",
        "B",
        Menu::Lens,
        "Looks at the other of the two forwards of a guided step.",
    ),
    row(
        Command::Palette,
        "palette",
        "Command palette…",
        "Ctrl+K",
        Menu::View,
        "Finds a command by a few letters of its name.",
    ),
    row(
        Command::FocusPrompt,
        "focus_prompt",
        "Write the prompt",
        "Ctrl+L",
        Menu::View,
        "Puts the cursor into the prompt.",
    ),
    row(
        Command::History,
        "history",
        "History",
        "Ctrl+H",
        Menu::View,
        "Shows finished clips, to search them and to take their settings again.",
    ),
    row(
        Command::SelectionBack,
        "selection_back",
        "Back",
        "Ctrl+[",
        Menu::View,
        "Goes back to what was looked at before.",
    ),
    row(
        Command::SelectionForward,
        "selection_forward",
        "Forward",
        "Ctrl+]",
        Menu::View,
        "Goes forward again.",
    ),
    row(
        Command::NextTheme,
        "next_theme",
        "Dark or light",
        "Ctrl+Shift+T",
        Menu::View,
        "Changes the theme.",
    ),
    row(Command::Larger, "larger", "Larger", "Ctrl+=", Menu::View, "Shows everything larger."),
    row(Command::Smaller, "smaller", "Smaller", "Ctrl+-", Menu::View, "Shows everything smaller."),
    row(
        Command::NormalSize,
        "normal_size",
        "Normal size",
        "Ctrl+0",
        Menu::View,
        "Shows everything at its own size.",
    ),
    row(
        Command::FullScreen,
        "full_screen",
        "Full screen",
        "F11",
        Menu::View,
        "Fills the screen, or does not.",
    ),
    row(
        Command::ResetLayout,
        "reset_layout",
        "Reset layout",
        "",
        Menu::View,
        "Puts all panes back where they were at first.",
    ),
    row(Command::Keys, "keys", "Keys", "?", Menu::Help, "Shows every command with its keys."),
    row(
        Command::Close,
        "close",
        "Close what is open",
        "Escape",
        Menu::Hidden,
        "Closes the palette or the sheet on top.",
    ),
];

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
            Self::Generate => store.refusal(),
            Self::StopNow => unless(store.runs.running().is_some(), "Nothing is running."),
            Self::StopAfter => {
                unless(store.runs.running().is_some() || store.queue.is_held, "Nothing is running.")
            }
            Self::PlayPause | Self::FrameBack | Self::FrameForward | Self::FirstFrame => {
                let has_film = store.player.film().is_some() || store.is_brushing();
                unless(has_film, "There is no clip on the screen.")
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
            | Self::OtherBranch => unless(store.lens.subject().is_some(), "No recording is open."),
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
