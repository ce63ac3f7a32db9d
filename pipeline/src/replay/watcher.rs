//! Watches the sparse attention of a propagated forward and compares each call with dense attention of what it met.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tessera_kernels::attention::attention_with_lse;

use super::comparing::{full, milliseconds};
use super::report::Call;
use super::truth::Truth;
use crate::Result;
use crate::sparsity::observer::{CallReport, Observer};
use crate::sparsity::tally::branch_name;

/// The observer of a propagated forward.
pub(super) struct Watcher {
    seen: Seen,
    floor: u8,
}

/// What a watcher saw: its calls, or why one could not be compared.
#[derive(Clone)]
pub(super) struct Seen(Arc<Mutex<Result<Vec<Call>>>>);

impl Seen {
    /// What was seen since this was last asked.
    pub(super) fn take(&self) -> Result<Vec<Call>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, Ok(Vec::new()))
    }
}

impl Watcher {
    /// A watcher of a method with this floor, and what it will have seen.
    pub(super) fn new(floor: u8) -> (Self, Seen) {
        let seen = Seen(Arc::new(Mutex::new(Ok(Vec::new()))));
        (Self { seen: seen.clone(), floor }, seen)
    }

    fn look(&self, report: &CallReport<'_>) -> Result<Call> {
        let began = Instant::now();
        let (out, lse) = attention_with_lse(report.q, report.k, report.v, report.scale, None)?;
        let dense = began.elapsed();
        let mut truth = Truth::new([report.q.clone(), report.k.clone(), out], lse, report.scale);
        let heads = if let Some(sparse) = &report.sparse {
            let map = (sparse.map, self.floor);
            truth.heads(report.out, map, sparse.key_order, &sparse.densities.read()?)?
        } else {
            let full = full(report.q, report.step)?;
            truth.heads(report.out, (&full.map, 0), None, &full.densities.read()?)?
        };
        Ok(Call {
            step: report.step.index,
            branch: branch_name(report.site.branch),
            layer: report.site.layer,
            mode: report.mode,
            estimate_ms: milliseconds(report.estimate),
            attention_ms: milliseconds(report.attention),
            dense_ms: milliseconds(dense),
            heads,
        })
    }
}

impl Observer for Watcher {
    fn attended(&mut self, report: &CallReport<'_>) {
        let call = self.look(report);
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (call, &mut *seen) {
            (Ok(call), Ok(calls)) => calls.push(call),
            (Err(error), Ok(_)) => *seen = Err(error),
            (_, Err(_)) => {}
        }
    }
}
