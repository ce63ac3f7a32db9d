//! Pyramid attention in plain candle operations, on any device: every query against every group of every level in use,
//! those that its row of the map does not name hidden. In F64 for F64 operands, in F32 otherwise.

use candle_core::{D, DType, Result, Tensor};

use super::{Attended, Options};
use crate::{
    levels::{FULL, LevelMap, pool},
    pool,
    ran::{self, Via},
};

/// Scores held at once, over all heads; 64 MiB of F32.
const SCORES: usize = 1 << 24;

/// All groups of one level.
struct Groups {
    level: u8,
    /// `[B, H, groups, D]`, rounded to the operands' dtype and widened again.
    k: Tensor,
    v: Tensor,
    /// `[groups]`: −∞ for a group without valid keys.
    bias: Tensor,
}

impl Groups {
    fn new(level: u8, k: &Tensor, v: &Tensor, options: &Options<'_>, wide: DType) -> Result<Self> {
        let (run, tokens) = (pool(level), k.dim(2)?);
        let pooled = |x: &Tensor| pool::means(x, run, options.valid)?.to_dtype(wide);
        let counts = pool::groups(tokens, run, options.valid, k)?.to_vec1::<f64>()?;
        let bias: Vec<f64> = counts
            .iter()
            .map(|&n| if n == 0.0 { f64::NEG_INFINITY } else { options.bias.of(level, n) })
            .collect();
        let bias = Tensor::new(bias, k.device())?.to_dtype(wide)?;
        Ok(Self { level, k: pooled(k)?, v: pooled(v)?, bias })
    }

    /// What to add to the scores of the queries that the indices `rows` `[Sq]` give the query block of:
    /// `[B, H, Sq, groups]`, the bias where the map has this level and −∞ elsewhere.
    fn biases(&self, map: &LevelMap, rows: &Tensor) -> Result<Tensor> {
        let (batch, heads) = map.heads();
        let blocks = map.blocks();
        let each = (blocks.key_block / pool(self.level)).max(1);
        let here = map.levels().eq(self.level)?.index_select(rows, 2)?;
        let shape = (batch, heads, rows.dim(0)?, blocks.columns(), each);
        let here = here
            .unsqueeze(D::Minus1)?
            .broadcast_as(shape)?
            .reshape((batch, heads, rows.dim(0)?, blocks.columns() * each))?
            .narrow(3, 0, self.bias.dim(0)?)?;
        let bias = self.bias.broadcast_as(here.shape())?;
        let hidden = Tensor::full(f64::NEG_INFINITY, here.shape(), here.device())?;
        here.where_cond(&bias, &hidden.to_dtype(self.bias.dtype())?)
    }
}

pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    map: &LevelMap,
    options: &Options<'_>,
) -> Result<Attended> {
    ran::note(q.device(), "pyramid_attention", Via::Candle);
    let (batch, heads, queries, _) = q.dims4()?;
    let wide = if q.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let used = map.to_vec()?;
    let levels = (FULL..=map.blocks().deepest_level())
        .filter(|level| used.contains(level))
        .map(|level| Groups::new(level, k, v, options, wide))
        .collect::<Result<Vec<_>>>()?;
    if levels.is_empty() {
        return Ok(Attended {
            out: q.zeros_like()?,
            lse: Tensor::full(f32::NEG_INFINITY, (batch, heads, queries), q.device())?,
        });
    }
    let all = |of: fn(&Groups) -> &Tensor| {
        Tensor::cat(&levels.iter().map(of).collect::<Vec<_>>(), 2)?.contiguous()
    };
    let (keys, values) =
        (all(|level| &level.k)?.transpose(2, 3)?.contiguous()?, all(|level| &level.v)?);
    let step = (SCORES / (batch * heads * values.dim(2)?)).clamp(1, queries);
    let (mut outputs, mut lses) = (Vec::new(), Vec::new());
    for start in (0..queries).step_by(step) {
        let count = step.min(queries - start);
        let rows = q.narrow(2, start, count)?.to_dtype(wide)?.contiguous()?;
        let blocks: Vec<u32> =
            (start..start + count).map(|query| (query / map.blocks().query_block) as u32).collect();
        let blocks = Tensor::new(blocks, q.device())?;
        let biases =
            levels.iter().map(|level| level.biases(map, &blocks)).collect::<Result<Vec<_>>>()?;
        let scores =
            ((rows.matmul(&keys)? * f64::from(options.scale))? + Tensor::cat(&biases, 3)?)?;
        // The floor keeps −∞ − −∞ out of the exponent of an empty row.
        let highest = scores.max_keepdim(D::Minus1)?.maximum(f32::MIN)?;
        let weights = scores.broadcast_sub(&highest)?.exp()?;
        let sums = weights.sum_keepdim(D::Minus1)?;
        let divisors = sums.maximum(f32::MIN_POSITIVE)?;
        outputs.push(weights.matmul(&values)?.broadcast_div(&divisors)?.to_dtype(q.dtype())?);
        lses.push((sums.log()? + highest)?.squeeze(D::Minus1)?);
    }
    Ok(Attended { out: Tensor::cat(&outputs, 2)?, lse: Tensor::cat(&lses, 2)? })
}
