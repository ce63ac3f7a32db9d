//! The rows: every command with its name, keys, menu and help; a file per menu, in the order of the menus.

mod clip;
mod compare;
mod file;
mod lens;
mod play;
mod view;

use super::{Command, Menu, Row};

/// The groups in the order of the menus.
const GROUPS: [&[Row]; 6] =
    [file::ROWS, clip::ROWS, play::ROWS, lens::ROWS, compare::ROWS, view::ROWS];

/// Every command, in the order of the menus.
pub(crate) const COMMANDS: &[Row] = &joined::<{ count() }>();

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

const fn count() -> usize {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
}

/// All groups in one; loops by hand, because constants know no iterators.
const fn joined<const N: usize>() -> [Row; N] {
    let mut all = [GROUPS[0][0]; N];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].len() {
            all[at] = GROUPS[group][index];
            (at, index) = (at + 1, index + 1);
        }
        group += 1;
    }
    all
}
