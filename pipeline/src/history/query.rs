//! What is searched for: words, and conditions on settings such as `steps>=20` or `sampler=euler`.
//!
//! One line of text is all of it, so a search can be typed, shown, saved and sent to the command line alike.

use std::fmt;

use rusqlite::types::Value as Sql;
use serde_json::Value;

use crate::settings::{Kind, setting};

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Is,
    /// Different, or not given.
    IsNot,
    /// Smaller.
    Below,
    /// Smaller or equal.
    AtMost,
    /// Larger.
    Above,
    /// Larger or equal.
    AtLeast,
}

impl Op {
    /// All, longest sign first, with the sign that is typed.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::AtLeast, ">="),
        (Self::AtMost, "<="),
        (Self::IsNot, "!="),
        (Self::Is, "="),
        (Self::Above, ">"),
        (Self::Below, "<"),
    ];

    /// The sign that is typed.
    pub fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("=", |(_, sign)| sign)
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Is => "IS",
            Self::IsNot => "IS NOT",
            other => other.sign(),
        }
    }
}

/// What a run has beside its settings, with how it is found in the table.
const FIELDS: [(&str, &str, Kind); 4] = [
    ("starred", "is_starred", Kind::Bool),
    ("model", "model", Kind::Text),
    ("method", "method", Kind::Text),
    ("seconds", "seconds", Kind::Float { min: 0.0, max: f64::MAX }),
];

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// A setting's key, or `starred`, `model` (its name), `method`, `seconds` (of the whole run), `tag`.
    pub key: String,
    /// How to compare.
    pub op: Op,
    /// With what.
    pub value: Value,
}

impl fmt::Display for Filter {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.value.as_str().map_or_else(|| self.value.to_string(), ToOwned::to_owned);
        if text.contains(char::is_whitespace) || text.is_empty() {
            write!(f, "{}{}\"{text}\"", self.key, self.op.sign())
        } else {
            write!(f, "{}{}{text}", self.key, self.op.sign())
        }
    }
}

/// A search. An empty one finds all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// Words that begin so, all of which must be there.
    pub words: Vec<String>,
    /// Conditions, all of which must hold.
    pub filters: Vec<Filter>,
    /// Conditions that mean nothing, each with what is wrong.
    pub problems: Vec<String>,
}

impl Query {
    /// Reads a line. What looks like a condition on no known setting is a word.
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for part in parts(text) {
            match condition(&part) {
                None => query.words.push(part.replace('"', "")),
                Some(Ok(filter)) => query.filters.push(filter),
                Some(Err(problem)) => query.problems.push(problem),
            }
        }
        query.words.retain(|word| word.chars().any(char::is_alphanumeric));
        query
    }

    /// The ids that it finds, newest first, as SQL with its values.
    pub(super) fn sql(&self) -> (String, Vec<Sql>) {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        if !self.words.is_empty() {
            // Each word in quotes is a word and nothing else; the star finds what begins with it.
            let words: Vec<String> = self.words.iter().map(|word| format!("\"{word}\"*")).collect();
            conditions.push("id IN (SELECT rowid FROM words WHERE words MATCH ?)".to_owned());
            values.push(Sql::Text(words.join(" ")));
        }
        for filter in &self.filters {
            let op = filter.op.sql();
            if filter.key == "tag" {
                let has = if filter.op == Op::IsNot { "= 0" } else { "> 0" };
                conditions.push(format!(
                    "instr(', ' || lower(tags) || ',', ', ' || lower(?) || ',') {has}"
                ));
                values.push(sql_value(&filter.value));
                continue;
            }
            let field = FIELDS.iter().find(|(name, ..)| *name == filter.key);
            let column = match field {
                Some(("starred", column, _)) if filter.op == Op::Is && filter.value == true => {
                    conditions.push((*column).to_owned()); // in these words the index of the starred is used
                    continue;
                }
                Some((_, column, _)) => (*column).to_owned(),
                None => format!("request ->> '$.{}'", filter.key),
            };
            conditions.push(format!("{column} {op} ?"));
            values.push(sql_value(&filter.value));
        }
        let all = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        (format!("SELECT id FROM runs WHERE {all} ORDER BY id DESC"), values)
    }
}

/// Keys that conditions may have: fields of a run, then settings.
pub fn keys() -> impl Iterator<Item = &'static str> {
    let fields = FIELDS.iter().map(|(name, ..)| *name).chain(["tag"]);
    let settings = crate::settings::SETTINGS.iter().map(|row| row.key);
    fields.chain(settings.filter(|key| !matches!(*key, "prompt" | "negative" | "model" | "count")))
}

/// What values a condition on this key compares with.
pub fn kind(key: &str) -> Option<Kind> {
    let field = FIELDS.iter().find(|(name, ..)| *name == key).map(|(.., kind)| *kind);
    field.or_else(|| setting(key).map(|row| row.kind))
}

/// A text cut at white space that is not in quotes.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        is_quoted ^= letter == '"';
        if letter.is_whitespace() && !is_quoted {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(letter);
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

/// A condition, if it begins with a known key and a sign.
fn condition(part: &str) -> Option<Result<Filter, String>> {
    let at = part.find(['<', '>', '=', '!'])?;
    let (key, rest) = part.split_at(at);
    let (op, sign) = Op::ALL.into_iter().find(|(_, sign)| rest.starts_with(sign))?;
    let text = rest[sign.len()..].trim_matches('"');
    let key = key.to_lowercase().replace('-', "_");
    if !keys().any(|known| known == key) {
        return None;
    }
    let kind = kind(&key);
    let wrong = |kind: Kind| format!("{key}: expected {kind}, got \"{text}\"");
    let value = match kind {
        Some(Kind::Int { .. }) => text.parse::<u64>().map(Value::from).ok(),
        Some(Kind::Float { .. }) => text.parse::<f64>().map(Value::from).ok(),
        Some(Kind::Bool) => match text {
            "true" | "on" | "yes" | "1" => Some(true.into()),
            "false" | "off" | "no" | "0" => Some(false.into()),
            _ => None,
        },
        _ => Some(Value::from(text)),
    };
    Some(match (value, kind) {
        (Some(value), _) => Ok(Filter { key, op, value }),
        (None, Some(kind)) => Err(wrong(kind)),
        (None, None) => return None,
    })
}

fn sql_value(value: &Value) -> Sql {
    match value {
        Value::Bool(is_on) => Sql::Integer((*is_on).into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Sql::Integer(whole),
            None => Sql::Real(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_words_and_conditions() {
        let query =
            Query::parse("red \"ball steps>=20 Flow-Shift<3.5 tag=\"my best\" a=b starred=yes");
        assert_eq!(
            query.words,
            ["red", "ball steps>=20 Flow-Shift<3.5 tag=my", "best a=b starred=yes"]
        );
        let query =
            Query::parse("red steps>=20 flow-shift<3.5 tag=\"my best\" a=b starred=yes --- ");
        assert_eq!(query.words, ["red", "a=b"]);
        let shown: Vec<String> = query.filters.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["steps>=20", "flow_shift<3.5", "tag=\"my best\"", "starred=true"]);
        assert_eq!(
            Query::parse(&shown.join(" ")).filters,
            query.filters,
            "what is shown can be typed"
        );
        let query = Query::parse("steps=soon");
        assert_eq!(query.problems, ["steps: expected a whole number from 1 to 1000, got \"soon\""]);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_a_search(text in ".{0,60}") {
            let (sql, values) = Query::parse(&text).sql();
            proptest::prop_assert_eq!(sql.matches('?').count(), values.len());
        }
    }
}
