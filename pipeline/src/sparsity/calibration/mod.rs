//! Calibration: what a few prompts teach about a model's heads, written into a plan file that later runs read.

mod file;
mod mass;
pub mod plan;
#[cfg(test)]
mod tests;

pub use mass::MassMap;
pub use plan::{HeadPlan, LayerPlan, OrderFacts, PatternFacts, PlanFile, Recipe};
