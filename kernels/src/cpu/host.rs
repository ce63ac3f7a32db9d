//! Tensors in main memory as slices, and results written by several threads at once.
#![expect(
    unsafe_code,
    reason = "results are written in disjoint parts by several threads, without being zeroed first"
)]

use candle_core::{DType, Device, Layout, Result, Shape, Storage, Tensor, WithDType, bail};
use half::bf16;

/// F32 or BF16: what a tensor of a compute dtype holds.
pub(crate) trait Element: WithDType + Default {
    /// Elements that the product takes as one 32-bit unit: a float, or two adjacent half-width ones.
    const PER_UNIT: usize;
    /// The value rounded to this type, ties to even.
    fn rounded(value: f32) -> Self;
}

impl Element for f32 {
    const PER_UNIT: usize = 1;
    fn rounded(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    const PER_UNIT: usize = 2;
    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// The elements of a contiguous tensor in main memory.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a Storage, layout: &Layout) -> Result<&'a [T]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => {
            Ok(&T::cpu_storage_as_slice(storage)?[start..end])
        }
        _ => bail!("a kernel's CPU path needs a contiguous tensor in main memory"),
    }
}

/// The elements of any tensor in main memory, as F32.
pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// A pointer that threads share, each writing its own elements.
#[derive(Debug)]
pub(crate) struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
// SAFETY: the pointer is only an address; whoever writes through it promises to be alone at that element.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    pub(crate) fn at(self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

/// A result that is not zeroed before it is written.
pub(crate) struct Output<T> {
    elements: Vec<T>,
    count: usize,
}

impl<T: Element> Output<T> {
    pub(crate) fn new(count: usize) -> Self {
        Self { elements: Vec::with_capacity(count), count }
    }

    pub(crate) fn shared(&mut self) -> Shared<T> {
        Shared(self.elements.as_mut_ptr())
    }

    /// The tensor.
    ///
    /// # Safety
    /// Every one of the elements has been written.
    pub(crate) unsafe fn finish(mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        // SAFETY: the capacity was asked for in `new`, and the caller has written every element.
        unsafe { self.elements.set_len(self.count) };
        Tensor::from_vec(self.elements, shape.into(), &Device::Cpu)
    }
}

/// One cache line of 32-bit units.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; 16]);

/// Zeroed 32-bit units that start on a cache line.
#[derive(Debug, Default)]
pub(crate) struct Units(Vec<Line>);

impl Units {
    pub(crate) fn zeroed(units: usize) -> Self {
        Self(vec![Line::default(); units.div_ceil(16)])
    }

    pub(crate) fn pointer(&self) -> *const u32 {
        self.0.as_ptr().cast()
    }

    pub(crate) fn pointer_mut(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * size_of::<Line>()
    }
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Units> = const { std::cell::RefCell::new(Units(Vec::new())) };
}

/// Runs `work` with scratch memory of this thread, at least `units` 32-bit units that start on a cache line and hold
/// whatever the last user left.
pub(crate) fn with_scratch<R>(units: usize, work: impl FnOnce(*mut u32) -> R) -> R {
    // Taken out for the time of the work: should the work itself ask for scratch, it gets memory of its own.
    let mut scratch = SCRATCH.take();
    if scratch.0.len() * 16 < units {
        scratch = Units::zeroed(units);
    }
    let result = work(scratch.pointer_mut());
    SCRATCH.set(scratch);
    result
}
