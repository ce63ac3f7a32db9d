//! Keys: how a shortcut is written, which command it gives, and what a person changed.

use std::collections::BTreeMap;

use eframe::egui::{Context, Event, Key, KeyboardShortcut, Modifiers};

use super::commands::{COMMANDS, Command, Menu};

/// Reads `Ctrl+Shift+K`, `Space`, `,`. The error says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<KeyboardShortcut, String> {
    let wrong = || format!("expected keys such as Ctrl+K, Shift+F5 or Space, got \"{text}\"");
    let mut modifiers = Modifiers::NONE;
    let mut rest = text.trim();
    while let Some((word, after)) = rest.split_once('+').filter(|(_, after)| !after.is_empty()) {
        modifiers |= match word.trim().to_lowercase().as_str() {
            "ctrl" | "cmd" => Modifiers::COMMAND,
            "shift" => Modifiers::SHIFT,
            "alt" => Modifiers::ALT,
            _ => return Err(wrong()),
        };
        rest = after;
    }
    let key = Key::from_name(rest.trim()).ok_or_else(wrong)?;
    Ok(KeyboardShortcut::new(modifiers, key))
}

/// Writes a shortcut as [`parse`] reads it.
pub(crate) fn write(shortcut: KeyboardShortcut) -> String {
    let modifiers = shortcut.modifiers;
    let mut text = String::new();
    for (is_held, word) in [
        (modifiers.command || modifiers.ctrl, "Ctrl+"),
        (modifiers.shift, "Shift+"),
        (modifiers.alt, "Alt+"),
    ] {
        if is_held {
            text.push_str(word);
        }
    }
    let key = shortcut.logical_key;
    // The fonts lack the signs of arrows that egui would write.
    let is_arrow = matches!(key, Key::ArrowUp | Key::ArrowDown | Key::ArrowLeft | Key::ArrowRight);
    text + if is_arrow { key.name() } else { key.symbol_or_name() }
}

/// Whether keys are heard by Compare, which has some of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It cannot be seen.
    Elsewhere,
    /// It can be seen.
    Compare,
    /// Its pictures have the keyboard.
    Stage,
}

/// Which keys give which command: the table's, except where a person chose others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Keymap {
    /// Command → its keys; `None` is a command whose keys were taken away.
    changed: BTreeMap<Command, Option<KeyboardShortcut>>,
}

impl Keymap {
    /// Reads what was saved; lines that mean nothing to this build are left out.
    pub(crate) fn read(saved: &BTreeMap<String, String>) -> Self {
        let line = |(id, keys): (&String, &String)| {
            let command = Command::from_id(id)?;
            if keys.is_empty() {
                return Some((command, None));
            }
            Some((command, Some(parse(keys).ok()?)))
        };
        Self { changed: saved.iter().filter_map(line).collect() }
    }

    /// What to save.
    pub(crate) fn save(&self) -> BTreeMap<String, String> {
        let line = |(command, keys): (&Command, &Option<KeyboardShortcut>)| {
            (
                command.row().id.to_owned(),
                keys.as_ref().map(|keys| write(*keys)).unwrap_or_default(),
            )
        };
        self.changed.iter().map(line).collect()
    }

    /// The keys of a command.
    pub(crate) fn of(&self, command: Command) -> Option<KeyboardShortcut> {
        match self.changed.get(&command) {
            Some(keys) => *keys,
            None => parse(command.row().keys).ok(),
        }
    }

    /// The keys of a command as a person reads them; empty when it has none.
    pub(crate) fn text(&self, command: Command) -> String {
        self.of(command).map(write).unwrap_or_default()
    }

    /// Gives a command these keys; whoever had them loses them, and is returned.
    pub(crate) fn bind(
        &mut self,
        command: Command,
        keys: Option<KeyboardShortcut>,
    ) -> Option<Command> {
        let is_of_compare = command.row().menu == Menu::Compare;
        let other = keys.and_then(|keys| self.command(keys, is_of_compare));
        let other = other.filter(|other| *other != command);
        if let Some(other) = other {
            self.changed.insert(other, None);
        }
        self.changed.insert(command, keys);
        other
    }

    /// Takes the table's keys again.
    pub(crate) fn reset(&mut self) {
        self.changed.clear();
    }

    /// Whether a person changed the keys of a command.
    pub(crate) fn is_changed(&self, command: Command) -> bool {
        self.changed.contains_key(&command)
    }

    /// The command of a shortcut, of Compare or of everything else.
    fn command(&self, keys: KeyboardShortcut, is_of_compare: bool) -> Option<Command> {
        let rows = COMMANDS.iter().filter(|row| (row.menu == Menu::Compare) == is_of_compare);
        rows.map(|row| row.command).find(|command| self.of(*command) == Some(keys))
    }

