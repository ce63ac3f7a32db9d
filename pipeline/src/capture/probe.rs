//! What is computed only for a capture: exact attention of single heads, averaged over blocks or for single queries.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::order::permute;
use tessera_kernels::scores::block_mass;

use crate::Result;
use crate::sparsity::observer::{CallReport, Mode};

/// Sample and head `index` (samples × heads in row-major order) of a tensor `[B, H, ..]`, as `[1, 1, ..]`.
fn one_head(x: &Tensor, index: usize) -> Result<Tensor> {
    let heads = x.dim(1)?;
    Ok(x.narrow(0, index / heads, 1)?.narrow(1, index % heads, 1)?.contiguous()?)
}

/// F32 values in row-major order, on the CPU.
pub(super) fn values(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// The mean softmax mass of every pair of blocks of a head, over all keys, whatever the call itself saw: `rows · columns`
/// values in the call's order, where the call's operands are.
pub(super) fn attention(report: &CallReport<'_>, head: usize, blocks: Blocks) -> Result<Tensor> {
    // A sparse call's denominators are over what it saw.
    let is_dense = report.mode == Mode::Dense;
    let lse = is_dense.then(|| one_head(report.lse, head)).transpose()?;
    let (q, mut k) = (one_head(report.q, head)?, one_head(report.k, head)?);
    let sorted = report.sparse.as_ref().and_then(|sparse| sparse.key_order);
    if let Some(order) = sorted.and_then(|orders| orders.get(head)) {
        k = permute(&k, std::slice::from_ref(order))?; // the map's columns count the keys so
    }
    Ok(block_mass(&q, &k, blocks, report.scale, lse.as_ref())?.mass)
}

/// What the levels of a head were chosen by, where the call estimated any.
pub(super) fn scores(report: &CallReport<'_>, head: usize) -> Result<Option<Tensor>> {
    let scores = report.sparse.as_ref().and_then(|sparse| sparse.scores);
    scores.map(|scores| one_head(scores, head)).transpose()
}

/// The softmax mass that query `token` gives to every token in a head: softmax(scale·k·q), both counted in the model's own
/// sequence. `None` when the order does not hold the token.
pub(super) fn row(report: &CallReport<'_>, head: usize, token: usize) -> Result<Option<Vec<f32>>> {
    let heads = report.q.dim(1)?;
    let order = match report.orders {
        [one] => one,
        each => match each.get(head % heads) {
            Some(order) => order,
            None => return Ok(None),
        },
    };
    let Some(position) = order.tokens().iter().position(|at| *at as usize == token) else {
        return Ok(None);
    };
    let q = one_head(report.q, head)?.narrow(2, position, 1)?.to_dtype(DType::F32)?;
    let k = one_head(report.k, head)?.to_dtype(DType::F32)?;
    let logits = values(&k.matmul(&q.transpose(2, 3)?.contiguous()?)?)?;
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let weight = |logit: f32| ((logit - most) * report.scale).exp();
    let sum: f64 = logits.iter().map(|logit| f64::from(weight(*logit))).sum();
    let mut shares = vec![0.0; logits.len()];
    for (logit, at) in logits.iter().zip(order.tokens()) {
        shares[*at as usize] = (f64::from(weight(*logit)) / sum) as f32;
    }
    Ok(Some(shares))
}
