//! What the History view knows: the search, the runs that it found, and of those that can be seen their rows and small pictures.

use std::collections::{BTreeMap, BTreeSet};

use eframe::egui::TextureHandle;
use serde_json::Value;
use tessera_pipeline::history::{Query, Row};
use tessera_pipeline::request::Request;
use tessera_pipeline::settings::SETTINGS;

use super::draft;

/// Rows that are kept beyond those that can be seen.
const SPARE: usize = 64;
/// Settings that say where a clip goes, not what it is.
const PLACES: [&str; 6] = ["out", "record", "record_limit", "count", "override_memory", "prompt"];

/// What a person may want of the history.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// Find this.
    Search(String),
    /// Read these rows: they can be seen.
    See(Vec<i64>),
    /// Look at one closely, or at none.
    Choose(Option<i64>),
    /// Go to one with the keyboard, and look at it closely.
    MoveTo(i64),
    /// It is in sight and has the keyboard.
    Reached,
    /// Star it, or take its star.
    Star(i64, bool),
    /// Write this into the field of tags.
    TypeTags(String),
    /// Give the chosen one the tags that were written.
    SaveTags,
    /// Pictures in a grid, or lines.
    Grid(bool),
    /// Take its settings into the form.
    Restore(i64),
    /// Put it on the screen.
    Play(i64),
    /// Compare it with others.
    Compare(i64),
    /// Show its file in the file manager.
    Folder(i64),
    /// Take it out of the history; its video too, when that is asked for.
    Forget { id: i64, with_video: bool },
}

/// Small frames side by side, on the graphics device.
#[derive(Clone)]
pub(crate) struct Thumb {
    /// The picture.
    pub(crate) texture: TextureHandle,
    /// How many frames it has.
    pub(crate) frames: usize,
}

/// State of the view.
#[derive(Default)]
pub(crate) struct Past {
    /// What is searched for.
    pub(crate) line: String,
    /// The same, understood.
    pub(crate) query: Query,
    /// What was found, newest first; `None` until the first answer.
    pub(crate) found: Option<Vec<i64>>,
    /// Why there is no history.
    pub(crate) why_none: Option<String>,
    /// Looked at closely.
    pub(crate) chosen: Option<i64>,
    /// To be brought into sight and given the keyboard.
    pub(crate) wanted: Option<i64>,
    /// What a person wrote into the field of tags and no row has yet; without, the field shows the row's own.
    written_tags: Option<String>,
    /// Pictures in a grid rather than lines.
    pub(crate) is_grid: bool,
    rows: BTreeMap<i64, Row>,
    thumbs: BTreeMap<i64, Thumb>,
    asked: BTreeSet<i64>,
}

impl Past {
    /// The view of a window that opens.
    pub(crate) fn new(is_grid: bool) -> Self {
        Self { is_grid, ..Self::default() }
    }

    /// Searches for something else; what was found stays until the answer.
    pub(crate) fn search(&mut self, line: String) {
        self.query = Query::parse(&line);
        self.line = line;
    }

    /// Takes in what was found.
    pub(crate) fn take(&mut self, found: Vec<i64>) {
        if self.chosen.is_some_and(|id| !found.contains(&id)) {
            self.chosen = None;
        }
        self.found = Some(found);
        // A row may have changed; each that can be seen is asked for again.
        self.asked.clear();
    }

    /// Of the rows that can be seen, those that nobody asked for.
    pub(crate) fn missing(&self, seen: &[i64]) -> Vec<i64> {
        seen.iter().copied().filter(|id| !self.asked.contains(id)).collect()
    }

