//! Tokens carried through the blocks in another order.
//!
//! Every part of a block but the self-attention treats a token alone, and the rotary tables have a row a token. So tokens
//! and tables are permuted once, before the blocks, where a token is still a patch of few numbers, and the order is undone
//! after the head, where it is one again.

use candle_core::{Device, Tensor};
use tessera_kernels::order::Order;
use tessera_kernels::rope::RopeTables;

use crate::geometry::Grid;
use crate::{Error, Result};

/// An order and its inverse as index tensors `[S]` U32.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    there: Tensor,
    back: Tensor,
}

impl Carried {
    /// Refuses an order over another number of tokens than `grid` has.
    pub(super) fn new(order: &Order, grid: Grid, device: &Device) -> Result<Self> {
        let (tokens, got) = (grid.tokens(), order.tokens().len());
        if got != tokens {
            let expected = format!("an order over the {tokens} tokens of the clip");
            return Err(Error::argument("token order", expected, format!("one over {got}")));
        }
        Ok(Self { there: order.tensor(device)?, back: order.inverse().tensor(device)? })
    }

    /// Tokens `[B, S, n]` in the order.
    pub(super) fn apply(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(tokens.contiguous()?.index_select(&self.there, 1)?)
    }

    /// Tokens `[B, S, n]` as the model has them.
    pub(super) fn undo(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(tokens.contiguous()?.index_select(&self.back, 1)?)
    }

    /// The rotary tables, a row a token, in the order.
    pub(super) fn rows(&self, tables: RopeTables) -> Result<RopeTables> {
        let RopeTables { cos, sin } = tables;
        Ok(RopeTables {
            cos: cos.index_select(&self.there, 0)?,
            sin: sin.index_select(&self.there, 0)?,
        })
    }
}
