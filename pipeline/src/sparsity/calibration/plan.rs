//! What a plan file holds.

use serde::{Deserialize, Serialize};

/// One layer's heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// A plan of each head.
    pub heads: Vec<HeadPlan>,
}

/// What was found for one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadPlan {
    /// The order in which this head's attention is most block-sparse, by name (see `Arrangement`).
    pub order: String,
    /// Mean block mass `[rows × columns]` in that order, averaged over calibration, row-major, each row summing to 1; one
    /// for each group of timesteps, first to last. Empty where not wanted.
    pub mass: Vec<Vec<f32>>,
    /// Share of its layer's budget that this head should get; 1 is an equal share.
    pub budget: f32,
    /// The name of the static pattern that fits it best at the calibrated density, and its error (Sparse-vDiT, SVG, STA).
    pub pattern: String,
    /// Relative L2 error of each pattern that was tried, by name.
    pub pattern_errors: Vec<(String, f32)>,
    /// Frames on each side that hold 95 % of the mass (MoA's span).
    pub span_frames: f32,
}
