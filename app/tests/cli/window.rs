//! `tessera` alone, on a machine without a display. With one, the tests inside the library look at the window.

use crate::studio::Studio;

#[test]
fn without_a_display_it_says_what_works_without_one() {
    let studio = Studio::new();
    studio.tessera().without_display().run().exits_with(7).says(&["display", "tessera generate"]);
    assert!(!studio.path("data").exists(), "a window that did not open left something behind");
}

#[test]
fn a_file_alone_is_opened_in_the_window_and_a_word_is_no_file() {
    let studio = Studio::new();
    std::fs::File::create(studio.path("clip.mp4")).unwrap(); // not looked at without a window
    studio.tessera().without_display().arg("clip.mp4").run().exits_with(7).says(&["display"]);
    studio.tessera().without_display().arg("genrate").run().exits_with(2).says(&["generate"]);
}

#[test]
fn a_display_that_is_none_is_told_too() {
    let studio = Studio::new();
    let tessera = studio.tessera().without_display().env("DISPLAY", ":987");
    tessera.run().exits_with(7).says(&["window could not be opened", "tessera generate"]);
}
