//! Which self-attention a request's name stands for, and what of it goes into the receipt.
//!
//! Today there is one: `dense`. A sparse method becomes a name here and a policy behind it; everything else sees only
//! [`SelfAttention`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candle_core::Tensor;
use tessera_models::attention::{Dense, SelfAttention, Sequence, Site};

use crate::receipt::AttentionUse;
use crate::settings::Problem;
use crate::{Error, Result};

/// Every name that the setting `attention` takes.
pub const NAMES: &[&str] = &["dense"];

/// The self-attention of a name; the error lists all names.
pub fn by_name(name: &str) -> Result<Box<dyn SelfAttention>> {
    match name {
        "dense" => Ok(Box::new(Dense)),
        _ => Err(Error::Settings(vec![Problem::new(
            "attention",
            format!("one of {}", NAMES.join(", ")),
            name,
        )])),
    }
}

/// What the watched attention did so far; shared between it and the run.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Clone, Default)]
struct Counts {
    calls: u64,
    seconds: f64,
    /// Steps begun.
    steps: u64,
    layers: usize,
    heads: usize,
}

impl Tally {
    /// The receipt's entries: one when every site of every step did the same.
    pub fn entries(&self, name: &str) -> Vec<AttentionUse> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if counts.calls == 0 {
            return Vec::new();
        }
        vec![AttentionUse {
            name: name.into(),
            mode: "dense".into(),
            steps: [0, counts.steps],
            layers: [0, counts.layers as u64],
            heads: [0, counts.heads as u64],
            calls: counts.calls,
            density_nominal: 1.0,
            density_exact: 1.0,
            attend_seconds: counts.seconds,
            estimate_seconds: 0.0,
        }]
    }

    fn with(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Passes every call on, counting and timing. On a GPU the time is that of the launch.
pub struct Watched {
    inner: Box<dyn SelfAttention>,
    tally: Tally,
}

impl Watched {
    /// Watches `inner`; what it does can be read from the tally.
    pub fn new(inner: Box<dyn SelfAttention>) -> (Self, Tally) {
        let tally = Tally::default();
        (Self { inner, tally: tally.clone() }, tally)
    }
}

impl SelfAttention for Watched {
    fn begin_clip(&mut self, sequence: &Sequence) -> tessera_models::Result<()> {
        let (layers, heads) = (sequence.layers, sequence.heads);
        self.tally.with(|counts| *counts = Counts { layers, heads, ..Counts::default() });
        self.inner.begin_clip(sequence)
    }

    fn begin_step(&mut self, index: usize, of: usize, sigma: f64) -> tessera_models::Result<()> {
        self.tally.with(|counts| counts.steps = index as u64 + 1);
        self.inner.begin_step(index, of, sigma)
    }

    fn attend(
        &mut self,
        site: Site,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> tessera_models::Result<Tensor> {
        let start = Instant::now();
        let out = self.inner.attend(site, q, k, v)?;
        self.tally.with(|counts| {
            counts.calls += 1;
            counts.seconds += start.elapsed().as_secs_f64();
        });
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = by_name("sparce").err().unwrap().to_string();
        assert_eq!(error, "attention: expected one of dense, got sparce");
        for name in NAMES {
            assert!(by_name(name).is_ok());
        }
    }
}
