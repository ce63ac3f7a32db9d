//! Pyramid attention: softmax attention in which each query block sees each key block whole, mean-pooled, or not at all.
//!
//! For a query of block i, over the groups (j, g) of every key block j with level ℓ = levels[i, j] ≥ 1, where group g
//! stands for the n valid keys among tokens g·2^(ℓ−1) .. (g + 1)·2^(ℓ−1) of the block:
//!
//! s = scale·q·k̄ + β, O = Σ e^(s − LSE)·v̄, LSE = ln Σ e^s, k̄ and v̄ the group's means, β = ln n ([`Bias::Count`]).
//!
//! Groups with n = 0 do not exist; a query that sees none has O = 0 and LSE = −∞. All levels 1 is dense attention,
//! levels in {0, 1} any block-sparse one. Means are rounded once to the compute dtype; the rest is F32.
//! Work: 4·B·H·Sq·Sk·D·ρ FLOP with ρ the map's exact density. Source: methods.md §6.3.
//!
//! CPU time ÷ that of [`crate::attention`] on the same operands, in turn in one run, medians of 9 (`cargo run --release
//! -p tessera-kernels --example pyramid`; 8 192 tokens, 4 heads, random blocks; commit cd586f5, two cores of a Zen 5 EPYC
//! with AVX-512 BF16 that others used too; dense: 323, 717, 181 and 328 ms):
//!
//! | levels | ρ | F32 × 64 | F32 × 128 | BF16 × 64 | BF16 × 128 |
//! |---|---|---|---|---|---|
//! | 1 | 1 | 1.059 | 1.028 | 1.087 | 1.049 |
//! | 1 | .500 | .532 | .519 | .541 | .527 |
//! | 1 | .250 | .269 | .260 | .278 | .269 |
//! | 1 | .117 | .132 | .124 | .137 | .130 |
//! | 1 | .102 | .115 | .107 | .120 | .115 |
//! | 1 | .047 | .058 | .052 | .060 | .057 |
//! | 1, floor 7 | .254 | .274 | .262 | .281 | .272 |
//! | 1, floor 7 | .108 | .120 | .112 | .125 | .122 |
//! | 1 to 4 | .254 | .285 | .276 | .289 | .287 |
//! | 1 to 4 | .101 | .120 | .115 | .126 | .126 |
//! | 1 to 4, floor 7 | .261 | .291 | .284 | .299 | .293 |
//! | 1 to 4, floor 7 | .112 | .132 | .124 | .136 | .133 |
//!
//! At the 2 304 tokens of the bundled model's clip (5 heads × 64, medians of 41) what does not shrink weighs more: F32 .29
//! and BF16 .30 for ρ = .25 at level 1, .16 and .18 for ρ = .11 at levels 1 to 4. What is above ρ there: gathering keys
//! and values for each query block (about 8 % of the time at ρ = 1, 12 % at .11), packing queries and storing results
//! (1 to 2 % of dense attention), pooling (2 % of it for levels 2 to 4).
//!
//! On NVIDIA GPUs from sm_80 on BF16 heads of 64 and 128 have kernels of their own (feature `cuda`: `cuda/hopper.cu` and
//! `cuda/portable.cu`), measured in `docs/performance.md`; everything else runs the reference there.

use candle_core::{DType, Result, Tensor, bail};

use crate::{check, cpu::Level, levels::LevelMap};

mod bias;
mod cpu;
pub(crate) mod cuda;
mod merge;
mod reference;
#[cfg(test)]
mod tests;

pub use bias::Bias;
pub use merge::merge;

/// What an attention needs beside its operands.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// What q·k̄ is multiplied by, usually 1/√D; natural-log units.
    pub scale: f32,
    /// What a pooled key's score gains for the tokens that it stands for.
    pub bias: Bias,
    /// `[Sk]` U8, 1 = a real key, 0 = padding that nobody sees; without it every key is real.
    pub valid: Option<&'a Tensor>,
}

impl Options<'_> {
    /// The default bias and every key real.
    pub fn new(scale: f32) -> Self {
        Self { scale, bias: Bias::Count, valid: None }
    }
}

/// An attention's result.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `[B, H, Sq, D]` in q's dtype; zeros where a query sees nothing.
    pub out: Tensor,
    /// `[B, H, Sq]` F32, the natural log of the softmax denominator; −∞ where a query sees nothing.
    pub lse: Tensor,
}

/// Attention over the groups that `map` names: q `[B, H, Sq, D]`, k and v `[B, H, Sk, D]`, one dtype (F32 or BF16) and
/// device, 1 ≤ D ≤ [`crate::attention::MAX_HEAD_WIDTH`]; the map is of the same B, H, Sq and Sk.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    map: &LevelMap,
    options: &Options<'_>,
) -> Result<Attended> {
    const OP: &str = "pyramid attention";
    let (batch, heads, queries, width) = q.dims4()?;
    let keys = k.dim(2)?;
    check::compute_dtype(OP, q.dtype())?;
    for (name, x) in [("k", k), ("v", v)] {
        check::shape(OP, name, x, &[batch, heads, keys, width])?;
        check::dtype(OP, name, x, q.dtype())?;
    }
    if let Some(valid) = options.valid {
        check::dtype(OP, "valid", valid, DType::U8)?;
        check::shape(OP, "valid", valid, &[keys])?;
    }
    let blocks = map.blocks();
    if map.heads() != (batch, heads) || (blocks.queries, blocks.keys) != (queries, keys) {
        bail!(
            "{OP}: the map must be of {batch}×{heads} heads, {queries} queries and {keys} keys, got {:?}, {} and {}",
            map.heads(),
            blocks.queries,
            blocks.keys
        );
    }
    if width == 0 || width > crate::attention::MAX_HEAD_WIDTH {
        bail!("{OP}: needs 1 ≤ D ≤ {}, got q {:?}", crate::attention::MAX_HEAD_WIDTH, q.dims());
    }
    #[cfg(feature = "cuda")]
    if let Some(limits) = crate::cuda::limits(q.device())?
        && let Some(attended) = cuda::attention(limits, q, k, v, map, options)?
    {
        return Ok(attended);
    }
    match (crate::cpu::level(), q.dtype()) {
        (level, _) if !q.device().is_cpu() || level == Level::Reference => {
            reference::attention(q, k, v, map, options)
        }
        (level, DType::F32) => cpu::attention::<f32>(level, [q, k, v], map, options),
        (level, _) => cpu::attention::<half::bf16>(level, [q, k, v], map, options),
    }
}
