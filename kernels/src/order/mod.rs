//! Orders: permutations of the video's tokens that bring near in the sequence what is near in the clip.
//!
//! An [`Order`] says which token stands at each position: `permuted[p] = x[tokens[p]]`. Tokens are counted in raster
//! order, x + W·(y + H·z) with z the frame. Orders are made once a run, in time linear in the tokens (Morton sorts them).
//! Source: methods.md §6.9.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};

mod axes;
#[cfg(feature = "cuda")]
mod cuda;
mod gilbert;
mod morton;
mod permute;
#[cfg(test)]
mod tests;
mod tiles;

pub use axes::{AxisOrder, axes};
pub use gilbert::gilbert;
pub use morton::morton;
pub use permute::permute;
pub use tiles::tiles;

/// The box of tokens that orders walk through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Volume {
    /// F, latent frames.
    pub frames: usize,
    /// H, rows of tokens.
    pub rows: usize,
    /// W, tokens in a row.
    pub columns: usize,
}

impl Volume {
    /// F·H·W.
    pub fn tokens(&self) -> usize {
        self.frames * self.rows * self.columns
    }

    /// (frame, row, column) of a raster index.
    pub fn place(&self, token: usize) -> [usize; 3] {
        let plane = self.rows * self.columns;
        [token / plane, token % plane / self.columns, token % self.columns]
    }
}

/// A permutation: the token at each position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    tokens: Arc<[u32]>,
}

impl Order {
    /// Takes the token of every position; refuses what is no permutation.
    pub fn new(tokens: Vec<u32>) -> Result<Self> {
        let mut seen = vec![false; tokens.len()];
        for &token in &tokens {
            match seen.get_mut(token as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => bail!(
                    "order: expected each of 0..{} once, got {token} twice or out of range",
                    tokens.len()
                ),
            }
        }
        Ok(Self { tokens: tokens.into() })
    }

    /// Every token where it is.
    pub fn identity(tokens: usize) -> Self {
        Self { tokens: (0..tokens as u32).collect() }
    }

    /// The token at each position.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether it moves nothing.
    pub fn is_identity(&self) -> bool {
        self.tokens.iter().enumerate().all(|(position, &token)| position == token as usize)
    }

    /// The order that undoes this one: the position of each token.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut positions = vec![0; self.tokens.len()];
        for (position, &token) in self.tokens.iter().enumerate() {
            positions[token as usize] = position as u32;
        }
        Self { tokens: positions.into() }
    }

    /// This order of a video's tokens for a sequence that starts with `text` others: these come last, as they were.
    #[must_use]
    pub fn then_text(&self, text: usize) -> Self {
        let text = text as u32;
        Self { tokens: self.tokens.iter().map(|token| token + text).chain(0..text).collect() }
    }

    /// As an index tensor `[S]` U32.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(&*self.tokens, device)
    }
}

/// Frame, row, column: the order in which a transformer's patches come.
pub fn raster(volume: Volume) -> Order {
    Order::identity(volume.tokens())
}