    /// Takes the shortcuts out of what was typed since the last frame. Keys that write something, or that work the control
    /// in focus, are left to it. While Compare is heard its keys go before those of other commands.
    pub(crate) fn typed(&self, ctx: &Context, hearing: Hearing) -> Vec<Command> {
        let (is_writing, is_focused) =
            (ctx.text_edit_focused(), ctx.memory(|memory| memory.focused().is_some()));
        let is_focused = is_focused && hearing != Hearing::Stage;
        let is_free = |keys: &KeyboardShortcut| {
            let plain = !keys.modifiers.command && !keys.modifiers.alt;
            let works_controls = matches!(
                keys.logical_key,
                Key::Space
                    | Key::Enter
                    | Key::ArrowUp
                    | Key::ArrowDown
                    | Key::ArrowLeft
                    | Key::ArrowRight
                    | Key::PageUp
                    | Key::PageDown
                    | Key::Home
                    | Key::End
            );
            let writes = plain && !is_function_key(keys.logical_key);
            let leaves = keys.logical_key == Key::Tab && hearing != Hearing::Stage;
            !(leaves || writes && is_writing || plain && works_controls && is_focused)
        };
        // More modifiers first: Ctrl+Shift+K would otherwise be taken for Ctrl+K.
        let mut all: Vec<_> = COMMANDS
            .iter()
            .filter(|row| row.menu != Menu::Compare || hearing != Hearing::Elsewhere)
            .filter_map(|row| Some((self.of(row.command)?, row.command)))
            .filter(|(keys, _)| is_free(keys))
            .collect();
        let is_first = |command: &Command| command.row().menu == Menu::Compare;
        all.sort_by_key(|(keys, command)| {
            std::cmp::Reverse((weight(keys.modifiers), is_first(command)))
        });
        ctx.input_mut(|input| {
            all.iter().filter(|(keys, _)| input.consume_shortcut(keys)).map(|(_, c)| *c).collect()
        })
    }
}

fn weight(modifiers: Modifiers) -> u8 {
    u8::from(modifiers.command) + u8::from(modifiers.shift) + u8::from(modifiers.alt)
}

fn is_function_key(key: Key) -> bool {
    key == Key::Escape || (key.name().len() > 1 && key.name().starts_with('F'))
}

/// The keys that a person presses now, to be taken as a shortcut.
pub(crate) fn pressed(ctx: &Context) -> Option<KeyboardShortcut> {
    ctx.input(|input| {
        input.events.iter().find_map(|event| match event {
            Event::Key { key, pressed: true, modifiers, .. } => {
                let held = [
                    (modifiers.command || modifiers.ctrl, Modifiers::COMMAND),
                    (modifiers.shift, Modifiers::SHIFT),
                    (modifiers.alt, Modifiers::ALT),
                ];
                let modifiers = held
                    .into_iter()
                    .filter(|(is_held, _)| *is_held)
                    .fold(Modifiers::NONE, |all, (_, one)| all | one);
                Some(KeyboardShortcut::new(modifiers, *key))
            }
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcuts_are_read_as_they_are_written() {
        for text in
            ["Ctrl+K", "Ctrl+Shift+S", "Alt+F4", "Space", ",", "F11", "Ctrl+=", "?", "Shift+Up"]
        {
            let keys = parse(text).unwrap();
            assert_eq!(parse(&write(keys)).unwrap(), keys, "{text}");
        }
        assert!(parse("Hyper+K").unwrap_err().contains("Hyper+K"));
        assert!(parse("Ctrl+").is_err());
    }

    #[test]
    fn every_default_is_a_shortcut_and_no_two_are_the_same() {
        let map = Keymap::default();
        for row in COMMANDS.iter().filter(|row| !row.keys.is_empty()) {
            let keys = parse(row.keys).unwrap_or_else(|error| panic!("{}: {error}", row.name));
            let is_of_compare = row.menu == Menu::Compare;
            assert_eq!(
                map.command(keys, is_of_compare),
                Some(row.command),
                "{} is given twice",
                row.keys
            );
        }
    }

    #[test]
    fn keys_move_from_one_command_to_another_and_survive_saving() {
        let mut map = Keymap::default();
        let keys = map.of(Command::Palette);
        assert_eq!(map.bind(Command::Generate, keys), Some(Command::Palette));
        assert_eq!(map.of(Command::Palette), None);
        let again = Keymap::read(&map.save());
        assert_eq!(again, map);
        map.reset();
        assert_eq!(map.text(Command::Palette), "Ctrl+K");
    }
}
