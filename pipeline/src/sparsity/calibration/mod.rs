//! Calibration: what a few prompts teach about a model's heads, written into a plan file that later runs read.

pub mod plan;

pub use plan::LayerPlan;
