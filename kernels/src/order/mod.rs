//! Orders: permutations of the video's tokens that bring near in the sequence what is near in the clip.
//!
//! An [`Order`] says which token stands at each position: `permuted[p] = x[tokens[p]]`. Tokens are counted in raster
//! order, x + W·(y + H·z) with z the frame. Source: methods.md §6.9.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};

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

    /// As an index tensor `[S]` U32.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(&*self.tokens, device)
    }
}

/// `x [B, H, S, D]` with the tokens of each head in its order: one order for all heads, or one a head.
pub fn permute(x: &Tensor, orders: &[Order]) -> Result<Tensor> {
    let (_, heads, tokens, _) = x.dims4()?;
    if let Some(wrong) = orders.iter().find(|order| order.tokens.len() != tokens) {
        bail!("order: expected one over {tokens} tokens, got one over {}", wrong.tokens.len());
    }
    match orders {
        [one] if one.is_identity() => Ok(x.clone()),
        [one] => x.contiguous()?.index_select(&one.tensor(x.device())?, 2),
        each if each.len() == heads => {
            let parts = each
                .iter()
                .enumerate()
                .map(|(head, order)| {
                    x.narrow(1, head, 1)?.contiguous()?.index_select(&order.tensor(x.device())?, 2)
                })
                .collect::<Result<Vec<_>>>()?;
            Tensor::cat(&parts, 1)
        }
        _ => bail!("order: expected 1 or {heads} orders, got {}", orders.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn an_order_and_its_inverse_cancel() {
        let a = Order::new(vec![2, 0, 3, 1]).unwrap();
        let b = Order::new(vec![3, 2, 1, 0]).unwrap();
        assert_eq!(a.inverse().inverse(), a);
        assert!(Order::new(vec![0, 0]).is_err() && Order::new(vec![2, 0]).is_err());
        let x = random(&[2, 2, 4, 3], 1);
        let back = [a.inverse(), b.inverse()];
        let there = permute(&x, &[a, b]).unwrap();
        let again = permute(&there, &back).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_ne!(flat(&there), flat(&x));
        assert_eq!(flat(&again), flat(&x));
    }
}
