//! One task of the convolution: a band of output rows of one frame.
#![expect(unsafe_code, reason = "works on scratch and writes results through pointers")]

use std::ops::Range;

use super::{
    Geometry,
    cpu::{Packing, Weights, leading, origin, overlap},
};
use crate::{
    Activation,
    cpu::{
        epilogue::{Epilogue, Place},
        host::Element,
        pack,
        simd::{Simd, Work},
        tile::{Tile, tile, tile_rows},
    },
};

/// The operands of a task.
pub(super) struct Band<'a, T> {
    pub(super) weights: &'a Weights,
    pub(super) geometry: &'a Geometry,
    pub(super) packing: Packing,
    /// Offsets of each phase's k.
    pub(super) offsets: &'a [Vec<usize>],
    /// The kt frames that the output frame sees, `[H, W, I]` each.
    pub(super) frames: &'a [&'a [T]],
    /// H and W of the input.
    pub(super) input: [usize; 2],
    /// Output rows and columns, before scaling.
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// The output frame.
    pub(super) to: *mut T,
    /// The same frame of what is added.
    pub(super) added: Option<*const T>,
    /// Columns of the whole output, before scaling.
    pub(super) width: usize,
}

impl<T: Element> Work for (Band<'_, T>, *mut u32) {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (job, scratch) = self;
        let (geometry, packing) = (job.geometry, job.packing);
        // SAFETY: the scratch holds the packed input and then one tile's sums; pixels and columns are within the
        // shapes, and tiles read at most a tile's height beyond a packed row.
        unsafe {
            pack_input::<S, T>(&job, scratch);
            let sums = scratch.add(packing.units(geometry) + 12).cast::<f32>();
            let epilogue = Epilogue { bias: &job.weights.bias, activation: Activation::None };
            let scale = job.weights.scale;
            let step = scale * geometry.outputs;
            let mut phase_index = 0;
            while phase_index < job.weights.phases.len() {
                let phase = &job.weights.phases[phase_index];
                let offsets = &job.offsets[phase_index];
                let mut index = 0;
                while index < phase.panels.count() {
                    let panel = phase.panels.panel(index);
                    let ldc = panel.vectors * S::LANES;
                    let mut row = 0;
                    while row < job.rows.len() {
                        let pixels = (job.rows.start + row) * scale + phase.place[0];
                        let line = pixels * job.width * step + phase.place[1] * geometry.outputs;
                        let a = scratch.add(row * geometry.stride[1] * packing.row_units(geometry));
                        let mut column = 0;
                        while column < job.columns.len() {
                            let left = job.columns.len() - column;
                            let operands = Tile {
                                a: a.add(column),
                                offsets,
                                b: panel.b,
                                sums,
                                ldc,
                                accumulate: false,
                            };
                            tile::<S, T>(left, panel.vectors, operands);
                            let at =
                                line + (job.columns.start + column) * step + panel.first_column;
                            let place = Place {
                                to: job.to.add(at),
                                added: job.added.map(|added| added.add(at)),
                                step,
                            };
                            let shape = (left.min(S::ROWS), panel.columns);
                            epilogue.finish::<S, T>(sums, ldc, shape, panel.first_column, place);
                            column += tile_rows::<S>(left);
                        }
                        row += 1;
                    }
                    index += 1;
                }
                phase_index += 1;
            }
        }
    }
}

/// Packs the rows that the band sees of each frame.
#[inline(always)]
unsafe fn pack_input<S: Simd, T: Element>(job: &Band<'_, T>, scratch: *mut u32) {
    let (geometry, packing) = (job.geometry, job.packing);
    let [height, width] = job.input;
    let [_, sh, sw] = geometry.stride;
    let [top, left] = leading(geometry.padding);
    let row_units = packing.row_units(geometry);
    let rows = (job.rows.len() - 1) * sh + geometry.kernel[1];
    // Pixels that the tiles need, of each residue.
    let pixels = job.columns.len() + (geometry.kernel[2] - 1) / sw;
    let first_row = origin(job.rows.start, sh, top);
    let first_column = origin(job.columns.start, sw, left);
    for (frame_index, frame) in job.frames.iter().enumerate() {
        for row in 0..rows {
            let y = first_row + row as isize;
            for residue in 0..sw {
                // SAFETY: frame, row and residue are within the packing; `overlap` keeps pixels within the line.
                unsafe {
                    let to = scratch
                        .add((frame_index * packing.rows + row) * row_units)
                        .add(residue * packing.depth * packing.pixels);
                    let start = first_column + residue as isize;
                    let [before, inside, after] = if y < 0 || y >= height as isize {
                        [pixels, 0, 0]
                    } else {
                        overlap(start, sw, pixels, width)
                    };
                    if before + after > 0 {
                        for k in 0..packing.depth {
                            let line = to.add(k * packing.pixels);
                            std::ptr::write_bytes(line, 0, before);
                            std::ptr::write_bytes(line.add(before + inside), 0, after);
                        }
                    }
                    if inside > 0 {
                        let x = (start + (before * sw) as isize) as usize;
                        let from = frame.as_ptr().add((y as usize * width + x) * geometry.inputs);
                        let stride = sw * geometry.inputs;
                        pack::transpose::<S, T>(
                            from,
                            stride,
                            inside,
                            geometry.inputs,
                            to.add(before),
                            packing.pixels,
                        );
                    }
                }
            }
        }
    }
}