    /// Remembers that rows were asked for, and forgets those far from them.
    pub(crate) fn ask(&mut self, ids: &[i64]) {
        self.asked.extend(ids);
        let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return };
        if self.asked.len() > 2 * SPARE + ids.len() {
            let near = first.saturating_sub(SPARE as i64)..=last.saturating_add(SPARE as i64);
            let is_kept = |id: &i64| near.contains(id) || self.chosen == Some(*id);
            self.asked.retain(is_kept);
            self.rows.retain(|id, _| is_kept(id));
            self.thumbs.retain(|id, _| is_kept(id));
        }
    }

    /// Takes a row in.
    pub(crate) fn see(&mut self, row: Row) {
        self.rows.insert(row.id, row);
    }

    /// Takes a picture in.
    pub(crate) fn show(&mut self, id: i64, thumb: Thumb) {
        if self.asked.contains(&id) {
            self.thumbs.insert(id, thumb);
        }
    }

    /// A row that was read.
    pub(crate) fn row(&self, id: i64) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// Its picture.
    pub(crate) fn thumb(&self, id: i64) -> Option<&Thumb> {
        self.thumbs.get(&id)
    }

    /// How many pictures are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.thumbs.len().max(self.rows.len())
    }

    /// Chooses a run. Tags that were written for another are to be saved before.
    pub(crate) fn choose(&mut self, id: Option<i64>) {
        if self.chosen != id {
            self.written_tags = None;
        }
        self.chosen = id;
    }

    /// What the field of tags shows: a row that is read late never takes what a person wrote.
    pub(crate) fn tags<'a>(&'a self, row: &'a Row) -> &'a str {
        self.written_tags.as_deref().unwrap_or(&row.tags)
    }

    /// Takes what a person wrote into the field of tags.
    pub(crate) fn write_tags(&mut self, tags: String) {
        self.written_tags = Some(tags);
    }

    /// The chosen run and the tags that it is to have, while it has others.
    pub(crate) fn unsaved_tags(&self) -> Option<(i64, &str)> {
        let (id, written) = (self.chosen?, self.written_tags.as_deref()?);
        (self.row(id).map(|row| row.tags.as_str()) != Some(written)).then_some((id, written))
    }

    /// Takes a row in that got its tags, of these words.
    pub(crate) fn tagged(&mut self, row: Row, words: &str) {
        if self.chosen == Some(row.id) && self.written_tags.as_deref() == Some(words) {
            self.written_tags = None;
        }
        self.see(row);
    }

    /// The run behind one in the list, or the one before it at the end.
    pub(crate) fn neighbour(&self, id: i64) -> Option<i64> {
        let found = self.found.as_deref()?;
        let at = found.iter().position(|other| *other == id)?;
        found.get(at + 1).or_else(|| found.get(at.checked_sub(1)?)).copied()
    }

    /// Stars a row before the database has said so.
    pub(crate) fn star(&mut self, id: i64, is_starred: bool) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.is_starred = is_starred;
        }
    }
}

/// Settings in which two requests differ: name, first, second. What none of them gives is left out.
pub(crate) fn differences(a: &Request, b: &Request) -> Vec<(String, String, String)> {
    let rows = differing(&[a, b]).into_iter();
    rows.map(|(name, mut of)| (name, of.remove(0), of.remove(0))).collect()
}

/// Settings in which requests differ, each with its value in every one of them. What none of them gives is left out.
pub(crate) fn differing(requests: &[&Request]) -> Vec<(String, Vec<String>)> {
    let all: Vec<Value> =
        requests.iter().filter_map(|request| serde_json::to_value(request).ok()).collect();
    let words = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(is_on)) => if *is_on { "on" } else { "off" }.to_owned(),
        Some(other) => other.to_string(),
    };
    SETTINGS
        .iter()
        .filter(|row| !PLACES.contains(&row.key))
        .map(|row| (draft::label(row.key), all.iter().map(|of| words(of.get(row.key))).collect()))
        .filter(|(_, of): &(String, Vec<String>)| of.windows(2).any(|two| two[0] != two[1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let one = Request { steps: Some(4), seed: Some(1), ..Request::default() };
        let two =
            Request { steps: Some(9), seed: Some(1), density: Some(0.5), ..Request::default() };
        let two = Request { negative: Some(String::new()), ..two };
        let told = differences(&one, &two);
        let told: Vec<_> =
            told.iter().map(|(n, a, b)| (n.as_str(), a.as_str(), b.as_str())).collect();
        assert_eq!(told, [("Steps", "4", "9"), ("Density", "–", "0.5")]);
    }

    #[test]
    fn rows_far_away_are_forgotten() {
        let mut past = Past::default();
        for first in (0..10_000).step_by(20) {
            let ids: Vec<i64> = (first..first + 20).collect();
            assert_eq!(past.missing(&ids), ids);
            past.ask(&ids);
            assert!(past.missing(&ids).is_empty(), "asked once");
        }
        assert!(past.asked.len() < 4 * SPARE);
    }
}
