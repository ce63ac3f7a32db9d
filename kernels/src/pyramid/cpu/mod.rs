//! Pyramid attention on the CPU: the groups that a query block sees, of all levels together, fill tiles of keys for the
//! online softmax that dense attention uses. What a row of the map does not name is never touched.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint rows of one result and share what was pooled before"
)]

use std::{cmp::Reverse, ops::Range};

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Attended, Options};
use crate::{
    blocks::Blocks,
    cpu::{
        Level,
        host::{self, Element, Output},
        math::LOG2_E,
        online::Shape,
        rows,
        simd::dispatch,
    },
    levels::{FULL, LevelMap},
};

mod attend;
mod groups;
mod pooled;

use attend::Attend;
use groups::Groups;
use pooled::Pooled;

/// Queries of a task at most.
const QUERIES: usize = 128;

pub(super) fn attention<T: Element>(
    level: Level,
    [q, k, v]: [&Tensor; 3],
    map: &LevelMap,
    options: &Options<'_>,
) -> Result<Attended> {
    let (batch, heads, queries, width) = q.dims4()?;
    let (blocks, levels) = (map.blocks(), map.to_vec()?);
    let before = valid_before(options.valid, k.dim(2)?)?;
    let (q, k, v) = (q.contiguous()?, valid_rows(k, &before)?, valid_rows(v, &before)?);
    let keys = k.dim(2)?;
    let ((q, ql), (k, kl), (v, vl)) =
        (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
    let (q, k, v) =
        (host::slice::<T>(&q, ql)?, host::slice::<T>(&k, kl)?, host::slice::<T>(&v, vl)?);

    // Coarse levels come first: they see most of the keys, so that the maximum soon stands.
    let groups: Vec<Groups> = (FULL..=blocks.deepest_level())
        .rev()
        .filter(|level| levels.contains(level))
        .map(|level| Groups::new(level, blocks, options.bias, &before))
        .collect();
    let shape = Shape::new::<T>(level, width, queries.min(blocks.query_block).min(QUERIES));
    let mut result = Output::<T>::new(q.len());
    let mut lses = Output::<f32>::new(batch * heads * queries);
    let (to, lse_to) = (result.shared(), lses.shared());

    // Heads are pooled and attended in groups: enough tasks for every core, and what was pooled still near when it is
    // read. Where there is nothing to pool nobody waits for a group's last task.
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let all = batch * heads;
    let of_head = Pooled::<T>::elements(&groups, width);
    let enough = (4 * rayon::current_num_threads()).div_ceil(rows);
    let together = if of_head == 0 { all } else { enough.min(all) }.max(1);
    let mut means = Output::<T>::new(together * of_head);
    let pooled = Pooled::new(&groups, width, means.shared());
    for first in (0..all).step_by(together) {
        let heads = first..all.min(first + together);
        let of = |x: &'_ [T], head: usize| x[(first + head) * keys * width..].as_ptr();
        if of_head > 0 {
            (0..heads.len() * columns).into_par_iter().for_each(|task| {
                let (head, column) = (task / columns, task % columns);
                // SAFETY: the level is the machine's at most; each task writes its own groups.
                unsafe { pooled.fill(level, head, column, [of(k, head), of(v, head)]) };
            });
        }
        let tasks = tasks(&levels, first, heads.len(), &groups, blocks);
        rows::in_turn(&tasks, |task| {
            let sources = pooled.sources(task.head, [of(k, task.head), of(v, task.head)]);
            let row = (first + task.head) * rows + task.row;
            let query = (first + task.head) * queries + task.queries.start;
            // SAFETY: the level is the machine's at most, the scratch is as large as the shape says, the groups were
            // pooled above, and each task writes its own rows.
            host::with_scratch(attend::scratch_units::<T>(&shape), |scratch| unsafe {
                let attend = Attend {
                    shape: &shape,
                    q: &q[query * width..(query + task.queries.len()) * width],
                    scale: options.scale * LOG2_E,
                    sources: &sources,
                    row: &levels[row * columns..(row + 1) * columns],
                    scratch,
                    to: to.at(query * width),
                    lse: lse_to.at(query),
                };
                dispatch(level, attend);
            });
        });
    }
    // SAFETY: the tasks cover every head and every query.
    unsafe {
        let out = result.finish((batch, heads, queries, width))?;
        Ok(Attended { out, lse: lses.finish((batch, heads, queries))? })
    }
}

/// How many valid keys lie before each token, and before the end.
fn valid_before(valid: Option<&Tensor>, keys: usize) -> Result<Vec<u32>> {
    let Some(valid) = valid else {
        return Ok((0..=keys as u32).collect());
    };
    let mut before = vec![0];
    for valid in valid.to_vec1::<u8>()? {
        before.push(before[before.len() - 1] + u32::from(valid != 0));
    }
    Ok(before)
}

/// The rows of the valid keys, contiguous.
fn valid_rows(x: &Tensor, before: &[u32]) -> Result<Tensor> {
    let tokens: Vec<u32> =
        (0..).zip(before.windows(2)).filter(|(_, w)| w[0] < w[1]).map(|(token, _)| token).collect();
    // Without any valid key there are no groups, and nobody reads the rows.
    if tokens.len() == x.dim(2)? || tokens.is_empty() {
        return x.contiguous();
    }
    x.contiguous()?.index_select(&Tensor::new(tokens, x.device())?, 2)
}

/// Queries of one row of the map.
struct Task {
    /// Counted from the first of the group of heads.
    head: usize,
    row: usize,
    queries: Range<usize>,
    /// Queries × pooled keys.
    work: usize,
}

/// The tasks of some heads, head by head, whose keys stay near the processor so; of each the longest first, so that no
/// long one is left for the end.
fn tasks(
    levels: &[u8],
    first: usize,
    heads: usize,
    groups: &[Groups],
    blocks: Blocks,
) -> Vec<Task> {
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let mut tasks = Vec::new();
    for (head, row) in (0..heads).flat_map(|head| (0..rows).map(move |row| (head, row))) {
        let levels = &levels[((first + head) * rows + row) * columns..][..columns];
        let keys: usize = groups
            .iter()
            .flat_map(|groups| {
                let columns = levels.iter().enumerate().filter(|(_, l)| **l == groups.level);
                columns.map(|(column, _)| groups.of(column).len())
            })
            .sum();
        let range = blocks.query_range(row);
        for start in range.clone().step_by(QUERIES) {
            let queries = start..range.end.min(start + QUERIES);
            tasks.push(Task { head, row, work: keys * queries.len(), queries });
        }
    }
    tasks.sort_by_key(|task| (task.head, Reverse(task.work)));
    tasks
}
