//! One launch of an attention kernel: what both designs are passed, and the result's tensors.
#![expect(unsafe_code, reason = "kernels take addresses; each use says why they hold")]

use candle_core::{
    CudaDevice, CudaStorage, DType, Result, Storage, Tensor,
    cuda::{
        CudaDType, WrapErr,
        cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DeviceRepr, PushKernelArg},
    },
    op::BackpropOp,
};

use super::{
    args::{Args, Maps, Operands},
    plan::{Design, ITEM_KEYS, LEVELS, Sizes, Variant, level_of},
};
use crate::{
    blocks::{Blocks, QUERY_BLOCK},
    cuda::{self, Boxes, Image, Limits, Shape, TensorMap},
    levels::FULL,
    pyramid::Attended,
};

/// Everything of a call but what its level map says.
pub(super) struct Call<'a> {
    pub(super) device: &'a CudaDevice,
    pub(super) stream: &'a CudaStream,
    pub(super) limits: Limits,
    pub(super) variant: Variant,
    pub(super) sizes: Sizes,
    pub(super) dtype: DType,
    /// q, k and v, contiguous.
    pub(super) operands: [u64; 3],
    pub(super) scale: f32,
}

impl Call<'_> {
    /// Room on the device for `count` elements that a kernel will write.
    pub(super) fn room<T: DeviceRepr>(&self, count: usize) -> Result<CudaSlice<T>> {
        // SAFETY: what is read of it is written before, by a kernel on the same stream.
        unsafe { self.device.alloc::<T>(count) }
    }

    pub(super) fn address<T>(&self, room: &CudaSlice<T>) -> u64 {
        // All work is on one stream, so that order needs no events.
        room.device_ptr(self.stream).0
    }

    fn boxes(&self, address: u64, rows: usize, box_rows: usize) -> Boxes {
        Boxes {
            address,
            dtype: self.dtype,
            heads: self.sizes.heads,
            rows,
            width: self.variant.width,
            box_rows,
        }
    }

    /// Maps of q and of the levels at these addresses; k and v stand in for level 1 and those not in use.
    fn maps(&self, levels: [[u64; LEVELS]; 2], dense: bool) -> Result<Maps> {
        let [q, k, v] = self.operands;
        let Blocks { queries, keys, .. } = self.sizes.blocks;
        let of_class = |class: usize, levels: &[u64; LEVELS], full: u64| {
            let level = level_of(class);
            let box_rows =
                if dense && level == FULL { self.variant.tile } else { ITEM_KEYS[class] };
            match levels[usize::from(level - FULL)] {
                0 => self.boxes(full, keys, box_rows).of_units(),
                at => self.boxes(at, self.sizes.padded(level), box_rows).of_units(),
            }
        };
        let all = |levels: &[u64; LEVELS], full: u64| -> Result<[TensorMap; LEVELS]> {
            let mut maps = [of_class(0, levels, full)?; LEVELS];
            for (class, map) in maps.iter_mut().enumerate().skip(1) {
                *map = of_class(class, levels, full)?;
            }
            Ok(maps)
        };
        Ok(Maps {
            q: self.boxes(q, queries, QUERY_BLOCK).of_rows()?,
            k_tail: self.boxes(k, keys, 8).of_rows()?,
            v_tail: self.boxes(v, keys, 8).of_rows()?,
            k: all(&levels[0], k)?,
            v: all(&levels[1], v)?,
        })
    }

    /// The portable kernel's operands, the levels at these addresses.
    fn portable_operands(&self, levels: [[u64; LEVELS]; 2]) -> Operands {
        let [q, k, v] = self.operands;
        let mut operands = Operands { q, k: levels[0], v: levels[1], padded: [0; LEVELS] };
        (operands.k[0], operands.v[0]) = (k, v);
        for (level, padded) in (FULL..).zip(&mut operands.padded) {
            *padded = self.sizes.padded(level) as i32;
        }
        operands
    }

    /// Launches the attention kernel on the levels at these addresses; `of_map` are items, counts, order and levels of the
    /// map, all 0 where every key is seen.
    pub(super) fn attend<T: CudaDType + DeviceRepr + 'static>(
        &self,
        of_levels: [[u64; LEVELS]; 2],
        of_map: [u64; 4],
        bias: [u64; LEVELS],
        masked: bool,
        (batch, heads): (usize, usize),
    ) -> Result<Attended> {
        let Blocks { queries, keys, .. } = self.sizes.blocks;
        let out = self.room::<T>(self.sizes.heads * queries * self.variant.width)?;
        let lse = self.room::<f32>(self.sizes.heads * queries)?;
        let counter = self.device.alloc_zeros::<u32>(1)?;
        let [items, counts, order, levels] = of_map;
        let args = Args {
            out: self.address(&out),
            lse: self.address(&lse),
            items,
            counts,
            order,
            levels,
            bias,
            counter: self.address(&counter),
            masked: i32::from(masked),
            heads: self.sizes.heads as i32,
            queries: queries as i32,
            keys: keys as i32,
            rows: self.sizes.blocks.rows() as i32,
            columns: self.sizes.blocks.columns() as i32,
            scale: self.scale * std::f32::consts::LOG2_E,
        };
        let image = match self.variant.design {
            Design::Hopper { .. } => Image::Hopper,
            Design::Portable => Image::Portable,
        };
        let function = cuda::function(self.device, image, self.variant.name)?;
        let shared_bytes = self.variant.shared_bytes();
        cuda::allow_shared(&function, shared_bytes)?;
        let grid = self.sizes.grid(self.variant.design, self.limits.multiprocessors);
        let shape = Shape { grid: [grid, 1, 1], threads: self.variant.threads(), shared_bytes };
        let config = cuda::launch_config(&shape, self.variant.name)?;
        let mut launch = self.stream.launch_builder(&function);
        let (maps, operands);
        match self.variant.design {
            Design::Hopper { .. } => {
                maps = self.maps(of_levels, of_map == [0; 4])?;
                launch.arg(&maps);
            }
            Design::Portable => {
                operands = self.portable_operands(of_levels);
                launch.arg(&operands);
            }
        }
        launch.arg(&args);
        // SAFETY: the addresses are of tensors of the sizes told, which live on the stream until the kernel is done; it
        // writes every element of `out` and `lse`, and nothing else.
        unsafe { launch.launch(config) }.w()?;
        let tensor = |storage: CudaStorage, shape: &[usize]| {
            Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
        };
        let width = self.variant.width;
        Ok(Attended {
            out: tensor(
                CudaStorage::wrap_cuda_slice(out, self.device.clone()),
                &[batch, heads, queries, width],
            ),
            lse: tensor(
                CudaStorage::wrap_cuda_slice(lse, self.device.clone()),
                &[batch, heads, queries],
            ),
        })
    }
}
