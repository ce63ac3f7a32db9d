//! The linear layer in plain candle operations, on any device.

use candle_core::{DType, Result, Tensor};

use crate::{
    Activation,
    ran::{self, Via},
};

/// The weight, transposed for the product, and the bias in F32.
#[derive(Debug)]
pub(super) struct Weights {
    transposed: Tensor, // [K, N]
    bias: Option<Tensor>,
}

impl Weights {
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, compute: DType) -> Result<Self> {
        let transposed = weight.to_dtype(compute)?.t()?.contiguous()?;
        let bias = bias.map(|b| b.to_dtype(DType::F32)).transpose()?;
        Ok(Self { transposed, bias })
    }

    /// x `[M, K]` in the compute dtype; returns `[M, N]` in it.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        activation: Activation,
        compute: DType,
    ) -> Result<Tensor> {
        let sums = if x.device().is_cpu() {
            // candle's CPU product refuses BF16.
            x.to_dtype(DType::F32)?.matmul(&self.transposed.to_dtype(DType::F32)?)?
        } else {
            ran::note(x.device(), "linear", Via::Cublas);
            x.matmul(&self.transposed)?.to_dtype(DType::F32)?
        };
        if self.bias.is_some() || activation != Activation::None {
            ran::note(x.device(), "bias_and_activation", Via::Candle);
        }
        let sums = match &self.bias {
            Some(bias) => sums.broadcast_add(bias)?,
            None => sums,
        };
        activation.reference(sums)?.to_dtype(compute)
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        of(&self.transposed) + self.bias.as_ref().map_or(0, of)
    }
}
