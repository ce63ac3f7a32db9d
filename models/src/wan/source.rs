//! Where layers take their weights from while a model is built: one tensor at a time, each counted for the watch.
//!
//! A tensor is converted while it is read, packed by its layer and dropped, so loading peaks at the packed weights plus
//! the largest tensor. Tests feed random weights through the same door.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::conv::{Conv3d, Padding, UpsampleConv2x};
use tessera_kernels::linear::Linear;

use crate::watch::{Watch, tick};
use crate::weights::{Expected, Weights};
use crate::{Result, folder::ModelFolder};

/// Gives the tensor of a name in a dtype.
pub(super) type Read<'a> = dyn FnMut(&str, DType) -> Result<Tensor> + 'a;

/// A component's weights while its layers are built.
pub(super) struct Source<'a> {
    read: &'a mut Read<'a>,
    watch: &'a mut dyn Watch,
    done: usize,
    of: usize,
    /// The dtype that layers compute in.
    pub(super) compute: DType,
}

impl<'a> Source<'a> {
    /// A source of `of` tensors for layers that compute in `compute`.
    pub(super) fn new(
        read: &'a mut Read<'a>,
        compute: DType,
        of: usize,
        watch: &'a mut dyn Watch,
    ) -> Self {
        Self { read, watch, done: 0, of, compute }
    }

    /// The tensor `name` in `dtype`; ticks, and is [`crate::Error::Cancelled`] when the watch says so.
    pub(super) fn tensor(&mut self, name: &str, dtype: DType) -> Result<Tensor> {
        let tensor = (self.read)(name, dtype)?;
        self.done += 1;
        tick(self.watch, self.done, self.of)?;
        Ok(tensor)
    }

    /// The tensor `name` as one F32 vector, whatever its shape.
    pub(super) fn vector(&mut self, name: &str) -> Result<Tensor> {
        Ok(self.tensor(name, DType::F32)?.flatten_all()?)
    }

    /// `name.weight` as a matrix (trailing dimensions merged) and `name.bias`, packed for `compute`.
    pub(super) fn linear_in(&mut self, name: &str, compute: DType) -> Result<Linear> {
        let weight = self.tensor(&format!("{name}.weight"), compute)?.flatten_from(1)?;
        let bias = self.vector(&format!("{name}.bias"))?;
        Ok(Linear::new(&weight, Some(&bias), compute)?)
    }

    /// As [`Self::linear_in`], for the compute dtype.
    pub(super) fn linear(&mut self, name: &str) -> Result<Linear> {
        self.linear_in(name, self.compute)
    }

    /// `name.weight` `[O, I, kt, kh, kw]`, or `[O, I, kh, kw]` taken as one frame deep, and `name.bias`.
    pub(super) fn conv(
        &mut self,
        name: &str,
        stride: [usize; 3],
        padding: Padding,
    ) -> Result<Conv3d> {
        let weight = self.tensor(&format!("{name}.weight"), self.compute)?;
        let weight = if weight.rank() == 4 { weight.unsqueeze(2)? } else { weight };
        let bias = self.vector(&format!("{name}.bias"))?;
        Ok(Conv3d::new(&weight, Some(&bias), stride, padding, self.compute)?)
    }

    /// `name.weight` `[O, I, 3, 3]` and `name.bias` of a convolution after a doubling of rows and columns.
    pub(super) fn upsampling(&mut self, name: &str) -> Result<UpsampleConv2x> {
        let weight = self.tensor(&format!("{name}.weight"), self.compute)?;
        let bias = self.vector(&format!("{name}.bias"))?;
        Ok(UpsampleConv2x::new(&weight, Some(&bias), self.compute)?)
    }
}

/// Builds from the component `component` of `folder`: all of `expected` is checked first, then `build` reads the
/// `reads` of them that it wants. Names that hold a string of `ignore` may be there unexpected.
pub(super) fn from_folder<T>(
    (folder, component): (&ModelFolder, &str),
    (expected, ignore, reads): (&[Expected], &[&str], usize),
    (compute, device): (DType, &Device),
    watch: &mut dyn Watch,
    build: impl FnOnce(&mut Source<'_>) -> Result<T>,
) -> Result<T> {
    let weights = Weights::open(folder, component)?;
    weights.check(expected, ignore)?;
    let mut read = |name: &str, dtype: DType| weights.tensor(name, dtype, device);
    build(&mut Source::new(&mut read, compute, reads, watch))
}
