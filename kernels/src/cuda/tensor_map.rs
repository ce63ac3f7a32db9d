//! Tensor maps: what the copy engine of sm_90 is told about a tensor.

use std::ptr::from_mut;

use candle_core::{
    DType, Result, bail,
    cuda::{WrapErr, cudarc::driver::sys},
};

/// A map as kernels take it, by value.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct TensorMap(sys::CUtensorMap);

/// A contiguous tensor `[heads, rows, width]` of 16-bit floats on the device, and the rows of one box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boxes {
    pub(crate) address: u64,
    pub(crate) dtype: DType,
    pub(crate) heads: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) box_rows: usize,
}

impl Boxes {
    /// {D, rows, heads} in boxes of 64 elements by `box_rows` rows; rows beyond the end read as zeros.
    pub(crate) fn of_rows(&self) -> Result<TensorMap> {
        let row = self.width * 2;
        self.encode(
            &[self.width, self.rows, self.heads],
            &[row, self.rows * row],
            &[64, self.box_rows, 1],
        )
    }

    /// {64, 8 rows, halves, units, heads} in boxes of whole rows: a unit of eight rows is two atoms of [8][64] where D is
    /// 128. Rows that fill no unit are left out.
    pub(crate) fn of_units(&self) -> Result<TensorMap> {
        let (row, halves) = (self.width * 2, self.width / 64);
        self.encode(
            &[64, 8, halves, (self.rows / 8).max(1), self.heads],
            &[row, 128, 8 * row, self.rows * row],
            &[64, 8, halves, self.box_rows / 8, 1],
        )
    }

    fn encode(&self, sizes: &[usize], strides: &[usize], boxes: &[usize]) -> Result<TensorMap> {
        use sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_128B as SWIZZLE;
        encode((self.address, self.dtype), sizes, strides, boxes, SWIZZLE)
    }
}

/// A map of a contiguous tensor of 16-bit floats: `sizes` and the box's sides from the innermost dimension out, a box of
/// rows of 64 bytes.
pub(crate) fn narrow_boxes(
    address: u64,
    dtype: DType,
    sizes: &[usize],
    boxes: &[usize],
) -> Result<TensorMap> {
    use sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_64B as SWIZZLE;
    let mut bytes = 2;
    let outer = sizes.iter().take(sizes.len() - 1).map(|size| {
        bytes *= size;
        bytes
    });
    encode((address, dtype), sizes, &outer.collect::<Vec<_>>(), boxes, SWIZZLE)
}

fn encode(
    (address, dtype): (u64, DType),
    sizes: &[usize],
    strides: &[usize],
    boxes: &[usize],
    swizzle: sys::CUtensorMapSwizzle,
) -> Result<TensorMap> {
    use sys::CUtensorMapDataType_enum as Type;
    let dtype = match dtype {
        DType::BF16 => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        DType::F16 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        other => bail!("tensor map: expected a 16-bit float, got {other:?}"),
    };
    let sizes: Vec<u64> = sizes.iter().map(|&x| x as u64).collect();
    let strides: Vec<u64> = strides.iter().map(|&x| x as u64).collect();
    let boxes: Vec<u32> = boxes.iter().map(|&x| x as u32).collect();
    let steps = vec![1_u32; sizes.len()];
    let mut map = sys::CUtensorMap { opaque: [0; 16] };
    // SAFETY: the arrays hold as many numbers as the rank says (strides one fewer), and live until the call returns;
    // the driver only stores the address.
    let code = unsafe {
        sys::cuTensorMapEncodeTiled(
            from_mut(&mut map),
            dtype,
            sizes.len() as u32,
            address as *mut std::ffi::c_void,
            sizes.as_ptr(),
            strides.as_ptr(),
            boxes.as_ptr(),
            steps.as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    code.result().w()?;
    Ok(TensorMap(map))
}
