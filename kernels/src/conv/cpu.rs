//! The convolution on the CPU, as a product without a column matrix.
//!
//! A task takes a band of output rows of one frame. It packs the input rows that the band sees, zeros around them, with
//! the channels k-major and the pixels of a row side by side (a stride in width deals the pixels out to that many
//! rows). A tap of the kernel is then the same memory at another offset, and every output row a run of tiles.
//!
//! Several *phases* may share what is packed: each has its own taps and weights and writes its own pixels. A plain
//! convolution has one, [`super::UpsampleConv2x`] four.
#![expect(unsafe_code, reason = "tasks write disjoint pixels of one result")]

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Clip, Geometry, Padding, cpu_band::Band};
use crate::cpu::{
    Level,
    host::{self, Element, Output},
    pack::{self, Panels},
    simd::dispatch,
};

/// Units of packed input that a task aims at: half a megabyte.
const PACKED: usize = 128 * 1024;
/// Output columns of a task at most; a multiple of every tile height.
const COLUMNS: usize = 264;

/// Taps and weights of the pixels of one parity.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) panels: Panels,
    /// dt, dh, dw of each tap.
    taps: Vec<[usize; 3]>,
    /// Row and column of its pixels in each square of scale×scale output pixels.
    pub(super) place: [usize; 2],
}

impl Phase {
    /// `at(tap, input, output)` is the weight of one tap.
    pub(super) fn new<T: Element>(
        level: Level,
        geometry: &Geometry,
        taps: Vec<[usize; 3]>,
        place: [usize; 2],
        at: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let panels = Panels::new::<T>(level, taps.len(), geometry.inputs, geometry.outputs, at);
        Self { panels, taps, place }
    }
}

/// Packed weights of all phases and the bias in F32.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) level: Level,
    pub(super) phases: Vec<Phase>,
    pub(super) bias: Vec<f32>,
    /// Output pixels a computed pixel in each direction: 1, or 2 when the phases are parities.
    pub(super) scale: usize,
}

/// Where things lie in a task's packed input.
#[derive(Clone, Copy)]
pub(super) struct Packing {
    /// Output rows and columns of a task.
    pub(super) band: usize,
    pub(super) columns: usize,
    /// Input rows packed for a frame.
    pub(super) rows: usize,
    /// Units along the channels.
    pub(super) depth: usize,
    /// Pixels of a packed row, for each residue of the width's stride.
    pub(super) pixels: usize,
}

impl Packing {
    fn with<T: Element>(geometry: &Geometry, band: usize, columns: usize) -> Self {
        let ([_, kh, kw], [_, sh, sw]) = (geometry.kernel, geometry.stride);
        let depth = geometry.inputs.div_ceil(T::PER_UNIT);
        // The last tile of a row may read a tile's height further; its sums are dropped.
        let pixels = (columns.next_multiple_of(12) + (kw - 1) / sw + 1).next_multiple_of(4);
        Self { band, columns, rows: (band - 1) * sh + kh, depth, pixels }
    }

    /// Units of one packed input row, all residues.
    pub(super) fn row_units(&self, geometry: &Geometry) -> usize {
        geometry.stride[2] * self.depth * self.pixels
    }

    pub(super) fn units(&self, geometry: &Geometry) -> usize {
        geometry.kernel[0] * self.rows * self.row_units(geometry)
    }

    /// The widest and tallest band that stays within the cache and leaves a few tasks for every core.
    fn choose<T: Element>(
        geometry: &Geometry,
        frames: usize,
        [_, height, width]: [usize; 3],
    ) -> Self {
        let fits = |band: usize, columns: usize| {
            Self::with::<T>(geometry, band, columns).units(geometry) <= PACKED
        };
        let mut columns = width.min(COLUMNS);
        while columns > 48 && !fits(1, columns) {
            columns = (columns / 2).next_multiple_of(12);
        }
        let across = frames * width.div_ceil(columns);
        let most = (across * height).div_ceil(4 * rayon::current_num_threads()).clamp(1, height);
        let mut band = 1;
        while band < most && fits(band + 1, columns) {
            band += 1;
        }
        Self::with::<T>(geometry, band, columns)
    }

    /// The offset of every k of a phase: taps, and in each the channels.
    fn offsets(&self, geometry: &Geometry, phase: &Phase) -> Vec<usize> {
        let sw = geometry.stride[2];
        let row_units = self.row_units(geometry);
        let mut offsets = Vec::with_capacity(phase.taps.len() * self.depth);
        for &[dt, dh, dw] in &phase.taps {
            let row = (dt * self.rows + dh) * row_units + dw % sw * self.depth * self.pixels;
            offsets.extend((0..self.depth).map(|k| row + k * self.pixels + dw / sw));
        }
        offsets
    }
}

