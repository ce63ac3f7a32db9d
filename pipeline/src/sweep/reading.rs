//! Reads a sweep file, value by value against the table of settings, so that an error names its line and key.

mod slurm;

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Axis, Excluded, Sweep, VERSION, may_vary};
use crate::settings::{Kind, Setting, setting};
use crate::{Error, Result, bundled};

/// Points of a range at most.
const MOST_POINTS: f64 = 1000.0;
/// What may stand at the top.
const KEYS: &[&str] = &[
    "version",
    "title",
    "prompts",
    "seeds",
    "repeats",
    "latents",
    "settings",
    "axes",
    "paired",
    "exclude",
    "reference",
    "slurm",
];

/// A value with where it stands.
type Item<'a> = Spanned<DeValue<'a>>;

/// Reads a whole file.
pub(super) fn sweep(text: &str, path: &Path) -> Result<Sweep> {
    let reader = Reader { text, path };
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        reader.wrong(span, "file", "TOML", error.message())
    })?;
    let top = entries(document.get_ref());
    let find = |name: &str| top.iter().find(|entry| entry.key == name);
    let Some(version) = find("version") else {
        return Err(reader.wrong(0..0, "version", format!("version = {VERSION}"), "nothing"));
    };
    if whole(version.value) != Some(VERSION) {
        let expected = format!("{VERSION} (a newer Tessera may read others)");
        return Err(reader.unfit(version, expected));
    }
    if let Some(stranger) = top.iter().find(|entry| !KEYS.contains(&entry.key)) {
        return Err(reader.wrong(
            stranger.at(),
            stranger.key,
            format!("one of {}", KEYS.join(", ")),
            "an unknown key",
        ));
    }
    let mut sweep = Sweep {
        title: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        prompts: reader.prompts(find("prompts"))?,
        ..Sweep::default()
    };
    if let Some(title) = find("title") {
        let text = title.value.get_ref().as_str();
        sweep.title = text.ok_or_else(|| reader.unfit(title, "a text"))?.into();
    }
    if let Some(seeds) = find("seeds") {
        let values = reader.values(seeds, row_of("seed"))?;
        sweep.seeds = values.iter().filter_map(Value::as_u64).collect();
    }
    if let Some(repeats) = find("repeats") {
        let count = whole(repeats.value).filter(|count| *count <= 100);
        sweep.repeats =
            count.ok_or_else(|| reader.unfit(repeats, "a whole number from 0 to 100"))? as u32;
    }
    if let Some(latents) = find("latents") {
        let on = latents.value.get_ref().as_bool();
        sweep.latents = on.ok_or_else(|| reader.unfit(latents, "true or false"))?;
    }
    if let Some(settings) = find("settings") {
        sweep.settings = reader.settings(settings)?;
    }
    if let Some(axes) = find("axes") {
        for axis in reader.table(axes)? {
            let values = reader.values(&axis, reader.row(&axis)?)?;
            sweep.axes.push(Axis::new(axis.key, values));
        }
    }
    if let Some(paired) = find("paired") {
        for axis in reader.table(paired)? {
            sweep.axes.push(reader.paired(&axis)?);
        }
    }
    reader.check_axes(&sweep, find("axes").or(find("paired")))?;
    if let Some(excluded) = find("exclude") {
        sweep.excluded = reader.excluded(excluded, &sweep.axes)?;
    }
    if let Some(reference) = find("reference") {
        sweep.reference = reader.reference(reference)?;
    }
    if let Some(slurm) = find("slurm") {
        sweep.slurm = reader.slurm(slurm)?;
    }
    Ok(sweep)
}

/// A key with its value.
struct Entry<'a> {
    key: &'a str,
    key_at: Range<usize>,
    value: &'a Item<'a>,
}

