//! What the window remembers between two times it is open: `window.json` in the data folder that `tessera doctor` names.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use egui_tiles::Tree;
use serde::{Deserialize, Serialize};
use tessera_pipeline::Error;
use tessera_pipeline::files::write_atomically;
use tessera_pipeline::request::Request;

use super::draft::Draft;
use super::layout::Pane;
use super::theme::Choice;

/// The file's name in the data folder.
const FILE: &str = "window.json";

/// Everything that is remembered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Prefs {
    /// The theme.
    pub(crate) theme: Choice,
    /// How large everything is; 1 is the screen's own size.
    pub(crate) scale: f32,
    /// Command → keys, where they are not the table's.
    pub(crate) keys: BTreeMap<String, String>,
    /// Whether clips are recorded for the Lens.
    pub(crate) records: bool,
    /// Whether a window that the processor draws spares it while a clip is made.
    pub(crate) spares: bool,
    /// Model folders that a person added.
    pub(crate) model_folders: Vec<PathBuf>,
    /// What is being composed.
    pub(crate) draft: Draft,
    /// Clips that wait or were cut off.
    pub(crate) queue: Vec<Request>,
    /// Where the panes are; `None` is the first layout.
    pub(crate) layout: Option<Tree<Pane>>,
    /// Whether the history is a grid of pictures.
    pub(crate) is_history_grid: bool,
    /// The window's size in points.
    pub(crate) size: [f32; 2],
}

/// What was read, and what a person should know about the reading.
pub(crate) type Remembered = (Prefs, Option<String>);

impl Default for Prefs {
    fn default() -> Self {
        Self {
            theme: Choice::default(),
            scale: 1.0,
            keys: BTreeMap::new(),
            records: true,
            spares: true,
            model_folders: Vec::new(),
            draft: Draft::default(),
            queue: Vec::new(),
            layout: None,
            is_history_grid: false,
            size: [1280.0, 800.0],
        }
    }
}

impl Prefs {
    /// Reads what was saved in a folder. What cannot be read is set aside under another name, and told.
    pub(crate) fn read(folder: &Path) -> Remembered {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::default_with(None);
            }
            Err(error) => return Self::default_with(Some(format!("{}: {error}", path.display()))),
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(prefs) => (prefs, None),
            Err(error) => {
                let aside = path.with_extension("json.broken");
                let kept = match std::fs::rename(&path, &aside) {
                    Ok(()) => format!("It is kept as {}.", aside.display()),
                    Err(_) => "It will be replaced.".to_owned(),
                };
                Self::default_with(Some(format!(
                    "{} could not be read ({error}), so the window starts as at first. {kept}",
                    path.display()
                )))
            }
        }
    }

    fn default_with(told: Option<String>) -> Remembered {
        (Self::default(), told)
    }

    /// Writes them, whole or not at all.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Box<Error>> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder)).map_err(Box::new)?;
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Unreadable { what: FILE.into(), reason: error.to_string() })?;
        write_atomically(&folder.join(FILE), |out| out.write_all(text.as_bytes()))
            .map_err(|error| Box::new(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back_and_a_broken_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut prefs, told) = Prefs::read(folder.path());
        assert!(told.is_none());
        prefs.theme = Choice::Light;
        prefs.draft.set("steps", Some(7.into()));
        prefs.layout = Some(super::super::layout::first());
        prefs.write(folder.path()).unwrap();
        let (again, told) = Prefs::read(folder.path());
        assert!(told.is_none());
        assert_eq!((again.theme, &again.draft), (Choice::Light, &prefs.draft));
        assert!(again.layout.is_some());

        write_atomically(&folder.path().join(FILE), |out| out.write_all(b"{ no")).unwrap();
        let (prefs, told) = Prefs::read(folder.path());
        assert_eq!(prefs.theme, Choice::Dark);
        assert!(told.unwrap().contains("window.json.broken"));
        assert!(folder.path().join("window.json.broken").is_file());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write_atomically(&file, |_| Ok(())).unwrap();
        assert!(Prefs::default().write(&file.join("data")).is_err());
    }
}
