//! Checks of dtypes and shapes whose errors say which operand is wrong, what it is and what it should be.

use candle_core::{DType, Result, Tensor, bail};

/// Refuses a dtype that is not a compute dtype.
pub(crate) fn compute_dtype(op: &str, dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::BF16 => Ok(()),
        other => bail!("{op}: the compute dtype must be F32 or BF16, got {other:?}"),
    }
}

/// Refuses `tensor` when its dtype is not `expected`.
pub(crate) fn dtype(op: &str, name: &str, tensor: &Tensor, expected: DType) -> Result<()> {
    if tensor.dtype() == expected {
        return Ok(());
    }
    bail!(
        "{op}: `{name}` must be {expected:?}, got {:?}: convert it with to_dtype first",
        tensor.dtype()
    )
}

/// Refuses `tensor` when its shape is not `expected`.
pub(crate) fn shape(op: &str, name: &str, tensor: &Tensor, expected: &[usize]) -> Result<()> {
    if tensor.dims() == expected {
        return Ok(());
    }
    bail!("{op}: `{name}` must have shape {expected:?}, got {:?}", tensor.dims())
}

/// The last dimension of `tensor`, and the number of rows of that width.
pub(crate) fn rows(op: &str, name: &str, tensor: &Tensor) -> Result<(usize, usize)> {
    match tensor.dims().last() {
        Some(&width) if width > 0 => Ok((tensor.elem_count() / width, width)),
        _ => bail!(
            "{op}: `{name}` must have a last dimension of at least 1, got {:?}",
            tensor.dims()
        ),
    }
}
