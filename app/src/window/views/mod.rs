//! What is drawn: each view a function of the store that pushes what it is asked for.

pub(crate) mod compose;
pub(crate) mod control;
pub(crate) mod history;
pub(crate) mod history_details;
pub(crate) mod history_row;
pub(crate) mod log;
pub(crate) mod menu;
pub(crate) mod over;
pub(crate) mod parts;
pub(crate) mod planned;
pub(crate) mod prompt;
pub(crate) mod queue;
pub(crate) mod run;
pub(crate) mod screen;
pub(crate) mod size;
pub(crate) mod status;
pub(crate) mod tuned;
