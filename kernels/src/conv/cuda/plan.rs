//! Which kernel serves a convolution and how it is cut into blocks: pure functions of its geometry and the device. The
//! numbers are those of `conv.cu` and `conv_hopper.cu`.

use crate::conv::Geometry;

/// Input channels of a step.
pub(super) const SLICE: usize = 32;
/// Tensors that a clip may be in.
pub(super) const PARTS: usize = 8;
pub(super) const THREADS: u32 = 128;
/// Rows and columns of pixels of a block.
const TILE: [usize; 2] = [8, 16];
/// Taps of weights in shared memory.
const STAGES: usize = 4;
/// Bytes of a pixel or an output of one step.
const ROW_BYTES: usize = SLICE * 2;
/// Shared memory of a block on the smallest device (sm_86).
const SHARED_BYTES: usize = 99 << 10;
/// Outputs of a block.
const OUTPUTS: [usize; 4] = [16, 64, 96, 128];

/// Outputs of a block: those that leave the fewest idle, the widest of them.
pub(super) fn outputs_a_tile(outputs: usize) -> usize {
    let cost = |n: usize| outputs.div_ceil(n) * n;
    // Sixteen have a tile of few products, which pays for nothing else.
    let wider = OUTPUTS.into_iter().filter(|&n| n > 16);
    if outputs <= 16 { 16 } else { wider.rev().min_by_key(|&n| cost(n)).unwrap_or(128) }
}

/// The word for a result's dtype in kernels' names, and its bytes.
fn result(wide: bool) -> (&'static str, usize) {
    if wide { ("f32", 4) } else { ("bf16", 2) }
}

/// The launch of one convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) name: String,
    /// Tiles of an output frame along rows and columns, and along outputs.
    pub(super) tiles: [usize; 3],
    /// Output frames of all samples.
    frames: usize,
    /// Rows and columns of input that a tile sees.
    pub(super) halo: [usize; 2],
    /// Such inputs in shared memory.
    pub(super) slabs: usize,
    pub(super) shared_bytes: usize,
}

impl Plan {
    /// For `output` frames, rows and columns, F32 where `wide`; nothing where a tile's input does not fit shared memory.
    pub(super) fn new(
        geometry: &Geometry,
        wide: bool,
        batch: usize,
        output: [usize; 3],
    ) -> Option<Self> {
        let n = outputs_a_tile(geometry.outputs);
        let (word, bytes) = result(wide);
        let [of_frames, rows, columns] = output;
        let [_, kh, kw] = geometry.kernel;
        let halo = std::array::from_fn(|axis| {
            (TILE[axis] - 1) * geometry.stride[axis + 1] + geometry.kernel[axis + 1]
        });
        // Weights are brought three taps ahead: with fewer taps than that, several inputs are under way.
        let slabs = if kh * kw >= STAGES - 1 { 2 } else { STAGES };
        let pixels: usize = halo.iter().product();
        let staged = TILE[0] * TILE[1] * (n + 8) * bytes;
        let shared_bytes = (STAGES * n * ROW_BYTES + slabs * pixels * ROW_BYTES).max(staged);
        let tiles =
            [rows.div_ceil(TILE[0]), columns.div_ceil(TILE[1]), geometry.outputs.div_ceil(n)];
        (shared_bytes <= SHARED_BYTES).then_some(Self {
            name: format!("conv_{word}_n{n}"),
            tiles,
            frames: batch * of_frames,
            halo,
            slabs,
            shared_bytes,
        })
    }

    /// Blocks: tiles, those of one input after each other, by frames.
    pub(super) fn grid(&self) -> [u64; 3] {
        [self.tiles.iter().map(|&tiles| tiles as u64).product(), self.frames as u64, 1]
    }
}

/// The kernel of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Design {
    /// sm_80 and later.
    Portable,
    /// sm_90a, this many outputs a block.
    Hopper { outputs: usize },
}

impl Design {
    /// For a device of this compute capability.
    pub(super) fn new(geometry: &Geometry, capability: (i32, i32)) -> Self {
        let Geometry { inputs, outputs, kernel: [_, kh, kw], stride: [_, sh, sw], .. } = *geometry;
        let fits = inputs.is_multiple_of(SLICE) && outputs.is_multiple_of(96);
        if capability.0 != 9 || !fits || [sh, sw] != [1, 1] || kh > 3 || kw > 3 {
            return Self::Portable;
        }
        Self::Hopper { outputs: if outputs.is_multiple_of(192) { 192 } else { 96 } }
    }

    /// Outputs of a block.
    pub(super) fn outputs(self, geometry: &Geometry) -> usize {
        match self {
            Self::Portable => outputs_a_tile(geometry.outputs),
            Self::Hopper { outputs } => outputs,
        }
    }
}

