//! Calibration: what a few prompts teach about a model's heads, written into a plan file that later runs read.
//!
//! ```text
//! prompts → dense model → first look: the order of each head → second look: masses, spans, patterns → plan file
//! ```

mod display;
mod file;
mod heads;
mod mass;
mod orders;
pub mod plan;
mod probabilities;
mod run;
#[cfg(test)]
pub(crate) mod tests;
mod watching;

pub use mass::MassMap;
pub use orders::OrderBy;
pub use plan::{HeadPlan, LayerPlan, OrderFacts, PatternFacts, PlanFile, Recipe};
pub use run::{GROUPS, PROMPTS, Progress, STEPS, Spec, calibrate};