impl Weights {
    /// One phase with every tap of `weight` `[O, I, kt, kh, kw]`.
    pub(super) fn plain<T: Element>(
        level: Level,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: &Geometry,
    ) -> Result<Self> {
        let values = host::floats(weight)?;
        let [kt, kh, kw] = geometry.kernel;
        let count = kt * kh * kw;
        let taps = (0..count).map(|tap| [tap / (kh * kw), tap / kw % kh, tap % kw]).collect();
        let phase = Phase::new::<T>(level, geometry, taps, [0, 0], |tap, input, output| {
            values[(output * geometry.inputs + input) * count + tap]
        });
        Ok(Self {
            level,
            phases: vec![phase],
            bias: bias.map(host::floats).transpose()?.unwrap_or_default(),
            scale: 1,
        })
    }

    /// `output` is the shape of what one phase computes; `added` has the shape of the result.
    pub(super) fn forward<T: Element>(
        &self,
        frames: &[&Tensor],
        clip: Clip,
        geometry: &Geometry,
        output: [usize; 3],
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        let added = added.map(Tensor::contiguous).transpose()?;
        let added_storage = added.as_ref().map(Tensor::storage_and_layout);
        let added = match &added_storage {
            Some((storage, layout)) => Some(host::slice::<T>(storage, layout)?),
            None => None,
        };
        let parts: Vec<Tensor> =
            frames.iter().map(|part| part.contiguous()).collect::<Result<_>>()?;
        let storages: Vec<_> = parts.iter().map(Tensor::storage_and_layout).collect();
        let size = clip.height * clip.width * geometry.inputs;
        // Frame t of sample b, whatever tensor it lies in.
        let mut sources: Vec<&[T]> = Vec::with_capacity(clip.batch * clip.frames);
        for b in 0..clip.batch {
            for ((storage, layout), part) in storages.iter().zip(&parts) {
                let count = part.dim(1)?;
                let sample =
                    &host::slice::<T>(storage, layout)?[b * count * size..(b + 1) * count * size];
                sources.extend(sample.chunks_exact(size.max(1)));
            }
        }

        let [out_frames, height, width] = output;
        let all = clip.batch * out_frames;
        let size_out = height * width * self.scale * self.scale * geometry.outputs;
        let mut result = Output::<T>::new(all * size_out);
        let to = result.shared();
        let packing = Packing::choose::<T>(geometry, all, output);
        let offsets: Vec<Vec<usize>> =
            self.phases.iter().map(|phase| packing.offsets(geometry, phase)).collect();
        let (bands, chunks) = (height.div_ceil(packing.band), width.div_ceil(packing.columns));
        // The packed input, then the sums of one tile.
        let scratch = packing.units(geometry) + 12 + 12 * 2 * pack::lanes(self.level);

        (0..all * bands * chunks).into_par_iter().for_each(|task| {
            let (frame, band, chunk) =
                (task / (bands * chunks), task / chunks % bands, task % chunks);
            let first = frame / out_frames * clip.frames + frame % out_frames * geometry.stride[0];
            let (row, column) = (band * packing.band, chunk * packing.columns);
            let job = Band {
                weights: self,
                geometry,
                packing,
                offsets: &offsets,
                frames: &sources[first..first + geometry.kernel[0]],
                input: [clip.height, clip.width],
                rows: row..height.min(row + packing.band),
                columns: column..width.min(column + packing.columns),
                to: to.at(frame * size_out),
                added: added.map(|added| added[frame * size_out..].as_ptr()),
                width,
            };
            // SAFETY: the level is the machine's at most, the scratch is as large as the packing says, and each task
            // writes its own pixels.
            host::with_scratch(scratch, |scratch| unsafe { dispatch(self.level, (job, scratch)) });
        });
        let shape =
            (clip.batch, out_frames, height * self.scale, width * self.scale, geometry.outputs);
        // SAFETY: tasks and phases cover every pixel.
        unsafe { result.finish(shape) }
    }
}

/// Zeros before, pixels from the frame, and zeros after, of `count` packed pixels at `start`, `start + step`, … of a
/// line of `length` pixels that begins before the line.
pub(super) fn overlap(start: isize, step: usize, count: usize, length: usize) -> [usize; 3] {
    let before = if start < 0 { start.unsigned_abs().div_ceil(step).min(count) } else { 0 };
    let first = start + (before * step) as isize;
    let inside = if first < length as isize {
        (length - first as usize).div_ceil(step).min(count - before)
    } else {
        0
    };
    [before, inside, count - before - inside]
}

/// The input row or column that output position `at` starts from.
pub(super) fn origin(at: usize, stride: usize, padding: usize) -> isize {
    (at * stride) as isize - padding as isize
}

/// Top and left of the padding.
pub(super) fn leading(padding: Padding) -> [usize; 2] {
    [padding.top, padding.left]
}
