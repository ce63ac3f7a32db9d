//! The seam that every self-attention goes through: the transformer asks, a method answers.
//!
//! [`Dense`] is the plain answer, softmax(q·kᵀ/√D)·v over all tokens. A sparse method sees the same calls: the clip's
//! token grid once, the noise level of each step, then q, k, v of each site, and keeps what it likes between them.
//! Tokens are frame-major, then rows, then columns; text tokens of a joint attention come first, before the video's. A
//! method that wants all heads of all blocks in another order says so once a forward, and the tokens are carried through
//! the blocks in that order: everything between the attentions treats each token alone.

use candle_core::Tensor;
use tessera_kernels::attention::attention;
use tessera_kernels::order::Order;

use crate::Result;
use crate::geometry::Grid;

/// Which of a guided step's two forwards is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    /// With the prompt.
    Cond,
    /// With the negative prompt.
    Uncond,
}

/// Where in the model an attention stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The block, from 0.
    pub layer: usize,
    /// The guidance branch.
    pub branch: Branch,
    /// Which transformer of a model that has several, chosen by noise level; 0 for the only one.
    pub expert: usize,
}

/// What the tokens of a clip are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// The video tokens.
    pub grid: Grid,
    /// Text tokens before them in the same attention; 0 where text has a cross-attention of its own, as in Wan.
    pub text_tokens: usize,
    /// Heads of every attention.
    pub heads: usize,
    /// Blocks of a transformer.
    pub layers: usize,
}

impl Sequence {
    /// All tokens of one attention.
    pub fn tokens(&self) -> usize {
        self.text_tokens + self.grid.tokens()
    }
}

/// A way to do self-attention. The calls of a clip: `begin_clip` once, `begin_step` before the forwards of each step,
/// `token_order` once a forward, `attend` once a site.
pub trait SelfAttention: Send {
    /// A clip with these tokens begins: whatever was kept of another is dropped.
    fn begin_clip(&mut self, sequence: &Sequence) -> Result<()>;

    /// Step `index` (from 0) of `of` begins, at noise level `sigma` in 0..=1.
    fn begin_step(&mut self, index: usize, of: usize, sigma: f64) -> Result<()>;

    /// The order over all tokens of [`Sequence`] in which the coming forward shall carry them; `None` leaves them as they
    /// are. The model permutes tokens and rotary tables before its blocks and undoes it after them.
    fn token_order(&mut self) -> Result<Option<Order>> {
        Ok(None)
    }

    /// The attention of every query. q, k, v and the result are `[B, H, S, D]` in the compute dtype; the scores'
    /// scale is 1/√D.
    fn attend(&mut self, site: Site, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor>;
}

/// Every query attends to every key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dense;

impl SelfAttention for Dense {
    fn begin_clip(&mut self, _sequence: &Sequence) -> Result<()> {
        Ok(())
    }

    fn begin_step(&mut self, _index: usize, _of: usize, _sigma: f64) -> Result<()> {
        Ok(())
    }

    fn attend(&mut self, _site: Site, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        Ok(attention(q, k, v, scale(q.dim(3)?), None)?)
    }
}

/// 1/√D.
pub(crate) fn scale(width: usize) -> f32 {
    (width as f64).sqrt().recip() as f32
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn equal_keys_make_the_mean_of_the_values() {
        let q = Tensor::randn(0.0f32, 1.0, (1, 2, 5, 4), &Device::Cpu).unwrap();
        let k = Tensor::ones((1, 2, 5, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let v = Tensor::randn(0.0f32, 1.0, (1, 2, 5, 4), &Device::Cpu).unwrap();
        let site = Site { layer: 0, branch: Branch::Cond, expert: 0 };
        let out = Dense.attend(site, &q, &k, &v).unwrap();
        let mean = v.mean_keepdim(2).unwrap().broadcast_as((1, 2, 5, 4)).unwrap();
        let worst =
            (out - mean).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-6, "{worst}");
    }
}
