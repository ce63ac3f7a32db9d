//! Estimators: how much each query block matters to each key block, from q and k alone.
//!
//! q `[B, H, Sq, D]`, k `[B, H, Sk, D]`, F32 or BF16; scores `[B, H, rows, columns]` F32, from F32 arithmetic whatever the
//! inputs. `scale` is that of the attention, so that s = scale·q·k are natural-log logits; tokens are already in their
//! order. Work in multiplications and additions of dense attention's q·kᵀ (2·B·H·Sq·Sk·D), with blocks of 128 and 64:
//!
//! | estimator | score of (i, j) | work | source |
//! |---|---|---|---|
//! | [`mean_pool`] | scale·q̄ᵢ·k̄ⱼ | 1/8192 | methods.md §2.5, §2.16 |
//! | [`sub_block`] | ln Σ n·m·e^(scale·q̄·k̄) over runs of 16 | 1/256 | §2.16 (SubBlock) |
//! | [`sampled_max`] | max over sampled pairs of e^(s − row maximum) | 1/16 | §2.1 (PSA) |
//! | [`sampled_rows`] | softmax mass, of single queries | rows/Sq | §2.6, §2.15 |
//! | [`pooling_loss`] | squared change of the output at each level, of sampled queries | queries/128 | ours |
//! | [`block_mass`] | softmax mass, exact | 1 | §2.3 (AdaSpa) |
//!
//! Measured in CPU time beside dense attention, 5 heads × 64, F32, AVX-512, 2 304 and 8 192 tokens (`--bench scores`):
//! mean_pool 1.2 and 0.3 %, sub_block 1.2 and 0.6 %, sampled_max (a quarter) 3.5 and 3.0 %, sampled_rows (64) 2.2 and
//! 0.7 %, block_mass 54 and 52 %, with a cached LSE 52 and 51 %; mean_pool with both sides' self_similarity 5.4 and 2.7 %
//! (in SpargeAttn's `prepare`, one core). [`Estimator`] has them as lines over the tokens.
//!
//! With the feature `cuda` q and k on a GPU are scored there (`cuda`): kernels of our own for [`mean_pool`], for [`sub_block`]
//! over runs of 16 and [`sampled_max`] of 16 keys a block with heads of 64 and 128, and for likeness; plain operations otherwise.
//!
//! [`self_similarity`] and [`group_cosine`] say how alike a block's tokens are, that is how well their mean stands for them.

use candle_core::{D, DType, Result, Tensor};

use crate::{blocks::Blocks, check};

mod alike;
mod cells;
mod cost;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, not(feature = "cuda")))]
#[path = "cuda/plan.rs"]
#[expect(dead_code, reason = "tested without a GPU; only launches use the rest")]
mod cuda_plan;
mod mass;
mod pooled;
mod pooling;
mod sampled;
mod sub_block;
#[cfg(test)]
mod tests;

pub use alike::{group_cosine, self_similarity};
pub use cost::Estimator;
pub use mass::{Mass, block_mass, sampled_rows};
pub use pooled::mean_pool;
pub use pooling::{PoolingLoss, pooling_loss};
pub use sampled::{Sampling, sampled_max};
pub use sub_block::sub_block;

/// Logits that the plain paths hold at once, over all heads; 64 MiB of F32.
const LOGITS: usize = 1 << 24;

/// Softmax over the columns of scores `[.., columns]`, in F32. A row of −∞ alone becomes zeros.
pub fn row_softmax(scores: &Tensor) -> Result<Tensor> {
    let scores = scores.to_dtype(DType::F32)?;
    // The floor keeps −∞ − −∞ out of the exponent.
    let highest = scores.max_keepdim(D::Minus1)?.maximum(f32::MIN)?;
    let weights = scores.broadcast_sub(&highest)?.exp()?;
    let sums = weights.sum_keepdim(D::Minus1)?.maximum(f32::MIN_POSITIVE)?;
    weights.broadcast_div(&sums)
}

/// Mean and standard deviation over the columns of scores `[B, H, rows, columns]`, each `[B, H, rows]` F32.
///
/// Of [`mean_pool`]'s scores these are Sol-Attn's μᵢ and its "exact" σᵢ (methods.md §2.16); the deviation is that of the
/// population, not below 10⁻³, so that a threshold μ + τ·σ stays above μ in a row of equal scores.
pub fn row_moments(scores: &Tensor) -> Result<(Tensor, Tensor)> {
    let scores = scores.to_dtype(DType::F32)?;
    let mean = scores.mean_keepdim(D::Minus1)?;
    let variance = scores.broadcast_sub(&mean)?.sqr()?.mean(D::Minus1)?;
    Ok((mean.squeeze(D::Minus1)?, (variance + 1e-6)?.sqrt()?))
}

/// Refuses operands that are not what `blocks` is about.
fn operands(op: &str, q: &Tensor, k: &Tensor, blocks: Blocks) -> Result<()> {
    let (batch, heads, _, width) = q.dims4()?;
    // Its fields are public: nothing may be empty.
    Blocks::new(blocks.queries, blocks.keys, blocks.query_block, blocks.key_block)?;
    check::compute_dtype(op, q.dtype())?;
    check::dtype(op, "k", k, q.dtype())?;
    check::shape(op, "q", q, &[batch, heads, blocks.queries, width.max(1)])?;
    check::shape(op, "k", k, &[batch, heads, blocks.keys, width])
}

/// Query blocks that the plain paths take at once when each needs `logits` of one head.
fn chunk(q: &Tensor, logits: usize) -> Result<usize> {
    let (batch, heads, _, _) = q.dims4()?;
    Ok((LOGITS / (batch * heads * logits).max(1)).max(1))
}

/// scale·q·kᵀ in F32.
fn logits(q: &Tensor, k: &Tensor, scale: f32) -> Result<Tensor> {
    let (q, k) = (q.to_dtype(DType::F32)?, k.to_dtype(DType::F32)?);
    q.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? * f64::from(scale)
}
