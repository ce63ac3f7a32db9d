//! The linear layer on the CPU: blocks of rows are packed k-major once, then meet every panel of the weight.
//!
//! A task is a block of rows and a range of panels. A block is as tall as fits half a megabyte at its depth, so that
//! it stays in the second-level cache while the panels stream by; a depth beyond [`DEPTH`] units is cut into slices
//! whose sums are carried in scratch.
#![expect(unsafe_code, reason = "tasks write disjoint rows and columns of one result")]

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::{
    Activation,
    cpu::{
        Level,
        epilogue::{Epilogue, Place},
        host::{self, Element, Output, Shared},
        pack::{self, Panels},
        simd::{Simd, Work, dispatch},
        tile::{Tile, tile, tile_rows},
    },
};

/// Units of a block of rows: half a megabyte.
const BLOCK: usize = 128 * 1024;
/// Units along k that are packed at once.
const DEPTH: usize = 1536;
/// Rows of a block at most; a multiple of every tile height.
const TALLEST: usize = 192;

/// The weight in panels and the bias in F32.
#[derive(Debug)]
pub(super) struct Weights {
    level: Level,
    panels: Panels,
    bias: Vec<f32>,
}

impl Weights {
    /// `weight` `[N, K]`, `bias` `[N]`, for activations of type `T`.
    pub(super) fn new<T: Element>(
        level: Level,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let values = host::floats(weight)?;
        let panels = Panels::new::<T>(level, 1, inputs, outputs, |_, input, column| {
            values[column * inputs + input]
        });
        let bias = bias.map(host::floats).transpose()?.unwrap_or_default();
        Ok(Self { level, panels, bias })
    }

    pub(super) fn bytes(&self) -> usize {
        self.panels.bytes() + self.bias.len() * size_of::<f32>()
    }

    /// x `[M, K]`, contiguous, of type `T`; returns `[M, outputs]`.
    pub(super) fn forward<T: Element>(
        &self,
        x: &Tensor,
        outputs: usize,
        activation: Activation,
    ) -> Result<Tensor> {
        let (rows, inputs) = x.dims2()?;
        let (storage, layout) = x.storage_and_layout();
        let x = host::slice::<T>(&storage, layout)?;
        let mut result = Output::<T>::new(rows * outputs);
        let to = result.shared();

        let slice = self.panels.depth().min(DEPTH);
        let block =
            (BLOCK / slice / 12 * 12).clamp(24, TALLEST).min(rows.max(1).next_multiple_of(12));
        let blocks = rows.div_ceil(block);
        // Few rows: the panels are shared out too.
        let threads = rayon::current_num_threads();
        let ranges = (4 * threads).div_ceil(blocks.max(1)).clamp(1, self.panels.count());
        let per_range = self.panels.count().div_ceil(ranges).min(if self.panels.depth() > DEPTH {
            16
        } else {
            usize::MAX
        });
        let ranges = self.panels.count().div_ceil(per_range);
        let ld = rows.min(block).next_multiple_of(12);
        let offsets: Vec<usize> = (0..slice).map(|k| k * ld).collect();
        let epilogue = Epilogue { bias: &self.bias, activation };
        (0..blocks * ranges).into_par_iter().for_each(|task| {
            let first_row = task / ranges * block;
            let first_panel = task % ranges * per_range;
            let job = Job {
                panels: &self.panels,
                epilogue,
                x,
                inputs,
                outputs,
                rows: first_row..rows.min(first_row + block),
                range: first_panel..self.panels.count().min(first_panel + per_range),
                slice,
                ld,
                offsets: &offsets,
                to,
            };
            // SAFETY: the level is the machine's at most; the scratch is as large as the job says; rows and panels of
            // tasks are disjoint.
            host::with_scratch(job.scratch_units(), |scratch| unsafe {
                dispatch(self.level, (job, scratch));
            });
        });
        // SAFETY: the tasks cover every row and every panel.
        unsafe { result.finish((rows, outputs)) }
    }
}

struct Job<'a, T> {
    panels: &'a Panels,
    epilogue: Epilogue<'a>,
    x: &'a [T],
    inputs: usize,
    outputs: usize,
    rows: std::ops::Range<usize>,
    range: std::ops::Range<usize>,
    slice: usize,
    /// Units from k to k + 1 of the packed block: whole tiles at every level.
    ld: usize,
    /// k·ld.
    offsets: &'a [usize],
    to: Shared<T>,
}

impl<T: Element> Job<'_, T> {
    fn slices(&self) -> usize {
        self.panels.depth().div_ceil(self.slice)
    }

    /// The packed block, then the sums. With one slice a tile's sums are finished at once and their place is used
    /// again.
    fn scratch_units(&self) -> usize {
        let kept = if self.slices() == 1 { 12 } else { self.range.len() * self.ld };
        self.slice * self.ld + kept * self.panels.widest()
    }
}

impl<T: Element> Work for (Job<'_, T>, *mut u32) {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (job, scratch) = self;
        let (rows, ld, depth, width) =
            (job.rows.len(), job.ld, job.panels.depth(), job.panels.widest());
        let one_slice = job.slices() == 1;
        // SAFETY: the packed block has `slice · ld` units, and the sums follow.
        let sums = unsafe { scratch.add(job.slice * ld) }.cast::<f32>();
        let mut k = 0;
        while k < depth {
            let units = job.slice.min(depth - k);
            let first = k * T::PER_UNIT;
            let elements = (units * T::PER_UNIT).min(job.inputs - first);
            // SAFETY: rows and columns of x as its shape says; the block has `slice · ld` units.
            unsafe {
                let from = job.x.as_ptr().add(job.rows.start * job.inputs + first);
                pack::transpose::<S, T>(from, job.inputs, rows, elements, scratch, ld);
            }
            let mut index = job.range.start;
            while index < job.range.end {
                let panel = job.panels.panel(index);
                let ldc = panel.vectors * S::LANES;
                let mut row = 0;
                while row < rows {
                    let left = rows - row;
                    let place =
                        if one_slice { 0 } else { ((index - job.range.start) * ld + row) * width };
                    // SAFETY: the tile reads up to `ld` rows of the block and the panel's units; sums have room for a
                    // tile; the result's rows and columns are the task's own.
                    unsafe {
                        let sums = sums.add(place);
                        let operands = Tile {
                            a: scratch.add(row),
                            offsets: &job.offsets[..units],
                            b: panel.b.add(k * ldc),
                            sums,
                            ldc,
                            accumulate: k > 0,
                        };
                        tile::<S, T>(left, panel.vectors, operands);
                        if k + units == depth {
                            let at = (job.rows.start + row) * job.outputs + panel.first_column;
                            let place = Place { to: job.to.at(at), added: None, step: job.outputs };
                            let shape = (left.min(S::ROWS), panel.columns);
                            job.epilogue.finish::<S, T>(
                                sums,
                                ldc,
                                shape,
                                panel.first_column,
                                place,
                            );
                        }
                    }
                    row += tile_rows::<S>(left);
                }
                index += 1;
            }
            k += units;
        }
    }
}
