//! The clip on the screen.

use super::{Command, Menu, Row, row};

pub(super) const ROWS: &[Row] = &[
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
        Command::CopyPath,
        "copy_path",
        "Copy the file's path",
        "Ctrl+Shift+C",
        Menu::Play,
        "Puts the path of the clip on the screen onto the clipboard.",
    ),
    row(
        Command::CopyFrame,
        "copy_frame",
        "Copy the frame",
        "",
        Menu::Play,
        "Puts the frame on the screen onto the clipboard, as a picture.",
    ),
    row(
        Command::OpenFolder,
        "open_folder",
        "Show in the file manager",
        "",
        Menu::Play,
        "Opens the folder of the clip on the screen.",
    ),
];
