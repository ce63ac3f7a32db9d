//! The table of methods: a sweep of every method at the same densities, and its results as one page of text.
//!
//! [`sweep`] is the sweep; running, resuming and measuring are [`crate::sweep`]'s. [`markdown`] and [`csv`] put the summary's
//! medians beside each other, density by density.

#[cfg(test)]
mod tests;
mod text;

use serde_json::{Map, Value};

use crate::settings::{Section, setting};
use crate::sweep::{Axis, Sweep};

pub use text::{csv, markdown};

/// A sweep of methods (each a `NAME` or `NAME/PRESET`) at exact densities of the sparse calls, on one seed. `settings` are those
/// of every clip; a seed among them is the sweep's.
pub fn sweep(
    settings: &Map<String, Value>,
    methods: &[&str],
    densities: &[f64],
    prompts: Vec<String>,
) -> Sweep {
    let seed = settings.get("seed").and_then(Value::as_u64).unwrap_or_default();
    let own = |key: &String, _: &mut Value| {
        key != "seed" && setting(key).is_some_and(|row| row.section != Section::Recording)
    };
    let mut settings = settings.clone();
    settings.retain(own);
    let rows = methods.iter().map(|name| {
        let (method, preset) = name.split_once('/').map_or((*name, None), |(m, p)| (m, Some(p)));
        let mut row = Map::from_iter([("attention".to_owned(), Value::from(method))]);
        row.extend(preset.map(|preset| ("preset".to_owned(), Value::from(preset))));
        row
    });
    Sweep {
        title: "Every method at the same densities".into(),
        prompts,
        seeds: vec![seed],
        settings,
        axes: vec![
            Axis::new("density", densities.iter().map(|density| Value::from(*density))),
            Axis { name: "method".into(), points: rows.collect() },
        ],
        ..Sweep::default()
    }
}
