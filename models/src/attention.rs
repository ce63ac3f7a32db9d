//! The seam that every self-attention goes through: the transformer asks, a method answers.
//!
//! [`Dense`] is the plain answer, softmax(q·kᵀ/√D)·v over all tokens. A sparse method sees the same calls: the clip's
//! token grid once, the noise level of each step, then q, k, v of each site, and keeps what it likes between them.
//! Tokens are frame-major, then rows, then columns; text tokens of a joint attention come first, before the video's. A
//! method that wants all heads of all blocks in another order says so once a forward, and the tokens are carried through
//! the blocks in that order: everything between the attentions treats each token alone.

use candle_core::{DType, Tensor};
use tessera_kernels::attention::attention;
use tessera_kernels::order::Order;
use tessera_kernels::scores::row_softmax;

use crate::geometry::Grid;
use crate::{Error, Result};

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

/// What a cross-attention compares: the video's queries and the prompt's keys.
#[derive(Debug, Clone, Copy)]
pub struct TextScores<'a> {
    /// Queries `[B, H, S, D]`, tokens as the forward carries them.
    pub q: &'a Tensor,
    /// Keys `[B, H, n, D]`: the prompt's tokens, its end among them, and one more for all padding where there is any.
    pub keys: &'a Tensor,
    /// What is added to each key's scores, `[n]` F32; a key that stands for p equal ones has ln p.
    pub key_bias: Option<&'a Tensor>,
}

impl TextScores<'_> {
    /// softmax(q·keysᵀ/√D + key_bias) of the first sample, `[S, n]` F32: rows sum to 1. The mean over heads unless one is named.
    ///
    /// # Errors
    /// [`Error::Argument`] for a head that is not there.
    pub fn weights(&self, head: Option<usize>) -> Result<Tensor> {
        let (_, heads, _, width) = self.q.dims4()?;
        if let Some(head) = head.filter(|head| *head >= heads) {
            return Err(Error::argument("head", format!("below {heads}"), head.to_string()));
        }
        let of_head = |head: usize| -> Result<Tensor> {
            let one = |x: &Tensor| x.get(0)?.get(head)?.to_dtype(DType::F32)?.contiguous();
            let scores = one(self.q)?.matmul(&one(self.keys)?.t()?.contiguous()?)?;
            let scores = (scores * f64::from(scale(width)))?;
            let scores = match self.key_bias {
                Some(bias) => scores.broadcast_add(bias)?,
                None => scores,
            };
            Ok(row_softmax(&scores)?)
        };
        if let Some(head) = head {
            return of_head(head);
        }
        let mut sum = of_head(0)?;
        for head in 1..heads {
            sum = (sum + of_head(head)?)?; // one head's weights at a time: all would be many times the clip
        }
        Ok((sum / heads as f64)?)
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

    /// Shows what a cross-attention to the text is about to compare, where text has one of its own. It is computed densely
    /// whatever is answered here; who wants to know where words act listens, and an error ends the forward.
    fn text_compared(&mut self, _site: Site, _text: &TextScores<'_>) -> Result<()> {
        Ok(())
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
    fn text_weights_are_the_softmax_over_words_with_padding_counted() {
        let random = |shape: [usize; 4]| Tensor::randn(0.0f32, 1.0, &shape, &Device::Cpu).unwrap();
        let (q, keys) = (random([1, 3, 7, 4]), random([1, 3, 5, 4]));
        let bias = Tensor::new(&[0f32, 0.0, 0.0, 0.0, 6.2], &Device::Cpu).unwrap();
        let text = TextScores { q: &q, keys: &keys, key_bias: Some(&bias) };
        let list = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (all_q, all_k, all_b) = (list(&q), list(&keys), list(&bias));
        let plain = |head: usize, query: usize| -> Vec<f64> {
            let dot = |key: usize| -> f64 {
                let products = (0..4)
                    .map(|d| all_q[(head * 7 + query) * 4 + d] * all_k[(head * 5 + key) * 4 + d]);
                f64::from(products.sum::<f32>()) / 2.0 + f64::from(all_b[key])
            };
            let weights: Vec<f64> = (0..5).map(|key| dot(key).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / sum).collect()
        };
        let (one, mean) = (text.weights(Some(2)).unwrap(), text.weights(None).unwrap());
        assert_eq!((one.dims(), mean.dims()), (&[7, 5][..], &[7, 5][..]));
        for query in 0..7 {
            for key in 0..5 {
                let found = |x: &Tensor| f64::from(list(x)[query * 5 + key]);
                let of_all = (0..3).map(|head| plain(head, query)[key]).sum::<f64>() / 3.0;
                assert!((found(&one) - plain(2, query)[key]).abs() < 1e-6);
                assert!((found(&mean) - of_all).abs() < 1e-6);
            }
            let sum: f32 = list(&mean)[query * 5..][..5].iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
        assert!(text.weights(Some(3)).unwrap_err().to_string().contains("below 3"));
    }

    #[test]
    fn equal_keys_make_the_mean_of_the_values() {
        let q = Tensor::randn(0.0f32, 1.0, (1, 2, 5, 4), &Device::Cpu).unwrap();
        let k = Tensor::ones((1, 2, 5, 4), DType::F32, &Device::Cpu).unwrap();
        let v = Tensor::randn(0.0f32, 1.0, (1, 2, 5, 4), &Device::Cpu).unwrap();
        let site = Site { layer: 0, branch: Branch::Cond, expert: 0 };
        let out = Dense.attend(site, &q, &k, &v).unwrap();
        let mean = v.mean_keepdim(2).unwrap().broadcast_as((1, 2, 5, 4)).unwrap();
        let worst =
            (out - mean).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-6, "{worst}");
    }
}