/// The launch of one convolution on sm_90a.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HopperPlan {
    pub(super) name: String,
    /// Tiles of an output frame along rows and columns, and along outputs.
    pub(super) tiles: [usize; 3],
    /// Tiles of all frames.
    pub(super) all: usize,
    /// Steps under way.
    pub(super) stages: usize,
    pub(super) shared_bytes: usize,
}

impl HopperPlan {
    pub(super) const THREADS: u32 = 384;
    /// Rows and columns of pixels of a block.
    pub(super) const SIDE: usize = 16;
    /// Shared memory of a block, less room for barriers.
    const SHARED_BYTES: usize = 226 << 10;
    const BARRIERS: usize = 128;

    /// For `output` frames, rows and columns; nothing where there are more tiles than a launch counts.
    pub(super) fn new(
        geometry: &Geometry,
        of_block: usize,
        wide: bool,
        batch: usize,
        output: [usize; 3],
    ) -> Option<Self> {
        let kh = geometry.kernel[1];
        let stage = (Self::SIDE + kh - 1) * Self::SIDE * ROW_BYTES + kh * of_block * ROW_BYTES;
        let stages = (Self::SHARED_BYTES / stage).min(8);
        let [of_frames, rows, columns] = output;
        let tiles =
            [rows.div_ceil(Self::SIDE), columns.div_ceil(Self::SIDE), geometry.outputs / of_block];
        let all = tiles.iter().product::<usize>() * batch * of_frames;
        (i32::try_from(all).is_ok()).then(|| Self {
            name: format!("conv_{}_n{of_block}_rows{kh}", result(wide).0),
            tiles,
            all,
            stages,
            shared_bytes: stages * stage + Self::BARRIERS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::Padding;

    fn geometry(outputs: usize, kernel: [usize; 3], stride: [usize; 3]) -> Geometry {
        Geometry { inputs: 96, outputs, kernel, stride, padding: Padding::all(1) }
    }

    #[test]
    fn outputs_of_a_block() {
        let all = [3, 16, 17, 32, 64, 96, 128, 160, 192, 256, 384, 768, 1024];
        let tiles = all.map(outputs_a_tile);
        assert_eq!(tiles, [16, 16, 64, 64, 64, 96, 128, 96, 96, 128, 128, 128, 128]);
    }

    #[test]
    fn the_last_stage_of_wan_in_three_blocks_a_multiprocessor() {
        let plan = Plan::new(&geometry(96, [3, 3, 3], [1, 1, 1]), false, 1, [4, 480, 832]).unwrap();
        assert_eq!((plan.halo, plan.slabs), ([10, 18], 2));
        assert_eq!(plan.shared_bytes, 4 * 96 * 64 + 2 * 180 * 64);
        assert_eq!(plan.grid(), [60 * 52, 4, 1]);
    }

    #[test]
    fn strides_and_single_taps() {
        let plan = Plan::new(&geometry(192, [1, 3, 3], [1, 2, 2]), false, 2, [1, 9, 17]).unwrap();
        assert_eq!((plan.halo, plan.tiles, plan.grid()), ([17, 33], [2, 2, 2], [8, 2, 1]));
        let plan = Plan::new(&geometry(768, [3, 1, 1], [1, 1, 1]), false, 1, [1, 8, 16]).unwrap();
        assert_eq!((plan.halo, plan.slabs, plan.tiles), ([8, 16], 4, [1, 1, 6]));
        assert_eq!(Plan::new(&geometry(96, [1, 9, 9], [1, 4, 4]), false, 1, [1, 8, 8]), None);
    }

    #[test]
    fn convolutions_of_wan_on_hopper() {
        let of = |outputs, kernel, stride| Design::new(&geometry(outputs, kernel, stride), (9, 0));
        assert_eq!(of(96, [3, 3, 3], [1, 1, 1]), Design::Hopper { outputs: 96 });
        assert_eq!(of(768, [3, 1, 1], [1, 1, 1]), Design::Hopper { outputs: 192 });
        assert_eq!(of(192, [1, 3, 3], [1, 2, 2]), Design::Portable);
        assert_eq!(of(3, [3, 3, 3], [1, 1, 1]), Design::Portable);
        assert_eq!(Design::new(&geometry(96, [3, 3, 3], [1, 1, 1]), (8, 0)), Design::Portable);
        assert_eq!(Design::new(&geometry(96, [3, 3, 3], [1, 1, 1]), (10, 0)), Design::Portable);

        let wide = geometry(192, [3, 3, 3], [1, 1, 1]);
        let plan = HopperPlan::new(&wide, 192, false, 1, [4, 240, 416]).unwrap();
        assert_eq!((plan.tiles, plan.all, plan.stages), ([15, 26, 1], 15 * 26 * 4, 4));
        assert!(plan.shared_bytes <= 227 << 10, "{}", plan.shared_bytes);
        let narrow =
            HopperPlan::new(&geometry(96, [3, 3, 3], [1, 1, 1]), 96, true, 1, [4, 480, 832]);
        assert_eq!(narrow.unwrap().stages, 6);
    }
}