impl Entry<'_> {
    fn at(&self) -> Range<usize> {
        self.key_at.clone()
    }
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    /// What is wrong, with the line that a place of the text is in.
    fn wrong(
        &self,
        at: Range<usize>,
        key: &str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Error {
        let before = self.text.get(..at.start).unwrap_or_default();
        Error::SweepFile {
            path: self.path.into(),
            line: before.matches('\n').count() + 1,
            key: key.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }

    /// The value of an entry is not what it should be.
    fn unfit(&self, entry: &Entry<'_>, expected: impl Into<String>) -> Error {
        let span = entry.value.span();
        let got = self.text.get(span.clone()).unwrap_or_default();
        self.wrong(span, entry.key, expected, got)
    }

    fn table<'b>(&self, entry: &Entry<'b>) -> Result<Vec<Entry<'b>>> {
        match entry.value.get_ref() {
            DeValue::Table(table) => Ok(entries(table)),
            _ => Err(self.unfit(entry, "a table")),
        }
    }

    /// The row of an entry's key, where it may stand in a sweep.
    fn row(&self, entry: &Entry<'_>) -> Result<&'static Setting> {
        let dashed = entry.key.replace('-', "_");
        match setting(&dashed) {
            Some(row) if may_vary(row) && row.key == entry.key => Ok(row),
            Some(row) if may_vary(row) => {
                Err(self.wrong(entry.at(), entry.key, row.key, entry.key))
            }
            Some(_) => Err(self.wrong(
                entry.at(),
                entry.key,
                "a setting that the sweep does not decide itself (prompts and seeds stand at the top)",
                entry.key,
            )),
            None => Err(self.wrong(
                entry.at(),
                entry.key,
                "a setting such as attention, density or steps (`tessera generate --help` lists them)",
                "an unknown one",
            )),
        }
    }

    /// One value of a setting.
    fn value(&self, entry: &Entry<'_>, row: &'static Setting, value: &Item<'_>) -> Result<Value> {
        let got = self.text.get(value.span()).unwrap_or_default();
        let wrong = || self.wrong(value.span(), entry.key, row.kind.to_string(), got);
        let read = match (value.get_ref(), row.kind) {
            (DeValue::String(text), Kind::Text) => Value::from(text.as_ref()),
            (DeValue::String(text), Kind::Path) => {
                let folder = crate::files::folder_of(self.path);
                Value::from(folder.join(text.as_ref()).display().to_string())
            }
            (DeValue::String(text), Kind::Choice(_) | Kind::Form { .. }) => {
                Value::from(text.trim().to_lowercase())
            }
            // `refresh = 4` and `refresh = "4"` mean the same.
            (DeValue::Integer(_) | DeValue::Float(_), Kind::Form { .. }) => Value::from(got),
            (DeValue::Integer(_), Kind::Int { .. }) => {
                whole(value).map(Value::from).ok_or_else(wrong)?
            }
            (DeValue::Integer(_) | DeValue::Float(_), Kind::Float { .. }) => {
                Value::from(number(value).ok_or_else(wrong)?)
            }
            (DeValue::Boolean(on), Kind::Bool) => Value::from(*on),
            _ => return Err(wrong()),
        };
        if row.allows(&read) { Ok(read) } else { Err(wrong()) }
    }

    /// A list of values, or a range of numbers.
    fn values(&self, entry: &Entry<'_>, row: &'static Setting) -> Result<Vec<Value>> {
        let values = match entry.value.get_ref() {
            DeValue::Array(list) => list
                .iter()
                .map(|value| self.value(entry, row, value))
                .collect::<Result<Vec<_>>>()?,
            DeValue::Table(range) => self.range(entry, row, range)?,
            _ => {
                return Err(self.unfit(
                    entry,
                    "a list of values, or a range such as { from = 1, to = 9, by = 2 }",
                ));
            }
        };
        if values.is_empty() {
            return Err(self.unfit(entry, "at least one value"));
        }
        if let Some(twice) =
            values.iter().enumerate().find(|(n, value)| values[..*n].contains(value))
        {
            return Err(self.wrong(
                entry.at(),
                entry.key,
                "each value once",
                format!("{} twice", twice.1),
            ));
        }
        Ok(values)
    }

    /// `{ from, to, by }`, both ends included.
    fn range(
        &self,
        entry: &Entry<'_>,
        row: &'static Setting,
        range: &DeTable<'_>,
    ) -> Result<Vec<Value>> {
        let is_whole = matches!(row.kind, Kind::Int { .. });
        if !is_whole && !matches!(row.kind, Kind::Float { .. }) {
            return Err(
                self.unfit(entry, format!("a list, as this setting is {}, no number", row.kind))
            );
        }
        let expected =
            "a range such as { from = 1, to = 9, by = 2 } with by above 0 and to not below from";
        let mut ends = [None, None, Some(1.0)];
        for part in entries(range) {
            let place = ["from", "to", "by"].iter().position(|name| *name == part.key);
            let place =
                place.ok_or_else(|| self.wrong(part.at(), entry.key, expected, part.key))?;
            ends[place] = Some(number(part.value).ok_or_else(|| self.unfit(&part, "a number"))?);
        }
        let [Some(from), Some(to), Some(by)] = ends else {
            return Err(self.unfit(entry, expected));
        };
        let steps = ((to - from) / by + 1e-9).floor();
        if !(by > 0.0 && (0.0..MOST_POINTS).contains(&steps)) {
            return Err(self.unfit(entry, expected));
        }
        let point = |n: u32| {
            // 0.1 + 2 · 0.1 is 0.3 to a person.
            let number = ((from + f64::from(n) * by) * 1e9).round() / 1e9;
            let value = if is_whole { Value::from(number as u64) } else { Value::from(number) };
            let is_right = row.allows(&value) && !(is_whole && number.fract() != 0.0);
            if is_right {
                Ok(value)
            } else {
                Err(self.wrong(entry.at(), entry.key, row.kind.to_string(), number.to_string()))
            }
        };
        (0..=steps as u32).map(point).collect()
    }

    /// A table of settings with one value each.
    fn settings(&self, entry: &Entry<'_>) -> Result<Map<String, Value>> {
        let read = |entry: &Entry<'_>| {
            Ok((entry.key.to_owned(), self.value(entry, self.row(entry)?, entry.value)?))
        };
        self.table(entry)?.iter().map(read).collect()
    }

    fn paired(&self, entry: &Entry<'_>) -> Result<Axis> {
        let expected = "a list of rows such as { warmup = \"25%\", refresh = 2 }";
        let DeValue::Array(rows) = entry.value.get_ref() else {
            return Err(self.unfit(entry, expected));
        };
        let point = |row| {
            let row = Entry { key: entry.key, key_at: entry.at(), value: row };
            self.settings(&row).and_then(|point| {
                if point.is_empty() {
                    Err(self.unfit(&row, "at least one setting"))
                } else {
                    Ok(point)
                }
            })
        };
        let points = rows.iter().map(point).collect::<Result<Vec<_>>>()?;
        if points.is_empty() {
            return Err(self.unfit(entry, expected));
        }
        Ok(Axis { name: entry.key.into(), points })
    }

    /// No setting is on two axes, or both on an axis and the same for all.
    fn check_axes(&self, sweep: &Sweep, at: Option<&Entry<'_>>) -> Result<()> {
        let at = at.map_or(0..0, Entry::at);
        let mut seen: Vec<&str> = sweep.settings.keys().map(String::as_str).collect();
        for axis in &sweep.axes {
            let mut own: Vec<&str> = Vec::new();
            for key in axis.points.iter().flat_map(Map::keys) {
                if seen.contains(&key.as_str()) {
                    return Err(self.wrong(at, key, "one axis, or [settings]", "it in two places"));
                }
                if !own.contains(&key.as_str()) {
                    own.push(key);
                }
            }
            seen.extend(own);
        }
        Ok(())
    }

    fn excluded(&self, entry: &Entry<'_>, axes: &[Axis]) -> Result<Vec<Excluded>> {
        let DeValue::Array(tables) = entry.value.get_ref() else {
            return Err(self.unfit(entry, "[[exclude]] tables"));
        };
        let mut excluded = Vec::new();
        for table in tables {
            let table = Entry { key: entry.key, key_at: table.span(), value: table };
            let mut rule = Excluded::new();
            for setting in self.table(&table)? {
                let row = self.row(&setting)?;
                let values = match setting.value.get_ref() {
                    DeValue::Array(_) | DeValue::Table(_) => self.values(&setting, row)?,
                    _ => vec![self.value(&setting, row, setting.value)?],
                };
                let points = || axes.iter().flat_map(|axis| &axis.points);
                let is_there = |value| points().any(|point| point.get(row.key) == Some(value));
                if let Some(absent) = values.iter().find(|value| !is_there(value)) {
                    return Err(self.wrong(
                        setting.at(),
                        row.key,
                        "values that are on an axis",
                        absent.to_string(),
                    ));
                }
                rule.push((row.key.into(), values));
            }
            if rule.is_empty() {
                return Err(self.wrong(table.at(), "exclude", "at least one setting", "none"));
            }
            excluded.push(rule);
        }
        Ok(excluded)
    }

    fn reference(&self, entry: &Entry<'_>) -> Result<Map<String, Value>> {
        for setting in self.table(entry)? {
            let row = self.row(&setting)?;
            if !super::cells::may_differ_in_reference(row) {
                return Err(self.wrong(
                    setting.at(),
                    row.key,
                    "a setting that leaves the size of the clip, and attention dense",
                    row.key,
                ));
            }
        }
        self.settings(entry)
    }

    /// A list, a file of one prompt a line, or the bundled model's examples.
    fn prompts(&self, entry: Option<&Entry<'_>>) -> Result<Vec<String>> {
        let Some(entry) = entry else { return lines(&bundled::prompts()?) };
        let texts = match entry.value.get_ref() {
            DeValue::Array(list) => {
                let text = |value: &Item<'_>| value.get_ref().as_str().map(str::to_owned);
                list.iter().map(text).collect::<Option<Vec<_>>>()
            }
            DeValue::Table(_) => {
                let (mut path, mut first) = (None, usize::MAX);
                for part in self.table(entry)? {
                    match part.key {
                        "file" => {
                            let name = part.value.get_ref().as_str();
                            let name = name.ok_or_else(|| self.unfit(&part, "a path"))?;
                            path = Some(crate::files::folder_of(self.path).join(name));
                        }
                        "first" => {
                            let count = whole(part.value).filter(|count| *count > 0);
                            first = count
                                .ok_or_else(|| self.unfit(&part, "a whole number from 1 up"))?
                                as usize;
                        }
                        _ => {
                            return Err(self.wrong(
                                part.at(),
                                "prompts",
                                "file or first",
                                part.key,
                            ));
                        }
                    }
                }
                let all = lines(&path.map_or_else(bundled::prompts, Ok)?)?;
                Some(all.into_iter().take(first).collect())
            }
            _ => None,
        };
        let texts = texts
            .filter(|texts| !texts.is_empty() && texts.iter().all(|text| !text.trim().is_empty()));
        texts.ok_or_else(|| {
            self.unfit(entry, "a list of prompts, or { file = \"prompts.txt\", first = 4 }")
        })
    }
}

/// The entries of a table in the order they stand.
fn entries<'b>(table: &'b DeTable<'b>) -> Vec<Entry<'b>> {
    let entry = |(key, value): (&'b Spanned<_>, &'b Item<'b>)| Entry {
        key: AsRef::<str>::as_ref(key.get_ref() as &std::borrow::Cow<'b, str>),
        key_at: key.span(),
        value,
    };
    let mut entries: Vec<_> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.key_at.start);
    entries
}

/// The lines of a file that hold a prompt: neither empty nor a remark.
pub(super) fn lines(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

fn row_of(key: &str) -> &'static Setting {
    setting(key).unwrap_or(&crate::settings::SETTINGS[0])
}

/// A whole number from 0 up.
fn whole(value: &Item<'_>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &Item<'_>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|n| n as f64)
        }
        DeValue::Float(float) => {
            float.as_str().parse().ok().filter(|number: &f64| number.is_finite())
        }
        _ => None,
    }
}
