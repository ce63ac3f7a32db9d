//! Logits on the CPU, never held but a few at a time: each query's keys are reduced cell by cell, and what is left is
//! folded into a row of scores for each query block.
//!
//! A *cell* is a run of keys within one key block. For query a and cell c the product's tiles give the logits, in base 2
//! s = scale·log₂e·qₐ·kₜ + bias; [`Reduce`] says what becomes of them. A [`Fold`] then takes the queries of a block together. Tiles are computed transposed, as in [`crate::attention`]: queries run along the
//! vectors, so that nothing crosses lanes. Keys are packed once for each head.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint rows of one result and work on packed memory"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::{
    Level,
    host::{self, Element, Shared, Units},
    math::LOG2_E,
    online::spread,
    pack,
    simd::{Simd, Work, dispatch},
};

mod block;

use block::Group;

/// Queries that are worked on together: whole vectors at every level.
const QUERIES: usize = 128;
/// Keys whose logits are held at a time: whole tiles at every level.
const KEYS: usize = 192;
/// The most keys of a cell, so that blocks of any size fill the held keys well.
const CELL: usize = 64;

/// What becomes of a cell's logits.
#[derive(Clone, Copy)]
pub(super) enum Reduce<'a> {
    /// Σ 2^(s − m), where m is the query's largest logit over all keys.
    Sum,
    /// Σ 2^(s − LSE·log₂e) with the natural LSE of each head's queries.
    SumWith(&'a [f32]),
    /// m = max s, and Σ 2^(s − m): nothing is lost beside a cell of larger logits.
    LogSum,
    /// max s.
    Max,
}

impl Reduce<'_> {
    /// Numbers for each cell and query.
    fn numbers(self) -> usize {
        if matches!(self, Self::LogSum) { 2 } else { 1 }
    }
}

/// The operands of a reduction, heads one after the other.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, T> {
    /// Rows of each head's queries.
    pub(super) q: &'a [T],
    /// Rows of each head's keys.
    pub(super) k: &'a [T],
    /// B·H.
    pub(super) heads: usize,
    /// D.
    pub(super) width: usize,
    /// Queries of a head, and of a block.
    pub(super) queries: (usize, usize),
    /// Keys of a head, and of a block.
    pub(super) keys: (usize, usize),
    pub(super) scale: f32,
    /// In base 2, one a key or none.
    pub(super) bias: &'a [f32],
    pub(super) reduce: Reduce<'a>,
}

/// A group of queries with their keys reduced.
pub(super) struct Reduced<'a> {
    /// `[cells, numbers, ld]`: what [`Reduce`] says for each cell and query.
    cells: &'a [f32],
    numbers: usize,
    ld: usize,
    per_column: usize,
    /// Each query's largest logit, in base 2; with [`Reduce::SumWith`] the LSE, with [`Reduce::LogSum`] nothing.
    pub(super) highest: &'a [f32],
    /// Each query's sum over all cells, where there are sums.
    pub(super) totals: &'a [f32],
}

impl Reduced<'_> {
    /// For every cell the key block that it is in, and its first number for each query of `of`.
    pub(super) fn cells(&self, of: Range<usize>) -> impl Iterator<Item = (usize, &[f32])> {
        let cells = self.cells.chunks_exact(self.numbers * self.ld).enumerate();
        cells.map(move |(cell, row)| (cell / self.per_column, &row[of.clone()]))
    }

    /// As [`Self::cells`], both numbers.
    pub(super) fn pairs(&self, of: Range<usize>) -> impl Iterator<Item = (usize, [&[f32]; 2])> {
        let cells = self.cells.chunks_exact(2 * self.ld).enumerate();
        cells.map(move |(cell, rows)| {
            let (first, second) = rows.split_at(self.ld);
            (cell / self.per_column, [&first[of.clone()], &second[of.clone()]])
        })
    }
}

/// Which queries of a head are folded.
pub(super) struct Part {
    /// Over all samples.
    pub(super) head: usize,
    /// The first one within its head.
    pub(super) query: usize,
    /// Where they are in the group.
    pub(super) of: Range<usize>,
}

