//! The pointwise functions that a linear layer can apply to its F32 sums before they are rounded.

use candle_core::{Result, Tensor};

/// A function applied to each F32 output of a product, after the bias and before rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// y = x.
    #[default]
    None,
    /// y = x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))), the tanh form of GELU.
    GeluTanh,
    /// y = x / (1 + e^(−x)).
    Silu,
}

impl Activation {
    /// Applies the function to an F32 tensor of any shape with candle's own operations.
    pub(crate) fn reference(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(x),
            Self::GeluTanh => x.gelu(),
            Self::Silu => x.silu(),
        }
    }
}
