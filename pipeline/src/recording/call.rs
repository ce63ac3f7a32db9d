//! One attention call as a recording keeps it: small, always there.

use rusqlite::{Row, params};
use tessera_kernels::levels::Density;
use tessera_models::attention::{Branch, Site};

use super::meta::{Place, branch_name, branch_of};
use super::{Recording, blob, schema};
use crate::Result;
use crate::sparsity::observer::Mode;

/// How one attention call was answered. Heads count samples × heads in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// When and where.
    pub place: Place,
    /// How.
    pub mode: Mode,
    /// Milliseconds spent on choosing the map.
    pub estimate_ms: f64,
    /// Milliseconds spent on attention itself.
    pub attention_ms: f64,
    /// The density of each head; 1 in a dense call.
    pub densities: Vec<Density>,
    /// Share of the softmax mass that each head's map keeps finer than its floor, where it is known.
    pub retained: Option<Vec<f64>>,
    /// The step in which the map was estimated; `None` for dense calls.
    pub estimated_at: Option<usize>,
    /// The map's number in this recording; `None` for dense calls. Calls that used one map share it.
    pub map: Option<u32>,
    /// Numbers of the token orders: one for all heads, or one a head.
    pub orders: Vec<u32>,
    /// Why it did not run as the schedule wanted.
    pub fallback: Option<String>,
}

impl Call {
    /// The mean density over heads.
    pub fn density(&self) -> Density {
        let heads = self.densities.len().max(1) as f64;
        let mean = |of: fn(&Density) -> f64| self.densities.iter().map(of).sum::<f64>() / heads;
        Density { nominal: mean(|density| density.nominal), exact: mean(|density| density.exact) }
    }

    /// The number of a head's token order.
    pub fn order_of(&self, head: usize) -> Option<u32> {
        match self.orders.as_slice() {
            [one] => Some(*one),
            each => each.get(head).copied(),
        }
    }
}

/// The mode of a name.
pub(super) fn mode_of(name: &str) -> Option<Mode> {
    [Mode::Dense, Mode::Fresh, Mode::Cached].into_iter().find(|mode| mode.name() == name)
}

const CALLS: &str = "SELECT step, branch, expert, layer, mode, estimate_us, attention_us, densities, retained, estimated_at, map, orders, fallback FROM calls";

impl Recording {
    /// The calls of a step, by branch and layer.
    pub fn calls(&self, step: usize) -> Result<Vec<Call>> {
        self.rows(
            &format!("{CALLS} WHERE step = ?1 ORDER BY expert, branch, layer"),
            params![step],
            |row| Ok(self.call_of(row)),
        )?
        .into_iter()
        .collect()
    }

    /// The call at a place.
    pub fn call(&self, place: Place) -> Result<Option<Call>> {
        let Place { step, site } = place;
        self.row(
            &format!("{CALLS} WHERE step = ?1 AND branch = ?2 AND expert = ?3 AND layer = ?4"),
            params![step, branch_name(site.branch), site.expert, site.layer],
            |row| Ok(self.call_of(row)),
        )?
        .transpose()
    }

    fn call_of(&self, row: &Row<'_>) -> Result<Call> {
        let wrong = |error| schema::reading(self.path(), &error);
        let read = || -> rusqlite::Result<_> {
            let names = (row.get::<_, String>("branch")?, row.get::<_, String>("mode")?);
            let blobs = (
                row.get::<_, Option<Vec<u8>>>("densities")?,
                row.get::<_, Option<Vec<u8>>>("retained")?,
                row.get::<_, Vec<u8>>("orders")?,
            );
            let call = Call {
                place: Place {
                    step: row.get("step")?,
                    site: Site {
                        layer: row.get("layer")?,
                        branch: Branch::Cond,
                        expert: row.get("expert")?,
                    },
                },
                mode: Mode::Dense,
                estimate_ms: row.get::<_, f64>("estimate_us")? / 1e3,
                attention_ms: row.get::<_, f64>("attention_us")? / 1e3,
                densities: Vec::new(),
                retained: None,
                estimated_at: row.get("estimated_at")?,
                map: row.get("map")?,
                orders: Vec::new(),
                fallback: row.get("fallback")?,
            };
            Ok((call, names, blobs))
        };
        let (mut call, (branch, mode), (densities, retained, orders)) = read().map_err(wrong)?;
        let unknown = || schema::damaged(self.path(), &format!("a call {mode} in branch {branch}"));
        call.place.site.branch = branch_of(&branch).ok_or_else(unknown)?;
        call.mode = mode_of(&mode).ok_or_else(unknown)?;
        let full = Density { nominal: 1.0, exact: 1.0 };
        call.densities = match densities {
            None => vec![full; self.meta().heads],
            Some(bytes) => blob::from_floats(&bytes)
                .chunks_exact(2)
                .map(|pair| Density { nominal: pair[0].into(), exact: pair[1].into() })
                .collect(),
        };
        call.retained =
            retained.map(|bytes| blob::from_floats(&bytes).into_iter().map(f64::from).collect());
        call.orders = blob::from_words(&orders);
        Ok(call)
    }
}