/// How the queries of a block become a row of scores.
pub(super) trait Fold: Sync {
    /// What scores start from.
    const START: f32;
    /// Adds queries of the block whose row of scores, one a key block, is `row`.
    fn add(&self, row: &mut [f32], group: &Reduced<'_>, part: &Part);
    /// Turns what was added from `queries` queries into the scores.
    fn finish(&self, row: &mut [f32], queries: usize);
}

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Shape {
    keys: usize,
    /// D.
    width: usize,
    /// Units along D.
    depth: usize,
    lanes: usize,
    /// Keys of a cell.
    cell: usize,
    /// Keys whose logits are held at a time, whole cells.
    chunk: usize,
    /// For each cell and query.
    numbers: usize,
}

impl Shape {
    fn new<T: Element>(level: Level, operands: &Operands<'_, T>) -> Self {
        let (keys, key_block) = operands.keys;
        // 1 divides every block.
        let cell = (1..=CELL.min(key_block)).rev().find(|cell| key_block % cell == 0).unwrap_or(1);
        Self {
            keys,
            width: operands.width,
            depth: operands.width.div_ceil(T::PER_UNIT),
            lanes: pack::lanes(level),
            cell,
            chunk: KEYS / cell * cell,
            numbers: operands.reduce.numbers(),
        }
    }

    fn chunks(&self) -> usize {
        self.keys.div_ceil(self.chunk)
    }

    fn cells(&self) -> usize {
        self.keys.div_ceil(self.cell)
    }

    /// Units of a packed chunk of keys.
    fn chunk_units(&self) -> usize {
        self.depth * KEYS
    }

    /// Queries of a group in whole panels.
    fn columns(&self, queries: usize) -> usize {
        queries.next_multiple_of(2 * self.lanes)
    }

    /// From one key's logits to the next's.
    fn logit_row(&self, queries: usize) -> usize {
        spread(self.columns(queries))
    }

    /// Units of scratch for a group: the queries, the logits, the cells, and what is kept of each chunk and query.
    fn scratch_units(&self, queries: usize) -> usize {
        (self.depth + self.numbers * self.cells() + self.chunks() + 2) * self.columns(queries)
            + KEYS * self.logit_row(queries)
    }
}

/// The scores of every head, `[heads, rows, columns]`.
pub(super) fn reduce<T: Element, F: Fold>(
    level: Level,
    operands: &Operands<'_, T>,
    fold: &F,
) -> Vec<f32> {
    let shape = Shape::new(level, operands);
    let Operands { heads, queries: (queries, query_block), keys: (keys, key_block), .. } =
        *operands;
    let (rows, columns) = (queries.div_ceil(query_block), keys.div_ceil(key_block));
    let rows_of_task = (QUERIES / query_block).max(1);
    let tasks = rows.div_ceil(rows_of_task);
    let mut scores = vec![F::START; heads * rows * columns];

    // Heads are packed in groups: enough tasks for every core, and little packed at once.
    let group = (4 * rayon::current_num_threads()).div_ceil(tasks).clamp(1, heads.max(1));
    let head_units = shape.chunk_units() * shape.chunks();
    let mut packed = Units::zeroed(group * head_units);
    let packed_to = Shared::new(packed.pointer_mut());
    let offsets: Vec<usize> = (0..shape.depth).map(|d| d * KEYS).collect();
    for (turn, scores) in scores.chunks_mut(group * rows * columns).enumerate() {
        let first = turn * group;
        let count = scores.len() / (rows * columns);
        (0..count * shape.chunks()).into_par_iter().for_each(|task| {
            let (head, chunk) = (task / shape.chunks(), task % shape.chunks());
            let start = (first + head) * keys + chunk * shape.chunk;
            let count = shape.chunk.min(keys - chunk * shape.chunk);
            let from = &operands.k[start * shape.width..(start + count) * shape.width];
            let to = packed_to.at(head * head_units + chunk * shape.chunk_units());
            // SAFETY: the level is the machine's at most; each task packs its own chunk, of the size that the shape says.
            unsafe { dispatch(level, Pack { keys: from, width: shape.width, to }) };
        });
        let heads = scores.par_chunks_mut(rows * columns).enumerate();
        heads.for_each(|(head, scores)| {
            let tasks = scores.par_chunks_mut(rows_of_task * columns).enumerate();
            tasks.for_each(|(task, scores)| {
                let task = Task {
                    shape: &shape,
                    operands,
                    k: packed_to.at(head * head_units),
                    offsets: &offsets,
                    head: first + head,
                    first: task * rows_of_task * query_block,
                };
                task.run(level, scores, columns, fold);
            });
        });
    }
    scores
}

/// Packing of a chunk of keys.
struct Pack<'a, T> {
    /// The chunk's rows.
    keys: &'a [T],
    width: usize,
    to: *mut u32,
}

