//! Statistics of clips that were made in pairs: the same prompt and seed with other settings.
//!
//! Clips differ more from each other (about ten times) than settings do, so settings are compared clip by clip on the same prompt
//! and seed: first the difference or ratio of each pair, then its median with a bootstrap interval, and who won how often. A
//! mean over clips, or a mean of such means, is nowhere. What two dense runs differ by is the [`noise_floor`]; what is fast
//! and close at once is the [`front`]. Everything here is a pure function: the same values give the same figures.

mod bootstrap;
mod paired;
mod pareto;
mod prediction;
#[cfg(test)]
mod tests;

pub use bootstrap::{Interval, interval, median};
pub use paired::{Paired, Score};
pub use pareto::{Point, TimeBasis, front};
pub use prediction::upper_bound;

/// The distance below which two settings cannot be told apart: the largest between a dense run and its repeats. `None` without
/// repeats, or where a distance is not a number.
pub fn noise_floor(distances: &[f64]) -> Option<f64> {
    if distances.iter().any(|distance| distance.is_nan()) {
        return None;
    }
    distances.iter().copied().max_by(f64::total_cmp)
}
