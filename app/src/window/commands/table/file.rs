//! Files, models, preferences.

use super::{Command, Menu, Row, row};

pub(super) const ROWS: &[Row] = &[
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
        Command::SaveAs,
        "save_as",
        "Save the clip as…",
        "Ctrl+Shift+S",
        Menu::File,
        "Copies the file of the clip on the screen to where you want it; the first one stays.",
    ),
];