impl<T: Element> Work for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (from, width) = (self.keys.as_ptr(), self.width);
        let rows = self.keys.len() / width;
        // SAFETY: the caller has room for a chunk.
        unsafe { pack::transpose::<S, T>(from, width, rows, width, self.to, KEYS) };
    }
}

/// Some whole query blocks of one head.
struct Task<'a, T> {
    shape: &'a Shape,
    operands: &'a Operands<'a, T>,
    /// The head's packed keys.
    k: *const u32,
    offsets: &'a [usize],
    head: usize,
    /// The first query.
    first: usize,
}

impl<T: Element> Task<'_, T> {
    fn run<F: Fold>(&self, level: Level, scores: &mut [f32], columns: usize, fold: &F) {
        let Operands { q, width, queries: (queries, query_block), keys, .. } = *self.operands;
        let last = queries.min(self.first + scores.len() / columns * query_block);
        for start in (self.first..last).step_by(QUERIES) {
            let end = last.min(start + QUERIES);
            let lse = match self.operands.reduce {
                Reduce::SumWith(lse) => &lse[self.head * queries..][start..end],
                _ => &[],
            };
            let group = Group {
                shape: self.shape,
                q: &q[(self.head * queries + start) * width..(self.head * queries + end) * width],
                k: self.k,
                scale: self.operands.scale * LOG2_E,
                bias: self.operands.bias,
                reduce: self.operands.reduce,
                lse,
                offsets: self.offsets,
            };
            host::with_scratch(self.shape.scratch_units(end - start), |scratch| {
                // SAFETY: the level is the machine's at most, the scratch is as large as the shape says, and the keys
                // are packed.
                let parts = unsafe { dispatch(level, (group, scratch)) };
                let (ld, numbers) = (self.shape.columns(end - start), self.shape.numbers);
                let count = self.shape.cells() * numbers * ld;
                // SAFETY: the parts lie in the scratch, which is this thread's for the time of the closure, and were
                // written by the group.
                let reduced = unsafe {
                    Reduced {
                        cells: std::slice::from_raw_parts(parts.cells, count),
                        numbers,
                        ld,
                        per_column: keys.1 / self.shape.cell,
                        highest: std::slice::from_raw_parts(parts.highest, ld),
                        totals: std::slice::from_raw_parts(parts.totals, ld),
                    }
                };
                for (index, row) in scores.chunks_mut(columns).enumerate() {
                    let block = self.first + index * query_block;
                    let query = block.max(start);
                    let to = (block + query_block).min(end);
                    if query < to {
                        let of = query - start..to - start;
                        fold.add(row, &reduced, &Part { head: self.head, query, of });
                    }
                }
            });
        }
        for (index, row) in scores.chunks_mut(columns).enumerate() {
            fold.finish(row, query_block.min(queries - self.first - index * query_block));
        }
    }
}

/// Independent parts of a sum or maximum over queries, which the compiler turns into vectors.
const PARTS: usize = 16;

/// Σ a·b.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<PARTS>(), b.as_chunks::<PARTS>());
    let mut sums = [0.0; PARTS];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// max (a − b), at least the lowest number; NaN where any is.
pub(super) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<PARTS>(), b.as_chunks::<PARTS>());
    let mut most = [f32::MIN; PARTS];
    for (a, b) in a.iter().zip(b) {
        for (most, (a, b)) in most.iter_mut().zip(a.iter().zip(b)) {
            *most = larger(a - b, *most);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a - b);
    most.into_iter().chain(rest).fold(f32::MIN, |most, x| larger(x, most))
}

/// The larger, NaN where either is: what is no number must reach whoever selects by it.
pub(super) fn larger(x: f32, y: f32) -> f32 {
    if x > y || x.is_nan() { x } else { y }
}
